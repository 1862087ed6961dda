"""Tuned values and costs."""

from __future__ import annotations

import pandas as pd

from fieldcast.figures.training import loss_curve
from fieldcast.report import Reconstruct
from fieldcast.report.comparisons import costs_table, trial_tables, trials, tuned_table
from fieldcast.report.tables import Table


def texts(table: Table) -> list[str]:
    return [cell.text for row in table.rows for cell in row]


def test_the_selected_value_has_the_lowest_validation_score(results):
    assert texts(tuned_table(results, "fair CRPS")) == [
        *("optimal_interpolation", "nugget<i> = 0.5", "0.2875", "2")
    ]
    (tried,) = trial_tables(results, "fair CRPS").values()
    assert texts(tried) == ["0", "0.125", "0.3125", "1", "0.5", "0.2875"]


def test_a_history_is_of_training_or_of_tuning(results):
    assert list(results.losses()) == ["losses"]
    assert list(trials(results.history)) == ["optimal_interpolation"]
    assert trials({"climatology": pd.DataFrame({"step": [0], "validation": [0.5]})}) == {}


def test_trials_after_training_are_listed_and_are_not_part_of_the_loss():
    steps = pd.DataFrame({"step": [10, 20], "loss": [0.5, 0.4], "validation": [0.6, 0.5]})
    tried = pd.DataFrame({"step": [20, 20], "tuning": [0.3, 0.2], "inflation": [1.0, 1.05]})
    history = {"corrected_interpolation": pd.concat([steps, tried], ignore_index=True)}
    displayed = texts(tuned_table(Reconstruct(history=history), "score"))
    assert "inflation = 1.05" in displayed and "0.2000" in displayed and "0.5000" not in displayed
    axes = [item for item in loss_curve(history["corrected_interpolation"]).axes if item.get_visible()]
    assert [list(line.get_xdata()) for line in axes[0].lines[:2]] == [[10, 20], [10, 20]]
    assert len(axes) == 1  # none of parts of the loss
    assert trials({"vae": steps}) == {}


def test_costs_are_shown_where_they_were_measured(results):
    table = costs_table(results)
    assert table.head == ["experiment", "parameters", "training [s]"]
    assert texts(table) == ["mine", "1 234 567", "52.1", "denoising_vae", "–", "–"]
    assert costs_table(Reconstruct()).rows == []
