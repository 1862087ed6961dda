"""Translate errors that a user can cause into one sentence each."""

import errno
import re
import sys
from collections.abc import Iterator

from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError
from yaml import YAMLError

from fieldcast import pipeline_registry, runtime
from fieldcast.errors import InputError
from fieldcast.experiments import nearest
from fieldcast.fields.options import refuse_other_data
from fieldcast.frame.makers import commands
from fieldcast.frame.parameter_types import annotated_types, complaint, value_of
from fieldcast.pipelines.names import address_of

# Kedro raises a bare ValueError in these cases, so only the text tells which: tests/frame/test_error_messages.py
# provokes each one with the installed Kedro, and pyproject.toml admits no other minor version.
NO_PIPELINE = re.compile(r"Failed to find the pipeline named '([^']*)'")
NO_NAMESPACE = re.compile(r"Pipeline does not contain nodes with the following namespaces: \['([^']*)'")
NO_NODE = re.compile(r"Pipeline does not contain (nodes|datasets) named \[['\"]([^'\"]*)")
NO_SELECTION = re.compile(r"Pipeline contains no nodes after applying all provided filters")
NO_TYPE = re.compile(
    r"\s*An exception occurred when parsing config for dataset '([^']*)':\s*(.*?)\.? *(?:\n|$)"
)
NO_ARGUMENT = re.compile(
    r"\s*(.*?)\.? *\n+Dataset '([^']*)' must only contain arguments valid for the constructor of '([^']*)'"
)
DUPLICATE_KEYS = re.compile(r"Duplicate keys found in ")
# Libraries in C and Rust report a full disk without errno; the last is numpy's for a write that was cut short.
DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written")


def sentence(error: BaseException) -> str | None:
    """Translate an error for the user; None if it is a fault of the program."""
    links = list(chain(error))
    for link in links:
        if isinstance(link, InputError):
            return str(link)
    for link in links:
        if text := _damage(link):
            return text
    for link in reversed(links):
        if isinstance(link, DatasetError) and "\n" not in str(link):
            return str(link)
    for link in links:
        for translate in (_parameter, _configuration, _entry, _name, _disk, _memory):
            if text := translate(link):
                return " ".join(text.split())
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first."""
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _damage(error: BaseException) -> str | None:
    """Name a damaged data set, with the command that makes it again."""
    if "fieldcast.datasets.damage" not in sys.modules:  # nothing has been read
        return None
    from fieldcast.datasets import DamagedError

    if not isinstance(error, DamagedError):
        return None
    catalog = pipeline_registry.CATALOG.get()
    for name, command in commands():
        if catalog is not None and getattr(catalog.get(name), "location", None) == error.path:
            return f"'{error.path}' is damaged ({error.reason}): run {command} to recreate it."
    return str(error)


def _parameter(error: BaseException) -> str | None:
    if isinstance(error, ValidationError):
        return complaint(error.title, type(None), error)
    if not isinstance(error, ParameterValidationError):
        return None
    context = pipeline_registry.CONTEXT.get()
    parameters = context.config_loader["parameters"] if context else {}
    for (
        key,
        kind,
    ) in annotated_types().items():  # Kedro's error is text alone, pydantic's has the key and the reason
        try:
            TypeAdapter(kind).validate_python(value_of(key, parameters))
        except ValidationError as details:
            return complaint(key, kind, details)
        except KeyError:
            continue  # Kedro skips parameters that are not configured, too
    return str(error)


def _configuration(error: BaseException) -> str | None:
    if not (isinstance(error, OmegaConfBaseException | YAMLError) or DUPLICATE_KEYS.match(str(error))):
        return None
    text = str(error).partition("\n")[0]
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        text += f" (line {mark.line + 1})"  # Kedro does not say of which file
    return f"configuration: {text}"


def _entry(error: BaseException) -> str | None:
    """Name the entry of the catalog of which Kedro can make no data set."""
    text = str(error) if isinstance(error, DatasetError) else ""
    if match := NO_TYPE.match(text):
        reason = match[2].partition(". ")[0]
        return f"catalog, {match[1]}: {reason}: correct its 'type', or install the package of that name."
    if match := NO_ARGUMENT.match(text):
        return f"catalog, {match[2]}: {match[1]}: give only options of {match[3]}."
    return None


def _name(error: BaseException) -> str | None:
    text = str(error)
    if match := NO_PIPELINE.match(text):
        close = nearest(match[1], sorted(pipelines))
        return f"there is no pipeline or experiment '{match[1]}'{close} `kedro registry list` lists the pipelines."
    if match := NO_NAMESPACE.match(text):
        if refusal := _other_data(address_of(match[1])):
            return refusal
        nodes = pipelines["__default__"].nodes
        addresses = sorted({address_of(node.namespace) or node.namespace for node in nodes if node.namespace})
        if any(f"{node.namespace}.".startswith(f"{match[1]}.") for node in nodes):
            absent = f"none of the selected pipelines has nodes of '{match[1]}'"
            return f"{absent}: leave --pipelines out, or name one that has."
        return f"nothing in this pipeline has the namespace '{match[1]}'{nearest(match[1], addresses)}"
    if NO_SELECTION.match(text):
        return "no node matches the selection; `kedro registry describe` lists the nodes."
    return _node(NO_NODE.match(text))


def _other_data(address: str) -> str | None:
    """The refusal of an experiment that pipelines leave out because it needs other data."""
    lacking = pipeline_registry.left_out(pipeline_registry.listed_experiments())
    try:
        refuse_other_data(address, lacking.get(address), pipeline_registry.source_of_data() or "")
    except InputError as refusal:
        return str(refusal)
    return None


def _node(match: re.Match[str] | None) -> str | None:
    """Name a node or a data set that is not in the selected pipelines, with those of all pipelines that are like it."""
    if match is None:
        return None
    kind, name = match[1], match[2]
    names = {
        label: {node.name for node in pipeline.nodes} if kind == "nodes" else pipeline.datasets()
        for label, pipeline in pipeline_registry.complete(pipelines).items()
    }
    holding = next((label for label in names if name in names[label]), None)
    if holding == "__default__":
        return f"none of the selected pipelines has '{name}': leave --pipelines out, or name one that has."
    if holding:
        return f"'{name}' is in the pipeline {holding}: select it with --pipelines {holding}."
    listing = (
        "registry describe` lists the nodes" if kind == "nodes" else "catalog describe-datasets` lists them"
    )
    close = nearest(name, sorted(set().union(*names.values())))
    return f"there is no '{name}' among the {kind}{f'; `kedro {listing}.' if close == '.' else close}"


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
