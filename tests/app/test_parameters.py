"""All parameters fit one model, which names what does not, and what nothing would read."""

import copy
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project
from kedro.validation.type_extractor import TypeExtractor

from fieldcast.app.conf_source import CONTEXT, parameters
from fieldcast.app.parameters import (
    check_parameters,
    declared_names,
    experiment_model,
    parameters_model,
    refuse_old,
)
from fieldcast.errors import InputError
from fieldcast.pipeline_registry import register_pipelines
from fieldcast.settings import CONFIG_LOADER_ARGS

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Configure this project in place of that of an earlier test."""
    monkeypatch.chdir(ROOT)
    configure_project("fieldcast")
    token = CONTEXT.set(None)
    yield
    CONTEXT.reset(token)


@pytest.fixture(scope="module")
def configured() -> dict[str, Any]:
    configure_project("fieldcast")
    token = CONTEXT.set(None)
    given = dict(parameters())
    CONTEXT.reset(token)
    return given


def declared() -> set[str]:
    """Names in the files of this project."""
    return declared_names(OmegaConfigLoader(str(ROOT / "conf"), **CONFIG_LOADER_ARGS))


def merged(base: Any, changes: Any) -> Any:
    """Parameters with those of the command line, as Kedro merges them."""
    if not (isinstance(base, dict) and isinstance(changes, dict)):
        return changes
    return {**base, **{key: merged(base.get(key), value) for key, value in changes.items()}}


def complaint(configured: dict[str, Any], changes: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        check_parameters(merged(configured, changes), changes, declared)
    return str(caught.value)


def test_the_configuration_of_this_project_fits(configured: dict[str, Any]) -> None:
    before = copy.deepcopy(configured)
    check_parameters(configured, {}, declared)
    assert configured == before


def test_nodes_take_the_types_of_the_model() -> None:
    """Kedro makes of a parameter for a node the type that the check has read it as."""
    sections = parameters_model().model_fields
    annotated = TypeExtractor(register_pipelines()).extract_types_from_pipelines()
    assert len(annotated) > 100
    for name, kind in annotated.items():
        section, *rest = name.split(".")
        fields = experiment_model(section).model_fields if rest else sections
        if rest[1:] != ["model"]:  # of type File, which is checked by itself
            assert fields[rest[1] if rest else section].annotation in (kind, kind | None), name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"ingestion": {"path": ["good.nc", 5, None]}},
            "ingestion.path.1 = 5 should be a valid string (1 more).",
        ),
        ({"ingestion": {"path": 5}}, "ingestion.path = 5 should be a valid string or a valid list."),
        ({"ingestion": 5}, "ingestion = 5 should be a mapping of options."),
        ({"ingestion": {"variables": "slp"}}, 'should be a valid list, as in "ingestion.variables=[slp]".'),
        ({"limits": {"steps": 1.5}}, "limits.steps = 1.5 should be a whole number."),
        ({"limits": {"steps": "many"}}, "limits.steps = 'many' should be a valid integer."),
        ({"record_cycle": {"held_out": math.nan}}, "record_cycle.held_out = nan should be a finite number."),
        ({"sed": 1}, "--params sed: there is no such parameter; did you mean seed or seeds?"),
        ({"limit": {"steps": 3}}, "--params limit: there is no such parameter; did you mean limits?"),
        ({"limits": {"step": 3}}, "limits.step: there is no such option; did you mean limits.steps?"),
        (
            {"reconstruct": {"denoising_vae": {"fit": {"epoch": 3}}}},
            "reconstruct.denoising_vae.fit.epoch: there is no such option; did you mean "
            "reconstruct.denoising_vae.fit.epochs?",
        ),
        (
            {"reconstruct": {"denoising_vae": {"fitt": {}}}},
            "reconstruct.denoising_vae.fitt: there is no such option; did you mean reconstruct.denoising_vae.fit?",
        ),
        (
            {"reconstruct": {"lineer": {"fit": {"steps": 2}}}},
            "reconstruct.lineer: there is no such experiment; did you mean reconstruct.linear?",
        ),
        (
            {"reconstruct": {"mine": {"model": {"type": "interpolation.Linear"}}}},
            "reconstruct.mine has no 'fit': add fit: {}, which means the default options.",
        ),
        (
            {"forecast": {"mine": {"model": {"type": "vae.ConditionalVAE"}, "fit": {}}}},
            "forecast.mine has no 'options': add options: {}, which means the default options.",
        ),
        (
            {"forecast": {"perfect_model": {"model": {"pth": "a.nc"}}}},
            "forecast.perfect_model.model.pth: there is no such option; did you mean "
            "forecast.perfect_model.model.path?",
        ),
        (
            {"reconstruct": {"mine": {"model": {"type": "File", "path": "mine.nc"}}}},
            "reconstruct.mine: experiments of reconstruct cannot be of type File.",
        ),
        ({"recon": {"mine": {}}}, "--params recon: there is no such parameter; did you mean reconstruct?"),
        ({"seed": -1}, "seed = -1: give a whole number from 0 to 2147483647."),
        ({"device": "cpu seed=1"}, "--params device=cpu seed=1: write a comma, not a blank, before seed."),
    ],
)
def test_complaints_name_the_option_and_what_it_should_be(
    configured: dict[str, Any], changes: dict[str, Any], sentence: str
) -> None:
    assert complaint(configured, changes).endswith(sentence)


def test_a_section_of_a_users_own_pipeline_is_left_alone(configured: dict[str, Any]) -> None:
    def with_harvest() -> set[str]:
        return {"harvest", *declared()}

    for given in ({}, {"harvest": 3}, {"data_root": "elsewhere"}):
        check_parameters({**configured, "harvest": {"crops": 3}, **given}, given, with_harvest)
    with pytest.raises(InputError, match="--params harvest: there is no such parameter"):
        check_parameters({**configured, "harvest": 3}, {"harvest": 3}, declared)
    with pytest.raises(InputError, match=r"^rolout: there is no such parameter; did you mean rollout\?"):
        check_parameters({**configured, "rolout": 3}, {}, lambda: {"rolout"})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cycle": {"withheld": 0.1}}, "cycle.withheld: this parameter is now called record_cycle.held_out."),
        (
            {"record_cycle": {"withheld": 0.1}},
            "record_cycle.withheld: this parameter is now called record_cycle.held",
        ),
        ({"fill": {"max_gap": 3}}, "fill.max_gap: this parameter is now called gap_filling.max_gap."),
        ({"gaps": {"learned": True}}, "gaps.learned: this parameter is now called gap_filling.learned."),
        ({"gridding": {"step": 1}}, "gridding.step: this parameter is now called station_fields.step."),
    ],
)
def test_a_parameter_by_its_old_name_is_refused_with_the_new_one(
    given: dict[str, Any], expected: str
) -> None:
    """A file and the command line are treated alike."""
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        refuse_old(given)
    refuse_old({"fill": {"members": 3}, "ingestion": {"gaps": "insert"}})
