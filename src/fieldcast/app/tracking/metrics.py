"""Metrics of a run: losses by step, scores by lead or fraction observed.

A score at several leads is one metric whose step is the lead, `crps/lead_hours`; at several fractions observed k one
whose step is k, `crps/random/k_per_mille`. Experiments then compare as curves in one chart. Where leads are no whole
hours, or fractions no whole per mille, the steps are minutes, seconds, or parts per million, as the names say.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.scores.headline import Headline

# steps of a metric per unit of the column, coarse to fine, by the unit of the steps
STEPS_PER_UNIT = {
    "lead_hours": {"lead_hours": 1, "lead_minutes": 60, "lead_seconds": 3600},
    "k": {"k_per_mille": 1_000, "k_per_million": 1_000_000},
}

TRAINING_LOSSES = ("loss", "validation")  # columns of the history of every model

Value = tuple[str, float, int, int]  # key, value, milliseconds since 1970, step


def scores(table: pd.DataFrame, now: int) -> list[Value]:
    """Metrics of a tidy table of scores, over all variables and unobserved cells.

    Table columns: `score` and `value`; a score that also has a `pattern` of observations is named `crps/random/...`.
    """
    # imported here: takes half a second, which only runs should spend
    from fieldcast.scores.headline import over_all

    table = over_all(table)
    step = next((name for name in STEPS_PER_UNIT if name in table), None)
    unit, scale = unit_of_steps(table[step].dropna(), STEPS_PER_UNIT[step]) if step else ("", 1)
    return [
        (
            key(row, unit if has_step(row, step) else ""),
            float(row["value"]),
            now,
            step_of(row.get(step), scale),
        )
        for row in table.to_dict("records")
        if math.isfinite(row["value"])
    ]


def best(headlines: Mapping[str, Headline], bounds: Collection[str]) -> dict[str, str]:
    """The experiment with the lowest headline of each task, by task; experiments in `bounds` do not compete."""
    ranked = sorted((each.value, address) for address, each in headlines.items() if address not in bounds)
    return {address.partition(".")[0]: address for _, address in reversed(ranked)}


def history(table: pd.DataFrame, after: float, now: int) -> tuple[list[Value], float]:
    """Metrics of the rows of a training's history after the step `after`; also returns its last step.

    All but `TRAINING_LOSSES` are named as in `training/crps`: a term of a loss is not the score of that name, and a
    value that was tried is not the one that was chosen.
    """
    if table.empty:  # saved before the first row: it has no columns
        return [], after
    fresh = table[table["step"] > after]
    columns = [name for name in fresh.select_dtypes("number").columns if name != "step"]
    values = [
        (
            name if name in TRAINING_LOSSES else f"training/{name}",
            float(row[name]),
            now,
            int(row["step"]),
        )
        for row in fresh.to_dict("records")
        for name in columns
        if math.isfinite(row[name])
    ]
    return values, float(table["step"].max())


def tuned(values: Mapping[str, Any], now: int) -> list[Value]:
    """Metrics of the values that tuning chose: `tuned/<name>`, or by fraction observed as in `tuned/0.05/inflation`."""
    nested = (
        (f"{name}/{inner}", number) if inner else (name, number)
        for name, value in values.items()
        for inner, number in (value.items() if isinstance(value, Mapping) else [("", value)])
    )
    return [(f"tuned/{name}", float(number), now, 0) for name, number in nested if math.isfinite(number)]


def key(row: dict[Any, Any], unit: str) -> str:
    """Name of the metric of a row: its score, its pattern where it has one, and the unit of its steps."""
    pattern = row.get("pattern")
    return "/".join(filter(None, (str(row["score"]), pattern if isinstance(pattern, str) else "", unit)))


def unit_of_steps(values: Iterable[float], scales: Mapping[str, int]) -> tuple[str, int]:
    """The first unit, and its number of steps, in which all values are whole numbers of steps, else the last."""
    given = set(values)
    whole = (
        (unit, scale)
        for unit, scale in scales.items()
        if all(abs(value * scale - round(value * scale)) < 1e-6 for value in given)
    )
    return next(whole, list(scales.items())[-1])


def has_step(row: dict[Any, Any], step: str | None) -> bool:
    """Whether a row has a lead or a fraction."""
    return step is not None and not math.isnan(row[step])


def step_of(value: float | None, scale: int) -> int:
    """The step of a lead or a fraction; 0 for a score that has neither."""
    return 0 if value is None or math.isnan(value) else round(value * scale)
