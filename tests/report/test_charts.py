"""Interactive charts, drawn by Vega itself: their lines, their order and their data are those of the leaderboard."""

from __future__ import annotations

import json
import re
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import vl_convert

from fieldcast.figures.style import Look
from fieldcast.report import charts, report
from fieldcast.report.charts import Spec, errors_chart, vega
from fieldcast.report.reconstruct import Reconstruct

from .conftest import CRPS, EVIL

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def drawn(results):
    return results.charts()


def svg(spec: Spec) -> ElementTree.Element:
    return ElementTree.fromstring(vl_convert.vegalite_to_svg(spec))


def marks(picture: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    groups = [
        group for group in picture.iter(f"{SVG}g") if f"mark-{kind} role-mark" in group.get("class", "")
    ]
    return [path for group in groups for path in group.iter(f"{SVG}path")]


def test_every_experiment_has_a_line_and_a_place_in_the_order(drawn, results):
    picture = svg(drawn["scores"])
    assert len(marks(picture, "line")) == len(CRPS)
    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert "fair CRPS" in texts
    ordered = [results.label(name) for name in sorted(CRPS, key=CRPS.__getitem__)]
    assert "at 10 %" in texts
    assert [text for text in texts if text in ordered][
        -len(ordered) :
    ] == ordered  # after those of the legend


def test_the_chart_shows_the_leaderboard(drawn, results):
    data = pd.read_csv(StringIO(drawn["scores"]["data"]["values"])).set_index(
        ["variable", "score", "experiment", "x"]
    )
    label = results.label("mine")
    row = data.loc[("all", "fair CRPS", label, 0.1)]
    assert row.tolist() == pytest.approx(np.array([1.0, 0.95, 1.05]) * 0.29 / 1.3, rel=1e-3)
    assert data.loc[(EVIL, "fair CRPS", label, 0.1), "value"] == pytest.approx(4 * 0.29 / 1.3, rel=1e-3)


def test_a_menu_chooses_the_score_the_variable_and_k(drawn):
    menus = {
        param["name"]: param["bind"]["options"] for param in drawn["scores"]["params"] if "bind" in param
    }
    assert menus == {
        "score": ["fair CRPS", "RMSE of the ensemble mean", "spread-skill ratio"],
        "variable": ["all", EVIL],
    }
    here = drawn["scores"]["hconcat"][0]["layer"][1]["params"][0]
    assert here["bind"]["x"]["options"] == [0.05, 0.1, 0.2]
    assert here["bind"]["x"]["labels"] == ["5 %", "10 %", "20 %"]
    assert here["select"]["on"] == "pointermove" and here["select"]["nearest"]


def test_another_choice_draws_other_numbers(drawn):
    spec = json.loads(json.dumps(drawn["scores"]))
    spec["params"][0]["value"] = "spread-skill ratio"
    picture = svg(spec)
    assert len(marks(picture, "line")) == len(CRPS) - 1  # the climatology has no spread


def test_the_error_over_time_is_that_of_the_chosen_k(drawn):
    spec = json.loads(json.dumps(drawn["errors"]))
    assert spec["params"][0]["bind"]["options"] == ["5 %", "10 %", "20 %"]
    assert len(marks(svg(spec), "line")) == len(CRPS)
    data = pd.read_csv(StringIO(spec["data"]["values"]))
    assert np.allclose(data["20 %"], np.sqrt(0.2), rtol=1e-3)
    assert set(data["when"]) == {"2001-01-01", "2001-01-11", "2001-01-21"}


def test_errors_of_the_planets_first_years_are_drawn():
    """The simulated planet begins in the year 1, which a time unit of Vega does not know."""
    times = ["0011-10-01", "0011-12-01", "0012-02-01"]
    frame = pd.DataFrame({0.1: [0.5, 0.6, 0.4]}, index=times)
    picture = svg(errors_chart({"mine": frame}, {"mine": Look("#000000")}, "m"))
    (line,) = marks(picture, "line")
    assert "NaN" not in line.attrib["d"]
    assert len(set(re.findall(r"[ML](-?[\d.]+)", line.attrib["d"]))) == 3


def test_models_that_blew_up_leave_the_panel_and_do_not_widen_it():
    values = {"climatology": 1.0, "mine": 0.5, "wild": 1e9}
    table = pd.DataFrame(
        [
            (name, "all", "crps", day, value, value, value)
            for name, value in values.items()
            for day in (1.0, 2.0)
        ],
        columns=["experiment", "variable", "score", "lead", "value", "low", "high"],
    )
    looks = {name: Look("#000000", role="climatology" if name == "climatology" else None) for name in values}
    spec = charts.ScoresChart(table, charts.lead_axis("day"), looks, ("crps",)).spec()
    ((low, high),) = next(param["value"].values() for param in spec["params"] if param["name"] == "limits")
    assert low == 0 and high == pytest.approx(1.03 * charts.HEADROOM)
    assert len(marks(svg(spec), "line")) == 3


@pytest.fixture(scope="module")
def page(results, summary) -> str:
    return report({"reconstruct": results}, summary, figures={"reconstruct": {}})


def test_the_chart_library_is_included_once_and_only_with_charts(page):
    assert page.count('<figure class="chart">') == 2
    assert page.count("vegaEmbed(figure") == 1 and vega() in page
    assert len(vega()) < 1_000_000
    assert vega() not in report({"reconstruct": Reconstruct(experiments={"mine": {}})})


def test_names_cannot_end_the_script_that_holds_a_chart(page):
    for spec in re.findall(r'<script type="application/json">(.*?)</script>', page, re.S):
        assert "<" not in spec
        assert json.loads(spec)["data"]["values"]


def test_hovering_names_the_experiment(drawn):
    """Vega-Lite selects the nearest point by cells around the points, whose data are one level down."""
    for spec in drawn.values():
        compiled = json.dumps(vl_convert.vegalite_to_vega(spec))
        (cells,) = set(re.findall(r"datum\.datum\[[^]]*experiment[^]]*\]", compiled))
        assert f"toString({cells}" in compiled


def test_leads_are_in_the_unit_of_the_figures():
    assert [charts.lead_axis("month").label(lead) for lead in (1.0, 3.0)] == ["1 month", "3 months"]
    assert charts.lead_axis("day").title == "lead [days]"
