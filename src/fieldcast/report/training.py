"""What training cost, and the values that were tuned."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

import pandas as pd

from fieldcast.figures.png import Picture
from fieldcast.report.html import Cell, Markup, folded, join, missing, picture, significant, table, tag
from fieldcast.scores.training_log import tried

COSTS = {
    "parameters": "parameters",
    "train_steps": "training steps",
    "train_seconds": "training, s",
    "step_ms": "training step, ms",
    "sample_ms": "one draw, ms",
    "evaluations": "network evaluations a step",
    "peak_mb": "peak memory, MB",
}


def trained(histories: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Histories of a loss."""
    return {name: found for name, found in histories.items() if len(found) and "loss" in found}


def losses_shown(figures: Mapping[str, Picture]) -> Markup:
    """The loss curves."""
    if "losses" in figures:
        caption = "Loss of each trained experiment; dotted: the step of the best validation."
        return picture(figures["losses"], "Loss curves", caption)
    return missing("No loss curves: no experiment was trained, or its history was not stored.")


def tuned(histories: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What was tried on validation data: of a closed-form solution, or after training."""
    rows = {name: tried(found) for name, found in histories.items()}
    return {name: found for name, found in rows.items() if len(found) and choices(found)}


def choices(history: pd.DataFrame) -> list[str]:
    """Columns that were tuned."""
    return [str(name) for name in history.columns if name not in ("step", "seconds", "validation")]


CHOSEN = "Chosen for the lowest fair CRPS on unobserved cells of the validation split, in anomaly standard deviations."


def tuning_table(
    histories: Mapping[str, pd.DataFrame], caption: str = CHOSEN, score_name: str = "fair CRPS"
) -> Markup:
    """The values with the lowest validation score of each experiment, and, folded, all that were tried."""
    found = tuned(histories)
    if not found:
        return missing(
            "No tuned values: nothing with something to tune has run, or its history was not stored."
        )
    rows: list[list[Cell | str]] = []
    for name, history in found.items():
        best = (
            history.loc[history["validation"].idxmin()]
            if history["validation"].notna().any()
            else history.iloc[-1]
        )
        values = ", ".join(f"{choice} = {value_in_words(best[choice])}" for choice in choices(history))
        score = float(best["validation"])
        rows.append(
            [Cell(tag("code", name)), Cell(values), Cell(significant(score, 4), score), str(len(history))]
        )
    chosen = table(
        ["experiment", "chosen", f"{score_name} on validation data", "tried"],
        rows,
        caption,
        kind="texts",
    )
    return join([chosen, *(all_tried(name, history, score_name) for name, history in found.items())])


def all_tried(name: str, history: pd.DataFrame, score_name: str) -> Markup:
    """Every trial of one experiment, folded."""
    names = choices(history)
    body = [
        [
            Cell(str(row["step"]), float(row["step"])),
            *(Cell(value_in_words(row[choice])) for choice in names),
            Cell(significant(float(row["validation"]), 4), float(row["validation"])),
        ]
        for _, row in history.iterrows()
    ]
    return folded(f"{name}: all {len(body)} that were tried", table(["trial", *names, score_name], body))


def value_in_words(value: object) -> str:
    """A number without needless digits."""
    return f"{value:g}" if isinstance(value, Real) else str(value)


def costs_table(costs: Mapping[str, pd.DataFrame], experiments: list[str]) -> Markup:
    """Parameters, seconds and memory of each experiment."""
    found = {name: costs[name].iloc[0] for name in experiments if name in costs and len(costs[name])}
    if not found:
        return missing("No costs were stored.")
    names = [name for name in COSTS if any(name in row and pd.notna(row[name]) for row in found.values())]
    rows = [[Cell(tag("code", key)), *(cost(row.get(name)) for name in names)] for key, row in found.items()]
    return table(["experiment", *(COSTS[name] for name in names)], rows)


def cost(value: object) -> Cell:
    """A number with thousands apart, three significant digits when small."""
    if not isinstance(value, Real) or pd.isna(value):
        return Cell("–")
    number = float(value)
    whole = abs(number) >= 100 or number.is_integer()
    text = f"{number:,.0f}".replace(",", " ") if whole else significant(number)
    return Cell(text, number)
