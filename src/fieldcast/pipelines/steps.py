"""Steps of a task as nodes of Kedro, and stages as boxes of its graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kedro.pipeline import Pipeline, node
from kedro.pipeline.node import Node

from fieldcast.arguments import bind_arguments, collect_argument
from fieldcast.deferred import is_deferred, with_arguments
from fieldcast.experiments import Experiment
from fieldcast.pipelines.names import pooled_roles, stored_model
from fieldcast.pipelines.parameters import type_of
from fieldcast.tasks import Step

NO_TYPES: Mapping[str, type] = {}


def as_node(
    step: Step,
    name: str | None = None,
    stored_as: Callable[[str], str] = str,
    types: Mapping[str, type] = NO_TYPES,
) -> Node:
    """The node of a step.

    Parameters
    ----------
    step
        The step.
    name
        Name of the node; by default the name of the function.
    stored_as
        The data set for each name that the step uses.
    types
        Types of parameters that the task decides.
    """
    inputs = {argument: stored_as(source) for argument, source in step.inputs.items()}
    return node_of(step.function, inputs, [stored_as(output) for output in step.outputs], name, types)


def node_of(
    function: Callable[..., Any],
    inputs: Mapping[str, str],
    outputs: Sequence[str] | Mapping[str, str],
    name: str | None = None,
    types: Mapping[str, type] = NO_TYPES,
) -> Node:
    """The node of a function, with its inputs by argument.

    Parameters
    ----------
    function
        The function that the node calls; a deferred function receives its signature from the inputs.
    inputs
        Data sets and parameters, by argument.
    outputs
        Data sets in the order of the function's results, or by name.
    name
        Name of the node; by default the name of the function.
    types
        Types of parameters that the task decides.
    """
    label = name or function.__name__
    if is_deferred(function):
        function = with_arguments(
            function, {argument: type_of(source, types) for argument, source in inputs.items()}
        )
    results = dict(outputs) if isinstance(outputs, Mapping) else [*outputs]
    if len(results) == 1 and isinstance(results, list):
        return node(function, dict(inputs), results[0], name=label)
    return node(function, dict(inputs), results, name=label)


def from_checkpoint(
    function: Callable[..., Any], experiment: Experiment
) -> tuple[Callable[..., Any], dict[str, str]]:
    """A function of a `StoredModel` for one experiment, and the inputs of the fields of that record."""
    roles = pooled_roles(experiment)
    inputs = stored_model(experiment) | {role: role for role in roles}
    return with_pooled(bind_arguments(function, trained_by=experiment.draws_from), roles), inputs


def with_pooled(function: Callable[..., Any], roles: Sequence[str]) -> Callable[..., Any]:
    """A function of `parts`, checkpoints by role, that takes each role as an argument; unchanged without roles."""
    return collect_argument(function, "parts", roles) if roles else function


def in_box(pipeline: Pipeline, namespace: str, tags: Collection[str] = ()) -> Pipeline:
    """The nodes in a namespace, which kedro-viz shows as a box; data sets and parameters keep their names."""
    return Pipeline(pipeline, namespace=namespace, prefix_datasets_with_namespace=False, tags=set(tags))
