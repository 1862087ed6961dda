"""All parameters as one pydantic model, against which a run is checked once, before anything is built.

What it gives is thrown away: nodes get their options from Kedro, which reads the annotations of their functions.
"""

import re
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from kedro.config import MissingConfigException
from kedro.framework import project
from kedro.framework.project import settings
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from fieldcast.arguments import nearest, seed_number, validated
from fieldcast.encoding.options import Events, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.experiments import Comparison, Description, Report, require_options
from fieldcast.fields.options import Ingestion
from fieldcast.inference.file_options import FILE_COMMANDS
from fieldcast.inference.options import File, Seeds
from fieldcast.lineage import leaves
from fieldcast.pipelines.names import RENAMED
from fieldcast.tasks import TASKS
from fieldcast.training.options import Fit

PACKAGE = "fieldcast"  # the package whose parameters these are; a project that uses its commands has others
SECTIONS: dict[str, Any] = {
    **{command.section: command.options for command in FILE_COMMANDS},
    **{name: kind for task in TASKS.values() for name, kind in task.sections.items()},
    "events": Events,
    "ingestion": Ingestion,
    "limits": Limits,
    "seeds": Seeds,
    "sparsification": Sparsification,
    "seed": Annotated[Any, BeforeValidator(seed_number)],
    "device": str,
    "demo": list[str],
    "explore": list[str],
    "reports": dict[str, Report],
    "comparisons": list[Comparison],
}
DESCRIPTIONS = {  # of sections that are single values; classes of options describe theirs
    "seed": "Seed of training and of draws; the data and the masks of the test have their own seeds, so that another "
    "`seed` repeats the training on the same problem. Give each seed its own `data_root`.",
    "device": "`auto` (all GPUs, if there are any), `cpu`, `cuda`, or a single one such as `cuda:1`.",
    "demo": "Addresses of the experiments of the pipeline `demo`.",
    "explore": "Addresses of the experiments of the pipeline `explore`: quick ones, which `fieldcast explore` fits to "
    "complete fields.",
}
# descriptions of the keys of an experiment
MODEL = (
    "`type: module.Class` in `fieldcast.models`, and arguments of its constructor; a part of a model is also a mapping "
    "with a `type`; docs/experiments.md#options-of-models. Or `{type: File, path: FILE}`: "
    "docs/data.md#forecasts-made-elsewhere."
)
FIT = "Options of the training; `{}` means the default options. An experiment with the weights of another needs none."
USES = (
    "`{role: address}`: other experiments whose checkpoints this one needs; they are trained first. Roles: `weights`, "
    "from whose checkpoint this experiment draws, so that it trains nothing; `base`, from whose fitted model this "
    "training starts; `forecast`, the forecast model whose forecasts most filters update, and which also makes the "
    "forecasts from the analyses; one of the `parts` of a pool (`pool.Pool`), of whose members that part consists; the "
    "name in `parts` of `emos.EMOS`, whose forecasts it calibrates."
)
ABOUT = "Presentation in the report, the figures, docs/experiments.md and MLflow; optional."
OPTIONS = "Options for drawing; `{}` means the default options."
REFERENCE = re.compile(r"runtime_params:\s*([\w.]+)")
SECOND = re.compile(r"\s([\w.]+)\s*[=:]")  # a parameter after a blank


@cache
def parameters_model() -> type[BaseModel]:
    """The model of all parameters: the sections, and the experiments of each task by name.

    Any section may be absent, as a run names what it lacks.
    """
    fields: dict[str, Any] = {
        name: (kind | None, Field(None, description=DESCRIPTIONS.get(name)))
        for name, kind in SECTIONS.items()
    }
    fields |= {task: (dict[str, experiment_model(task)], {}) for task in TASKS}  # type: ignore[misc]
    model: type[BaseModel] = create_model("Parameters", **fields)
    return model


@cache
def experiment_model(task: str) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "model": (Any, Field(None, description=MODEL)),
        "fit": (Fit | None, Field(None, description=FIT)),
        "uses": (dict[str, str], Field({}, description=USES)),
        "about": (Description, Field(Description(), description=ABOUT)),
    }
    if options := TASKS[task].options:
        fields["options"] = (options | None, Field(None, description=OPTIONS))
    model: type[BaseModel] = create_model(
        f"Experiment of {task}", __config__=ConfigDict(extra="forbid"), **fields
    )
    return model


