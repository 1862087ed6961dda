"""Errors that a user can cause end with a sentence that names the place; a program fault keeps its traceback."""

import errno
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from fsspec.registry import _registry
from kedro.io import AbstractDataset, DataCatalog, DatasetError

from fieldcast.cli import cli, show
from fieldcast.datasets import JSONDataset
from fieldcast.errors import InputError
from fieldcast.frame.error_messages import sentence
from fieldcast.frame.preflight import check_versions, refuse_other_format
from fieldcast.frame.remote_root import refuse_unreachable, refuse_unusable_address

KEY = "sample.a.fit"


def given(**fit: Any) -> dict[str, Any]:
    return {"sample": {"a": {"fit": fit}}}


@pytest.fixture
def message(session: Any) -> Callable[..., str | None]:
    """Run the small project until it raises, and return the sentence for the error."""

    def run(*names: str, **options: Any) -> str | None:
        with pytest.raises(Exception) as caught:
            session(*names, **options)
        return sentence(caught.value)

    return run


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (given(step=9), f"{KEY}.step: there is no such option; did you mean {KEY}.steps?"),
        (
            given(rate={"strat": 1.0}),
            f"{KEY}.rate.strat: there is no such option; did you mean {KEY}.rate.start?",
        ),
        (given(steps="ten"), f"{KEY}.steps = 'ten' should be a valid integer"),
        (given(end="badly"), f"{KEY}.end = 'badly' should be 'well', 'refused'"),
        ({"sede": 1}, "--params sede: there is no such parameter; did you mean seed?"),
        (
            {"sample": {"aa": {"fit": {"steps": 1}}}},
            "--params sample.aa.fit.steps: there is no such parameter; did you",
        ),
        (
            {"sample": {"aa": {"model": {"latent": 1}}}},
            "--params sample.aa.model.latent: there is no such parameter; did you",
        ),
        (
            {"sampel": {"a": {"fit": {"steps": 1}}}},
            "--params sampel.a.fit.steps: there is no such parameter; did you mean sample?",
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


def test_names(message: Any) -> None:
    """Kedro's own texts, as the installed version writes them."""
    assert message("sample.c").startswith(
        "there is no pipeline or experiment 'sample.c'; did you mean sample.a"
    )
    assert message("nosuch") == (
        "there is no pipeline or experiment 'nosuch'. `kedro registry list` lists the pipelines."
    )
    text = message("training", namespaces=["sample.d"])
    assert text.startswith("nothing in this pipeline has the namespace 'sample.d'; did you mean sample.")
    for namespace in ("sample.a", "sample"):
        text = message("ingestion", namespaces=[namespace])
        assert text.startswith(
            f"none of the selected pipelines has nodes of '{namespace}': leave --pipelines"
        )
    assert message("training", tags=["forecast"]).startswith(
        "no node matches the selection; `kedro registry describe` lists the nodes"
    )


@pytest.mark.parametrize(
    ("option", "kind", "listing"),
    [
        ("node_names", "nodes", "registry describe` lists the nodes"),
        ("from_nodes", "nodes", "registry describe` lists the nodes"),
        ("from_inputs", "datasets", "catalog describe-datasets` lists them"),
        ("to_outputs", "datasets", "catalog describe-datasets` lists them"),
    ],
)
def test_names_of_nodes_and_data_sets(message: Any, option: str, kind: str, listing: str) -> None:
    expected = f"there is no 'x' among the {kind}; `kedro {listing}."
    assert message("ingestion", **{option: ["x"]}) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("fields: [", "FILE, line 2, is not valid YAML (did not find expected node content): correct it."),
        (
            "x: 1\ny: !!python/object:os.system {}",
            "FILE, line 2, has the YAML tag 'tag:yaml.org,2002:python/object:os.system', which no file of "
            "configuration may use: remove it.",
        ),
        ("x: 1\nx: 2", "FILE, line 2, is not valid YAML (found duplicate key x): correct it."),
        ("- 1", "FILE is a list, not a mapping of keys to values"),
        ("hello", "FILE is a single value, not a mapping of keys to values"),
        ("a: &a [*a]", "FILE contains itself, or is nested too deeply"),
        ("a: " + 5000 * "[" + 5000 * "]", "FILE contains itself, or is nested too deeply"),
        ("a: \udcff", "FILE is not text in UTF-8: save it as UTF-8."),
        ("fields: {type: MemoryDataset}", "configuration: Duplicate keys found in "),
        (
            "other: {type: MemoryDataset, x: '${nothing}'}",
            "FILE, other.x: Interpolation key 'nothing' not found: set it, or correct its name, or write \\${ where a "
            "value, such as a path, holds ${ itself.",
        ),
        (
            "other: {type: MemoryDataset, x: [1, '${nothing}']}",
            "FILE, other.x[1]: Interpolation key 'nothing' not",
        ),
        (
            "other: {type: MemoryDataset, x: '${nothing'}",
            "FILE, other.x: no viable alternative at input '${nothing': correct it.",
        ),
        (
            "other: {type: MemoryDataset, x: '${globals:nope}'}",
            "FILE, other.x: Globals key 'nope' not found and no default value provided: set it, or correct its name.",
        ),
    ],
)
def test_a_catalog_that_cannot_be_read(toy: Path, message: Any, content: str, expected: str) -> None:
    file = toy / "conf/base/catalog_2.yml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    text = message("ingestion")
    assert text.startswith(expected.replace("FILE", str(file.relative_to(toy)))) and "\n" not in text


def test_outputs_of_earlier_stages_are_required(message: Any) -> None:
    assert message("training") == "'fields' does not exist yet: run `kedro run --pipelines ingestion` first."


