"""Summary that a run of samples prints at its end: the leaderboard of samples as plain text.

A cell of a leaderboard over several seeds (`multi_seed.over_seeds`) is the mean ± the standard deviation.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import isnan, nan
from textwrap import wrap
from types import MappingProxyType
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.scores.legend import in_summary
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.summary import NO_SCORES, seeds
from fieldcast.scores.text_table import LINE_WIDTH, text_table

REAL, NOISE = "(real states)", "(noise)"
FIELDS = "standardised"  # the only treatment of fields

Attributes = Mapping[str, Any]  # attributes of the diagnostics of an experiment


def sample_summary(
    leaderboard: pd.DataFrame, diagnostics: Mapping[str, xr.Dataset] = MappingProxyType({})
) -> str:
    """Scores of samples: a line for each experiment, the lowest FID first; a column for each score that any of them
    has.

    The first line holds the scores of training states instead of samples, a lower bound for any model; the next line
    those of noise that is independent in each cell. Both are means over the experiments. For images a column names
    the treatment.
    """
    numbers = leaderboard.reindex(columns=["experiment", "score", "value", "sd"])
    means = numbers.groupby(["experiment", "score"]).mean()
    values, sd = (means[name].unstack("score") for name in ("value", "sd"))
    scores = [name for name in in_summary(SAMPLE_METRICS) if name in values and values[name].notna().any()]
    if not scores:
        return NO_SCORES
    order = list(map(str, (values["fid"].sort_values() if "fid" in values else values).index))
    attributes = {name: diagnostics[name].attrs for name in order if name in diagnostics}
    lines = [
        "Samples beside test states",
        *wrap(directions(scores), LINE_WIDTH),
        *seeds(leaderboard),
        *sizes(attributes, values),
    ]
    table = floors_and_ceilings(values, attributes.values(), scores)
    for name in order:
        cells = zip(values.loc[name, scores], sd.loc[name, scores], scores, strict=True)
        table[name] = [sample_cell(*cell) for cell in cells]
    headings = [SAMPLE_METRICS[score].title for score in scores]
    return "\n".join([*lines, "", *text_table("", *with_treatments(headings, table, attributes), 10)])


def directions(scores: Sequence[str]) -> str:
    """Direction of each score, as in "lower is better: FID, KID; 0.5 is best: C2ST"."""
    headings: dict[str, list[str]] = {}
    for score in scores:
        headings.setdefault(SAMPLE_METRICS[score].direction, []).append(SAMPLE_METRICS[score].heading)
    return "; ".join(f"{direction}: {', '.join(names)}" for direction, names in headings.items())


def sizes(attributes: Mapping[str, Attributes], values: pd.DataFrame) -> list[str]:
    """Line with the numbers of states in distances and of draws in the bound; no line where neither is stored."""
    bounded = [
        attrs for name, attrs in attributes.items() if "iwae" in values and values["iwae"].notna()[name]
    ]
    samples, real = (counts(attributes.values(), name) for name in ("samples", "real"))
    draws = counts(bounded, "K")
    clauses = [f"{samples} samples against {real} test states" if samples and real else ""]
    clauses += [f"IWAE with K = {draws}" if draws else ""]
    return ["; ".join(filter(None, clauses))] if any(clauses) else []


def counts(attributes: Collection[Attributes], name: str) -> str:
    """Values of an attribute over several experiments, each listed once and without zero."""
    return " or ".join(
        str(value) for value in sorted({int(attrs.get(name, 0)) for attrs in attributes} - {0})
    )


def floors_and_ceilings(
    values: pd.DataFrame, attributes: Collection[Attributes], scores: Sequence[str]
) -> dict[str, list[str]]:
    """Cells with the scores of real states and of noise instead of samples, where they are stored."""
    floors = (f"{score}_floor" for score in scores)
    real = [float(values[floor].mean()) if floor in values else nan for floor in floors]
    ceilings = ([attrs.get(f"{score}_ceiling") for attrs in attributes] for score in scores)
    noise = [float(pd.Series(ceiling, dtype=float).mean()) for ceiling in ceilings]
    return {
        name: [sample_cell(value, nan, score) for value, score in zip(row, scores, strict=True)]
        for name, row in ((REAL, real), (NOISE, noise))
        if not all(map(isnan, row))
    }


def with_treatments(
    headings: list[str], table: Mapping[str, list[str]], attributes: Mapping[str, Attributes]
) -> tuple[list[str], dict[str, list[str]]]:
    """Headings and lines, preceded by a column with the treatment if the samples are images."""
    treatments = {name: attrs.get("treatment", FIELDS) for name, attrs in attributes.items()}
    treatments = {name: treatment for name, treatment in treatments.items() if treatment != FIELDS}
    if not treatments:
        return headings, dict(table)
    return ["treatment", *headings], {name: [treatments.get(name, ""), *row] for name, row in table.items()}


def sample_cell(value: float, sd: float, score: str) -> str:
    """The value, with ± its standard deviation over seeds if it has one; blank for NaN."""
    if isnan(value):
        return ""
    return format(value, SAMPLE_METRICS[score].digits) + ("" if isnan(sd) else f" ± {sd:.3g}")
