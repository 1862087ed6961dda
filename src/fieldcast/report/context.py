"""Context that the templates of all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fieldcast.experiments import Comparison
from fieldcast.report import comparisons, score_tables, training
from fieldcast.report.results import Results


def shared_context(results: Results, tuning: str, members: int = 0) -> dict[str, Any]:
    """Functions and tables for the sections that tasks share.

    `tuning` names the score used for tuning; `members` is the ensemble size of the reference at equal cost.
    """
    return {
        "board": results.board,
        "charts": results.charts,
        "costs": training.costs_table(results),
        "tuned": training.tuned_table(results, tuning),
        "latent_use": training.latent_use_table(results),
        "trials": training.trial_tables(results, tuning),
        "score_table": partial(score_tables.score_table, results),
        "difference_table": partial(score_tables.difference_table, results),
        "comparisons": [
            comparison_context(results, comparison, members) for comparison in results.comparisons
        ],
    }


def comparison_context(results: Results, comparison: Comparison, members: int) -> Mapping[str, Any]:
    """A comparison with its tables; it is empty unless two of its experiments have run."""
    names = [name for name in comparison.experiments if name in results.board.order]
    if len(names) < 2:
        return {"comparison": comparison, "names": []}
    return {
        "comparison": comparison,
        "names": names,
        "absent": [name for name in comparison.experiments if name not in names],
        "answers": comparisons.answers_table(results, comparison),
        "feedback": comparisons.feedback_table(results, comparison),
        "table": comparisons.comparison_table(results, comparison),
        "equal": comparisons.equal_cost(results, comparison, members),
    }
