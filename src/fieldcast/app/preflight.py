"""Checks before the first node: refuse in one sentence what would fail."""

import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import is_dataclass
from inspect import signature
from pathlib import Path, PurePosixPath
from typing import Any

import click
import fsspec
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from fieldcast.app.conf_source import (
    CATALOG,
    CONTEXT,
    left_out,
    parameters,
    require_configuration,
    source_of_data,
)
from fieldcast.app.lock import data_root
from fieldcast.app.makers import commands
from fieldcast.arguments import refuse_unwritable
from fieldcast.datasets.base import OBJECT_STORES
from fieldcast.errors import InputError
from fieldcast.experiments import listed_experiments, selections
from fieldcast.fields.options import refuse_other_data
from fieldcast.fields.paths import NETCDF_SUFFIXES, installation, is_remote, local, matches, require
from fieldcast.inference.file_options import FILE_COMMANDS
from fieldcast.pipelines.names import COMPLETE, RENAMED, address_of

LOG = logging.getLogger(__name__)

DATA_ROOT = "data_root"  # the credentials that every entry of conf/base/catalog.yml names
PRINTED = {"text", "path"}  # parts of an output that the end of a run can print
APPEND = "gap_filling.append"  # option that names the record to which times are appended
MODELS, CHECKPOINT = "06_models", "checkpoint.safetensors"  # layer and file name in conf/base/catalog.yml
READ_ONLY_PROTOCOLS = ("http", "https")
CREDENTIALS = "the entry data_root in the credentials.yml of the environment"
CHOICE = "give a folder, or a bucket such as s3://bucket/run"


