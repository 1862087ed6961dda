"""Memory held by a streaming Kedro node, counted with a real runner."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from kedro.io import AbstractDataset, DataCatalog
from kedro.pipeline import Pipeline, node
from kedro.runner import SequentialRunner

from fieldcast.pipelines.streams import streamed

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


def peak(wrap: Any) -> tuple[int, dict[str, Kept]]:
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
            yield state, forecast, number

    saved = {name: Kept() for name in ("state", "forecast", "number")}
    pipeline = Pipeline([node(wrap(generate), None, list(saved), name="generate")])
    SequentialRunner().run(pipeline, DataCatalog(saved))
    return most, saved


def test_no_more_than_two_steps_are_held() -> None:
    most, saved = peak(streamed)
    assert most <= 4  # outputs at once, two a step: that which was saved last, and the new one
    assert {name: set(kept.seen) for name, kept in saved.items()} == {
        "state": {"Large"}, "forecast": {"Large"}, "number": {"int"},
    }  # fmt: skip
    assert all(len(kept.seen) == STEPS for kept in saved.values())


def test_without_the_filter_small_scales_pile_up() -> None:
    """Kedro cannot do this itself yet; if this test fails, `streamed` can be removed."""
    assert peak(lambda generate: generate)[0] > STEPS


def test_inputs_by_name_keep_the_order_of_the_parameters() -> None:
    """Annotations from which Kedro infers the type of each output."""

    def generate(first: int, second: str, **rest: int) -> Iterator[tuple[int, int]]:
        yield first, len(second)

    inputs = {"third": "c", "second": "b", "first": "a"}
    expected = node(generate, inputs, ["x", "y"]).inputs
    assert node(streamed(generate), inputs, ["x", "y"]).inputs == expected == ["a", "b", "c"]


@pytest.mark.parametrize("fault", [0, 3])
def test_an_error_comes_through(fault: int) -> None:
    @streamed
    def generate() -> Iterator[tuple[int, int]]:
        for number in range(5):
            if number == fault:
                raise ValueError("as it was raised")
            yield number, number

    pipeline = Pipeline([node(generate, None, ["a", "b"], name="generate")])
    with pytest.raises(ValueError, match="as it was raised"):
        SequentialRunner().run(pipeline, DataCatalog({"a": Kept(), "b": Kept()}))
