"""Studies are read from YAML; what is wrong is named."""

from __future__ import annotations

import re

import pytest

from fieldcast.errors import InputError
from fieldcast.report import Forecast, Sample, studies

QUESTION = {"question": "Is <a> better?", "experiment": "acme:a", "reference": "b"}
STUDY = {"title": "A & B", "task": "forecast", "experiments": ["acme:a", "b"], "questions": [QUESTION]}


def test_a_study_has_defaults_and_questions() -> None:
    (study,) = studies([STUDY])
    assert study.experiments == ("acme:a", "b") and study.scores == ("crps", "ssr")
    assert (study.introduction, study.equal_cost) == ("", None)
    assert (study.questions[0].question, study.questions[0].reference) == ("Is <a> better?", "b")
    assert studies([]) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"colour": "red"}, "studies.1.colour is invalid: unexpected keyword argument."),
        ({"title": None}, "studies.1.title is invalid: input should be a valid string."),
        ({"questions": [{**QUESTION, "reference": 1}]}, "studies.1.questions.0.reference is invalid"),
        ({"experiments": "b"}, "studies.1.experiments is invalid"),
    ],
)
def test_an_invalid_value_is_named_with_its_place(change, place) -> None:
    with pytest.raises(InputError, match=re.escape(place)):
        studies([STUDY, STUDY | change])


def test_a_missing_key_is_named() -> None:
    with pytest.raises(InputError, match=r"studies\.0\.task is invalid"):
        studies([{key: value for key, value in STUDY.items() if key != "task"}])


def test_results_keep_the_studies_of_their_task() -> None:
    both = studies([STUDY, STUDY | {"task": "sample", "title": "C"}])
    assert [study.title for study in Forecast(studies=both).studies] == ["A & B"]
    assert [study.title for study in Sample(studies=both).studies] == ["C"]
