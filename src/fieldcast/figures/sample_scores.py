"""Distances of samples from real data, with those of other real data and of noise for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, SymmetricalLogLocator

from fieldcast.figures.style import (
    SMALL_FONT,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    style_axes,
)
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

CHANCE_ACCURACY = 0.5  # accuracy of a classifier that guesses
MAX_TICKS = 5  # ticks of a logarithmic axis, at most
ARROW_RATIO = 10.0  # distance from which a dot is an arrow, relative to that of noise
REAL_COLOUR, NOISE_COLOUR, CHANCE_COLOUR = (
    "#4f7f63",
    "#a35c4f",
    "#777777",
)  # colours of real data, noise and chance

Ceilings = Mapping[str, Mapping[str, float]]  # by experiment and score


def distance_dots(
    leaderboard: pd.DataFrame,
    ceilings: Ceilings | None = None,
    looks: Mapping[str, LineStyle] | None = None,
    scores: Sequence[str] = ("fid", "kid", "c2st"),
) -> Figure:
    """Draw scores (panels) of experiments (rows) as dots with 95 % intervals; lower is better.

    Vertical lines are the scores of real data in place of samples (`<score>_floor` of the leaderboard, shaded from
    low to high) and of noise; dotted, the accuracy of a classifier that guesses. Horizontal axes are logarithmic except
    the classifier's.
    """
    table = leaderboard.groupby(["experiment", "score"], sort=False)[["value", "low", "high"]].mean()
    finite = table[np.isfinite(table["value"])].index  # a model that blew up has no dot
    drawn = [score for score in scores if score in finite.unique("score")] or list(scores[:1])
    appearance = looks_of(finite[finite.isin(drawn, level="score")].unique("experiment"), looks)
    figure = new_figure(0.8 + 0.27 * max(1, len(appearance)))
    panels = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    for axes, score in zip(panels, drawn, strict=True):
        values_on_axis = []
        for row, (name, look) in enumerate(appearance.items()):
            limits = real_and_noise(table, ceilings or {}, name, score)
            draw_real_and_noise(axes, row, limits)
            values_on_axis += draw_range(axes, row, table, (name, f"{score}_floor"))
            values_on_axis += list(limits)
            if (name, score) in finite:
                numbers = table.loc[(name, score)].to_numpy(dtype=float)
                draw_dot(axes, row, numbers, look, arrow_limit(ceilings or {}, score))
                values_on_axis += np.minimum(numbers, arrow_limit(ceilings or {}, score)).tolist()
        style_axes(axes, SAMPLE_METRICS[score].title).grid(False, axis="y")
        distance_axis(axes, score, np.array(values_on_axis))
    panels[0].set_yticks(range(len(appearance)), [escape(name) for name in appearance])
    panels[0].set_ylim(max(1, len(appearance)) - 0.4, -0.6)
    draw_legend(figure, *panels)
    return figure


def real_and_noise(table: pd.DataFrame, ceilings: Ceilings, name: str, score: str) -> tuple[float, float]:
    """Scores of real data and of noise; NaN if not available."""
    floor = (name, f"{score}_floor")
    real = float(table.loc[floor, "value"]) if floor in table.index else float("nan")
    return real, float(ceilings.get(name, {}).get(score, np.nan))


def draw_real_and_noise(axes: Axes, row: int, limits: tuple[float, float]) -> None:
    """Draw vertical lines across the row of an experiment; equal limits in all rows make one line."""
    for value, colour, label in zip(limits, (REAL_COLOUR, NOISE_COLOUR), ("real data", "noise"), strict=True):
        if np.isfinite(value):
            dash = "-" if label == "real data" else "--"
            axes.plot([value] * 2, [row - 0.5, row + 0.5], dash, color=colour, linewidth=1.4, label=label)


def draw_range(axes: Axes, row: int, table: pd.DataFrame, floor: tuple[str, str]) -> list[float]:
    """Shade the 95 % range of sets of real data, and return its ends."""
    ends = table.loc[floor, ["low", "high"]].tolist() if floor in table.index else []
    if ends and np.isfinite(ends).all():
        axes.fill_betweenx([row - 0.5, row + 0.5], *ends, color=REAL_COLOUR, alpha=0.2, linewidth=0)
    return ends


def arrow_limit(ceilings: Ceilings, score: str) -> float:
    """Distance beyond which a dot becomes an arrow: `ARROW_RATIO` times that of noise."""
    values = [scores[score] for scores in ceilings.values() if np.isfinite(scores.get(score, np.nan))]
    return ARROW_RATIO * max(values) if values else float("inf")


def draw_dot(
    axes: Axes, row: int, numbers: Float[np.ndarray, " three"], look: LineStyle, limit: float
) -> None:
    """Draw a value with its interval (value, low, high), or an arrow if it is beyond the limit."""
    value, low, high = np.minimum(numbers, limit)
    if np.isfinite([low, high]).all():
        axes.hlines(row, low, high, color=look.colour, linewidth=2.2, alpha=0.6)
    marker = ">" if value == limit else look.marker or "o"
    axes.plot([value], [row], marker, color=look.colour, markersize=6)


def distance_axis(axes: Axes, score: str, values: np.ndarray) -> None:
    """Set a logarithmic axis, linear near 0 if a value is not positive, as an unbiased KID may be."""
    values = values[np.isfinite(values)]
    axes.tick_params(labelsize=SMALL_FONT, axis="y", length=0)
    if score == "c2st":
        axes.axvline(CHANCE_ACCURACY, color=CHANCE_COLOUR, linestyle=":", linewidth=1.4, label="chance")
        axes.set_xlim(min(0.44, values.min() - 0.02), 1.02)
    elif (values > 0).all():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=MAX_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        positive = values[values > 0]
        small = max(-values.min(), positive.min() if len(positive) else 0.0)
        threshold = 10.0 ** np.ceil(np.log10(small)) if small else 1.0
        axes.set_xscale("symlog", linthresh=threshold)
        locator = SymmetricalLogLocator(base=10, linthresh=threshold)
        locator.set_params(numticks=MAX_TICKS)
        axes.xaxis.set_major_locator(locator)
