"""The pipelines of this project, built once for the same experiments: a module as Kedro takes it for its registry."""

from functools import lru_cache

from kedro.pipeline import Pipeline

from fieldcast.app.conf_source import parameters, source_of_data
from fieldcast.experiments import listed_experiments, selections
from fieldcast.pipeline_registry import register_pipelines as build
from fieldcast.tasks import TASKS


def register_pipelines() -> dict[str, Pipeline]:
    """Pipelines of the session in force; they depend on its experiments, selections and source of data alone."""
    listed = listed_experiments(given := parameters(), TASKS)
    return dict(registered(repr((listed, selections(given, listed), source_of_data()))))


@lru_cache(maxsize=8)
def registered(described: str) -> dict[str, Pipeline]:
    """Pipelines of the session in force, for what they depend on in writing."""
    return build()
