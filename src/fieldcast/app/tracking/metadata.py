"""Title, tags and description of a run, as plain text, and the parameters that its nodes read."""

from __future__ import annotations

import getpass
import json
import math
import os
import platform
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.project import settings

from fieldcast import experiments, lineage
from fieldcast.app.tracking import metrics
from fieldcast.arguments import nearest
from fieldcast.errors import InputError
from fieldcast.inference.file_options import FILE_COMMANDS
from fieldcast.lineage import leaves

if TYPE_CHECKING:
    from fieldcast.scores.headline import Headline

OPTIONS: dict[str, Any] = {"tracking": True, "uri": None, "experiment": "fieldcast", "register": False}
MAX_LISTED = 10  # contents that a sentence names, at most
MAX_NAMED = 3  # pipelines, and parameters, in the title of a run
# parameters that hold paths
LOCATIONS = (*(key for command in FILE_COMMANDS for key in command.files), "ingestion.path", "data_root")
PACKAGES = (*lineage.PACKAGES, "kedro", "mlflow-skinny", "pandas", "scikit-learn", "zarr")

# name, type and shape of each variable of a data set
Variables = tuple[tuple[str, str, tuple[int, ...]], ...]

# arguments of a run that select its nodes: groups of them, and single ones, by the word before their names in a title
GROUPS = ("pipeline_names", "namespaces", "tags")
SINGLE = {
    "only": ("node_names",),
    "from": ("from_nodes", "from_inputs"),
    "to": ("to_nodes", "to_outputs"),
}
FIT = "fit"  # options of the training of an experiment, beside its model
TUNING = "tuning"  # the one among them for a model in closed form: the number of states on which it is tuned


def shorten(names: Sequence[str], limit: int = MAX_LISTED) -> str:
    """Join the first names of a list, with the number of further ones."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def options(configured: Mapping[str, Any]) -> dict[str, Any]:
    """The options in `tracking.yml`, and defaults; raises InputError for an unknown key."""
    for key in configured:
        if key not in OPTIONS:
            raise InputError(f"tracking.yml has no key '{key}'{nearest(str(key), OPTIONS)}")
    return {**OPTIONS, **configured}


def variables(data: Any) -> Variables:
    """Name, type and shape of each variable of a data set, at any number of times (-1); none of anything else."""
    return tuple(
        (str(name), str(array.dtype), (-1, *array.shape[1:]))
        for name, array in getattr(data, "data_vars", {}).items()
    )


def description(name: str, body: Mapping[str, Any]) -> dict[str, str]:
    """Tags of an experiment's run, from `about` in its YAML."""
    text = experiments.description_of(name, body.get("about"))
    tags = {
        "label": text.label,
        "family": text.family,
        "order": text.order,
        "mlflow.note.content": text.description,
    }
    return {key: str(value) for key, value in tags.items() if value not in (None, "")}


def source(run: Mapping[str, Any], data_root: str | None) -> dict[str, str]:
    """Tags of every run: who ran what, in which environment, and where its outputs are."""
    return {
        "mlflow.user": _user(),
        "mlflow.source.name": Path(sys.argv[0]).name,
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "mlflow.source.type": "LOCAL",
        "environment": run.get("env") or settings.CONFIG_LOADER_ARGS["default_run_env"],
        **({"data_root": data_root} if data_root else {}),
    }


def versions() -> dict[str, str]:
    """Tags of the parent run: the machine and the versions of packages."""
    return {
        "machine": f"{platform.node()}, {platform.platform(terse=True)}, {os.cpu_count()} cores",
        "version.python": platform.python_version(),
        **{f"version.{name}": version for name, version in lineage.versions(PACKAGES).items()},
    }