class Checks:
    """Checks a run before its first node, and stored data when they are first read.

    In the catalog, `metadata: {optional: true}` marks a data set that may be missing, and `{digest: true}` one that
    is compared with its digest when a run first reads it.
    """

    def __init__(self) -> None:
        self._catalog: CatalogProtocol | None = None
        self._compared: set[str] = set()

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check environment and parameters."""
        loader: Any = context.config_loader
        check_environment(Path(loader.conf_source), loader.env or loader.default_run_env)
        CONTEXT.set(context)
        CATALOG.set(None)  # that of an earlier run of this process
        check_command(click.get_current_context(silent=True))
        check_data_root(loader.runtime_params or {})
        check_remote_root(context)
        from fieldcast.app.parameters import check_parameters, declared_names  # here: it imports the tasks

        check_parameters(parameters(), loader.runtime_params or {}, lambda: declared_names(loader))

    @hook_impl
    def after_catalog_created(self, conf_catalog: Mapping[str, Any]) -> None:
        """Check which parts of outputs the end of a run prints."""
        for name, entry in conf_catalog.items():
            metadata = entry.get("metadata") if isinstance(entry, Mapping) else None
            printed = (metadata.get("print") or []) if isinstance(metadata, Mapping) else []
            parts = [printed] if isinstance(printed, str) else printed
            if not isinstance(parts, list) or not set(map(str, parts)) <= PRINTED:
                raise InputError(
                    f"catalog, {name}: metadata.print is {printed}: give text, path or [text, path]."
                )

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check that the files and data sets that the pipeline reads exist, and models, which takes torch."""
        for (
            name
        ) in pipeline.datasets():  # what Kedro says of a data set that cannot be made belongs before a run
            catalog.get(name)
        self._catalog, self._compared = catalog, set()
        CATALOG.set(catalog)
        check_tags(run_params.get("tags") or ())
        check_data(pipeline, run_params.get("pipeline_names") or ["__default__"])
        check_reporting(pipeline)
        check_root(pipeline)
        check_files(pipeline, catalog)
        for name in sorted(pipeline.inputs()):
            if name == "parameters" or name.startswith("params:") or name not in catalog:
                continue
            if not _metadata(catalog, name).get("optional") and not catalog.exists(name):
                raise InputError(f"'{name}' does not exist yet: {_how_to_make(name)}.")
        check_models(pipeline, catalog)
        check_device(pipeline, catalog)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Compare data with their digest, once in a run; chunks of stores of other programs are not checked."""
        if self._catalog is None or dataset_name in self._compared:
            return
        self._compared.add(dataset_name)
        if not _metadata(self._catalog, dataset_name).get("digest"):
            return
        from fieldcast.datasets.base import DamagedError, location
        from fieldcast.fields.contracts import fits_digest

        if not fits_digest(data):
            path = location(self._catalog.get(dataset_name)) or dataset_name
            raise DamagedError(path, f"its values do not match its digest {data.attrs['digest']}")


def check_command(command: click.Context | None) -> None:
    """Raise InputError for a pipeline by its old name, or for `--async`, under which nodes that save in steps fail."""
    given = {} if command is None else command.params
    for name in given.get("pipelines") or ():
        if name in RENAMED:
            raise InputError(f"--pipelines {name}: the pipeline is now called {RENAMED[name]}.")
    if given.get("is_async") or (given.get("runner_params") or {}).get("is_async"):
        raise InputError(
            "--async is not supported, since training and rollouts save their steps one after another: leave it out."
        )


def check_environment(conf: Path, env: str) -> None:
    """Raise InputError for a configuration without `base`, or an environment without a folder."""
    require_configuration(conf)
    environments = {path.name for path in conf.glob("*/")}
    if not conf.is_file() and env not in environments:
        if env in RENAMED:
            raise InputError(f"--env {env}: the environment is now called {RENAMED[env]}.")
        raise InputError(
            f"there is no environment '{env}'; there are {', '.join(sorted(environments - {'local'}))}."
        )


def check_data_root(runtime_params: Mapping[str, Any]) -> None:
    """Raise InputError for a data root that is not a string."""
    root = runtime_params.get(DATA_ROOT, ".")
    if not isinstance(root, str) or not root.strip():
        raise InputError(
            f"data_root = {json.dumps(root, default=str)} is not the name of a folder: give one, such as data_mine."
        )


def check_remote_root(context: KedroContext) -> None:
    """Raise InputError for a remote data root that cannot hold results, before Kedro makes data sets there."""
    root = data_root(context)
    if root and is_remote(root):
        refuse_unusable_address(root, context.config_loader["credentials"].get(DATA_ROOT, {}))


def check_root(pipeline: Pipeline) -> None:
    """Raise InputError for a remote data root that cannot be reached, or a local one that does not exist but is read.

    A misspelt folder would otherwise look like one in which nothing has been trained yet.
    """
    context = CONTEXT.get()
    if context is None:
        return
    root = data_root(context)
    if root and is_remote(root):
        refuse_unreachable(root, context.config_loader["credentials"].get(DATA_ROOT, {}))
    elif root and "checkpoints" in pipeline.inputs() and not (folder := context.project_path / root).is_dir():
        folders = dict.fromkeys((folder.parent, context.project_path))
        trained = [path for parent in folders for path in sorted(parent.glob(f"*/{MODELS}/*/*/{CHECKPOINT}"))]
        beside = dict.fromkeys(os.path.relpath(path.parents[3], context.project_path) for path in trained)
        choice = f" (models are in {', '.join(beside)})" if beside else ""
        raise InputError(
            f"data_root = {root}: there is no such folder, so nothing has been trained there: check its name{choice}, "
            "or train a model first."
        )


def check_data(pipeline: Pipeline, names: Collection[str]) -> None:
    """Raise InputError for a report or an experiment that needs other data than the configured source provides.

    `names` are the pipelines of the run; where one holds a whole task, log which of its experiments it leaves out.
    """
    source = source_of_data()
    if source is None:
        return
    from fieldcast.tasks import TASKS  # here: an earlier refusal needs no tasks

    given = parameters()
    listed = listed_experiments(given, TASKS)
    for name, selection in selections(given, listed).items():
        if name in names:
            refuse_other_data(name, selection.needs, source)
    lacking = left_out(listed, source)
    for address in sorted({address_of(node.namespace) for node in pipeline.nodes} & set(lacking)):
        refuse_other_data(address, lacking[address], source)
    for address, need in lacking.items():
        if {"all", address.partition(".")[0]} & set(names):
            LOG.info("%s is left out: it needs %s.", address, need)


def check_reporting(pipeline: Pipeline) -> None:
    """Raise InputError for a report that would not wait for results which the same run makes."""
    collected = {name for node in pipeline.nodes if not address_of(node.namespace) for name in node.inputs}
    published = {name for name in pipeline.all_outputs() if name.endswith(".results")}
    if "report" in pipeline.all_outputs() and (missed := sorted(published - collected)):
        raise InputError(
            f"the report would not wait for the results of {missed[0].removesuffix('.results')}: leave reporting out, "
            "and run `kedro run --pipelines reporting` afterwards."
        )


def check_tags(tags: Collection[str]) -> None:
    """Raise InputError for a tag that no node has; Kedro ignores it if another one selects nodes."""
    if not tags:
        return
    every = (pipelines[name] for name in COMPLETE if name in pipelines)
    existing = sorted({tag for pipeline in every for node in pipeline.nodes for tag in node.tags})
    for tag in tags:
        if tag not in existing:
            raise InputError(f"--tags {tag}: no node has this tag; the tags are {', '.join(existing)}.")


def check_files(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise InputError for a file that does not exist or is not named, or a result that cannot be written.

    Neither can a result that would replace a file.
    """
    names = sorted(name for name in pipeline.inputs() if name.startswith("params:") and name in catalog)
    options = {name.removeprefix("params:"): catalog.load(name) for name in names}
    sources = [file for each in options.values() for file in getattr(each, "files", ())]
    for command in FILE_COMMANDS:
        if command.section in options:
            sources += command.files_in(options[command.section])
            for needed in (
                ("file", "table") if not command.pipelines else ()
            ):  # each pipeline needs another one
                getattr(options[command.section], needed, str)()
    for key, path in sources:
        require(path, key)
    refuse_append(options, pipeline)
    sources = [(key, path) for key, path in sources if key != APPEND]  # which its longer record may replace
    context = CONTEXT.get()
    for section, each in options.items():
        output = getattr(each, "output", None)
        if not isinstance(output, str):
            continue
        if not is_remote(output):
            path = local(output) if context is None else os.path.join(context.project_path, local(output))
            refuse_replacement(path, f"{section}.output", sources)
            refuse_unwritable(path, f"{section}.output")
        refuse_other_format(output, f"{section}.output")


