"""Steps of a task as nodes of Kedro."""

from __future__ import annotations

from collections.abc import Callable

from kedro.pipeline import node
from kedro.pipeline.node import Node

from fieldcast.tasks import Step


def as_node(step: Step, name: str, stored_as: Callable[[str], str] = str) -> Node:
    """The node of a step; `stored_as` gives the data set for each name that the step uses."""
    inputs = {argument: stored_as(source) for argument, source in step.inputs.items()}
    outputs = [stored_as(output) for output in step.outputs]
    return node(step.function, inputs, outputs if len(outputs) > 1 else outputs[0], name=name)
