"""Settings: no telemetry, environments that hold differences, and outputs under `data_root`."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from fieldcast.app.conf_source import named_folder

ROOT = Path(__file__).parents[1]
SWITCHES = ("DO_NOT_TRACK", "KEDRO_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY")


def test_telemetry_is_off_before_kedro_or_mlflow_looks() -> None:
    code = "import os, sys, fieldcast.cli; print(*map(os.environ.get, sys.argv[1:]), 'mlflow' in sys.modules)"
    environment = {key: value for key, value in os.environ.items() if key not in SWITCHES}
    command = [sys.executable, "-c", code, *SWITCHES]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["true", "true", "true", "False"]
    assert (ROOT / ".telemetry").read_text() == "consent: false\n"


def test_a_refusal_before_pipelines_are_built_imports_no_library_that_takes_seconds() -> None:
    code = """
import sys
from collections.abc import Iterator, Mapping
from fieldcast.__main__ import main
try:
    main(["run", "--env", "nothing"], standalone_mode=False)
except ValueError as error:
    print(error, {"torch", "pandas", "xarray", "matplotlib", "mlflow", "scipy", "sklearn"} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.startswith("there is no environment 'nothing'") and run.stdout.endswith("set()\n")


def test_an_environment_changes_what_it_names_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    bootstrap_project(ROOT)
    parameters = {}
    for env in ("base", "test"):
        with KedroSession.create(ROOT, env=env) as session:
            parameters[env] = session.load_context().config_loader["parameters"]
    base, test = parameters["base"], parameters["test"]
    assert base["limits"] == {} and test["limits"]["steps"] == 2
    assert base.keys() == test.keys() and base["evaluation"] == test["evaluation"]


@pytest.mark.parametrize("env", ["base", "test"])
def test_data_root_moves_every_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: str) -> None:
    monkeypatch.chdir(ROOT)
    bootstrap_project(ROOT)
    with KedroSession.create(ROOT, env=env, runtime_params={"data_root": str(tmp_path)}) as session:
        catalog = session.load_context().config_loader["catalog"]
    paths = list(paths_in(catalog))
    assert len(paths) > len(catalog) - 8 and all(path.startswith(f"atomic://{tmp_path}") for path in paths)


def paths_in(entry: Mapping[str, Any]) -> Iterator[str]:
    """All paths of a data set, and of the data sets within it."""
    for key, value in entry.items():
        if isinstance(value, dict):
            yield from paths_in(value)
        elif key in ("filepath", "path", "state"):
            yield value


def test_a_subfolder_has_the_configuration_of_its_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "docs")
    assert (named_folder() / "logging.yml").samefile(ROOT / "conf/logging.yml")


def test_logging_is_short_lines_on_stderr(toy: Path) -> None:
    command = [sys.executable, "-m", "toy", "run", "--pipelines", "ingestion"]
    (toy / "src/toy/__main__.py").write_text(
        (ROOT / "src/fieldcast/__main__.py").read_text().replace('"fieldcast"', '"toy"')
    )
    environment = {**os.environ, "PYTHONPATH": f"{toy / 'src'}{os.pathsep}{ROOT / 'src'}"}
    run = subprocess.run(command, cwd=toy, env=environment, capture_output=True, text=True, check=True)
    (line,) = run.stderr.splitlines()
    assert line.endswith("1/1  make") and len(line) < 30
    assert run.stdout == ""


def test_a_wheel_runs_with_the_configuration_that_it_holds(tmp_path: Path) -> None:
    """Outside of any project, and without what is local to the machine that built it."""
    built, elsewhere = tmp_path / "built", tmp_path / "elsewhere"
    elsewhere.mkdir()
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    packed = {
        str(file.relative_to(built / "fieldcast/conf")) for file in built.glob("fieldcast/conf/**/*.yml")
    }
    project = {str(file.relative_to(ROOT / "conf")) for file in ROOT.glob("conf/**/*.yml")}
    assert (
        packed == {name for name in project if not name.startswith("local")} and "base/catalog.yml" in packed
    )
    environment = {**os.environ, "PYTHONPATH": str(built)}
    command = [sys.executable, "-m", "fieldcast", "run", "--env", "nowhere"]
    run = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, check=False)
    assert run.stderr.startswith("fieldcast: there is no environment 'nowhere'; there are base, demo,")


def test_packages_of_the_extras_are_imported_where_they_are_needed_and_not_before() -> None:
    """A wheel without extras imports every module but the model for MLflow."""
    extras = {
        "dask_jobqueue",
        "distributed",
        "gcsfs",
        "kedro_viz",
        "mlflow",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "psutil",
        "pyproj",
        "s3fs",
    }
    package = ROOT / "src/fieldcast"
    importing = set()
    for file in package.rglob("*.py"):
        for statement in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [
                alias.name for alias in getattr(statement, "names", ()) if isinstance(statement, ast.Import)
            ]
            names += [statement.module or ""] if isinstance(statement, ast.ImportFrom) else []
            if extras & {name.partition(".")[0] for name in names}:
                importing.add(str(file.relative_to(package)))
    assert importing == {"app/tracking/pyfunc_model.py"}
