"""Errors that a user can cause end with a sentence that names the place; a program fault keeps its traceback."""

import errno
import re
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from fsspec.registry import _registry
from kedro.framework.cli.project import run as kedro_run
from kedro.io import AbstractDataset, DataCatalog, DatasetError, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro.runner import ThreadRunner
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import InterpolationKeyError
from pydantic import ValidationError, create_model

from fieldcast.app.conf_source import CATALOG, CONTEXT
from fieldcast.app.error_messages import refusal_of_kedro, sentence
from fieldcast.app.preflight import (
    check_command,
    check_environment,
    check_files,
    refuse_other_format,
    refuse_unreachable,
    refuse_unusable_address,
)
from fieldcast.cli import cli, show
from fieldcast.datasets import ZarrDataset
from fieldcast.datasets.base import DamagedError
from fieldcast.errors import InputError
from fieldcast.inference.file_options import ForecastScores

KEY = "sample.a.fit"


def given(**fit: Any) -> dict[str, Any]:
    return {"sample": {"a": {"fit": fit}}}


@pytest.fixture
def message(session: Any) -> Callable[..., str | None]:
    """Run the small project until it raises, and return the sentence that the command line shows."""

    def run(*names: str, **options: Any) -> str | None:
        with pytest.raises(Exception) as caught:
            session(*names, **options)
        return sentence(caught.value) or refusal_of_kedro(caught.value)

    return run


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (
            given(step=9),
            f"Parameter validation failed: - Parameter '{KEY}': Failed to instantiate Fit for",
        ),
        (
            given(steps="ten"),
            f"Parameter validation failed: - Parameter '{KEY}': Failed to instantiate Fit for",
        ),
        ({"sede": 1}, "--params sede: there is no such parameter; did you mean seed?"),
        (
            {"sampel": {"a": {"fit": {"steps": 1}}}},
            "--params sampel: there is no such parameter; did you mean sample?",
        ),
        (
            {"data_root": "x  seed=1"},
            "--params data_root=x  seed=1: write a comma, not a blank, before seed.",
        ),
        ({"data_rot": "x"}, "--params data_rot: there is no such parameter; did you mean data_root?"),
        (given(end="refused"), "the toy is refused: give it a name."),
        (
            given(end="full"),
            "the disk is full (toy.json): make room, or choose another folder with --params data_root",
        ),
    ],
)
def test_parameters(message: Any, parameters: dict[str, Any], expected: str) -> None:
    text = message("sample.a", parameters=parameters)
    assert text.startswith(expected)
    assert "\n" not in text


@pytest.mark.parametrize(
    "parameters",
    [
        {"seed": 1},
        given(steps=1),
        {"data_root": "elsewhere"},
        {"sample": {"a": {"model": {"prior": {"k": 3}}}}},
    ],
)
def test_a_parameter_that_something_reads_is_accepted(
    toy: Path, session: Any, parameters: dict[str, Any]
) -> None:
    session("ingestion", "sample.a", parameters=parameters)
    assert (toy / parameters.get("data_root", "data") / "stored.json").exists()


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        (["sample.c"], {}, "the pipeline named 'sample.c'"),
        (["nosuch"], {}, "the pipeline named 'nosuch'"),
        (
            ["ingestion"],
            {"namespaces": ["sample.a"]},
            "['sample.a'] ('sample.a' is of another pipeline: name it by --pipelines sample.a).",
        ),
        (["training"], {"tags": ["forecast"]}, "no nodes after applying all provided filters"),
        (
            ["ingestion"],
            {"node_names": ["mak"]},
            "nodes named ['mak'] (names are looked up in the pipelines of",
        ),
        (["ingestion"], {"from_nodes": ["x"]}, "nodes named ['x'] (names are"),
        (["ingestion"], {"from_inputs": ["x"]}, "datasets named ['x'] (names are"),
        (["ingestion"], {"to_outputs": ["storde"]}, "datasets named ['storde'] (names are"),
        (["sample.a"], {"node_names": ["fit"]}, "nodes named ['fit']. Did you mean"),
        (["sample.a"], {"to_outputs": ["sample.b.checkpoint"]}, "by --pipelines training or all)."),
    ],
)
def test_a_name_that_does_not_exist_is_refused_in_the_words_of_kedro(
    message: Any, names: list[str], options: dict[str, Any], expected: str
) -> None:
    text = message(*names, **options)
    assert expected in text and text.endswith(".") and "\n" not in text


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--runner", "Foo"], "module 'kedro.runner' has no attribute 'Foo'"),
        (["--runner", "package.module.Runner"], "No module named 'package'"),
        (["--runner-params", "max_wrkers=2"], "got an unexpected keyword argument 'max_wrkers'"),
        (["--runner", "ThreadRunner", "--runner-params", "max_workers=0"], "max_workers should be positive"),
    ],
)
def test_a_runner_that_cannot_be_made_is_refused_before_a_session(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: str
) -> None:
    CONTEXT.set(None), CATALOG.set(None)  # those of an earlier test
    error = CliRunner().invoke(cli, ["run", *words]).exception
    assert error is not None and expected in (refusal_of_kedro(error) or "")