def test_a_program_fault_is_no_sentence(message: Any) -> None:
    assert message("sample.a", parameters=given(end="broken")) is None


def test_a_configuration_that_cannot_be_read(toy: Path, message: Any) -> None:
    file = toy / "conf/base/parameters/experiments/sample/b.yml"
    file.write_text("sample: {b: {model: [}}")
    assert message("ingestion").startswith("conf")
    file.write_text("sample: {b: {model: {type: '${nothing}'}}}")
    assert message("ingestion").startswith(
        f"{file.relative_to(toy)}, sample.b.model.type: Interpolation key 'nothing' not found: set it, or"
    )
    file.write_text("sample: {b: {modle: {}}}")
    assert (
        message("ingestion")
        == f"{file.relative_to(toy)}: an experiment has no key 'modle'; did you mean model?"
    )


def _caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            _caused(DatasetError("fields: Failed while\nloading"), InputError("a.nc is no file.")),
            "a.nc is no file.",
        ),
        (_caused(DatasetError("a\nb"), DatasetError("'a.zarr' is cut short")), "'a.zarr' is cut short"),
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
def test_causes(error: Exception, expected: str) -> None:
    assert (sentence(error) or "").startswith(expected)


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EIO, "Input/output error"), ValueError("shapes")]
)
def test_no_sentence_is_invented(error: Exception) -> None:
    assert sentence(error) is None


def test_the_command_line_shows_it(kedro: Any) -> None:
    process = kedro("run", "--pipelines", "sample.a", "--params", "sample.a.fit.step=9")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines() == [
        "fieldcast: sample.a.fit.step: there is no such option; did you mean sample.a.fit.steps?"
    ]
    assert output == ""


def test_a_missing_environment(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "bse")
    assert message("ingestion") == "there is no environment 'bse'; there are base."


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


@pytest.mark.parametrize("value", ["x,y.nc", "1,seed"])
def test_a_comma_in_a_parameter(value: str) -> None:
    with pytest.raises(InputError, match=r"commas separate parameters: .* belongs in a file"):
        cli.main(["run", "--params", f"data_root={value}"], standalone_mode=False)


def test_a_protocol_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)  # as where it is not installed
    monkeypatch.delitem(_registry, "s3", raising=False)  # which an earlier test may have filled
    with pytest.raises(DatasetError) as caught:
        JSONDataset(filepath="s3://bucket/a.json").exists()
    text = sentence(caught.value) or ""
    assert text.startswith("'s3://bucket/a.json' needs a package that is not installed (Install s3fs"), text
    assert "data_root" in text
    with pytest.raises(
        InputError, match=r"s3://bucket/run needs a package .* \(Install s3fs .*fieldcast\[s3\]'`"
    ):
        refuse_unusable_address("s3://bucket/run", {})


@pytest.mark.parametrize(
    ("option", "name", "end"),
    [
        ("node_names", "mak", "there is no 'mak' among the nodes; did you mean make?"),
        ("to_outputs", "storde", "there is no 'storde' among the datasets; did you mean stored?"),
        (
            "to_outputs",
            "sample.a.scores",
            "none of the selected pipelines has 'sample.a.scores': leave --pipelines",
        ),
    ],
)
def test_a_misspelt_node_or_data_set_has_a_suggestion(message: Any, option: str, name: str, end: str) -> None:
    assert message("ingestion", **{option: [name]}).startswith(end)


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


def test_a_node_of_a_pipeline_that_is_only_run_by_name(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldcast.pipeline_registry.COMPLETE", ("ingestion", "sample.a"))
    name = "sample.a.training.fit"
    expected = f"'{name}' is in the pipeline sample.a: select it with --pipelines sample.a."
    assert message("ingestion", node_names=[name]) == expected


def test_a_version_that_does_not_exist_is_refused_with_the_newest_that_do(tmp_path: Path) -> None:
    for day in range(1, 5):
        folder = tmp_path / "a.json" / f"2021-01-0{day}T00.00.00.000Z"
        folder.mkdir(parents=True)
        (folder / "a.json").write_text("{}")
    entry = {"type": "json.JSONDataset", "filepath": str(tmp_path / "a.json"), "versioned": True}
    absent, present = "2020-01-01T00.00.00.000Z", "2021-01-01T00.00.00.000Z"
    check_versions({"a": present}, DataCatalog.from_config({"a": entry}, load_versions={"a": present}))
    with pytest.raises(
        InputError, match=rf"'a' has no version {absent}: .*2021-01-04\S+, 2021-01-03\S+, 2021-01-02"
    ):
        check_versions({"a": absent}, DataCatalog.from_config({"a": entry}, load_versions={"a": absent}))


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
            "catalog, fields: Dataset 'NoSuchDataset' not found in 'pandas': correct its 'type', or install",
        ),
        (
            {"type": "nopackage.NoSuchDataset"},
            "catalog, fields: No module named 'nopackage': correct its 'type', or install the package of that name.",
        ),
        (
            {"type": "fieldcast.datasets.ZarrDataset", "pth": "x.zarr"},
            "got an unexpected keyword argument 'pth': give only options of fieldcast.datasets.zarr_store.ZarrDataset.",
        ),
    ],
)
def test_an_entry_of_which_no_data_set_can_be_made_is_named(entry: dict[str, str], expected: str) -> None:
    with pytest.raises(DatasetError) as caught:
        AbstractDataset.from_config("fields", entry)
    text = sentence(caught.value) or ""
    assert text.startswith("catalog, fields: ") and expected in text
