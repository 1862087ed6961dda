"""The few lines that a run of `sample` ends with; of a table over seeds a cell is the mean ± its standard deviation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isnan, nan
from textwrap import wrap
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.summary import LINE, NONE, grid, seeds_told

REAL, NOISE = "(real states)", "(noise)"
FIELDS = "standardised"  # what is seen of fields, always
COLUMN = 10  # characters

Told = Mapping[str, Any]  # what the diagnostics of an experiment say
Rows = dict[str, list[str]]


def sample_short_table(
    leaderboard: pd.DataFrame, diagnostics: Mapping[str, xr.Dataset] = MappingProxyType({})
) -> str:
    """Plain text: a line an experiment, nearest to real states first; a column for each score that one of them has.

    The first line is what training states score in the place of samples: no model can be expected below it. The next
    is of noise, each cell on its own. Both are means over the experiments. Of images it is said what a model sees.
    """
    numbers = leaderboard.reindex(columns=["experiment", "score", "value", "sd"])
    means = numbers.groupby(["experiment", "score"]).mean()
    scores, sd = (means[name].unstack("score") for name in ("value", "sd"))
    listed = sorted(
        (name for name, metric in SAMPLE_METRICS.items() if metric.summary),
        key=lambda name: SAMPLE_METRICS[name].summary,
    )
    shown = [name for name in listed if name in scores and scores[name].notna().any()]
    if not shown:
        return NONE
    order = list(map(str, (scores["fid"].sort_values() if "fid" in scores else scores).index))
    told = {name: diagnostics[name].attrs for name in order if name in diagnostics}
    lines = [
        "Samples beside test states",
        *wrap(directions(shown), LINE),
        *seeds_told(leaderboard),
        *sizes(told, scores),
    ]
    rows = ends(scores, told.values(), shown)
    for name in order:
        found = zip(scores.loc[name, shown], sd.loc[name, shown], shown, strict=True)
        rows[name] = [written(*one) for one in found]
    headings = [SAMPLE_METRICS[score].title for score in shown]
    return "\n".join([*lines, "", *grid("", *with_seen(headings, rows, told), COLUMN)])


def directions(shown: Sequence[str]) -> str:
    """Which values are better: "lower is better: FID, KID; 0.5 is best: C2ST"."""
    titles: dict[str, list[str]] = {}
    for score in shown:
        titles.setdefault(SAMPLE_METRICS[score].direction, []).append(SAMPLE_METRICS[score].heading)
    return "; ".join(f"{direction}: {', '.join(names)}" for direction, names in titles.items())


def sizes(told: Mapping[str, Told], scores: pd.DataFrame) -> list[str]:
    """How many states distances are of, and how many draws the bound; no line where neither is known."""
    bounded = [one for name, one in told.items() if "iwae" in scores and scores["iwae"].notna()[name]]
    samples, real = (numbers(told.values(), name) for name in ("samples", "real"))
    draws = numbers(bounded, "K")
    parts = [
        f"{samples} samples against {real} test states" if samples and real else "",
        f"IWAE with K = {draws}" if draws else "",
    ]
    return ["; ".join(filter(None, parts))] if any(parts) else []


def numbers(told: Collection[Told], name: str) -> str:
    """What experiments say of themselves, each number once; zero is nothing."""
    return " or ".join(str(value) for value in sorted({int(one.get(name, 0)) for one in told} - {0}))


def ends(scores: pd.DataFrame, told: Collection[Told], shown: Sequence[str]) -> Rows:
    """What real states and noise score in the place of samples, where that is known."""
    real = [float(scores[f"{name}_floor"].mean()) if f"{name}_floor" in scores else nan for name in shown]
    ceilings = ([one.get(f"{name}_ceiling") for one in told] for name in shown)
    noise = [float(pd.Series(one, dtype=float).mean()) for one in ceilings]
    rows = {REAL: real, NOISE: noise}
    return {
        name: [written(value, nan, score) for value, score in zip(row, shown, strict=True)]
        for name, row in rows.items()
        if not all(map(isnan, row))
    }


def with_seen(headings: list[str], rows: Rows, told: Mapping[str, Told]) -> tuple[list[str], Rows]:
    """Before all other columns, of images, what each model sees of them."""
    seen = {name: one["treatment"] for name, one in told.items() if one.get("treatment", FIELDS) != FIELDS}
    if not seen:
        return headings, rows
    return ["sees", *headings], {name: [seen.get(name, ""), *row] for name, row in rows.items()}


def written(value: float, sd: float, score: str) -> str:
    """The value, ± its standard deviation over seeds; blank where there is none."""
    return (
        ""
        if isnan(value)
        else format(value, SAMPLE_METRICS[score].digits) + ("" if isnan(sd) else f" ± {sd:.3g}")
    )
