"""Context that the templates of all tasks share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fieldcast.report import score_tables, study_answers, training
from fieldcast.report.results import Results
from fieldcast.report.studies import Study


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
        "studies": [study_context(results, study, members) for study in results.studies],
    }


def study_context(results: Results, study: Study, members: int) -> Mapping[str, Any]:
    """A study with its tables; it is empty unless two of its experiments have run."""
    names = [name for name in study.experiments if name in results.board.order]
    if len(names) < 2:
        return {"study": study, "names": []}
    return {
        "study": study,
        "names": names,
        "absent": [name for name in study.experiments if name not in names],
        "answers": study_answers.answers_table(results, study),
        "feedback": study_answers.feedback_table(results, study),
        "table": study_answers.study_table(results, study),
        "equal": study_answers.equal_cost(results, study, members),
    }
