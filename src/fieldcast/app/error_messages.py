"""Translate errors that a user can cause into one sentence each; any other shows its traceback.

An error of a library is recognised by its type, and by its text only where a library in C or Rust gives it no other
sign.
"""

import errno
import re
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from types import TracebackType
from typing import Any

from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import MarkedYAMLError, YAMLError

from fieldcast import runtime
from fieldcast.app.conf_source import CATALOG, CONTEXT
from fieldcast.app.makers import commands
from fieldcast.arguments import complaint
from fieldcast.datasets.base import DamagedError, damage_of, location
from fieldcast.errors import InputError

# Libraries in C and Rust report a full disk without errno; the last is numpy's for a write that was cut short.
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written")
PLACE = (
    "names are looked up in the pipelines of --pipelines, else in those of the demo; `kedro registry list` lists all "
    "pipelines, `kedro registry describe` the nodes of one, `kedro catalog describe-datasets --pipeline` its data sets"
)


def sentence(error: BaseException) -> str | None:
    """Translate an error for the user; None if it is a fault of the program."""
    links = list(chain(error))
    for link in links:
        if isinstance(link, InputError):
            return str(link)
    if any(isinstance(link, BrokenExecutor) for link in links):
        return (
            "a process that ran nodes was killed, perhaps for lack of memory: run the same command again to resume; "
            "--runner-params max_workers=1 runs one node at a time."
        )
    for link in links:
        if text := _stored(link):
            return text
    for link in reversed(links):
        if isinstance(link, DatasetError) and "\n" not in str(link):
            return str(link)
    for link in links:
        for translate in (_parameter, _configuration, _disk, _memory):
            if text := translate(link):
                return " ".join(text.split())
    return None


def refusal_of_kedro(error: BaseException) -> str | None:
    """Kedro's own words for a mistake that it notices before the first node; None for any other error.

    These are a pipeline, node, data set, namespace or tag that does not exist, an entry of the catalog of which no data
    set can be made, and a runner that cannot be imported or does not take its parameters.
    """
    module = _raising_module(error.__traceback__)
    if CATALOG.get() is not None or module.partition(".")[0] != "kedro":
        return None
    text = " ".join(str(error).split()).rstrip(".")
    if isinstance(error, ValueError | DatasetError):
        return f"{text} ({_holder(text) or PLACE})." if module == "kedro.pipeline.pipeline" else f"{text}."
    if isinstance(error, ImportError | AttributeError | TypeError) and CONTEXT.get() is None:
        return (
            f"--runner, --runner-params: {text}: name a runner of Kedro, or one by its module, such as "
            "fieldcast.app.dask.DaskRunner, and options that it takes."
        )
    return None


def _holder(text: str) -> str:
    """The pipeline of a node, data set or namespace that the run lacks, by Kedro's sentence; empty if none has it."""
    for name in re.findall("'([^' ]+)'", text.partition("Did you mean")[0]):
        making = [
            each
            for each, pipeline in pipelines.items()
            if name in pipeline.all_outputs() | {node.name for node in pipeline.nodes}
            or any(f"{node.namespace}.".startswith(f"{name}.") for node in pipeline.nodes)
        ]
        having = making or [each for each, pipeline in pipelines.items() if name in pipeline.datasets()]
        if having:
            own = [each for each in having if f"{name}.".startswith(f"{each}.")]  # an experiment
            return f"'{name}' is of another pipeline: name it by --pipelines {' or '.join(own or having[:2])}"
    return ""


def _raising_module(traceback: TracebackType | None) -> str:
    """The module that raised an error, or that imported what cannot be imported."""
    module = ""
    while traceback is not None:
        name = traceback.tb_frame.f_globals.get("__name__", "")
        module = module if name.partition(".")[0] == "importlib" else name
        traceback = traceback.tb_next
    return module


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _stored(error: BaseException) -> str | None:
    """Name a data set that is damaged or missing, with the command that makes it."""
    if not isinstance(error, DatasetError):
        return None
    catalog = CATALOG.get()
    for name, command in commands() if catalog is not None else ():
        dataset: Any = catalog.get(name) if catalog is not None else None
        place = "" if dataset is None else location(dataset)
        # an error of a data set of kedro-datasets holds its representation, with its path but without its protocol
        if not place or f"{place.rpartition('://')[2]}'" not in str(error):
            continue
        if damage := damage_of(dataset, error):
            return f"'{place}' is damaged ({damage.reason}): run {command} to recreate it."
        if isinstance(error.__cause__, FileNotFoundError):
            return f"'{place}' does not exist: run {command} first."
    if isinstance(error.__cause__, FileNotFoundError):
        return f"'{error.__cause__.filename}' does not exist: run the stage that writes it first"
    return str(error) if isinstance(error, DamagedError) else None


def _parameter(error: BaseException) -> str | None:
    if isinstance(error, ValidationError):
        return complaint(error, error.title)
    return str(error) if isinstance(error, ParameterValidationError) else None


def _configuration(error: BaseException) -> str | None:
    """Kedro does not say in which file, unless it cannot read it at all."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f"configuration: {error.problem} (line {error.problem_mark.line + 1})."
    if isinstance(error, UnicodeDecodeError) and CATALOG.get() is None:
        return f"configuration: a file is not text in UTF-8 ({error}): save it as UTF-8."
    if isinstance(error, RecursionError) and CATALOG.get() is None:
        return "configuration: a file contains itself, or is nested too deeply."
    if isinstance(error, OmegaConfBaseException):
        text = str(error).partition("\n")[0].rstrip(".")
        return f"configuration: {text} ({error.full_key})." if error.full_key else f"configuration: {text}."
    return f"configuration: {error}" if isinstance(error, YAMLError) else None


def _disk(error: BaseException) -> str | None:
    file = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    number = getattr(error, "errno", None)
    elsewhere = "or choose another folder with --params data_root=FOLDER"
    if number == errno.ENAMETOOLONG:
        return f"the name is too long for this file system{file}: shorten it, {elsewhere}."
    if number in (errno.ENOSPC, errno.EDQUOT) or DISK_FULL.search(str(error)):
        return f"the disk is full{file}: make room, {elsewhere}."
    if number == errno.EROFS or isinstance(error, PermissionError) or "Read-only file system" in str(error):
        return f"there is no permission to read or write here{file}: change it, {elsewhere}."
    return None


def _memory(error: BaseException) -> str | None:
    return runtime.SENTENCE if runtime.is_out_of_memory(error) else None
