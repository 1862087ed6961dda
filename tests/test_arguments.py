"""Arguments of the public functions that cannot be used are refused in one sentence before anything is computed."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from inspect import unwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from refusals import weather

import fieldcast
from fieldcast import arguments, runtime
from fieldcast.errors import InputError
from fieldcast.fields.stations import read_stations
from fieldcast.inference.cycle.record_cycle import RecordCycle
from fieldcast.inference.gaps.filling import TrustLimits
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.replicas import choose_device

CONF = Path(__file__).parents[1] / "conf"
MODEL = "reconstruct.climatology"
NO_SEEDS = (-1, 2**64, 1.5, True, "a", None)
NO_COUNTS = (1.5, math.nan, "3", None, 0, True, 10**30)
NO_ERRORS = (math.nan, math.inf, -1.0, "a", [1.0])


def sentence(function: Callable[..., Any], *args: Any, **options: Any) -> str:
    """The refusal of a function of which types are not checked by the tests before it can check them."""
    with pytest.raises(InputError) as caught:
        unwrap(function)(*args, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and ": " in text, text
    return text


@pytest.fixture(scope="module")
def model() -> TrainedModel:
    return fieldcast.fit(weather(), MODEL, conf=CONF)


def of_task(model: TrainedModel, task: str) -> TrainedModel:
    header = {**model.checkpoint.header, "task": task}
    return replace(model, checkpoint=replace(model.checkpoint, header=header))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gaps", ("segmnt", None, True)),
        ("missing", ("trian", None, True)),
        ("conf", (3, "", "a\0b")),
        ("fit", (5, [1], "steps")),
        ("seed", NO_SEEDS),
        ("device", (3, None)),
    ],
)
def test_arguments_of_fit(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        if (name, value) != ("conf", None):
            assert sentence(fieldcast.fit, weather(), MODEL, **{name: value}).startswith(f"{name} ")


def test_experiments_are_texts() -> None:
    for value in (None, 3):
        assert sentence(fieldcast.fit, weather(), value).startswith(f"experiment = {value}: give a string")


def test_variables_have_texts_for_names() -> None:
    data = weather().rename(t2m=3)
    for given in (data, data[3]):
        assert "variable 3 of the data set has a name that is not a string" in sentence(
            fieldcast.fit, given, MODEL, conf=CONF
        )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("members", (*NO_COUNTS[:4], -1, True)),
        ("learned", ("no", 1, None)),
        ("max_minutes", (math.nan, -1, "a")),
        ("gaps", ("segmnt", None)),
        ("seed", NO_SEEDS),
    ],
)
def test_arguments_of_fill_gaps(name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        assert sentence(fieldcast.fill_gaps, weather(), **{name: value}).startswith(f"{name} ")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("members", NO_COUNTS),
        ("noise", (*NO_ERRORS, None)),
        ("representativeness", (*NO_ERRORS, {"t2m": math.nan})),
        ("seed", NO_SEEDS),
    ],
)
def test_arguments_of_fill(model: TrainedModel, name: str, values: tuple[Any, ...]) -> None:
    for value in values:
        assert sentence(TrainedModel.fill, model, weather(), **{name: value}).startswith(f"{name} ")


def test_limits_and_stations() -> None:
    for value in ("a", 1.5, math.nan, 0):
        given = SimpleNamespace(max_gap=value, max_spread=None)
        assert sentence(TrustLimits.__post_init__, given).startswith("max_gap ")
    for value in ("a", math.nan, 0.0, {"t2m": math.inf}):
        given = SimpleNamespace(max_gap=None, max_spread=value)
        assert sentence(TrustLimits.__post_init__, given).startswith("max_spread ")
    for value in ([1], {}, weather(), "", "a\0b"):
        assert sentence(read_stations, value, "the table").startswith("stations ")


def test_arguments_of_forecast_and_sample(model: TrainedModel) -> None:
    forecaster, sampler = of_task(model, "forecast"), of_task(model, "sample")
    for value in NO_COUNTS:
        assert sentence(TrainedModel.forecast, forecaster, weather(), value).startswith("steps ")
        assert sentence(TrainedModel.forecast, forecaster, weather(), 1, value).startswith("members ")
        assert sentence(TrainedModel.sample, sampler, value).startswith("count ")
    for value in NO_SEEDS:
        assert sentence(TrainedModel.forecast, forecaster, weather(), 1, 1, value).startswith("seed ")
        assert sentence(TrainedModel.sample, sampler, 1, value).startswith("seed ")


def test_arguments_of_score_cycle_and_load(model: TrainedModel, tmp_path: Path) -> None:
    assert sentence(fieldcast.score, weather(), weather(), seed="a").startswith("seed ")
    assert sentence(fieldcast.score, weather(), weather(), name=3).startswith("name ")
    cycle = partial(unwrap(RecordCycle.of.__func__), RecordCycle)
    given = {"members": 2, "seed": 0, "noise": 0.1, "withheld": 0.1, "where": "the record"}
    for name, value in (
        ("members", 1),
        ("members", "3"),
        ("noise", math.nan),
        ("withheld", 1.0),
        ("seed", None),
    ):
        assert sentence(cycle, None, model, weather(), **{**given, name: value}).startswith(f"{name} ")
    assert "updater = 'a': give a model that" in sentence(cycle, None, "a", weather(), **given)
    for value in (None, 3, b"a", "a\0b", ""):
        assert sentence(fieldcast.load, value).startswith("path ")
    assert sentence(fieldcast.load, "a", feedback="mode").startswith("feedback ")
    for value in ([1], {1: 2}):
        assert sentence(fieldcast.load, "a", options=value).startswith("options ")
    assert sentence(choose_device, None).startswith("device ")


def test_a_model_is_saved_to_files_only(model: TrainedModel, tmp_path: Path) -> None:
    file = tmp_path / "good.nc"
    file.write_bytes(b"good")
    for value in (str(tmp_path), str(tmp_path / ("x" * 300)), str(file / "x"), "", None, 3):
        sentence(TrainedModel.save, model, value)
    assert file.read_bytes() == b"good" and list(tmp_path.iterdir()) == [file]


def test_numbers_of_numpy_count() -> None:
    assert arguments.whole_number(np.int64(3), "n") == 3 == arguments.whole_number(np.array(3), "n")
    assert arguments.real_number(np.float32(0.5), "x") == 0.5 == arguments.real_number(np.array(0.5), "x")
    assert arguments.truth_value(np.bool_(True), "b") is True
    for value in (np.bool_(True), np.array([1, 2]), 1 + 0j, pd.NaT):
        assert sentence(arguments.whole_number, value, "n").startswith("n ")
        assert sentence(arguments.real_number, value, "x").startswith("x ")


def test_a_lack_of_memory_is_a_sentence() -> None:
    def allocate(error: Exception) -> None:
        raise error

    for error in (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 3 bytes"),
        RuntimeError("Storage size calculation overflowed with sizes=[9]"),
        MemoryError(),
    ):
        with pytest.raises(InputError, match=r"^out of memory: ask for fewer members"):
            runtime.reports_out_of_memory(allocate)(error)
    with pytest.raises(RuntimeError, match="another"):
        runtime.reports_out_of_memory(allocate)(RuntimeError("another"))