def refuse_append(options: Mapping[str, Any], pipeline: Pipeline) -> None:
    """Raise InputError for a filled record that is named although the pipeline fills a whole record."""
    given = getattr(options.get("gap_filling"), "append", None)
    if given is not None and "gaps_trials" in pipeline.datasets():
        raise InputError(f"{APPEND} = {given}: appending is another pipeline: run --pipelines gap_appending.")


def refuse_other_format(output: str, key: str) -> None:
    """Raise InputError if the name of a result, which the option `key` sets, has a suffix of another format."""
    suffix = PurePosixPath(output).suffix
    # a name such as sst_0.25 has a number at its end, not a suffix
    if suffix[1:2].isalpha() and suffix.lower() not in NETCDF_SUFFIXES:
        raise InputError(
            f"{key} '{output}' ends in '{suffix}', but results are NetCDF: give a name that ends in .nc."
        )


def refuse_replacement(output: str, key: str, sources: Iterable[tuple[str, str]]) -> None:
    """Raise InputError if a result, at the path that the option `key` sets, would replace a file that is read."""
    for source_key, path in sources:
        files = () if is_remote(path) else matches(path)
        existing = [path for path in files if os.path.exists(path)]  # a link may point to nothing
        if os.path.exists(output) and any(os.path.samefile(output, file) for file in existing):
            raise InputError(
                f"{key} is {source_key} itself, '{output}', which would be replaced: choose another file."
            )


def check_models(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise InputError for a model of the pipeline that cannot be built as configured."""
    names = sorted(name for name in pipeline.inputs() if re.fullmatch(r"params:.+\.model", name))
    models = {name.removeprefix("params:"): catalog.load(name) for name in names if name in catalog}
    if not models:
        return  # saves the seconds that importing torch takes
    from fieldcast.models.configuration import check_model
    from fieldcast.models.core import Model

    for key, config in models.items():
        if not is_dataclass(config):  # a File is one, and has been checked
            check_model(config, key, Model)


def check_device(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise InputError for a device that is not available."""
    if "params:device" in pipeline.inputs():
        from fieldcast.models.replicas import choose_device

        choose_device(catalog.load("params:device"))


def _metadata(catalog: CatalogProtocol, name: str) -> Mapping[str, Any]:
    metadata = getattr(catalog.get(name), "metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def _how_to_make(name: str) -> str:
    base = name.partition("@")[0]
    for output, command in commands():
        if output == base:
            return f"run {command} first"
    return "nothing makes it; look for its name in conf/base/catalog.yml"


def refuse_unusable_address(address: str, credentials: Mapping[str, Any]) -> None:
    """Raise InputError for an address that is read-only or does not fit its credentials; nothing is sent."""
    protocol = get_protocol(address)
    if protocol in READ_ONLY_PROTOCOLS:
        raise InputError(f"data_root = {address} can only be read: {CHOICE}.")
    if protocol not in known_implementations:
        raise InputError(f"data_root = {address}: '{protocol}' is not a kind of address: {CHOICE}.")
    try:
        signature(fsspec.get_filesystem_class(protocol).__init__).bind(None, **credentials)
    except ImportError as error:  # its text names the package
        raise InputError(
            f"data_root = {address} needs a package that is not installed ({error}): {installation(protocol)}."
        ) from error
    except TypeError as error:
        raise InputError(
            f"data_root = {address} cannot be opened ({error}): {CHOICE}, or correct {CREDENTIALS}."
        ) from error


def refuse_unreachable(address: str, credentials: Mapping[str, Any]) -> None:
    """Raise InputError for a bucket that is missing, refuses access or cannot be reached; warn of memory://."""
    protocol = get_protocol(address)
    if protocol == "memory":
        LOG.warning("data_root = %s: results in memory:// end with this process.", address)
    if protocol not in OBJECT_STORES:
        return
    bucket = address.partition("://")[2].partition("/")[0]
    try:
        fsspec.filesystem(protocol, **{"use_listings_cache": False, **credentials}).ls(bucket)
    except FileNotFoundError as error:
        raise InputError(
            f"data_root = {address}: there is no bucket '{bucket}': create it, or check its name and {CREDENTIALS}."
        ) from error
    except PermissionError as error:
        raise InputError(
            f"data_root = {address}: access is denied ({error}): check {CREDENTIALS}."
        ) from error
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(
            f"data_root = {address} cannot be reached ({reason}): check the network, and {CREDENTIALS}."
        ) from error
