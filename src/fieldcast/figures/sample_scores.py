"""Distances between samples and real data, between what real data have among themselves and what noise has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, SymmetricalLogLocator

from fieldcast.figures.style import SMALL, Look, calm, chosen, key, new_figure, plain
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

CHANCE = 0.5
BEYOND = 10.0  # times noise
REAL, NOISE = "#4f7f63", "#a35c4f"

Ceilings = Mapping[str, Mapping[str, float]]  # by experiment and score


def distance_dots(
    leaderboard: pd.DataFrame,
    ceilings: Ceilings | None = None,
    looks: Mapping[str, Look] | None = None,
    scores: Sequence[str] = ("fid", "kid", "c2st"),
) -> Figure:
    """A panel a score, a row an experiment: a dot with its 95 % interval; less is better.

    Upright lines are what real data have in the place of samples (`<score>_floor` of the leaderboard, shaded from
    low to high; of the classifier 0.5) and what noise has. Horizontal axes are logarithmic, but for the
    classifier's.
    """
    rows = leaderboard.groupby(["experiment", "score"], sort=False)[["value", "low", "high"]].mean()
    known = rows[np.isfinite(rows["value"])].index  # a model that blew up has no dot
    shown = [score for score in scores if score in known.unique("score")] or list(scores[:1])
    appearance = chosen(known[known.isin(shown, level="score")].unique("experiment"), looks)
    figure = new_figure(0.8 + 0.27 * max(1, len(appearance)))
    panels = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, score in zip(panels, shown, strict=True):
        reached = []
        for place, (name, look) in enumerate(appearance.items()):
            limits = bounds(rows, ceilings or {}, name, score)
            draw_bounds(axes, place, limits)
            reached += draw_range(axes, place, rows, (name, f"{score}_floor"))
            reached += list(limits)
            if (name, score) in known:
                numbers = rows.loc[(name, score)].to_numpy(dtype=float)
                draw_dot(axes, place, numbers, look, farthest(ceilings or {}, score))
                reached += np.minimum(numbers, farthest(ceilings or {}, score)).tolist()
        calm(axes, SAMPLE_METRICS[score].title).grid(False, axis="y")
        horizontal(axes, score, np.array(reached))
    panels[0].set_yticks(range(len(appearance)), [plain(name) for name in appearance])
    panels[0].set_ylim(max(1, len(appearance)) - 0.4, -0.6)
    key(figure, *panels)
    return figure


def bounds(rows: pd.DataFrame, ceilings: Ceilings, name: str, score: str) -> tuple[float, float]:
    """What real data and what noise have of a score; NaN where it is not known."""
    if score == "c2st":
        return CHANCE, float("nan")
    floor = (name, f"{score}_floor")
    real = float(rows.loc[floor, "value"]) if floor in rows.index else float("nan")
    return real, float(ceilings.get(name, {}).get(score, np.nan))


def draw_bounds(axes: Axes, place: int, limits: tuple[float, float]) -> None:
    """Upright lines across the row of an experiment: with the same limits in all rows they are one."""
    for value, colour, label in zip(limits, (REAL, NOISE), ("real data", "noise"), strict=True):
        if np.isfinite(value):
            dash = "-" if label == "real data" else "--"
            axes.plot([value] * 2, [place - 0.5, place + 0.5], dash, color=colour, linewidth=1.4, label=label)


def draw_range(axes: Axes, place: int, rows: pd.DataFrame, floor: tuple[str, str]) -> list[float]:
    """Where 95 % of sets of real data lie, shaded; its ends."""
    ends = rows.loc[floor, ["low", "high"]].tolist() if floor in rows.index else []
    if ends and np.isfinite(ends).all():
        axes.fill_betweenx([place - 0.5, place + 0.5], *ends, color=REAL, alpha=0.2, linewidth=0)
    return ends


def farthest(ceilings: Ceilings, score: str) -> float:
    """What is farther from the data than `BEYOND` times noise is shown as being out there."""
    known = [one[score] for one in ceilings.values() if np.isfinite(one.get(score, np.nan))]
    return BEYOND * max(known) if known else float("inf")


def draw_dot(axes: Axes, place: int, numbers: Float[np.ndarray, " three"], look: Look, limit: float) -> None:
    """A value and its interval, given as value, low, high; beyond the limit an arrow."""
    value, low, high = np.minimum(numbers, limit)
    if np.isfinite([low, high]).all():
        axes.hlines(place, low, high, color=look.colour, linewidth=2.2, alpha=0.6)
    marker = ">" if value == limit else look.marker or "o"
    axes.plot([value], [place], marker, color=look.colour, markersize=6)


def horizontal(axes: Axes, score: str, reached: np.ndarray) -> None:
    """Logarithmic; linear about 0 where a value is not above it, as an unbiased KID may be."""
    reached = reached[np.isfinite(reached)]
    axes.tick_params(labelsize=SMALL, axis="y", length=0)
    if score == "c2st":
        axes.set_xlim(min(0.44, reached.min() - 0.02), 1.02)
    elif (reached > 0).all():
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        positive = reached[reached > 0]
        small = max(-reached.min(), positive.min() if len(positive) else 0.0)
        threshold = 10.0 ** np.ceil(np.log10(small)) if small else 1.0
        axes.set_xscale("symlog", linthresh=threshold)
        locator = SymmetricalLogLocator(base=10, linthresh=threshold)
        locator.set_params(numticks=6)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
