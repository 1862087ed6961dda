"""Parts of specifications: data survive as CSV, menus begin with their first entry, looks are those of the figures."""

from __future__ import annotations

import json
from io import StringIO

import pandas as pd
import pytest
import vl_convert

from fieldcast.figures.style import Look
from fieldcast.report.charts import CONFIG, appearance, chooser, document, menu

THIRD = 'acme:"gp", <b>\n2'  # an experiment of another package
LOOKS = {"vae": Look("#ff0000"), "absent": Look("#00ff00"), THIRD: Look("#0000ff", dash=(0, (4, 2)))}


def test_data_have_four_digits_and_their_types() -> None:
    records = pd.DataFrame({"experiment": [THIRD, "vae"], "value": [0.123456, 1234.56], "count": [123456, 2]})
    frame = document(records, experiment="string")
    assert frame["data"]["format"] == {
        "type": "csv",
        "parse": {"experiment": "string", "value": "number", "count": "number"},
    }
    stored = pd.read_csv(StringIO(frame["data"]["values"]))
    assert stored["experiment"].tolist() == [THIRD, "vae"]
    assert (stored["value"].tolist(), stored["count"].tolist()) == ([0.1235, 1235.0], [123456, 2])
    assert frame["config"] == CONFIG and frame["background"] == "white"


def test_missing_numbers_are_empty() -> None:
    frame = document(pd.DataFrame({"value": [float("nan"), 1.0], "x": [2.0, 3.0]}))
    assert frame["data"]["values"].splitlines() == ["value,x", ",2", "1,3"]
    assert document(pd.DataFrame({"value": []}))["data"]["values"] == "value\n"


@pytest.mark.parametrize(("first", "value"), [(0, "a"), (1, "<b>")])
def test_a_menu_begins_where_it_is_told(first, value) -> None:
    parameter = chooser("score", "show ", ["a", "<b>"], first)
    assert (parameter["name"], parameter["value"]) == ("score", value)
    assert parameter["bind"] == {
        "input": "select",
        "name": "show ",
        "options": ["a", "<b>"],
        "labels": ["a", "<b>"],
    }
    assert menu("at ", [0.1, 0.2], ["10 %", "20 %"])["labels"] == ["10 %", "20 %"]


def test_only_what_is_drawn_has_a_look() -> None:
    colour, dash = appearance({"vae", THIRD, "unknown"}, LOOKS)
    assert colour["scale"] == {"domain": ["vae", THIRD], "range": ["#ff0000", "#0000ff"]}
    assert dash["scale"] == {"domain": ["vae", THIRD], "range": [[1, 0], [4, 2]]}
    assert appearance([], LOOKS)[0]["scale"] == {"domain": [], "range": []}


def test_vega_draws_the_lines_in_these_colours() -> None:
    names = [THIRD, "vae"]
    records = pd.DataFrame({"experiment": names * 2, "x": [1.0, 1.0, 2.0, 2.0], "y": [1.0, 2.0, 3.0, 4.0]})
    colour, dash = appearance(names, LOOKS)
    axes = {axis: {"field": axis, "type": "quantitative"} for axis in ("x", "y")}
    encoding = {"encoding": {**axes, "color": colour, "strokeDash": dash}}
    svg = vl_convert.vegalite_to_svg(
        json.loads(json.dumps(document(records, experiment="string") | encoding | {"mark": "line"}))
    )
    for strokes in ('stroke="#0000ff" stroke-width="2" stroke-dasharray="4,2"', 'stroke="#ff0000"'):
        assert strokes in svg
    assert "<b>" not in svg and "&lt;b&gt;" in svg
