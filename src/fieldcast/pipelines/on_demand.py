"""Pipelines that are built when they are first used: a run needs one of a hundred."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from kedro.pipeline import Pipeline


class LazyPipeline:
    """A pipeline that is made when an attribute of it is first read."""

    def __init__(self, make: Callable[[], Pipeline]) -> None:
        self._make = make

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline, which is built when this is first read."""
        return self._make()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.pipeline, name)


class Pipelines(dict[str, Any]):
    """Pipelines by name, each built when it is first read.

    A `dict`, which Kedro copies to list the names, as Python copies any other mapping by reading each value.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Pipeline]]) -> None:
        super().__init__({name: LazyPipeline(make) for name, make in makers.items()})

    def __getitem__(self, name: str) -> Pipeline:
        pipeline: Pipeline = super().__getitem__(name).pipeline
        return pipeline
