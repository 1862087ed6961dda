"""Types of parameters without a pipeline are those that the nodes of all pipelines have."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.project import configure_project

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.frame.parameter_types import annotated_types, check_values, listed_types

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project() -> Iterator[None]:
    """Configure this project in place of that of an earlier test."""
    configure_project("fieldcast")
    token = pipeline_registry.CONTEXT.set(None)
    yield
    pipeline_registry.CONTEXT.reset(token)


def test_listed_types_are_those_of_the_nodes() -> None:
    listed, annotated = listed_types(ROOT / "conf"), annotated_types()
    assert len(annotated) > 60
    assert {name: kind for name, kind in listed.items() if name in annotated} == annotated


def test_values_of_other_sections_are_not_examined() -> None:
    parameters = {"limits": {"steps": "many"}, "rollout": {"steps": 3}}
    check_values(["rollout.steps", "seed"], parameters, ROOT / "conf")
    with pytest.raises(InputError, match=r"limits.steps = 'many' should be a valid integer"):
        check_values(["limits.steps"], parameters, ROOT / "conf")


@pytest.mark.parametrize(
    ("parameters", "end"),
    [
        ({"ingestion": {"path": ["good.nc", 5, None]}}, "path.1 = 5 should be a valid string (1 more)."),
        ({"ingestion": {"path": 5}}, "path = 5 should be a valid string or should be a valid list."),
        ({"ingestion": 5}, "ingestion = 5 should be a mapping of options."),
        ({"limits": {"steps": 1.5}}, "limits.steps = 1.5 should be a whole number."),
        (
            {"cycle": {"forecaster": "a", "updater": "b", "withheld": math.nan}},
            "= nan should be a finite number.",
        ),
    ],
)
def test_complaints_name_the_entry_and_what_it_should_be(parameters: dict[str, Any], end: str) -> None:
    with pytest.raises(InputError) as caught:
        check_values(parameters, parameters, ROOT / "conf")
    assert str(caught.value).endswith(end)


def test_the_section_of_an_experiment_has_the_type_of_its_task() -> None:
    parameters = {"reconstruct": {"denoising_vae": {"fit": {"epoch": 3}}}}
    with pytest.raises(InputError, match=r"reconstruct.denoising_vae.fit.epoch: there is no such option"):
        check_values(["reconstruct.denoising_vae.fit.epoch"], parameters, ROOT / "conf")