def test_a_value_error_is_a_sentence_only_from_kedro_and_before_the_first_node(session: Any) -> None:
    """Neither a library's within a node, nor this package's."""
    assert refusal_of_kedro(ValueError("never raised")) is None
    with pytest.raises(ValueError, match="x") as caught:
        int("x")
    assert refusal_of_kedro(caught.value) is None
    with pytest.raises(ValueError, match="max_workers") as caught:
        ThreadRunner(max_workers=0)
    CATALOG.set(None)
    assert refusal_of_kedro(caught.value) is not None
    session("ingestion")
    assert refusal_of_kedro(caught.value) is None


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("fields: [", "configuration: Invalid YAML or JSON file "),
        (
            "x: 1\ny: !!python/object:os.system {}",
            "configuration: could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system' "
            "(line 2)",
        ),
        ("x: 1\nx: 2", "configuration: found duplicate key x (line 2)."),
        ("- 1", "configuration: ListConfig does not support attribute access"),
        ("hello", "Catalog entry 'hello' is not a valid dataset configuration."),
        ("a: &a [*a]", "configuration: a file contains itself, or is nested too deeply."),
        ("a: " + 5000 * "[" + 5000 * "]", "configuration: a file contains itself, or is nested too deeply."),
        ("a: \udcff", "configuration: a file is not text in UTF-8"),
        ("fields: {type: MemoryDataset}", "Duplicate keys found in "),
        (
            "other: {type: MemoryDataset, x: '${nothing}'}",
            "configuration: Interpolation key 'nothing' not found (other.x).",
        ),
        (
            "other: {type: MemoryDataset, x: '${globals:nope}'}",
            "configuration: Globals key 'nope' not found and no default value provided (other.x).",
        ),
    ],
)
def test_a_catalog_that_cannot_be_read(toy: Path, message: Any, content: str, expected: str) -> None:
    file = toy / "conf/base/catalog_2.yml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    CATALOG.set(None)  # that of an earlier test
    text = message("ingestion")
    assert text.startswith(expected) and "\n" not in text


def test_outputs_of_earlier_stages_are_required(message: Any) -> None:
    assert message("training") == "'fields' does not exist yet: run `kedro run --pipelines ingestion` first."


def test_a_program_fault_is_no_sentence(message: Any) -> None:
    assert message("sample.a", parameters=given(end="broken")) is None


def test_a_configuration_that_cannot_be_read(toy: Path, message: Any) -> None:
    file = toy / "conf/base/parameters/experiments/sample/b.yml"
    file.write_text("sample: {b: {model: [}}")
    assert message("ingestion").startswith("conf")
    file.write_text("sample: {b: {model: {type: '${nothing}'}}}")
    assert message("ingestion") == (
        "configuration: Interpolation key 'nothing' not found (sample.b.model.type)."
    )


