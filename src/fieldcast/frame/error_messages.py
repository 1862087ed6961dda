"""What a user can cause is said in one sentence: the translation of errors."""

import dataclasses
import errno
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.project import pipelines
from kedro.io import DatasetError
from kedro.validation.exceptions import ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.experiments import nearest
from fieldcast.frame.preflight import commands, typed

FULL = re.compile(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written")
UNKNOWN_OPTION = ("unexpected_keyword_argument", "extra_forbidden")


def sentence(error: BaseException) -> str | None:
    """What a user should read of an error, or None where it is a fault of the program."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, InputError):
            return str(one)
    for one in chain:
        if text := _damage(one):
            return text
    for one in reversed(chain):
        if isinstance(one, DatasetError) and "\n" not in str(one):
            return str(one)
    for one in chain:
        for translate in (_parameter, _configuration, _name, _disk, _memory):
            text = translate(one)
            if text:
                return " ".join(text.split())
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _damage(error: BaseException) -> str | None:
    """A damaged data set, with the command that makes it again."""
    from fieldcast.datasets import DamagedError  # half a second, where there was no error

    if not isinstance(error, DamagedError):
        return None
    catalog = pipeline_registry.CATALOG.get()
    for name, command in commands():
        if catalog is not None and str(getattr(catalog.get(name), "_path", "")) == error.path:
            return f"'{error.path}' is damaged ({error.reason}): run {command} to make it again."
    return str(error)


def _parameter(error: BaseException) -> str | None:
    if isinstance(error, ValidationError):
        return _invalid(error.title, type(None), error)
    if not isinstance(error, ParameterValidationError):
        return None
    for key, kind in typed().items():
        if f"'{key}'" in str(error):
            try:
                TypeAdapter(kind).validate_python(_given(key))
            except ValidationError as details:
                return _invalid(key, kind, details)
    return str(error).replace("Parameter validation failed:", "").strip(" -\n")


def _invalid(key: str, kind: Any, error: ValidationError) -> str:
    """The first complaint of pydantic, with the full name of the key."""
    first, more = error.errors()[0], error.error_count() - 1
    name = ".".join([key, *(str(part) for part in first["loc"])])
    others = f" ({more} more)" if more else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return f"{name}: {cause}{others}"
    if first["type"] in UNKNOWN_OPTION:
        fields = _fields(kind, first["loc"][:-1])
        return f"{name}: there is no such option{nearest(str(first['loc'][-1]), fields)}{others}"
    wanted = first["msg"].removeprefix("Input ").removeprefix("Value error, ").rstrip(".")
    return f"{name} = {first['input']!r} {wanted}{others}."


def _fields(kind: Any, path: tuple[int | str, ...]) -> list[str]:
    """Names of the options of a dataclass, or of the dataclass under a path within it."""
    if not dataclasses.is_dataclass(kind):
        return []
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    return _fields(types.get(str(path[0])), path[1:]) if path else list(types)


def _configuration(error: BaseException) -> str | None:
    text = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, MissingConfigException) and "configuration path" in text:
        missing = Path(text.rpartition(": ")[2])
        there = sorted(one.name for one in missing.parent.glob("*") if one.is_dir() and one.name != "local")
        return f"there is no environment '{missing.name}'; there are {', '.join(there)}."
    if isinstance(error, OmegaConfBaseException) or "Invalid YAML" in text or "Duplicate keys found" in text:
        return f"configuration: {text}"
    return None


def _name(error: BaseException) -> str | None:
    text = str(error)
    if found := re.search(r"Failed to find the pipeline named '([^']*)'", text):
        return f"there is no pipeline or experiment '{found[1]}'{nearest(found[1], sorted(pipelines))}"
    if found := re.search(r"nodes with the following namespaces: \['([^']*)'", text):
        addresses = sorted({node.namespace for node in pipelines["__default__"].nodes if node.namespace})
        return f"nothing in this pipeline has the namespace '{found[1]}'{nearest(found[1], addresses)}"
    if re.search(r"does not contain (nodes|data_sets|datasets) named", text):
        return f"{text.splitlines()[0].rstrip('.')}; `kedro registry describe` lists the nodes."
    return None


def _disk(error: BaseException) -> str | None:
    file = f" ({error.filename})" if isinstance(error, OSError) and error.filename else ""
    number = getattr(error, "errno", None)
    elsewhere = "or choose another folder with --params data_root=FOLDER"
    if number in (errno.ENOSPC, errno.EDQUOT) or FULL.search(str(error)):
        return f"the disk is full{file}: make room, {elsewhere}."
    if number == errno.EROFS or isinstance(error, PermissionError) or "Read-only file system" in str(error):
        return f"there is no permission to read or write here{file}: change it, {elsewhere}."
    return None


def _memory(error: BaseException) -> str | None:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "the memory is full: ask for fewer members, a smaller batch or a smaller grid."
    return None


def _given(key: str) -> Any:
    context = pipeline_registry.CONTEXT.get()
    value: Any = context.config_loader["parameters"] if context else {}
    for part in key.split("."):
        value = value[part]
    return value
