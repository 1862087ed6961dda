"""Curves against the numbers that they are drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from fieldcast.experiments import Description
from fieldcast.figures.curves import (
    HEADROOM,
    REGIONS,
    against_k,
    against_lead,
    over_time,
    variables_against_k,
    variables_against_lead,
)
from fieldcast.figures.style import looks, png

LEVELS = (0.05, 0.1, 0.2)
NAMES = ("kriging", "denoising_vae", "mine $_{")
CRPS = {"persistence": (0.6, 0.9), "climatological_ensemble": (0.8, 0.8), "perfect_model": (0.1, 0.2)}
LOOKS = looks(
    {
        "persistence": Description(family="classical", role="baseline"),
        "climatological_ensemble": Description(family="classical", role="climatology"),
        "perfect_model": Description(family="bound"),
        "vae": Description(family="learned"),
        "mine": Description(family="learned"),
    }
)


@pytest.fixture
def board() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    records = []
    for experiment in NAMES:
        for variable in ("all", "t$_{", "z"):
            for score in ("crps", "rmse", "ssr"):
                for k in LEVELS:
                    value = np.nan if (experiment, score) == (NAMES[2], "ssr") else rng.uniform(0.3, 1.0)
                    place = (experiment, 0, "d", "random", k, "unobserved", variable, score)
                    records.append((*place, value, value - 0.05, value + 0.1))
    columns = [
        "experiment",
        "seed",
        "data",
        "pattern",
        "k",
        "cells",
        "variable",
        "score",
        "value",
        "low",
        "high",
    ]
    return pd.DataFrame(records, columns=columns)


@pytest.fixture
def forecasts() -> pd.DataFrame:
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


def titles(figure: Figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def line_of(axes: Axes, name: str) -> np.ndarray:
    """Points of the line of an experiment (points, 2)."""
    (line,) = (line for line in axes.lines if line.get_label() == name)
    return np.asarray(line.get_xydata())


def region(axes: Axes, name: str) -> tuple[dict[float, float], float]:
    """Border of a shaded region by lead, and the end up to which it is filled."""
    (area,) = (area for area in axes.collections if area.get_label() == name)
    points = area.get_paths()[0].vertices
    inner = {lead: set(points[points[:, 0] == lead, 1]) for lead in np.unique(points[:, 0])}
    (end,) = set.intersection(*inner.values())
    return {float(lead): float(*values - {end}) for lead, values in inner.items()}, float(end)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_line_and_interval_is_the_leaderboards(board):
    figure = against_k(board)
    assert titles(figure) == ["fair CRPS", "RMSE of the ensemble mean", "spread-skill ratio"]
    colours = {name: look.colour for name, look in looks({name: Description() for name in NAMES}).items()}
    for axes, score in zip(figure.axes, ("crps", "rmse", "ssr"), strict=True):
        drawn = {line.get_label(): line for line in axes.lines}
        bands = iter(axes.collections)
        for name in [*NAMES[:2], *([NAMES[2]] if score != "ssr" else [])]:
            rows = board.query("variable == 'all' and score == @score and experiment == @name")
            line = drawn[name.replace("$", r"\$")]
            np.testing.assert_array_equal(line.get_xydata(), rows[["k", "value"]])
            assert to_hex(line.get_color()) == colours[name].lower()
            corners = next(bands).get_paths()[0].vertices
            assert {*rows["low"], *rows["high"]} == {*corners[:, 1]}
        assert axes.get_xscale() == "log"
        assert [text.get_text() for text in axes.get_xticklabels()] == ["5 %", "10 %", "20 %"]
        assert axes.get_xlabel() == "fraction observed"
    assert legend(figure) == ["kriging", "denoising_vae", r"mine \$_{"]


def test_a_score_without_values_has_no_panel(board):
    assert titles(against_k(board[board["experiment"] == NAMES[2]])) == [
        "fair CRPS",
        "RMSE of the ensemble mean",
    ]
    assert png(against_k(board[:0]))


def test_variables_have_panels_in_the_order_and_units_given(board):
    figure = variables_against_k(board, {"z": "m", "t$_{": "K"}, scores=("crps", "ssr"))
    assert titles(figure)[:2] == ["z: fair CRPS", r"t\$_{: fair CRPS"] and png(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m", "K", "", ""]
    expected = board.query("experiment == 'kriging' and variable == 't$_{' and score == 'crps'")["value"]
    np.testing.assert_array_equal(line_of(figure.axes[1], "kriging")[:, 1], expected)


def test_scores_over_a_wide_range_have_a_logarithmic_axis(board):
    wide = board.assign(value=board["value"].mask(board["k"] == 0.2, 0.04), low=0.03)
    axes = against_k(wide, scores=("crps",)).axes[0]
    assert axes.get_yscale() == "log" and axes.get_ylim()[0] < 0.03 and 0.1 in axes.get_yticks()
    assert against_k(board).axes[0].get_yscale() == "linear"


def test_lines_are_in_days_and_what_blew_up_ends(forecasts):
    figure = against_lead(forecasts, "globe", LOOKS)
    assert titles(figure) == ["fair CRPS", "anomaly correlation"]
    crps, correlation = figure.axes
    assert line_of(crps, "persistence").tolist() == [[1, 0.6], [2, 0.9]]
    assert line_of(crps, "vae").tolist() == [[1, 0.4]]  # then it blew up
    assert crps.get_ylim() == (0, pytest.approx(HEADROOM * 0.9))  # what is far worse leaves
    assert correlation.get_ylim()[1] == 1
    assert set(legend(figure)) == {*LOOKS, *REGIONS}


def test_bounds_are_shaded(forecasts):
    crps, correlation = against_lead(forecasts, "globe", LOOKS).axes
    worse, better = REGIONS
    # the better of persistence and climatological ensemble
    assert region(crps, worse) == ({1: 0.6, 2: 0.8}, pytest.approx(HEADROOM * 0.9))
    assert region(crps, better) == ({1: 0.1, 2: 0.2}, 0)
    border, _ = region(correlation, worse)
    assert border[1] == pytest.approx(0.4)  # higher is better
    assert region(correlation, better)[1] == 1
    alone = against_lead(forecasts[forecasts["experiment"] == "mine"], "globe", LOOKS)
    assert not {*REGIONS} & {*legend(alone)}


def test_skill_has_a_line_at_zero_and_variables_have_panels(forecasts):
    (axes,) = against_lead(forecasts, "globe", LOOKS, scores=("skill",)).axes
    assert axes.get_ylim()[0] >= -0.6
    assert [0, 0] in [list(line.get_ydata()) for line in axes.lines]
    figure = variables_against_lead(forecasts, {"z": "m"}, "globe", LOOKS)
    assert [axes.get_ylabel() for axes in figure.axes] == ["m", "", ""]


def test_leads_in_months_are_drawn_in_months(forecasts):
    figure = against_lead(forecasts.assign(lead_hours=forecasts["lead_hours"] / 24 * 730), "globe", LOOKS)
    assert figure.axes[0].get_xlabel() == "lead, months"
    assert line_of(figure.axes[0], "persistence")[:, 0].tolist() == [1, 2]


def errors(dates: list[str], *values: float) -> pd.DataFrame:
    return pd.DataFrame({0.1: list(values) or [0.5] * len(dates)}, index=dates)


def test_errors_over_time_have_a_panel_an_experiment_and_a_line_a_fraction():
    when = ["2001-01-01T00:00:00", "2001-01-11T00:00:00", "2001-01-21T00:00:00"]
    frame = pd.DataFrame([[0.5, 0.3], [0.6, 0.2], [0.4, 0.1]], index=when, columns=[0.05, 0.1])
    figure = over_time({"kriging": frame, "mine": 2 * frame})
    assert titles(figure) == ["kriging", "mine"] and legend(figure) == ["5 %", "10 %"]
    for axes, factor in zip(figure.axes, (1, 2), strict=True):
        np.testing.assert_allclose(line_of(axes, "10 %")[:, 1], factor * frame[0.1])
        assert line_of(axes, "5 %")[1, 0] - line_of(axes, "5 %")[0, 0] == 10  # days
        assert axes.get_ylim() == (0, pytest.approx(1.04 * 1.2))


@pytest.mark.parametrize(("year", "label"), [(11, "year 11"), (2011, "2011-01")])
def test_years_of_a_simulated_planet_are_called_years(year, label):
    """The simulated planet begins in the year 1."""
    dates = [f"{y:04d}-{month:02d}-15T00:00:00" for y, month in ((year - 1, 9), (year, 1), (year, 4))]
    figure = over_time({"mine": errors(dates)})
    assert png(figure)
    assert label in [text.get_text() for text in figure.axes[0].get_xticklabels()]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_errors_that_are_not_finite_do_not_end_a_run(value):
    frame = pd.DataFrame({0.1: [0.5, value], 0.2: [value, value]}, index=["2001-01-01", "2001-01-11"])
    figure = over_time({"diverged": frame, "empty": frame[[0.2]]})
    assert figure.axes[0].get_ylim() == (pytest.approx(0.96 * 0.5), pytest.approx(1.04 * 0.5))
    assert png(figure) and png(over_time({"empty": frame[[0.2]]}))


def test_days_that_only_another_calendar_has_are_counted():
    figure = over_time({"mine": errors(["2001-02-29T00:00:00", "2001-02-30T00:00:00"])})
    assert line_of(figure.axes[0], "10 %")[:, 0].tolist() == [0, 1]


def test_no_panel_stands_alone_in_its_row():
    """A fifth panel once stood alone below four."""
    for experiments, columns in ((1, 1), (5, 5), (6, 3), (7, 4)):
        figure = over_time(
            {f"method {number}": errors(["2001-01-01", "2001-01-11"]) for number in range(experiments)}
        )
        assert figure.axes[0].get_gridspec().ncols == columns


def test_titles_of_panels_side_by_side_are_broken_into_lines() -> None:
    names = ["Perfect-model LETKF, 80 members", "Ensemble optimal interpolation", "a", "b", "c"]
    drawn = titles(over_time(dict.fromkeys(names, errors(["2000-01-01", "2000-02-01"]))))
    assert "a" in drawn and names[0] not in drawn and "\n" in drawn[0]


def test_equal_curves_give_equal_pictures(board) -> None:
    assert png(against_k(board)) == png(against_k(board))