def _caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def _invalid() -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        create_model("Fit", steps=(int, 1))(steps="many")
    return caught.value


def _malformed() -> yaml.YAMLError:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load("fields: [")
    return caught.value


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            _caused(DatasetError("fields: Failed while\nloading"), InputError("a.nc is no file.")),
            "a.nc is no file.",
        ),
        (_caused(DatasetError("a\nb"), DatasetError("'a.zarr' is cut short")), "'a.zarr' is cut short"),
        (
            _caused(DatasetError("a\nb"), FileNotFoundError(errno.ENOENT, "No such file", "x.csv")),
            "'x.csv' does not exist: run the stage that writes it first",
        ),
        (
            _caused(DatasetError("a\nb"), DamagedError("x.zarr", "a chunk is missing")),
            "'x.zarr' is damaged (a chunk is missing)",
        ),
        (_invalid(), "Fit.steps = 'many' should be a valid integer."),
        (ParameterValidationError("failed:\n- steps"), "failed: - steps"),
        (InterpolationKeyError("key 'x' not found\n  full_key: y"), "configuration: key 'x' not found."),
        (_malformed(), "configuration: expected the node content"),
        (
            _caused(RuntimeError("io"), RuntimeError("No space left on device (os error 28)")),
            "the disk is full: ",
        ),
        (
            PermissionError(errno.EACCES, "denied", "/d/x.csv"),
            "there is no permission to read or write here (/d/x.csv)",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "x"),
            "there is no permission to read or write here (x)",
        ),
        (MemoryError(), "out of memory"),
        (RuntimeError("could not create a primitive"), "out of memory"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"
            ),
            "out of memory",
        ),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
            "out of memory",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out of memory"),
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "/d/xxx"),
            "the name is too long for this file system (/d/xxx): shorten it, or choose another folder",
        ),
    ],
)
def test_each_kind_of_error_that_a_user_can_cause_has_its_sentence(error: Exception, expected: str) -> None:
    assert (sentence(error) or "").startswith(expected)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EIO, "Input/output error"), ValueError("shapes")]
)
def test_no_sentence_is_invented(error: Exception) -> None:
    assert sentence(error) is None


def test_the_command_line_shows_it(kedro: Any) -> None:
    process = kedro("run", "--pipelines", "sample.a", "--params", "sede=1")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines() == ["fieldcast: --params sede: there is no such parameter; did you mean seed?"]
    assert output == ""


def test_a_missing_environment(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "bse")
    assert message("ingestion") == "there is no environment 'bse'; there are base, demo."


def test_a_traceback_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    error = InputError("a.nc is no file.")
    show(InputError, error, None)
    assert capsys.readouterr() == ("", "fieldcast: a.nc is no file.\n")
    monkeypatch.setenv("FIELDCAST_TRACEBACK", "1")
    show(InputError, error, None)
    assert "fieldcast.errors.InputError: a.nc is no file." in capsys.readouterr().err


def test_a_fault_of_the_program_has_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    show(KeyError, KeyError("x"), None)
    assert "KeyError: 'x'" in capsys.readouterr().err


def test_a_protocol_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    monkeypatch.delitem(_registry, "s3", raising=False)  # which an earlier test may have filled
    with pytest.raises(DatasetError) as caught:
        ZarrDataset(filepath="s3://bucket/a.zarr").exists()
    text = sentence(caught.value) or ""
    assert text.startswith("'s3://bucket/a.zarr' needs a package that is not installed (Install s3fs"), text
    assert "data_root" in text
    with pytest.raises(
        InputError, match=r"s3://bucket/run needs a package .* \(Install s3fs .*fieldcast\[s3\]'`"
    ):
        refuse_unusable_address("s3://bucket/run", {})


