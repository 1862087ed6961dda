"""Numbers as text."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fieldcast.report.scores_by_case import Lead
from fieldcast.scores.numbers import amount, compact, plain, significant, span, with_interval


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
    assert with_interval(*values, digits=digits) == shown


def test_significant_digits():
    values = (0.01534, 1.0345, 0.335, 123.4, -0.5, 0.0, math.nan, math.inf, -math.inf)
    displayed = ["0.0153", "1.03", "0.335", "123", "−0.500", "0", "–", "∞", "−∞"]
    assert [significant(value) for value in values] == displayed


def test_costs_and_tuned_values_have_no_needless_digits():
    assert [amount(value) for value in (1234567, 52.125, 3.0, None, math.nan, "x")] == [
        *("1 234 567", "52.1", "3", "–", "–", "–")
    ]
    assert [plain(value) for value in (0.5, np.float64(20.0), "matern32")] == ["0.5", "20", "matern32"]


def test_very_small_numbers_have_a_power_of_ten():
    assert [compact(value) for value in (1.25, 2.5e-5, 0.0, math.inf)] == [
        "1.25",
        "3e−05",
        "0",
        "∞",
    ]


def test_a_span_is_one_number_or_the_smallest_to_the_largest():
    assert [span(values) for values in ([], [3.0], ["5", 3, 4])] == ["", "3", "3 to 5"]


def test_leads_of_the_calendar_are_months_and_years() -> None:
    assert [str(Lead(hours)) for hours in (6.0, 72.0, 2190.0, 8760.0)] == [
        "6\u00a0h",
        "3\u00a0d",
        "3\u00a0mo",
        "1\u00a0yr",
    ]
