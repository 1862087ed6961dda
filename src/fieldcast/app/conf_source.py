"""The session in force: its configuration, of the project around the working folder or installed, and its options."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import AbstractConfigLoader, MissingConfigException
from kedro.utils import find_kedro_project

import fieldcast
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, Needs, requirements
from fieldcast.fields.options import provided
from fieldcast.lineage import leaves
from fieldcast.pipelines.names import STANDALONE

if TYPE_CHECKING:
    from kedro.framework.context import KedroContext
    from kedro.io import CatalogProtocol

PACKAGE = Path(fieldcast.__file__).parent
CHECKOUT = PACKAGE.parents[1] / "conf"
# within a wheel (see setup.py), or beside the source that was installed with -e
INSTALLED = CHECKOUT if (CHECKOUT / "base").is_dir() else PACKAGE / "conf"

CONTEXT: ContextVar[KedroContext | None] = ContextVar(
    "CONTEXT", default=None
)  # context of the current session
CATALOG: ContextVar[CatalogProtocol | None] = ContextVar("CATALOG", default=None)  # catalog of the last run

# a command that has options of its own is left alone
COMMAND = re.compile(r"kedro run( --pipelines [\w.,]*\w(?: --namespaces [\w.,]*\w)?)(?!\w|[.,]\w| --)")
YAML_WORDS = {True: "true", False: "false", None: "null"}


def parameters() -> Mapping[str, Any]:
    """Parameters of the session in force; without one, as in `kedro viz run`, those of the default environment."""
    from kedro.framework.project import settings  # here: it sets logging up, which a script may not want

    context = CONTEXT.get()
    if context is None:
        loader: AbstractConfigLoader = settings.CONFIG_LOADER_CLASS(
            str(configuration_folder()), **settings.CONFIG_LOADER_ARGS
        )
    else:
        loader = context.config_loader
        require_configuration(Path(loader.conf_source))
    try:
        given: Mapping[str, Any] = loader["parameters"]
    except MissingConfigException:  # no file of parameters
        given = dict(loader.runtime_params or {})
    loader["parameters"] = given  # kept: to merge the files of a hundred experiments takes most of a second
    return given


def source_of_data() -> str | None:
    """The option `ingestion.source` of the session in force; None without one, or where it is not a name."""
    ingestion = parameters().get("ingestion") if CONTEXT.get() else None
    source = ingestion.get("source") if isinstance(ingestion, Mapping) else None
    return source if isinstance(source, str) else None


def left_out(listed: Mapping[str, Experiment], source: str | None) -> dict[str, Needs]:
    """Experiments that need other data than a source provides, by address, with what they lack; empty without one.

    An experiment also needs what the experiments need whose checkpoints it uses.
    """
    if source is None:
        return {}
    needs = {
        address: [need for used in requirements(each, listed) if (need := used.about.needs)]
        for address, each in listed.items()
    }
    lacking = {
        address: [need for need in every if need not in provided(source)] for address, every in needs.items()
    }
    return {address: missing[0] for address, missing in lacking.items() if missing}


def conf_source() -> str:
    """FIELDCAST_CONF, else `conf` of the project if it has one, else the installed configuration.

    `conf` is relative to the project, as Kedro expects, also where there is no configuration at all.
    """
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    has_own = (project / "conf/base").is_dir() or not INSTALLED.is_dir()
    return os.environ.get("FIELDCAST_CONF") or ("conf" if has_own else str(INSTALLED))


def configuration_folder() -> Path:
    """The folder of configuration as seen from the working folder."""
    folder = named_folder()
    require_configuration(folder)
    return folder


def named_folder() -> Path:
    """The folder of configuration as seen from the working folder, whether or not it is there."""
    return (find_kedro_project(Path.cwd()) or Path.cwd()) / conf_source()


def require_configuration(conf: Path) -> None:
    """Raise InputError for a folder without configuration; an archive of one is left to Kedro."""
    if not (conf / "base").is_dir() and not conf.is_file():
        raise InputError(
            f"there is no configuration in {conf}: go to the project's folder, or name the folder that holds `base` "
            "with --conf-source or FIELDCAST_CONF."
        )


def with_options(text: str) -> str:
    """Add `--env` and `--params` of the session in force to each `kedro run` of a message.

    Without them, the command would train or draw in another folder, or from other data. It is `fieldcast run` where
    the session was started by `fieldcast`, which needs no project folder.
    """
    context = CONTEXT.get()
    if context is None:
        return text
    env = ["--env", context.env] if context.env else []
    params = assignments(context.config_loader.runtime_params or {})
    options = shlex.join([*env, *(["--params", params] if params else [])])
    program = "kedro" if Path(sys.argv[0]).stem == "kedro" else "fieldcast"
    return COMMAND.sub(lambda match: f"{program} run{match[1]}{' ' if options else ''}{options}", text)


def assignments(params: Mapping[str, Any]) -> str:
    """Parameters as `--params` takes them, without the sections of pipelines that work on a user's file."""
    shared = {key: value for key, value in params.items() if key not in STANDALONE}
    values = {
        key: YAML_WORDS.get(value, value) if isinstance(value, bool | None) else value
        for key, value in leaves(shared)
    }
    return ",".join(f"{key}={value}" for key, value in values.items())
