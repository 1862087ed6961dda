"""Makers: the node and the command that make each data set, and what the node declares that it makes it from."""

from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter, signature
from typing import NamedTuple

from kedro.framework.project import pipelines
from kedro.pipeline.node import Node

from fieldcast.experiments import Experiment
from fieldcast.lineage import Lineage, declared
from fieldcast.pipelines.names import address_of, parts_of


def commands() -> Iterator[tuple[str, str]]:
    """Yield every data set that a stage makes, with the command that makes it."""
    for output, _, command in makers():
        yield output, command


def makers() -> Iterator[tuple[str, Node, str]]:
    """Yield every data set that a stage makes, with its node and the command that runs it."""
    from fieldcast.pipeline_registry import (
        STAGES,  # here: a refusal before any pipeline is built needs no tasks
    )

    for stage in (name for name in (*STAGES, "reporting") if name in pipelines):
        for node in pipelines[stage].nodes:
            address = address_of(node.namespace)
            only = f" --namespaces {address}" if address else ""
            for output in node.outputs:
                yield output, node, f"`kedro run --pipelines {stage}{only}`"


class Origin(NamedTuple):
    """The function that gives the lineage of a data set, and the data sets that it takes, by argument."""

    lineage: Callable[..., Lineage]
    inputs: Mapping[str, str]


def origin_of(name: str, node: Node, experiments: Mapping[str, Experiment]) -> Origin | None:
    """The origin of a data set that a node makes; None if the node declares none."""
    function = declared(node.func, name.rpartition(".")[2])
    if function is None:
        return None
    inputs = dict(zip(signature(node.func).parameters, node.inputs, strict=False))
    accepted = signature(function).parameters.values()
    taken = {each.name: inputs[each.name] for each in accepted if each.kind is not Parameter.VAR_KEYWORD}
    if len(taken) < len(accepted) and (experiment := experiments.get(address_of(node.namespace))):
        # Kedro does not tell the names of the checkpoints that a node takes as further arguments
        taken |= {name: f"{experiment.uses[role]}.checkpoint" for name, role in parts_of(experiment).items()}
    return Origin(function, taken)
