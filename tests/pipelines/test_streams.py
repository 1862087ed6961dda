"""Memory held by a streaming Kedro node, counted with a real runner."""

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner

from fieldcast.kinds import LAYOUTS
from fieldcast.pipelines.streams import ReleaseOnRead, is_complete

STEPS = 12


class Large:
    """Something that is counted while it is there."""


class Kept(AbstractDataset):
    """Writes down the kind of what it is given, and lets go of it."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def load(self) -> None:
        raise AssertionError

    def save(self, data: Any) -> None:
        self.seen.append(type(data).__name__)

    def _describe(self) -> dict[str, Any]:
        return {}


def peak(wrap: Callable[[Any], Any]) -> tuple[int, dict[str, Kept]]:
    """The most steps that were alive at once, and what was saved."""
    alive: weakref.WeakSet[Large] = weakref.WeakSet()
    most = 0

    def generate() -> Iterator[tuple[Large, Large, int]]:
        nonlocal most
        for number in range(STEPS):
            state, forecast = Large(), Large()
            alive.update((state, forecast))
            gc.collect()
            most = max(most, len(alive))
            yield wrap((state, forecast, number))

    saved = {name: Kept() for name in ("state", "forecast", "number")}
    pipeline = Pipeline([node(generate, None, list(saved), name="generate")])
    gc.collect()
    gc.freeze()  # or each collection takes a second, for all modules and what other tests have left
    SequentialRunner().run(pipeline, DataCatalog(saved))
    return most, saved


def test_no_more_than_two_steps_are_held() -> None:
    most, saved = peak(ReleaseOnRead)
    assert most <= 4  # outputs at once, two a step: that which was saved last, and the new one
    assert {name: set(kept.seen) for name, kept in saved.items()} == {
        "state": {"Large"}, "forecast": {"Large"}, "number": {"int"},
    }  # fmt: skip
    assert all(len(kept.seen) == STEPS for kept in saved.values())


def test_without_the_filter_small_scales_pile_up() -> None:
    """Kedro cannot do this itself yet; if this test fails, `ReleaseOnRead` can be removed."""
    assert peak(tuple)[0] > STEPS


@pytest.mark.parametrize("fault", [0, 3])
def test_an_error_comes_through(fault: int) -> None:
    def generate() -> Iterator[Any]:
        for number in range(5):
            if number == fault:
                raise ValueError("as it was raised")
            yield ReleaseOnRead((number, number))

    pipeline = Pipeline([node(generate, None, ["a", "b"], name="generate")])
    with pytest.raises(ValueError, match="as it was raised"):
        SequentialRunner().run(pipeline, DataCatalog({"a": Kept(), "b": Kept()}))


def test_draws_of_another_layout_are_not_complete() -> None:
    """Draws with a dimension under its old name are made again, not refused for ever."""
    x = np.zeros((1, 1, 2, 1, 1), np.float32)
    draws = xr.Dataset({"t": (LAYOUTS["reconstructions"], x)}, attrs={"seed": 0})
    assert is_complete({"seed": 0}, draws, [1], kind="reconstructions")
    assert not is_complete({"seed": 1}, draws, kind="reconstructions")
    assert not is_complete({"seed": 0}, draws, None, kind="reconstructions")
    assert not is_complete({"seed": 0}, draws.rename(member="number"), kind="reconstructions")
    assert not is_complete({"seed": 0}, draws.transpose("time", ...), kind="reconstructions")
