"""The data sets of a run that the catalog marks for its record in MLflow, and when their files were written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from fieldcast.app.tracking.models import LoggedCheckpoint
from fieldcast.datasets.base import location
from fieldcast.errors import InputError
from fieldcast.pipelines.names import address_of

PARENT = ""  # the name of the parent run among the addresses of experiments
REPORTING = "reporting"  # tag of the nodes of the results page
CONTENT = {"metrics": "scores", "history": "losses", "data": "data", "result": "checkpoint and output"}


@dataclass(frozen=True)
class Stored:
    """A data set that the catalog marks.

    Parameters
    ----------
    name, kind
        Its name, and its mark.
    owner
        The address of its experiment; PARENT for a shared one.
    dataset, place
        The data set, and its path or address.
    is_made
        Whether a node of the run writes it; otherwise it is read.
    """

    name: str
    kind: str
    owner: str
    dataset: Any
    place: str
    is_made: bool

    @property
    def content(self) -> str:
        """The name by which a warning calls it: an artifact by its file."""
        content = CONTENT.get(self.kind) or "/".join(Path(self.place).parts[-2:])
        return f"{content} of {self.owner}" if self.owner else content


def marked(pipeline: Pipeline, catalog: CatalogProtocol) -> list[Stored]:
    """The data sets on a file system that the catalog marks: outputs of the run, and fields that it only reads."""
    owners = {name: experiment_of(node) for node in pipeline.nodes for name in node.outputs}
    stored = []
    for name in sorted({*owners, *pipeline.inputs()}):
        if name == "parameters" or name.startswith("params:"):
            continue
        dataset: Any = catalog.get(name)
        declared = getattr(dataset, "metadata", None)
        kind = declared.get("mlflow") if isinstance(declared, Mapping) else None
        if kind and (name in owners or kind == "data") and (place := location(dataset)):
            stored.append(Stored(name, kind, owners.get(name, PARENT), dataset, place, name in owners))
    return stored


def leaves(pipeline: Pipeline, catalog: CatalogProtocol) -> dict[str, list[str]]:
    """Places of the outputs that no node of the run reads, by experiment; without those that may be missing."""
    read = {name.partition("@")[0] for node in pipeline.nodes for name in node.inputs}
    places: dict[str, list[str]] = {}
    for node in pipeline.nodes:
        for name in node.outputs:
            dataset: Any = catalog.get(name)
            is_optional = (getattr(dataset, "metadata", None) or {}).get("optional")
            if name.partition("@")[0] not in read and not is_optional and (place := location(dataset)):
                places.setdefault(experiment_of(node), []).append(place)
    return places


def version_of(place: str, credentials: Mapping[str, Any]) -> tuple[int, int] | None:
    """Time of the last change of a file or folder [ns since 1970], and its size; None where there is none."""
    if "://" not in place:
        try:
            state = os.stat(place)
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size
    filesystem, path = fsspec.url_to_fs(place, use_listings_cache=False, **credentials)
    path = f"{path}/zarr.json" if path.endswith(".zarr") else path
    try:
        return int(filesystem.modified(path).timestamp() * 1e9), 0
    except OSError:
        return None


def weights_in(place: str) -> str:
    """The digest of the weights that a checkpoint holds before the run; empty without one that can be read."""
    try:
        return LoggedCheckpoint.of("", Path(place)).weights if Path(place).is_file() else ""
    except (OSError, InputError, KeyError):
        return ""


def parameters_read(pipeline: Pipeline) -> dict[str, set[str]]:
    """Dotted names of the parameters that nodes read, by experiment; for PARENT all that are no experiment's own.

    The report reads options of tasks that may not have run: its nodes do not count.
    """
    names: dict[str, set[str]] = {PARENT: set()}
    for node in (node for node in pipeline.nodes if REPORTING not in node.tags):
        address = experiment_of(node)
        for name in (name.removeprefix("params:") for name in node.inputs if name.startswith("params:")):
            names.setdefault(address, set()).add(name)
            if address == PARENT or not name.startswith(f"{address}."):
                names[PARENT].add(name)
    return names


def contexts(pipeline: Pipeline) -> dict[str, str]:
    """MLflow's context of the fields for each experiment: training if the run trains it, else evaluation.

    For PARENT it is the first of these that an experiment has; preparation where nothing is drawn, scored or shown.
    """
    trained = {
        experiment_of(node) for node in pipeline.nodes if f"{experiment_of(node)}.checkpoint" in node.outputs
    }
    each = {experiment_of(node): "evaluation" for node in pipeline.nodes}
    each |= dict.fromkeys(trained, "training")
    is_shown = any(REPORTING in node.tags for node in pipeline.nodes)
    shared = "training" if trained else "evaluation" if is_shown or set(each) - {PARENT} else "preparation"
    return each | {PARENT: shared}


def experiment_of(node: Node) -> str:
    """The address of the experiment of a node; PARENT for a shared node."""
    return address_of(node.namespace) or PARENT
