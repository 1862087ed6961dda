"""Tables of tuned values and of costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from fieldcast.figures.style import percent
from fieldcast.figures.training import tuning_rows
from fieldcast.report.results import Results
from fieldcast.report.tables import Cell, Table, amount_cell, number_cell
from fieldcast.scores.numbers import plain, significant

COSTS = {
    "parameters": "parameters",
    "train_steps": "training steps",
    "train_seconds": "training [s]",
    "step_ms": "training step [ms]",
    "sample_ms": "one draw [ms]",
    "evaluations": "network evaluations per step",
    "peak_mb": "peak memory [MB]",
}
LATENT_USE = {  # the facts of `training.latent_use`, which are stored with the costs
    "latent_kl": "KL divergence [nats]",
    "rmse_posterior": "RMSE, z of the posterior",
    "rmse_other": "z of another datum",
    "rmse_prior": "z of the prior",
}
FRACTION = "k"  # column of the observed fraction that a filter was tuned for


def trials(histories: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Tuning trials of each experiment that has any."""
    tables = {name: tuning_rows(history) for name, history in histories.items()}
    return {name: table for name, table in tables.items() if len(table) and choices(table)}


def choices(table: pd.DataFrame) -> list[str]:
    """Columns that were tuned."""
    return [str(name) for name in table.columns if name not in ("step", "seconds", "validation", FRACTION)]


def tuned_table(results: Results, score: str) -> Table:
    """The values with the lowest validation score of each experiment, and of each observed fraction it was tuned for.

    `score` names that score.
    """
    body = []
    for name, table in trials(results.ordered("history")).items():
        fractions = table.groupby(FRACTION) if FRACTION in table else [(None, table)]
        for k, trials_at_k in fractions:
            scored = trials_at_k["validation"].notna().any()
            best = trials_at_k.loc[trials_at_k["validation"].idxmin()] if scored else trials_at_k.iloc[-1]
            values = ", ".join(f"{choice} = {plain(best[choice])}" for choice in choices(trials_at_k))
            values += "" if k is None else f" at {percent(float(k))}"
            lowest = float(best["validation"])
            count = Cell(str(len(trials_at_k)), float(len(trials_at_k)))
            body.append([results.head(name), Cell(values), Cell(significant(lowest, 4), lowest), count])
    return Table(["experiment", "selected values", f"{score} on validation data", "trials"], body, "texts")


def trial_tables(results: Results, score: str) -> dict[str, Table]:
    """Table of all trials of each tuned experiment."""
    tables = {}
    for name, table in trials(results.ordered("history")).items():
        columns = [*([FRACTION] if FRACTION in table else []), *choices(table)]
        body = [
            [
                Cell(str(row["step"]), float(row["step"])),
                *(Cell(plain(row[choice])) for choice in columns),
                Cell(significant(float(row["validation"]), 4), float(row["validation"])),
            ]
            for row in table.to_dict("records")
        ]
        tables[name] = Table(["trial", *columns, score], body)
    return tables


def costs_table(results: Results) -> Table:
    """Parameters, seconds and memory of each experiment."""
    names = [name for name in results.order if name in results.costs]
    columns = recorded_costs(results, names)
    body = [[results.head(name), *cost_cells(results, name, columns)] for name in names]
    return Table(["experiment", *(COSTS[column] for column in columns)], body)


def latent_use_table(results: Results) -> Table:
    """Whether the decoder of each VAE uses its latent: the error with latents of three sources."""
    names = [name for name in results.order if name in results.costs]
    columns = recorded_costs(results, names, tuple(LATENT_USE))
    body = [
        [results.head(name), *(number_cell(float(row[column])) for column in columns)]
        for name in names
        if columns and pd.notna((row := results.costs[name].iloc[0]).get(columns[0]))
    ]
    return Table(["experiment", *(LATENT_USE[column] for column in columns)], body)


def recorded_costs(
    results: Results, names: Sequence[str], columns: Sequence[str] = tuple(COSTS)
) -> list[str]:
    """The columns of costs that any of these experiments has."""
    costs = [results.costs[name].iloc[0] for name in names if name in results.costs]
    return [column for column in columns if any(column in row and pd.notna(row[column]) for row in costs)]


def cost_cells(results: Results, name: str, columns: Sequence[str]) -> list[Cell]:
    """The costs of one experiment."""
    row: Mapping[str, object] = results.costs[name].iloc[0] if name in results.costs else {}
    return [amount_cell(row.get(column)) for column in columns]
