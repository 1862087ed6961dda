"""Tags, parameters and metrics of a run, as plain names and values."""

import getpass
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from fieldcast import experiments
from fieldcast.errors import InputError
from fieldcast.experiments import nearest
from fieldcast.lineage import leaves

OPTIONS: dict[str, Any] = {"tracking": True, "uri": None, "experiment": "fieldcast"}
PACKAGES = (
    "fieldcast",
    "kedro",
    "mlflow-skinny",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "torch",
    "xarray",
    "zarr",
)

Value = tuple[str, float, int, int]  # key, value, milliseconds since 1970, step


def options(conf: Path, env: str | None) -> dict[str, Any]:
    """Read `tracking.yml` of base, local and the environment of the run; later ones override earlier ones.

    A tracking server belongs to the machine, so `local` counts in every environment.
    Raises InputError for an unknown key.
    """
    merged = dict(OPTIONS)
    for file in (conf / folder / "tracking.yml" for folder in ("base", "local", env or "local")):
        given = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else None
        for key, value in (given or {}).items():
            if key not in OPTIONS:
                raise InputError(
                    f"{file.relative_to(conf.parent)} has no key '{key}'{nearest(str(key), OPTIONS)}"
                )
            merged[key] = value
    return merged


def as_text(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters by dotted name, as MLflow keeps them."""
    return {name: str(value) for name, value in leaves(parameters)}


def shared(parameters: Mapping[str, Any], tasks: set[str]) -> dict[str, str]:
    """The parameters that belong to no experiment, as `as_text` gives them."""
    return as_text({name: value for name, value in parameters.items() if name not in tasks})


def scores(data: Any, now: int) -> list[Value]:
    """Name scores as all experiments do, `crps/random/0.10` (score, pattern, k), for MLflow.

    `data` is a mapping of names to numbers, or a tidy table with the columns `score` and `value`; of a table only
    the rows for all variables and unobserved cells are used.
    """
    if isinstance(data, Mapping):
        named = {str(key): value for key, value in data.items()}
    else:
        for column, value in (("variable", "all"), ("cells", "unobserved")):
            if column in data.columns:
                data = data[data[column] == value]
        names = ("score", "pattern", "k", "lead_hours", "region")
        places = [name for name in names if name in data.columns]
        named = {_path(row[:-1]): row[-1] for row in data[[*places, "value"]].itertuples(index=False)}
    return [(key, float(value), now, 0) for key, value in named.items() if math.isfinite(value)]


def history(data: Any, after: float, now: int) -> tuple[list[Value], float]:
    """Turn the rows of a training's history after the step `after` into metrics; also returns its last step."""
    fresh = data[data["step"] > after]
    columns = [name for name in fresh.select_dtypes("number").columns if name != "step"]
    values = [
        (str(name), float(row[name]), now, int(row["step"]))
        for row in fresh.to_dict("records")
        for name in columns
        if math.isfinite(row[name])
    ]
    return values, float(data["step"].max()) if len(data) else after


def description(name: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Tags of an experiment's run, from `about` in its YAML."""
    text = experiments.about(name, body.get("about"))
    tags = {
        "label": text.label,
        "family": text.family,
        "order": text.order,
        "mlflow.note.content": text.description,
    }
    return {key: str(value) for key, value in tags.items() if value not in (None, "")}


def about(run: Mapping[str, Any]) -> dict[str, str]:
    """Tags of the parent run: who ran what, where, with which versions."""
    versions = {f"version.{name}": _version(name) for name in PACKAGES}
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "mlflow.source.type": "LOCAL",
        "environment": run.get("env") or "local",
        "machine": f"{platform.node()}, {platform.platform(terse=True)}, {os.cpu_count()} cores",
        "version.python": platform.python_version(),
        **{key: value for key, value in versions.items() if value},
    }


def title(run: Mapping[str, Any]) -> str:
    """Name the parent run by its command."""
    options = {"env": [run["env"]] if run.get("env") else (), "pipelines": run.get("pipeline_names") or ()}
    options["namespaces"] = run.get("namespaces") or ()
    return " ".join(
        ["kedro run", *(f"--{key} {','.join(sorted(names))}" for key, names in options.items() if names)]
    )


def commit(project: Path) -> dict[str, str]:
    """Commit of the project and whether files were changed; empty outside a repository."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *command], cwd=project, capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    return {"mlflow.source.git.commit": head.strip(), "git.dirty": str(bool(changes.strip())).lower()}


def alive(process: int) -> bool:
    """Tell whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _path(parts: Iterable[Any]) -> str:
    """Join the parts that are not missing by slashes; fractions get two decimals where that is exact."""
    written = [
        f"{part:.2f}" if isinstance(part, float) and part >= 0.01 and round(part, 2) == part else f"{part}"
        for part in parts
    ]
    return "/".join(part for part in written if part not in ("nan", "None", ""))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
