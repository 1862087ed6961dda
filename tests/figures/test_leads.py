"""Scores against the lead, shaded where worse than a free baseline or better than the bound."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fieldcast.experiments import About
from fieldcast.figures.leads import against_lead, by_lead_unit, variables_against_lead
from fieldcast.figures.style import looks

CRPS = {"persistence": (0.6, 0.9), "climatological_ensemble": (0.8, 0.8), "perfect_model": (0.1, 0.2)}

LOOKS = looks(
    {
        "persistence": About(family="classical", role="baseline"),
        "climatological_ensemble": About(family="classical", role="climatology"),
        "perfect_model": About(family="bound"),
        "vae": About(family="learned"),
        "mine": About(family="learned"),
    }
)


@pytest.fixture
def board() -> pd.DataFrame:
    records = []
    for experiment, values in {**CRPS, "vae": (0.4, np.inf), "mine": (0.5, 40.0)}.items():
        for lead, value in zip((24.0, 48.0), values, strict=True):
            for variable in ("all", "z"):
                for score, item in (("crps", value), ("acc", 1 - value), ("skill", 1 - value / 0.8)):
                    for region in ("globe", "tropics"):
                        records.append(
                            (experiment, lead, region, variable, score, item, item - 0.05, item + 0.05)
                        )
    names = ["experiment", "lead_hours", "region", "variable", "score", "value", "low", "high"]
    return pd.DataFrame(records, columns=names)


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_lines_are_the_leaderboards_in_days(board):
    crps, acc = against_lead(board, "globe", LOOKS).axes
    drawn = lines(crps)
    assert set(drawn) == {*CRPS, "vae", "mine"}
    np.testing.assert_array_equal(drawn["persistence"].get_xdata(), [1, 2])
    np.testing.assert_array_equal(drawn["persistence"].get_ydata(), CRPS["persistence"])
    np.testing.assert_array_equal(drawn["vae"].get_xdata(), [1])  # then it blew up
    assert crps.get_ylim() == (0, pytest.approx(1.35 * 0.9))  # what is far worse leaves the panel
    assert acc.get_ylim()[1] == 1


def test_bounds_are_shaded(board):
    crps = against_lead(board, "globe", LOOKS).axes[0]
    shades = {
        item.get_label(): item.get_paths()[0].vertices
        for item in crps.collections
        if item.get_label()[0] != "_"
    }
    free, perfect = shades["worse than a free baseline"], shades["better than the bound"]
    for day, best in ((1, 0.6), (2, 0.8)):  # the better of persistence and climatological ensemble
        assert free[free[:, 0] == day][:, 1].min() == pytest.approx(best)
    assert perfect[perfect[:, 0] == 2][:, 1].max() == pytest.approx(0.2)
    alone = against_lead(board[board["experiment"] == "mine"], "globe", LOOKS).axes[0]
    assert not any(item.get_label() in shades for item in alone.collections)


def test_skill_and_variables_have_panels(board):
    (skill,) = against_lead(board, "globe", scores=("skill",)).axes
    assert skill.get_ylim()[0] >= -0.6
    figure = variables_against_lead(board, {"z": "m"}, "globe", scores=("crps", "acc"))
    assert [axes.get_ylabel() for axes in figure.axes] == ["m", ""]


def test_leads_in_months_are_drawn_in_months(board):
    table, axis = by_lead_unit(board.assign(lead_hours=board["lead_hours"] / 24 * 730))
    assert axis.label == "lead, months" and set(table["lead"]) == set(board["lead_hours"] / 24)
