"""What a user can cause is said in one sentence: checks before a run, and the translation of errors."""

import dataclasses
import errno
import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines, settings
from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation.exceptions import ParameterValidationError
from kedro.validation.type_extractor import TypeExtractor
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.experiments import experiments, nearest

logger = logging.getLogger(__name__)

FULL = re.compile(r"No space left on device|Disk quota exceeded|\d+ requested and \d+ written")
REFERENCE = re.compile(r"runtime_params:\s*([\w.]+)")
UNKNOWN_OPTION = ("unexpected_keyword_argument", "extra_forbidden")


class Sentences:
    """Refuses, before the first node, what cannot end well; counts the nodes; prints what is to be read.

    In the catalog, `metadata: {optional: true}` marks what may be missing, `{print: true}` what is printed at the
    end of a run.
    """

    def __init__(self) -> None:
        self._done = self._total = 0
        self._catalog: CatalogProtocol | None = None
        self._to_read: dict[str, str] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check the names of run-time parameters; give experiments without `fit` or `options` empty ones."""
        loader = context.config_loader
        pipeline_registry.CONTEXT.set(context)
        given = dict(leaves(loader.runtime_params or {}))
        if given:
            bare = type(loader)(loader.conf_source, env=loader.env, **settings.CONFIG_LOADER_ARGS)
            check_keys(given, _parameters(bare), Path(loader.conf_source))
        parameters = _parameters(loader)
        for one in experiments(pipeline_registry.configuration()).values():
            body = parameters.get(one.task, {}).get(one.name)
            if isinstance(body, dict):
                body.setdefault("fit", {})
                body.setdefault("options", {})
        loader["parameters"] = parameters

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check that what the pipeline takes from disk is there."""
        self._done, self._total = 0, len(pipeline.nodes)
        self._catalog, self._to_read = catalog, {}
        for name in sorted(pipeline.inputs()):
            if name == "parameters" or name.startswith("params:") or name not in catalog:
                continue
            if not _metadata(catalog, name).get("optional") and not catalog.exists(name):
                raise InputError(f"'{name}' is not there yet: {_how_to_make(name)}.")

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """One short line for each node."""
        self._done += 1
        logger.info("%*d/%d  %s", len(str(self._total)), self._done, self._total, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep what is to be read."""
        if self._catalog and _metadata(self._catalog, dataset_name).get("print"):
            self._to_read[dataset_name] = str(data)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print it."""
        for text in self._to_read.values():
            click.echo(text)


def check_keys(given: Mapping[str, Any], parameters: Mapping[str, Any], conf: Path) -> None:
    """Raise InputError for a run-time parameter (dotted name) that nothing would read."""
    stored = dict(leaves(parameters))
    known = {*stored, *_referenced(conf)}
    for key in given:
        parts = key.split(".")
        prefixes = [".".join(parts[: n + 1]) for n in range(len(parts))]
        below = any(one.startswith(f"{key}.") for one in known)
        open_ended = any(stored.get(one, "") in (None, {}) for one in prefixes) or parts[2:3] == ["model"]
        if key in known or below or open_ended or any(one in _typed() for one in prefixes):
            continue
        raise InputError(f"--params {key}: there is no such parameter{nearest(key, sorted(known))}")


def _metadata(catalog: CatalogProtocol, name: str) -> Mapping[str, Any]:
    found = getattr(catalog.get(name), "metadata", None)
    return found if isinstance(found, Mapping) else {}


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by dotted name; an empty mapping is a value."""
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def sentence(error: BaseException) -> str | None:
    """What a user should read of an error, or None where it is a fault of the program."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, InputError):
            return str(one)
    for one in reversed(chain):
        if isinstance(one, DatasetError) and "\n" not in str(one):
            return str(one)
    for one in chain:
        for translate in (_parameter, _configuration, _name, _disk, _memory):
            said = translate(one)
            if said:
                return " ".join(said.split())
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _parameter(error: BaseException) -> str | None:
    if isinstance(error, ValidationError):
        return _invalid("", type(None), error)
    if not isinstance(error, ParameterValidationError):
        return None
    for key, kind in _typed().items():
        if f"'{key}'" in str(error):
            try:
                TypeAdapter(kind).validate_python(_given(key))
            except ValidationError as details:
                return _invalid(key, kind, details)
    return str(error).replace("Parameter validation failed:", "").strip(" -\n")


def _invalid(key: str, kind: Any, error: ValidationError) -> str:
    """The first complaint of pydantic, with the full name of the key."""
    first, more = error.errors()[0], error.error_count() - 1
    name = ".".join([*([key] if key else []), *(str(part) for part in first["loc"])])
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
    if found := re.search(r"namespaces?: \[?'?([\w.]+)", text):
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


def _how_to_make(name: str) -> str:
    """The command that makes a data set."""
    base = name.partition("@")[0]
    address = base.rpartition(".")[0]
    for stage in (*pipeline_registry.PREPARATION, *pipeline_registry.STAGES):
        if stage in pipelines and base in {
            output.partition("@")[0] for output in pipelines[stage].all_outputs()
        }:
            only = f" --namespaces {address}" if address else ""
            return f"run `kedro run --pipelines {stage}{only}` first"
    return "nothing makes it; look for its name in conf/base/catalog.yml"


def _typed() -> dict[str, Any]:
    """Types of the parameters that nodes of registered pipelines annotate, by dotted name."""
    found: dict[str, Any] = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    return found


def _given(key: str) -> Any:
    context = pipeline_registry.CONTEXT.get()
    value: Any = context.config_loader["parameters"] if context else {}
    for part in key.split("."):
        value = value[part]
    return value


def _parameters(loader: Any) -> dict[str, Any]:
    try:
        parameters: dict[str, Any] = loader["parameters"]
    except MissingConfigException as error:
        if "configuration path" in str(error):
            raise
        parameters = dict(loader.runtime_params or {})
    return parameters


def _referenced(conf: Path) -> set[str]:
    """Names that configuration files take from the command line: `${runtime_params:data_root,...}`."""
    files = [file for file in conf.glob("*/**/*.yml") if file.is_file()]
    return {name for file in files for name in REFERENCE.findall(file.read_text(encoding="utf-8"))}
