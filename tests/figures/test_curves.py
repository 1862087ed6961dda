"""Lines of the figures against the numbers they were made from."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from fieldcast.experiments import About
from fieldcast.figures.curves import against_k, over_time, plain_logarithmic, variables_against_k
from fieldcast.figures.style import looks, png

LEVELS = (0.05, 0.1, 0.2)


@pytest.fixture
def board() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    records = []
    for experiment in ("kriging", "denoising_vae", "mine"):
        for variable in ("all", "t$_{", "z"):
            for score in ("crps", "rmse", "ssr"):
                for k in LEVELS:
                    value = np.nan if (experiment, score) == ("mine", "ssr") else rng.uniform(0.1, 1.0)
                    place = (experiment, 0, "d", "random", k, "unobserved", variable, score)
                    records.append((*place, value, value - 0.05, value + 0.1))
    names = (
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
    )
    return pd.DataFrame(records, columns=list(names))


def values(
    board: pd.DataFrame, experiment: str, variable: str, score: str, column: str = "value"
) -> np.ndarray:
    selected = board.query("experiment == @experiment and variable == @variable and score == @score")
    return selected[column].to_numpy()


def lines(axes) -> dict:
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_every_line_is_the_leaderboards(board):
    figure = against_k(board)
    for axes, score in zip(figure.axes, ("crps", "rmse", "ssr"), strict=True):
        drawn = lines(axes)
        assert set(drawn) == {"kriging", "denoising_vae"} | ({"mine"} if score != "ssr" else set())
        for name, line in drawn.items():
            np.testing.assert_array_equal(line.get_xdata(), LEVELS)
            np.testing.assert_array_equal(line.get_ydata(), values(board, name, "all", score))
            assert (
                line.get_color()
                == looks({item: About() for item in ("kriging", "denoising_vae", "mine")})[name].colour
            )
        assert axes.get_xscale() == "log"
        assert [label.get_text() for label in axes.get_xticklabels()] == ["5 %", "10 %", "20 %"]


def test_a_score_without_values_has_no_panel(board):
    figure = against_k(board[board["experiment"] == "mine"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fair CRPS", "RMSE of the ensemble mean"]


def test_the_shade_is_the_interval(board):
    figure = against_k(board, scores=("crps",))
    shade = figure.axes[0].collections[0].get_paths()[0].vertices
    low, high = (values(board, "denoising_vae", "all", "crps", name) for name in ("low", "high"))
    if not np.isclose(shade[:, 1].max(), high.max()):
        low, high = (values(board, "kriging", "all", "crps", name) for name in ("low", "high"))
    assert shade[:, 1].max() == pytest.approx(high.max())
    assert shade[:, 1].min() == pytest.approx(low.min())


def test_variables_have_panels_in_the_order_and_units_given(board):
    figure = variables_against_k(board, {"z": "m", "t$_{": "K"})
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["z\nfair CRPS", "t\\$_{\nfair CRPS"]
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == ["m", "K"]
    np.testing.assert_array_equal(
        lines(figure.axes[1])["kriging"].get_ydata(), values(board, "kriging", "t$_{", "crps")
    )
    figure.canvas.draw()  # a formula that does not parse would raise here


def test_errors_over_time_have_a_panel_an_experiment_and_a_line_a_fraction():
    when = ["2001-01-01T00:00:00", "2001-01-11T00:00:00", "2001-01-21T00:00:00"]
    frame = pd.DataFrame([[0.5, 0.3], [0.6, 0.2], [0.4, 0.1]], index=when, columns=[0.05, 0.1])
    figure = over_time({"kriging": frame, "mine": 2 * frame})
    for axes, factor in zip(figure.axes, (1, 2), strict=True):
        np.testing.assert_array_equal(axes.lines[1].get_ydata(), factor * frame[0.1])
        assert axes.get_ylim()[1] > 1.2
    assert axes.lines[0].get_label() == "5 %"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("days", [0.2, 1.5, 40, 61, 580, 700, 4000])
def test_an_axis_of_any_length_names_its_years(days):
    when = pd.Timestamp("2020-06-03") + pd.to_timedelta(np.linspace(0, days, 10), "D")
    figure = over_time({"mine": pd.DataFrame({0.1: np.ones(10)}, index=when.strftime("%Y-%m-%dT%H:%M"))})
    png(figure)
    axis = figure.axes[0].xaxis
    labels = [label.get_text() for label in axis.get_ticklabels()]
    assert 2 <= len(labels) <= 6
    assert any("202" in text for text in (*labels, axis.get_offset_text().get_text()))


@pytest.mark.parametrize(("year", "label"), [(11, "year 11"), (2011, "2011")])
def test_years_of_a_simulated_planet_are_called_years(year, label):
    dates = [f"{y:04d}-{month:02d}-15T00:00:00" for y, month in ((year - 1, 9), (year, 1), (year, 4))]
    figure = over_time({"mine": pd.DataFrame({0.1: np.ones(3)}, index=dates)})
    png(figure)
    assert label in [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_errors_of_a_time_that_blew_up_do_not_stop_the_figure():
    when = ["2001-01-01T00:00:00", "2001-01-11T00:00:00", "2001-01-21T00:00:00"]
    frame = pd.DataFrame({0.1: [0.5, np.inf, 0.4]}, index=when)
    assert over_time({"mine": frame}).axes[0].get_ylim() == (0, 1.04 * 0.5)
    assert over_time({"mine": frame * np.inf}).axes[0].get_ylim() == (0, 1.0)


def test_days_that_only_another_calendar_has_are_counted():
    frame = pd.DataFrame({0.1: [0.5, 0.6]}, index=["2001-02-29T00:00:00", "2001-02-30T00:00:00"])
    np.testing.assert_array_equal(over_time({"mine": frame}).axes[0].lines[0].get_xdata(), [0, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_errors_over_time_that_are_not_finite_do_not_end_a_run(value):
    frame = pd.DataFrame({0.1: [0.5, value], 0.2: [value, value]}, index=["2001-01-01", "2001-01-11"])
    limits = over_time({"diverged": frame, "empty": frame[[0.2]]}).axes[0].get_ylim()
    np.testing.assert_allclose(limits, (0, 1.04 * 0.5))


def test_no_panel_stands_alone_in_its_row():
    """A fifth panel once stood alone below four."""
    frame = pd.DataFrame({0.1: [0.5, 0.6]}, index=["2001-01-01", "2001-01-11"])
    for experiments, columns in ((1, 1), (5, 5), (6, 3), (7, 4)):
        figure = over_time({f"method {number}": frame for number in range(experiments)})
        assert figure.axes[0].get_gridspec().ncols == columns


def test_the_label_of_errors_over_time_lies_inside_the_figure():
    """The label was cut where there is one row of panels."""
    frame = pd.DataFrame({0.1: [0.5, 0.6]}, index=["2001-01-01", "2001-01-11"])
    figure = over_time({"method": frame})
    figure.canvas.draw()
    label = figure._supylabel.get_window_extent()
    assert label.y0 >= 0 and label.y1 <= figure.bbox.height


def test_an_axis_over_many_decades_has_powers_of_ten_only():
    """1, 2 and 5 of every decade lay on each other."""
    for values, most in (([1e-5, 0.5], 7), ([0.05, 0.9], 6)):
        axes = Figure(figsize=(3, 2)).subplots()
        axes.plot(values)
        plain_logarithmic(axes)
        low, high = axes.get_ylim()
        inside = [value for value in axes.get_yticks() if low <= value <= high]
        assert 2 <= len(inside) <= most


def test_titles_of_panels_side_by_side_do_not_overlap() -> None:
    names = ["Perfect-model LETKF, 80 members", "Ensemble optimal interpolation", "a", "b", "c"]
    frame = pd.DataFrame({0.1: [1.0, 0.5]}, index=pd.Index(["2000-01-01", "2000-02-01"]))
    figure = over_time(dict.fromkeys(names, frame))
    figure.draw_without_rendering()
    titles = [axes._left_title.get_window_extent() for axes in figure.axes]  # type: ignore[attr-defined]
    assert all(left.x1 < right.x0 for left, right in pairwise(titles))