def command(run: Mapping[str, Any]) -> str:
    """The command of a run: `kedro run` with its environment, pipelines and namespaces."""
    selected = {"env": [run["env"]] if run.get("env") else (), "pipelines": run.get("pipeline_names") or ()}
    selected["namespaces"] = run.get("namespaces") or ()
    return " ".join(
        ["kedro run", *(f"--{key} {','.join(sorted(names))}" for key, names in selected.items() if names)]
    )


def title(run: Mapping[str, Any], parameters: Mapping[str, Any]) -> str:
    """Title of the parent run: what runs, the data, the environment, the changed parameters: "demo · planet · demo".

    Nodes and data sets where the run begins or ends follow its pipelines: "demo, to reporting.write_page · planet".
    """
    groups = named_in(run, GROUPS) - {"__default__"}
    clauses = (
        what_runs(run, groups),
        data_name(groups, parameters),
        run.get("env"),
        shorten_values(changes(run)),
    )
    return " · ".join(filter(None, clauses))


def what_runs(run: Mapping[str, Any], groups: Collection[str]) -> str:
    """Groups of nodes, such as pipelines, and the nodes or data sets that limit the run, one of each kind."""
    limits = {word: sorted(named_in(run, keys)) for word, keys in SINGLE.items()}
    clauses = [f"{word} {shorten(names, 1)}" for word, names in limits.items() if names]
    return ", ".join([shorten(sorted(groups), MAX_NAMED) or "demo", *clauses])


def named_in(run: Mapping[str, Any], keys: Iterable[str]) -> set[str]:
    """Everything that some arguments of a run name."""
    return {name for key in keys for name in run.get(key) or ()}


def title_of(address: str, run: Mapping[str, Any], names: Collection[str]) -> str:
    """Name the run of an experiment, and the changes to parameters `names`, which its nodes read.

    Its own name comes before its task: the lists of MLflow show some fifteen letters.
    """
    task, _, experiment = address.partition(".")
    changed = {
        name.removeprefix(f"{address}."): value
        for name, value in changes(run).items()
        if any(
            f"{name}.".startswith(f"{parameter}.") or parameter.startswith(f"{name}.") for parameter in names
        )
    }
    return " · ".join(filter(None, (f"{experiment} ({task})", shorten_values(changed))))


