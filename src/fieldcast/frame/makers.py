"""Makers: the node and the command that make each data set."""

from collections.abc import Iterator

from kedro.framework.project import pipelines
from kedro.pipeline.node import Node

from fieldcast import pipeline_registry
from fieldcast.pipelines.names import address_of


def commands() -> Iterator[tuple[str, str]]:
    """Yield every data set that a stage makes, with the command that makes it."""
    for output, _, command in makers():
        yield output, command


def makers() -> Iterator[tuple[str, Node, str]]:
    """Yield every data set that a stage makes, with its node and the command that runs it."""
    for stage in (name for name in (*pipeline_registry.stages(), "reporting") if name in pipelines):
        for node in pipelines[stage].nodes:
            address = address_of(node.namespace)
            only = f" --namespaces {address}" if address else ""
            for output in node.outputs:
                yield output.partition("@")[0], node, f"`kedro run --pipelines {stage}{only}`"