def check_parameters(
    parameters: Mapping[str, Any], given: Mapping[str, Any], declared: Callable[[], Collection[str]]
) -> None:
    """Raise InputError for a parameter that nothing would read, or a value that does not fit.

    Parameters
    ----------
    parameters
        All of them.
    given
        Those of the command line among them.
    declared
        Returns the sections in the files of configuration, and the names that these take from the command line.
    """
    refuse_blanks(given)
    if project.PACKAGE_NAME == PACKAGE:
        refuse_old(parameters)
    refuse_unknown(parameters, given, declared)
    if project.PACKAGE_NAME != PACKAGE:
        return
    for task in TASKS:
        check_bodies(task, parameters.get(task, {}))
    validated(parameters_model(), parameters)


def check_bodies(task: str, bodies: Any) -> None:
    """Raise InputError for experiments of a task without a model, or with one of type File that is not one."""
    if not isinstance(bodies, Mapping):
        raise InputError(
            f"{task} = {bodies!r}, but it holds the experiments of a task: set an option of one, such as "
            f"{task}.<name>.model."
        )
    complete = [name for name, body in bodies.items() if isinstance(body, Mapping) and "model" in body]
    for name, body in bodies.items():
        address = f"{task}.{name}"
        require_options(address, body)
        if "model" not in body:
            validated(experiment_model(task), body, address)  # the key may be misspelt
            hint = nearest(str(name), complete, f"{task}.")
            raise InputError(
                f"{address}: there is no such experiment{hint}"
                if hint != "."
                else f"{address}: there is no such experiment, and a new one needs a model."
            )
        if isinstance(body["model"], Mapping) and body["model"].get("type") == "File":
            if not TASKS[task].takes_files:
                raise InputError(f"{address}: experiments of {task} cannot be of type File.")
            validated(File, body["model"], f"{address}.model")
            continue
        sections = [] if "weights" in (body.get("uses") or {}) else ["fit"]
        sections += ["options"] if TASKS[task].options else []
        for section in sections:
            if section not in body:
                raise InputError(
                    f"{address} has no '{section}': add {section}: {{}}, which means the default options."
                )


def refuse_unknown(
    parameters: Mapping[str, Any], given: Mapping[str, Any], declared: Callable[[], Collection[str]]
) -> None:
    """Raise InputError for an unknown section of the command line, or one of a file that is like a known one.

    Any other section of a file may belong to a pipeline of the user.
    """
    known: set[str] = {*SECTIONS, *TASKS, "data_root"} if project.PACKAGE_NAME == PACKAGE else set()
    if not (unknown := [str(name) for name in parameters if name not in known]):
        return
    existing = {*declared()}
    for name in unknown:
        if name not in existing:
            hint = nearest(name, sorted(known | existing))
            raise InputError(f"--params {name}: there is no such parameter{hint}")
        if (hint := nearest(name, sorted(known))) != "." and name not in given:
            raise InputError(f"{name}: there is no such parameter{hint}")


def refuse_blanks(given: Mapping[str, Any]) -> None:
    """Raise InputError if the value of a run-time parameter holds a second parameter, after a blank."""
    for key, value in given.items():
        for second in SECOND.findall(value) if isinstance(value, str) else ():
            if second.partition(".")[0] in {*SECTIONS, *TASKS}:
                raise InputError(f"--params {key}={value}: write a comma, not a blank, before {second}.")


def refuse_old(parameters: Mapping[str, Any]) -> None:
    """Raise InputError for a parameter under the name that it had."""
    for key, _ in leaves(parameters):
        for old in (key, key.partition(".")[0]):
            if old in RENAMED:
                raise InputError(f"{key}: this parameter is now called {RENAMED[old]}{key[len(old) :]}.")


def declared_names(loader: Any) -> set[str]:
    """Sections in the files of base and of the environment, and names that files take from the command line, as in
    `${runtime_params:data_root,...}`."""
    of_files = type(loader)(loader.conf_source, loader.env, **settings.CONFIG_LOADER_ARGS)
    sections: set[str] = {*of_files["parameters"]}
    with suppress(MissingConfigException):
        sections |= {*of_files["globals"]}
    files = [file for file in Path(loader.conf_source).glob("*/**/*.yml") if file.is_file()]
    return sections.union(*(REFERENCE.findall(file.read_text(encoding="utf-8")) for file in files))
