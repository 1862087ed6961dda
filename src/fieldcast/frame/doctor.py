"""Examine the data under a data root for damage, contracts, digests and lineage, and list the commands to rerun."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd
import xarray as xr
from kedro.io import CatalogProtocol
from kedro.validation import validate_dataset

from fieldcast import pipeline_registry
from fieldcast.encoding.checkpoint import model_digest, read_header
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.errors import InputError
from fieldcast.experiments import Experiment, experiments
from fieldcast.fields.contracts import fits_digest
from fieldcast.frame.configured_options import ConfiguredOptions
from fieldcast.frame.error_messages import sentence
from fieldcast.frame.makers import makers
from fieldcast.lineage import CODE, differences
from fieldcast.models.source_code import code_of
from fieldcast.pipelines.names import is_transient, pooled_roles

# entry of a lineage: the data sets that it may refer to; an input of the node, if there are several
SOURCES = {
    "data": ("fields",),
    "observations": ("observations", "cycle_observations"),
    "starts": ("initial_times",),
}


@dataclass(frozen=True)
class Fault:
    """A stored data set that is not fit for use, why, and the command that makes it again."""

    dataset: str
    complaint: str
    command: str


@dataclass(frozen=True)
class Examination:
    """Number of stored data sets, and their faults, in the order in which stages run."""

    stored: int
    faults: tuple[Fault, ...]

    def __str__(self) -> str:
        if not self.faults:
            return f"{self.stored} data sets are complete, undamaged and consistent with one another."
        complaints = (f"{fault.dataset}: {fault.complaint}" for fault in self.faults)
        again = dict.fromkeys(fault.command.strip("`") for fault in self.faults)
        return "\n".join(
            [
                f"{len(self.faults)} of {self.stored} data sets are damaged, or were not made with this --env and "
                "these --params:",
                *(f"  {complaint}" for complaint in complaints),
                "if they were made with another --env or other --params, run `fieldcast doctor` with those; otherwise "
                "run, in this order:",
                *(f"  {command}" for command in again),
                "then run `fieldcast doctor` again: what was made from these may be stale, too.",
            ]
        )


def examine(catalog: CatalogProtocol, folder: str | None) -> Examination:
    """Read everything that the stages have stored in a folder, one data set after another.

    A checkpoint from which stored draws or another checkpoint were made counts as stored, also where it is missing.

    Raises InputError if nothing is stored.
    """
    listed = experiments(pipeline_registry.configuration())
    made = {
        name: (node.inputs, command)
        for name, node, command in makers()
        if not is_transient(name) and name in catalog
    }
    present = {name for name in made if catalog.exists(name)}
    if not present:
        raise InputError(f"nothing is stored in {folder}: name the data_root of a run, and its --env.")
    expected = present.union(*(checkpoints_of(name, listed) for name in present))
    stored = {name: origin for name, origin in made.items() if name in expected}
    digests: dict[str, str] = {}
    options = ConfiguredOptions(catalog, listed)
    faults = [
        Fault(name, fault, command)
        for name, (inputs, command) in stored.items()
        if (fault := complaint(name, inputs, options, digests))
    ]
    return Examination(len(stored), tuple(faults))


def checkpoints_of(name: str, listed: Mapping[str, Experiment]) -> set[str]:
    """Checkpoints from which a data set was made, if it is draws or a checkpoint."""
    address, _, kind = name.rpartition(".")
    if kind not in ("draws", "checkpoint") or address not in listed or listed[address].file:
        return set()
    experiment = listed[address]
    return {f"{source}.checkpoint" for source in (experiment.draws_from, *experiment.uses.values())}


def complaint(
    name: str, inputs: Collection[str], options: ConfiguredOptions, digests: dict[str, str]
) -> str | None:
    """The first fault of a data set, if it has any; adds its digest to those of the sources.

    inputs: inputs of the node that makes it.
    """
    catalog, listed = options.catalog, options.listed
    try:
        data = read(name, catalog)
        entries = lineage_of(data, name)
        if name in chain.from_iterable(SOURCES.values()):
            digests[name] = entries["digest"]
        sources = {key: source_of(key, inputs) for key in SOURCES}
        present: dict[str, Any] = {
            key: digests[source] for key, source in sources.items() if source in digests
        }
        address = name.removesuffix(".draws")
        if address != name and "model" in entries and not listed[address].file:
            present["model"] = model_of(address, catalog, listed)
        if base := base_address(name.removesuffix(".checkpoint"), listed):
            present["base"] = weights_of(base, catalog)
        if pooled := pooled_experiments(name.removesuffix(".checkpoint"), listed):
            present["parts"] = {role: weights_of(address, catalog) for role, address in pooled.items()}
        option_complaint = options.complaint(name, entries, inputs)
    except Exception as error:  # any error is a fault of the file
        return sentence(error) or f"it cannot be read ({type(error).__name__}: {error})."
    for key, stored, current in changed_code(entries):
        return f"its model class has changed since it was trained ({key}: {stored}, now {current})."
    for key, now in present.items():
        if key in entries and entries[key] != now:
            source = sources.get(key, "weights or model options")
            return f"it was made from other {source} ({entries[key]}, now {now})."
    return option_complaint


def source_of(key: str, inputs: Collection[str]) -> str | None:
    """The data set whose digest an entry of a lineage is, for a data set made from these inputs."""
    names = SOURCES[key]
    return names[0] if len(names) == 1 else next((name for name in names if name in inputs), None)


def changed_code(header: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Modules of the model of a checkpoint whose code differs from the present one, with both digests."""
    if CODE in header:
        yield from differences(header, {CODE: code_of(header["model"])})


