"""Cells of tables: decimals follow the interval, what is missing is a dash, and what is infinite can be sorted."""

from __future__ import annotations

import math
import sys

import pandas as pd
import pytest

from fieldcast.report.tables import Cell, amount_cell, number_cell, quality_rows, score_cell
from fieldcast.scores.bootstrap import Score


@pytest.mark.parametrize(
    ("score", "sign", "expected"),
    [
        (None, False, Cell()),
        (Score(0.123456), False, Cell("0.123", 0.123456, "value")),
        (Score(0.1, 0.0, 40.0), False, Cell("0.1", 0.1, "value", (("0.0 to 40.0", ""),))),
        (Score(0.123, 0.1, 0.2), True, Cell("+0.12", 0.123, "value", (("0.10 to 0.20", ""),))),
        (Score(-0.123), True, Cell("−0.12", -0.123, "value")),
        (Score(0.0), True, Cell("0", 0.0, "value")),
        (Score(math.inf, 1.0, math.inf), False, Cell("∞", sys.float_info.max, "value")),
        (Score(-math.inf), True, Cell("−∞", -sys.float_info.max, "value")),
    ],
)
def test_a_score_has_the_decimals_that_its_interval_leaves(score, sign, expected) -> None:
    assert score_cell(score, sign=sign) == expected


def test_notes_follow_the_interval() -> None:
    cell = score_cell(Score(1.0, 0.5, 1.5), ("worse", "bad"), kind="best")
    assert (cell.kind, cell.notes) == ("best", (("0.50 to 1.50", ""), ("worse", "bad")))
    assert score_cell(Score(math.inf), ("worse", "bad"), kind="best")[2:4] == ("best", (("worse", "bad"),))


@pytest.mark.parametrize(
    ("value", "integer", "expected"),
    [
        (2.0, False, Cell("2.00", 2.0)),
        (2.0, True, Cell("2", 2.0)),
        (7 / 3, True, Cell("2.33", 7 / 3)),  # mean over three seeds
        (1024.0, True, Cell("1024", 1024.0)),
        (math.nan, True, Cell()),
        (math.inf, True, Cell("∞", sys.float_info.max)),
        (-math.inf, False, Cell("−∞", -sys.float_info.max)),
    ],
)
def test_numbers_and_counts(value, integer, expected) -> None:
    assert number_cell(value, integer=integer) == expected


def test_costs_are_amounts() -> None:
    assert amount_cell(1234567) == Cell("1 234 567", 1234567.0)
    assert amount_cell(0.25) == Cell("0.250", 0.25)
    assert {amount_cell(value) for value in (None, math.nan, "unknown")} == {Cell()}


def test_quality_checks_are_sorted_by_their_count() -> None:
    names = ("check", "variable", "where", "count", "action", "sentence")
    quality = pd.DataFrame([("gaps", math.nan, "time", 2, "repaired", "Two <i>.")], columns=names)
    table = quality_rows(quality)
    assert table.head == ["check", "variable", "where", "count", "action", "explanation"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["gaps", "", "time", "2", "repaired", "Two <i>."]
    ]
    assert [cell.order for cell in table.rows[0]] == [None, None, None, 2.0, None, None]
    assert quality_rows(quality[:0]).rows == []
