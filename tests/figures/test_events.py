"""The page of events: what is drawn are the curves, in the looks of the experiments."""

import numpy as np
import pytest

from fieldcast.experiments import Description
from fieldcast.figures.calibration import event_page
from fieldcast.figures.style import looks
from fieldcast.scores.event_tables import COST_LOSS, Curves


def make_curves(happened: float = 0.05, resamples: bool = True) -> Curves:
    p = np.linspace(0, 1, 5)
    bars = (np.clip(p - 0.1, 0, 1), np.clip(p + 0.1, 0, 1)) if resamples else (np.full(5, np.nan),) * 2
    frequency = np.array([0.02, 0.3, np.nan, 0.6, 0.9])
    rate = np.linspace(0, 1, 6)
    return Curves(p, frequency, *bars, rate, np.sqrt(rate), COST_LOSS, 1 - COST_LOSS, happened)


def test_the_lines_are_the_curves() -> None:
    columns = {"1 d": {"a": make_curves(), "b": make_curves(resamples=False)}, "5 d": {"b": make_curves()}}
    figure = event_page(columns, looks({name: Description(label=name) for name in ("a", "b")}))
    reliability, later, roc, *_, value, _ = figure.axes
    curves = make_curves()
    labelled = {line.get_label(): line for line in reliability.lines}
    assert {"a", "b"} <= set(labelled)
    there = np.isfinite(curves.frequency)
    assert np.array_equal(labelled["a"].get_ydata(), curves.frequency[there])
    assert labelled["a"].get_color() != labelled["b"].get_color()
    bars = [collection for collection in reliability.collections if len(collection.get_segments())]
    assert len(bars) == 1 and len(bars[0].get_segments()) == there.sum()
    assert any(np.array_equal(line.get_ydata(), curves.hit_rate) for line in roc.lines)
    assert any(np.array_equal(line.get_ydata(), curves.value) for line in value.lines)
    assert "a" not in {line.get_label() for line in later.lines}
    assert [axes.get_title(loc="left") for axes in (reliability, later)] == ["1 d", "5 d"]


@pytest.mark.parametrize("count", [1, 3])
def test_every_column_has_three_panels(count: int) -> None:
    columns = {f"{lead} d": {"a": make_curves()} for lead in range(count)}
    assert len(event_page(columns).axes) == 3 * count
