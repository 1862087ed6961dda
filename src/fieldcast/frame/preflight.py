"""Before the first node: what cannot end well is refused in one sentence."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines, settings
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node
from kedro.validation.type_extractor import TypeExtractor

from fieldcast import pipeline_registry
from fieldcast.errors import InputError
from fieldcast.experiments import experiments, nearest
from fieldcast.lineage import leaves

logger = logging.getLogger(__name__)

REFERENCE = re.compile(r"runtime_params:\s*([\w.]+)")


class Checks:
    """Refuses, before the first node, what cannot end well; counts the nodes; prints what is to be read.

    In the catalog, `metadata: {optional: true}` marks what may be missing, `{print: true}` what is printed at
    the end of a run, `{print: path}` what is to be found then, `{digest: true}` what is compared with its digest when
    it is first read in a run.
    """

    def __init__(self) -> None:
        self._done = self._total = 0
        self._catalog: CatalogProtocol | None = None
        self._compared: set[str] = set()
        self._to_read: dict[str, str] = {}

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Check the names of run-time parameters; give experiments without `fit` or `options` empty ones."""
        loader = context.config_loader
        pipeline_registry.CONTEXT.set(context)
        given = dict(leaves(loader.runtime_params or {}, empty=True))
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

    @hook_impl(tryfirst=True)
    def before_pipeline_run(
        self, run_params: Mapping[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check its options and models, and that what it takes from disk is there."""
        self._done, self._total = 0, len(pipeline.nodes)
        self._catalog, self._to_read, self._compared = catalog, {}, set()
        pipeline_registry.CATALOG.set(catalog)
        check_versions(run_params.get("load_versions") or {}, catalog)
        check_models(pipeline, catalog)
        for name in sorted(pipeline.inputs()):
            if name == "parameters" or name.startswith("params:") or name not in catalog:
                continue
            if not _metadata(catalog, name).get("optional") and not catalog.exists(name):
                raise InputError(f"'{name}' is not there yet: {_how_to_make(name)}.")

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Compare what was read with its digest, once in a run; data of earlier versions have no checksums."""
        if self._catalog is None or dataset_name in self._compared:
            return
        self._compared.add(dataset_name)
        if not _metadata(self._catalog, dataset_name).get("digest"):
            return
        from fieldcast.datasets import DamagedError  # half a second that only runs need
        from fieldcast.fields.contracts import fits_digest

        if not fits_digest(data):
            path = getattr(self._catalog.get(dataset_name), "_path", dataset_name)
            raise DamagedError(str(path), f"its values do not fit its digest {data.attrs['digest']}")

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """One short line for each node."""
        self._done += 1
        logger.info("%*d/%d  %s", len(str(self._total)), self._done, self._total, node.name)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep what is to be read."""
        if not self._catalog:
            return
        what = _metadata(self._catalog, dataset_name).get("print")
        if what == "path":
            path = getattr(self._catalog.get(dataset_name), "_path", "")
            self._to_read[dataset_name] = f"{dataset_name}: {path}"
        elif what and data:
            self._to_read[dataset_name] = str(data)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Print it, with an empty line between two tables."""
        if self._to_read:
            click.echo("\n\n".join(text.strip("\n") for text in self._to_read.values()))


def check_keys(given: Mapping[str, Any], parameters: Mapping[str, Any], conf: Path) -> None:
    """Raise InputError for a run-time parameter (dotted name) that nothing would read."""
    stored = dict(leaves(parameters, empty=True))
    known = {*stored, *_referenced(conf)}
    for key in given:
        parts = key.split(".")
        prefixes = [".".join(parts[: n + 1]) for n in range(len(parts))]
        below = any(one.startswith(f"{key}.") for one in known)
        of_model = parts[2:3] == ["model"] and any(one.startswith(f"{prefixes[1]}.") for one in known)
        open_ended = any(stored.get(one, "") in (None, {}) for one in prefixes) or of_model
        if key in known or below or open_ended or any(one in typed() for one in prefixes):
            continue
        raise InputError(f"--params {key}: there is no such parameter{nearest(key, sorted(known))}")


def check_versions(versions: Mapping[str, str], catalog: CatalogProtocol) -> None:
    """Raise InputError for a version that is asked of a data set which keeps none."""
    for name in versions:
        if getattr(catalog.get(name), "_version", None) is None:
            raise InputError(
                f"--load-versions {name}: '{name}' is not versioned, a run replaces what was there; leave the option "
                "out, or give --params data_root=FOLDER, the folder that holds the data of that version."
            )


def check_models(pipeline: Pipeline, catalog: CatalogProtocol) -> None:
    """Raise InputError for a model of the pipeline that cannot be built as it is described."""
    names = sorted(name for name in pipeline.inputs() if re.fullmatch(r"params:.+\.model", name))
    models = {name.removeprefix("params:"): catalog.load(name) for name in names if name in catalog}
    if not models:
        return  # without the seconds that torch takes
    from fieldcast.models.configuration import check
    from fieldcast.models.core import Model

    for key, config in models.items():
        if not is_dataclass(config):  # a File is one, and has been checked
            check(config, key, Model)


def _metadata(catalog: CatalogProtocol, name: str) -> Mapping[str, Any]:
    found = getattr(catalog.get(name), "metadata", None)
    return found if isinstance(found, Mapping) else {}


def typed() -> dict[str, Any]:
    """The dataclasses and pydantic models that nodes annotate their parameters with, by dotted name."""
    found = TypeExtractor(dict(pipelines)).extract_types_from_pipelines()
    return {key: kind for key, kind in found.items() if is_dataclass(kind) or hasattr(kind, "model_fields")}


def _how_to_make(name: str) -> str:
    base = name.partition("@")[0]
    for output, command in commands():
        if output == base:
            return f"run {command} first"
    return "nothing makes it; look for its name in conf/base/catalog.yml"


def commands() -> Iterator[tuple[str, str]]:
    """Every data set that a stage makes, and the command that makes it."""
    context = pipeline_registry.CONTEXT.get()
    env = f" --env {context.env}" if context and context.env else ""
    for stage in (name for name in pipeline_registry.STAGES if name in pipelines):
        for node in pipelines[stage].nodes:
            only = f" --namespaces {node.namespace}" if node.namespace else ""
            for output in node.outputs:
                yield output.partition("@")[0], f"`kedro run{env} --pipelines {stage}{only}`"


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
