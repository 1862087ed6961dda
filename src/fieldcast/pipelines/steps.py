"""Steps of a task as nodes of Kedro, and stages as boxes of its graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from fieldcast.argument_groups import collected, given
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import parts_of, stored_model

if TYPE_CHECKING:  # the seconds that torch takes, which not every command needs
    from fieldcast.tasks import Step


def as_node(step: Step, name: str, stored_as: Callable[[str], str] = str) -> Node:
    """The node of a step; `stored_as` gives the data set for each name that the step uses."""
    inputs = {argument: stored_as(source) for argument, source in step.inputs.items()}
    outputs = [stored_as(output) for output in step.outputs]
    return node(step.function, inputs, outputs if len(outputs) > 1 else outputs[0], name=name)


def from_checkpoint(
    function: Callable[..., Any], experiment: Experiment
) -> tuple[Callable[..., Any], dict[str, str]]:
    """A function of a `StoredModel` for one experiment, and the inputs of the fields of that record.

    A function of something else is returned as it is, without inputs.
    """
    if "trained_by" not in inspect.signature(function).parameters:
        return function, {}
    parts = parts_of(experiment)
    inputs = stored_model(experiment) | {role: role for role in parts}
    return with_parts(given(function, trained_by=experiment.draws_from), parts), inputs


def with_parts(function: Callable[..., Any], parts: Sequence[str]) -> Callable[..., Any]:
    """A function of `parts`, checkpoints by role, that takes each by itself; as it is if there are none."""
    return collected(function, "parts", parts) if parts else function


def boxed(pipeline: Pipeline, namespace: str) -> Pipeline:
    """The nodes in a namespace, which kedro-viz shows as a box; data sets and parameters keep their names."""
    return Pipeline(pipeline, namespace=namespace, prefix_datasets_with_namespace=False)