@pytest.mark.parametrize(
    ("output", "refused"),
    [("filled.zarr", True), ("filled.NC", False), ("sst_0.25", False), ("filled", False)],
)
def test_a_result_whose_name_says_another_format(output: str, refused: bool) -> None:
    expected = pytest.raises(InputError, match="results are NetCDF") if refused else nullcontext()
    with expected:
        refuse_other_format(output, "fill.output")


def test_a_tag_that_no_node_has_is_refused_beside_one_that_selects(message: Any) -> None:
    expected = "--tags frist: no node has this tag; the tags are first."
    assert message("ingestion", tags=["first", "frist"]) == expected


def test_an_address_that_lacks_its_host_is_refused_before_a_data_set_is_made(message: Any) -> None:
    text = message("ingestion", parameters={"data_root": "ftp://x/y"})
    assert text.startswith(
        "data_root = ftp://x/y cannot be opened (missing a required argument: 'host'): give a"
    )
    assert "\n" not in text


def test_results_in_memory_end_with_the_process(caplog: pytest.LogCaptureFixture) -> None:
    refuse_unreachable("memory://run", {})
    assert caplog.messages == ["data_root = memory://run: results in memory:// end with this process."]


def test_a_data_root_with_a_name_too_long(message: Any) -> None:
    text = message("ingestion", parameters={"data_root": "x" * 300})
    assert text is not None and "too long" in text.lower() and "data_root" in text and "\n" not in text


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (
            {"type": "pandas.NoSuchDataset", "filepath": "x.csv"},
            "Dataset 'NoSuchDataset' not found in 'pandas'",
        ),
        ({"type": "nopackage.NoSuchDataset"}, "No module named 'nopackage'"),
        (
            {"type": "fieldcast.datasets.ZarrDataset", "pth": "x.zarr"},
            "got an unexpected keyword argument 'pth'. Dataset 'fields' must only contain arguments valid for the",
        ),
    ],
)
def test_an_entry_of_which_no_data_set_can_be_made_is_named(entry: dict[str, str], expected: str) -> None:
    CATALOG.set(None)  # that of an earlier test
    with pytest.raises(DatasetError) as caught:
        AbstractDataset.from_config("fields", entry)
    text = refusal_of_kedro(caught.value) or ""
    assert expected in text and "'fields'" in text and "\n" not in text


def test_an_error_of_a_clean_up_after_a_signal_leaves_the_exit_code(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(AttributeError) as caught:
        try:
            raise SystemExit(130)
        finally:
            None.clean_up()  # type: ignore[attr-defined]
    with pytest.raises(SystemExit) as ended:
        show(AttributeError, caught.value, None)
    assert ended.value.code == 130 and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--async"], "--async is not supported"),
        (["--runner-params", "is_async=true"], "--async is not supported"),
        (["--pipelines", "gaps"], "--pipelines gaps: the pipeline is now called gap_filling."),
        (["--pipelines", "fill,cycle"], "--pipelines cycle: the pipeline is now called record_cycle."),
    ],
)
def test_the_command_line_is_checked_before_anything_is_read(words: list[str], expected: str) -> None:
    command = click.Context(kedro_run)
    kedro_run.parse_args(command, words)
    with pytest.raises(InputError, match=f"^{re.escape(expected)}"):
        check_command(command)
    check_command(None)


def test_an_environment_by_its_old_name_is_refused_with_the_new_one(toy: Path) -> None:
    with pytest.raises(InputError, match=r"^--env gaps: the environment is now called gap_filling\.$"):
        check_environment(toy / "conf", "gaps")


def test_files_that_are_not_named_are_asked_for_before_a_run_is_recorded() -> None:
    pipeline = Pipeline([node(len, "params:forecast_scores", "scores", name="score")])
    for given, missing in ((ForecastScores(), "forecasts"), (ForecastScores(forecasts=__file__), "stations")):
        catalog = DataCatalog({"params:forecast_scores": MemoryDataset(given)})
        with pytest.raises(InputError, match=f"forecast_scores.{missing} is not set: say which file"):
            check_files(pipeline, catalog)
