"""Elements are escaped, and keep what a table is sorted by."""

from __future__ import annotations

import math

import pytest

from fieldcast.report.html import Cell, Markup, anchor, escaped, join, numbers, table, tag


def test_only_markup_is_markup():
    assert escaped("<a & 'b'>") == "&lt;a &amp; &#x27;b&#x27;&gt;"
    assert tag("p", Markup("<br>"), "<br>", title='"<') == '<p title="&quot;&lt;"><br>&lt;br&gt;</p>'
    assert join([Markup("<b>"), "<b>"], " < ") == "<b> < &lt;b&gt;"


def test_cells_are_sorted_by_their_number():
    shown = table(["name", "value"], [["a", Cell("1 000", 1000.0)], ["b", Cell("–", math.nan)]])
    assert '<td data-order="1000.0">1 000</td>' in shown
    assert "<td>–</td>" in shown
    assert '<th scope="row">a</th>' in shown


@pytest.mark.parametrize(
    ("values", "digits", "shown"),
    [
        ((-0.0091, -0.0123, -0.00594), 2, ["−0.0091", "−0.0123", "−0.0059"]),
        ((-0.0001, -0.0041, 0.0042), 2, ["−0.0001", "−0.0041", "0.0042"]),
        ((0.989, 0.9764, 1.0044), 3, ["0.989", "0.976", "1.004"]),
        ((123.4, math.nan, math.nan), 3, ["123", "–", "–"]),
        ((0.0, 0.0, 0.0), 3, ["0", "0", "0"]),
        ((4.064e23, -2.5e8, 5.5e23), 3, ["4.06 × 10²³", "−2.50 × 10⁸", "5.50 × 10²³"]),
    ],
)
def test_a_value_and_its_interval_have_the_same_decimals(values, digits, shown):
    assert numbers(*values, digits=digits) == shown


def test_anchors_are_plain():
    assert anchor("Reconstruct", "Scores & <k>") == "reconstruct-scores-k"
