"""source -> fields, quality, states -> splits -> climatology, normalisation."""

from kedro.pipeline import Pipeline

from fieldcast.deferred import Module
from fieldcast.pipelines.steps import as_node
from fieldcast.tasks import Step

nodes = Module("fieldcast.pipelines.ingestion.nodes")

STEPS = (
    Step(nodes.make_fields, (), ("ingestion", "earlier"), ("fields", "quality", "planet_states")),
    Step(nodes.split, ("fields",), ("ingestion",), ("splits",)),
    Step(nodes.fit_statistics, ("fields", "splits"), (), ("climatology", "normalisation")),
)


def create_pipeline() -> Pipeline:
    """The nodes of the stage `ingestion`."""
    return Pipeline([as_node(step) for step in STEPS])
