"""Tuned values and costs."""

from __future__ import annotations

import re

import pandas as pd

from fieldcast.figures.training import loss_curve
from fieldcast.report.training import costs_table, trained, tuned, tuning_table


def text(markup: str) -> list[str]:
    return [part for part in re.split("<.*?>", markup) if part.strip()]


def test_the_chosen_value_has_the_lowest_validation_score(results):
    shown = text(tuning_table(results.history))
    assert "nugget&lt;i&gt; = 0.5" in shown
    assert "0.2875" in shown
    assert "optimal_interpolation: all 2 that were tried" in shown


def test_a_history_is_of_training_or_of_tuning(results):
    assert list(trained(results.history)) == ["denoising_vae"]
    assert list(tuned(results.history)) == ["optimal_interpolation"]
    assert tuned({"climatology": pd.DataFrame({"step": [0], "validation": [0.5]})}) == {}


def test_what_was_tried_after_training_is_told_and_is_no_part_of_the_loss():
    steps = pd.DataFrame({"step": [10, 20], "loss": [0.5, 0.4], "validation": [0.6, 0.5]})
    tried = pd.DataFrame({"step": [20, 20], "tuning": [0.3, 0.2], "spread": [1.0, 1.05]})
    history = {"corrected_interpolation": pd.concat([steps, tried], ignore_index=True)}
    shown = text(tuning_table(history))
    assert "spread = 1.05" in shown and "0.2000" in shown and "0.5000" not in shown
    axes = [one for one in loss_curve(history["corrected_interpolation"]).axes if one.get_visible()]
    assert [list(line.get_xdata()) for line in axes[0].lines[:2]] == [[10, 20], [10, 20]]
    assert len(axes) == 1  # none of parts of the loss
    assert tuned({"vae": steps}) == {}


def test_costs_are_shown_where_they_were_measured(results):
    shown = text(costs_table(results.costs, ["mine", "linear"]))
    assert shown == ["experiment", "parameters", "training, s", "mine", "1 234 567", "52.1"]
    assert "No costs" in costs_table({}, ["mine"])
