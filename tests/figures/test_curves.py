"""Charts against the numbers they were made from, as specifications and as Vega draws them."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from io import StringIO
from multiprocessing import get_context
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import vl_convert
from matplotlib.figure import Figure

from fieldcast.experiments import Description
from fieldcast.figures.curves import (
    HEADROOM,
    MARKERS,
    REGIONS,
    against_k,
    against_lead,
    over_time,
    plain_ticks,
    variables_against_k,
    variables_against_lead,
)
from fieldcast.figures.style import CLASSICAL_MARKERS, LEARNED_MARKERS, Chart, looks, plain_logarithmic, png

LEVELS = (0.05, 0.1, 0.2)
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("kriging", "denoising_vae", "mine </script>")
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


def data(chart: Chart, panel: int | None = None) -> pd.DataFrame:
    """The numbers of a chart, or of one of its panels."""
    table = pd.read_csv(StringIO(chart.spec["data"]["values"]))
    return table if panel is None else table[table["panel"] == panel]


def titles(chart: Chart) -> list[str]:
    return [panel["title"] for panel in chart.spec["concat"]]


def vertical(chart: Chart, panel: int = 0) -> dict:
    """Channel of the vertical axis of the lines of a panel."""
    return chart.spec["concat"][panel]["layer"][-2]["encoding"]["y"]


def picture(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(vl_convert.vegalite_to_svg(chart.spec))


def texts(chart: Chart) -> list[str | None]:
    return [text.text for text in picture(chart).iter(f"{SVG}text")]


def paths(chart: Chart, kind: str) -> list[ElementTree.Element]:
    groups = [
        group
        for group in picture(chart).iter(f"{SVG}g")
        if f"mark-{kind} role-mark" in group.get("class", "")
    ]
    return [path for group in groups for path in group.iter(f"{SVG}path")]


def test_every_line_and_interval_is_the_leaderboards(board):
    chart = against_k(board)
    assert titles(chart) == ["fair CRPS", "RMSE of the ensemble mean", "spread-skill ratio"]
    for number, score in enumerate(("crps", "rmse", "ssr")):  # noqa: B007
        drawn = data(chart, number).set_index(["experiment", "x"])[["value", "low", "high"]]
        expected = (
            board.query("variable == 'all' and score == @score").dropna().set_index(["experiment", "k"])
        )
        pd.testing.assert_frame_equal(
            drawn.sort_index(), expected[["value", "low", "high"]].sort_index(), rtol=1e-3, check_names=False
        )
    band, line, points = chart.spec["concat"][0]["layer"][-3:]
    assert (band["encoding"]["y"]["field"], band["encoding"]["y2"]["field"]) == ("low", "high")
    colours = {name: look.colour for name, look in looks({name: Description() for name in NAMES}).items()}
    scale = line["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == colours
    assert line["encoding"]["x"]["scale"]["type"] == "log" and points["params"][0]["select"]["nearest"]


def test_vega_draws_lines_bands_and_fractions(board):
    chart = against_k(board)
    assert len(paths(chart, "line")) == len(paths(chart, "area")) == 3 + 3 + 2  # one has no spread
    drawn = texts(chart)
    assert {"5 %", "10 %", "20 %", "fraction observed", "fair CRPS", *NAMES} <= set(drawn)
    assert {path.get("stroke") for path in paths(chart, "line")} <= set(
        chart.spec["concat"][0]["layer"][-2]["encoding"]["color"]["scale"]["range"]
    )


def test_a_score_without_values_has_no_panel(board):
    chart = against_k(board[board["experiment"] == NAMES[2]])
    assert titles(chart) == ["fair CRPS", "RMSE of the ensemble mean"]
    empty = against_k(board[:0])
    assert data(empty).empty and png(empty)


def test_variables_have_panels_in_the_order_and_units_given(board):
    chart = variables_against_k(board, {"z": "m", "t$_{": "K"}, scores=("crps", "ssr"))
    assert titles(chart)[:2] == ["z: fair CRPS", "t$_{: fair CRPS"] and chart.spec["columns"] == 2
    assert [vertical(chart, number)["title"] for number in range(4)] == ["m", "K", None, None]
    expected = board.query("experiment == 'kriging' and variable == 't$_{' and score == 'crps'")["value"]
    drawn = data(chart, 1).query("experiment == 'kriging'")["value"]
    assert drawn.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-3)


def test_scores_over_a_wide_range_have_a_logarithmic_axis(board):
    wide = board.assign(value=board["value"].mask(board["k"] == 0.2, 0.04), low=0.03)
    chart = against_k(wide, scores=("crps",))
    scale, axis = vertical(chart)["scale"], vertical(chart)["axis"]
    assert scale["type"] == "log" and scale["domain"][0] < 0.03 and 0.1 in axis["values"]
    assert vertical(against_k(board))["scale"]["type"] == "linear"


@pytest.mark.parametrize(("low", "high"), [(1e-5, 0.5), (0.05, 0.9), (0.02, 10.0)])
def test_ticks_of_logarithmic_axes_are_those_of_figures(low, high):
    axes = Figure(figsize=(3, 2)).subplots()
    axes.plot([low, high])
    plain_logarithmic(axes)
    inside = [value for value in axes.get_yticks() if low <= value <= high]
    common = [tick for tick in plain_ticks(low, high) if any(np.isclose(tick, value) for value in inside)]
    assert common == pytest.approx(inside) and len(plain_ticks(low, high)) <= 9


def test_every_marker_of_a_look_can_be_drawn():
    assert {*LEARNED_MARKERS, *CLASSICAL_MARKERS, "o", "*"} <= set(MARKERS)
    assert len(set(MARKERS.values())) == len(MARKERS)


def test_names_cannot_end_the_script_of_the_page_and_hovering_shows_them(board):
    """Vega-Lite selects the nearest point by cells around the points, whose data are one level down."""
    compiled = json.dumps(vl_convert.vegalite_to_vega(against_k(board).spec))
    assert "toString(datum.datum" in compiled.replace('\\"', "")


def test_lines_are_in_days_and_what_blew_up_ends(forecasts):
    chart = against_lead(forecasts, "globe", LOOKS)
    assert titles(chart) == ["fair CRPS", "anomaly correlation"]
    drawn = data(chart, 0)
    persistence = drawn[drawn["experiment"] == "persistence"]
    assert persistence["x"].tolist() == [1, 2] and persistence["value"].tolist() == [0.6, 0.9]
    assert drawn.loc[drawn["experiment"] == "vae", "x"].tolist() == [1]  # then it blew up
    assert vertical(chart)["scale"]["domain"] == [
        0,
        pytest.approx(HEADROOM * 0.9),
    ]  # what is far worse leaves
    assert vertical(chart, 1)["scale"]["domain"][1] == 1
    assert len(paths(chart, "line")) == 2 * 5
    assert set(REGIONS) <= set(texts(chart))


def test_bounds_are_shaded(forecasts):
    layers = against_lead(forecasts, "globe", LOOKS).spec["concat"][0]["layer"]
    free, bound = ({p["x"]: p["border"] for p in layer["data"]["values"]} for layer in layers[:2])
    assert free == {1: 0.6, 2: 0.8}  # the better of persistence and climatological ensemble
    assert bound == {1: 0.1, 2: 0.2}
    assert [layer["encoding"]["y2"]["datum"] for layer in layers[:2]] == [pytest.approx(HEADROOM * 0.9), 0]
    names = [layer["data"]["values"][0]["region"] for layer in layers[:2]]
    assert names == ["worse than a free baseline", "better than the bound"]
    up = against_lead(forecasts, "globe", LOOKS).spec["concat"][1]["layer"]
    assert up[0]["data"]["values"][0]["border"] == pytest.approx(0.4)  # higher is better
    assert up[1]["encoding"]["y2"]["datum"] == 1
    alone = against_lead(forecasts[forecasts["experiment"] == "mine"], "globe", LOOKS)
    assert all("data" not in layer for layer in alone.spec["concat"][0]["layer"])


def test_skill_has_a_line_at_zero_and_variables_have_panels(forecasts):
    skill = against_lead(forecasts, "globe", LOOKS, scores=("skill",))
    assert vertical(skill)["scale"]["domain"][0] >= -0.6
    rules = [layer["encoding"]["y"]["datum"] for layer in skill.spec["concat"][0]["layer"] if "data" in layer]
    assert rules == [0.0]
    chart = variables_against_lead(forecasts, {"z": "m"}, "globe", LOOKS)
    assert [vertical(chart, number)["title"] for number in range(3)] == ["m", None, None]


def test_leads_in_months_are_drawn_in_months(forecasts):
    chart = against_lead(forecasts.assign(lead_hours=forecasts["lead_hours"] / 24 * 730), "globe", LOOKS)
    assert "lead, months" in texts(chart) and set(data(chart)["x"]) == {1, 2}


def errors(dates: list[str], *values: float) -> pd.DataFrame:
    return pd.DataFrame({0.1: list(values) or [0.5] * len(dates)}, index=dates)


def test_errors_over_time_have_a_panel_an_experiment_and_a_line_a_fraction():
    when = ["2001-01-01T00:00:00", "2001-01-11T00:00:00", "2001-01-21T00:00:00"]
    frame = pd.DataFrame([[0.5, 0.3], [0.6, 0.2], [0.4, 0.1]], index=when, columns=[0.05, 0.1])
    chart = over_time({"kriging": frame, "mine": 2 * frame})
    table = data(chart).set_index(["experiment", "observed", "time"])["value"].sort_index()
    for name, factor in (("kriging", 1), ("mine", 2)):
        np.testing.assert_allclose(table[name, "10 %"], factor * frame[0.1])
    assert len(paths(chart, "line")) == 4 and {"5 %", "10 %", "kriging", "mine"} <= set(texts(chart))
    assert chart.spec["spec"]["layer"][0]["encoding"]["y"]["scale"]["domain"] == [
        0,
        pytest.approx(1.04 * 1.2),
    ]


@pytest.mark.parametrize(("year", "label"), [(11, "year 11"), (2011, "2011")])
def test_years_of_a_simulated_planet_are_called_years(year, label):
    """The simulated planet begins in the year 1, which a time unit of Vega does not know."""
    dates = [f"{y:04d}-{month:02d}-15T00:00:00" for y, month in ((year - 1, 9), (year, 1), (year, 4))]
    chart = over_time({"mine": errors(dates)})
    assert label in texts(chart)
    (line,) = paths(chart, "line")
    assert "NaN" not in line.attrib["d"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_errors_that_are_not_finite_do_not_end_a_run(value):
    frame = pd.DataFrame({0.1: [0.5, value], 0.2: [value, value]}, index=["2001-01-01", "2001-01-11"])
    chart = over_time({"diverged": frame, "empty": frame[[0.2]]})
    assert chart.spec["spec"]["layer"][0]["encoding"]["y"]["scale"]["domain"] == [
        pytest.approx(0.96 * 0.5),
        pytest.approx(1.04 * 0.5),
    ]
    assert png(chart) and png(over_time({"empty": frame[[0.2]]}))


def test_days_that_only_another_calendar_has_are_counted():
    chart = over_time({"mine": errors(["2001-02-29T00:00:00", "2001-02-30T00:00:00"])})
    assert data(chart)["when"].tolist() == [0, 1]


def test_no_panel_stands_alone_in_its_row():
    """A fifth panel once stood alone below four."""
    for experiments, columns in ((1, 1), (5, 5), (6, 3), (7, 4)):
        chart = over_time(
            {f"method {number}": errors(["2001-01-01", "2001-01-11"]) for number in range(experiments)}
        )
        assert chart.spec["columns"] == columns


def test_titles_of_panels_side_by_side_are_broken_into_lines() -> None:
    names = ["Perfect-model LETKF, 80 members", "Ensemble optimal interpolation", "a", "b", "c"]
    drawn = texts(over_time(dict.fromkeys(names, errors(["2000-01-01", "2000-02-01"]))))
    assert "a" in drawn and names[0] not in drawn


def test_a_notebook_shows_the_picture(board) -> None:
    chart = against_k(board)
    assert chart._repr_png_() == png(chart) == png(against_k(board))


def test_a_fork_of_a_process_that_has_drawn_draws_the_same_picture(board) -> None:
    """A fork waited for ever for the threads of vl-convert, which its parent keeps."""
    chart = against_k(board)
    drawn = png(chart)
    with ProcessPoolExecutor(1, get_context("fork")) as pool:
        assert pool.submit(png, chart).result(timeout=120) == drawn