def read(name: str, catalog: CatalogProtocol) -> Any:
    """Read all values of a data set; raise an error for damage, and for values against its contract or digest."""
    dataset: Any = catalog.get(name)
    data = dataset.load()
    if isinstance(data, xr.Dataset):
        for array in data.variables.values():
            for block in array.data.blocks.ravel() if array.chunks else ():
                block.compute()
    validate_dataset(catalog, name, data).raise_if_failed()
    if (getattr(dataset, "metadata", None) or {}).get("digest") and not fits_digest(data):
        raise InputError("its values do not match its digest.")
    return data


def lineage_of(data: Any, name: str) -> Mapping[str, Any]:
    """Entries on the origin of a data set: attributes, header, or columns that hold one value."""
    if isinstance(data, xr.Dataset):
        return data.attrs
    if isinstance(data, pd.DataFrame):
        columns = [column for column in SOURCES if column in data and data[column].nunique() == 1]
        return {column: data[column].iloc[0] for column in columns}
    if name.endswith(".checkpoint"):
        unpack_bytes(data, "it")
        return read_header(data, "it")
    return data if isinstance(data, Mapping) else {}


def base_address(address: str, listed: Mapping[str, Experiment]) -> str | None:
    """Address of the experiment from whose solution the training of another starts, if there is one."""
    return listed[address].uses.get("base") if address in listed else None


def pooled_experiments(address: str, listed: Mapping[str, Experiment]) -> dict[str, str]:
    """Addresses of the experiments whose models a pool holds, by role."""
    pool = listed.get(address)
    return {role: pool.uses[role] for role in pooled_roles(pool)} if pool else {}


def weights_of(address: str, catalog: CatalogProtocol) -> str:
    """Digest of the weights of an experiment."""
    return str(
        read_header(catalog.load(f"{address}.checkpoint"), f"the checkpoint of '{address}'")["weights"]
    )


def model_of(address: str, catalog: CatalogProtocol, listed: Mapping[str, Experiment]) -> str:
    """Digest of the weights and the model from which an experiment would draw now."""
    checkpoint = catalog.load(f"{listed[address].draws_from}.checkpoint")
    model = catalog.load(f"params:{address}.model")
    return model_digest(read_header(checkpoint, "its checkpoint"), model)
