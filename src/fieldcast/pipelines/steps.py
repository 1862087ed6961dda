"""Steps of a task as nodes of Kedro, and stages as boxes of its graph."""

from __future__ import annotations

from collections.abc import Callable

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from fieldcast.tasks import Step


def as_node(step: Step, name: str, stored_as: Callable[[str], str] = str) -> Node:
    """The node of a step; `stored_as` gives the data set for each name that the step uses."""
    inputs = {argument: stored_as(source) for argument, source in step.inputs.items()}
    outputs = [stored_as(output) for output in step.outputs]
    return node(step.function, inputs, outputs if len(outputs) > 1 else outputs[0], name=name)


def boxed(pipeline: Pipeline, namespace: str) -> Pipeline:
    """The nodes in a namespace, which kedro-viz shows as a box; data sets and parameters keep their names."""
    return Pipeline(pipeline, namespace=namespace, prefix_datasets_with_namespace=False)