def changes(run: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that the command line sets, by dotted name, without the locations of data."""
    return {
        name: value
        for name, value in leaves(run.get("runtime_params") or {})
        if name not in LOCATIONS and not name.endswith(".output")
    }


def shorten_values(values: Mapping[str, Any]) -> str:
    """The first few of several parameters: "seed=1, fit.steps=9 and 2 more"."""
    return shorten([f"{name}={value}" for name, value in values.items()], MAX_NAMED)


def data_name(selected: Collection[str], parameters: Mapping[str, Any]) -> str:
    """Name the data of a run: the user's file that is filled, continued or cycled, else the source of the fields."""
    commands = [each for each in FILE_COMMANDS if {each.section, *each.pipelines} & {*selected}]
    for name in (name for each in commands if not each.ingests for name in each.files):
        if path := within(parameters, name):
            return Path(str(path)).name
    if commands and not any(each.ingests for each in commands):
        return ""  # its file is not named
    path = within(parameters, "ingestion.path")
    first = path[0] if isinstance(path, list) and path else path
    return Path(str(first)).name if first else str(within(parameters, "ingestion.source") or "")


def note(
    title: str, headlines: Mapping[str, Headline], bounds: Collection[str], links: Mapping[str, str]
) -> str:
    """Description of the parent run in Markdown: the best of each task, then the headlines, best first; else the title.

    MLflow folds a description after a few lines. Experiments in `bounds` are upper bounds on skill; `links` are the
    addresses of the experiments' runs.
    """
    if not headlines:
        return f"Pipelines, data, environment: {title}"
    best = sorted(metrics.best(headlines, bounds).items())
    lines = [f"Best {task}: [{name}]({links[name]}), {headlines[name].value:.4g}\n" for task, name in best]
    lines.append("Headlines, lower is better:\n")
    for task in sorted({address.partition(".")[0] for address in headlines}):
        ranked = sorted(
            (headline, address) for address, headline in headlines.items() if address.startswith(f"{task}.")
        )
        lines += [f"| {task} | {ranked[0][0].title} |", "|---|---|"]
        for headline, address in ranked:
            remark = " (bound)" if address in bounds else ""
            lines.append(f"| [{address}]({links[address]}){remark} | {headline.value:.4g} |")
        lines.append("")
    return "\n".join(lines)


def commit(project: Path) -> dict[str, str]:
    """Commit of the project and whether files were changed; empty outside a repository."""
    head, changed = lineage.revision(project)
    return {"mlflow.source.git.commit": head, "git.dirty": str(changed).lower()} if head else {}


def alive(process: int) -> bool:
    """Whether a process of this machine is running."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def as_text(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters by dotted name, as MLflow keeps them: in the notation of the YAML files, in one line."""
    return {name: notation(value) for name, value in leaves(parameters)}


def notation(value: Any) -> str:
    """A value as a YAML file would hold it: `null` for None, `[1, 2]` for a tuple, `.inf`; a text as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}".replace("inf", ".inf").replace("nan", ".nan")
    in_yaml = value is None or isinstance(value, bool | int | float | list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if in_yaml else str(value)


def parameters_in_use(parameters: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Parameters that nodes read, by dotted name, as `as_text` gives them; a model with the defaults of its class.

    Names without a value, options that a source or the fit of a model does not read, and parameters of the report alone
    (all experiments of a task, and lists of named comparisons) are left out.
    """
    values = {name: options_in_use(value_in_use(parameters, name)) for name in sorted(names)}
    return as_text(
        {
            name: with_default_options(value) if names_a_class(value) else value
            for name, value in values.items()
            if value is not None and not is_task(value) and not is_listing(value)
        }
    )


def value_in_use(parameters: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; of the `fit` of an experiment, the options that its model uses."""
    value, (address, _, key) = within(parameters, name), name.rpartition(".")
    model = within(parameters, f"{address}.model")
    is_fit = key == FIT and value is not None and names_a_class(model)
    return fit_in_use(value, model) if is_fit else value


def fit_in_use(fit: Any, model: Mapping[str, Any]) -> Any:
    """Options of a fit that a model uses: all if gradient steps train it, else those of its tuning, if it is tuned."""
    from fieldcast.models.configuration import resolve  # here: torch takes a second to import
    from fieldcast.models.core import Model, Solved, Trained

    kind = resolve(str(model["type"]), "model")
    if issubclass(kind, Trained):
        return fit
    is_tuned = issubclass(kind, Solved) and (kind.choices or kind.tuned_values is not Model.tuned_values)
    tuning = within({FIT: fit}, f"{FIT}.{TUNING}")
    return {} if tuning is None or not is_tuned else {TUNING: tuning}


def options_in_use(options: Any) -> Any:
    """Options without those that they list as unused."""
    unused = getattr(options, "unused", ())
    return {name: value for name, value in vars(options).items() if name not in unused} if unused else options


def names_a_class(value: Any) -> bool:
    """Whether a parameter configures a model."""
    return isinstance(value, Mapping) and "." in str(value.get("type", ""))


def with_default_options(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's configuration with the default of each option that it leaves out."""
    from fieldcast.models.configuration import with_defaults  # here: torch takes a second to import

    return with_defaults(model)


def is_task(value: Any) -> bool:
    """Whether a parameter is a task with its experiments."""
    return isinstance(value, Mapping) and any(
        isinstance(body, Mapping) and "model" in body for body in value.values()
    )


def is_listing(value: Any) -> bool:
    """Whether a parameter lists things that have several keys each."""
    return isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value)


def within(parameters: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in nested parameters, mappings or dataclasses; None where it is absent."""
    value: Any = parameters
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value
