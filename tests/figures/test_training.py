"""Loss curves against the history."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.figures.training import loss_curve, loss_curves, loss_terms


@pytest.fixture
def history() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": [10, 20, 30, 40],
            "seconds": [1.0, 2.0, 3.0, 4.0],
            "loss": [1.0, 0.5, 0.4, 0.3],
            "kl": [0.1, 0.1, 0.2, 0.2],
            "validation": [np.nan, 0.6, np.nan, 0.7],
        }
    )


def visible(figure) -> list:
    return [axes for axes in figure.axes if axes.get_visible()]


def test_loss_validation_and_the_best_step(history):
    upper, lower = visible(loss_curve(history, "denoising_vae"))
    training, validation, best = upper.lines
    np.testing.assert_array_equal(training.get_ydata(), history["loss"])
    np.testing.assert_array_equal(validation.get_xdata(), [20, 40])
    np.testing.assert_array_equal(validation.get_ydata(), [0.6, 0.7])
    assert best.get_xdata()[0] == 20
    np.testing.assert_array_equal(lower.lines[0].get_ydata(), history["kl"])
    assert loss_terms(history) == ["kl"]


def test_validations_over_more_steps_are_a_line_of_their_own_and_hold_the_best(history):
    of_rollouts = history.assign(validation=[0.6, 0.5, 2.0, 1.5], validation_steps=[1, 1, 4, 4])
    _, single, rolled, best = visible(loss_curve(of_rollouts))[0].lines
    np.testing.assert_array_equal(single.get_ydata(), [0.6, 0.5])
    np.testing.assert_array_equal(rolled.get_ydata(), [2.0, 1.5])
    assert best.get_xdata()[0] == 40
    assert loss_terms(of_rollouts) == ["kl"]


def test_a_loss_without_parts_or_validation_has_one_panel_and_may_be_negative(history):
    plain = history[["step", "loss"]].assign(loss=[1.0, 0.0, -2.0, -50.0])
    (axes,) = visible(loss_curve(plain))
    assert axes.get_yscale() == "linear"
    assert len(axes.lines) == 1


def test_one_panel_an_experiment(history):
    figure = loss_curves({"a": history, "b": history[["step", "loss"]]})
    assert [axes.get_title(loc="left") for axes in visible(figure)] == ["a", "b", ""]
