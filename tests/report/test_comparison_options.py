"""Comparisons are read from YAML; what is wrong is named."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fieldcast.arguments import validated
from fieldcast.errors import InputError
from fieldcast.experiments import Comparison
from fieldcast.report import Forecast, Sample

QUESTION = {"question": "Is <a> better?", "experiment": "acme:a", "reference": "b"}
COMPARISON = {"title": "A & B", "task": "forecast", "experiments": ["acme:a", "b"], "questions": [QUESTION]}


def comparisons(given: list[Any]) -> list[Comparison]:
    comparisons: list[Comparison] = validated(list[Comparison], given, "comparisons")
    return comparisons


def test_a_comparison_has_defaults_and_questions() -> None:
    (comparison,) = comparisons([COMPARISON])
    assert comparison.experiments == ("acme:a", "b") and comparison.scores == ("crps", "ssr")
    assert (comparison.introduction, comparison.equal_cost) == ("", None)
    assert (comparison.questions[0].question, comparison.questions[0].reference) == ("Is <a> better?", "b")
    assert comparisons([]) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"colour": "red"}, "comparisons.1.colour: there is no such option."),
        ({"title": None}, "comparisons.1.title = None should be a valid string."),
        (
            {"questions": [{**QUESTION, "reference": 1}]},
            "comparisons.1.questions.0.reference = 1 should be",
        ),
        ({"experiments": "b"}, "comparisons.1.experiments = 'b' should be a valid tuple"),
    ],
)
def test_an_invalid_value_is_named_with_its_place(change, place) -> None:
    with pytest.raises(InputError, match=re.escape(place)):
        comparisons([COMPARISON, COMPARISON | change])


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match=r"comparisons\.0\.task is not set"):
        comparisons([{key: value for key, value in COMPARISON.items() if key != "task"}])


def test_results_keep_the_comparisons_of_their_task() -> None:
    both = comparisons([COMPARISON, COMPARISON | {"task": "sample", "title": "C"}])
    assert [comparison.title for comparison in Forecast(comparisons=both).comparisons] == ["A & B"]
    assert [comparison.title for comparison in Sample(comparisons=both).comparisons] == ["C"]
