"""Examine the data under a data root for damage, contracts, digests and lineage, and list the commands to rerun."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import xarray as xr
from kedro.io import CatalogProtocol, DatasetError
from kedro.validation import validate_dataset

from fieldcast.app.conf_source import parameters
from fieldcast.app.error_messages import sentence
from fieldcast.app.makers import Origin, makers, origin_of
from fieldcast.datasets import InMemoryDataset
from fieldcast.datasets.base import damage_of
from fieldcast.encoding.checkpoint import require_this_version
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.errors import InputError
from fieldcast.experiments import listed_experiments
from fieldcast.fields.contracts import fits_digest
from fieldcast.lineage import change, stored_in
from fieldcast.tasks import TASKS


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

    What a stored data set was made from counts as stored, also where it is missing.

    Raises InputError if nothing is stored.
    """
    listed = listed_experiments(parameters(), TASKS)
    made = {name: (node, command) for name, node, command in makers() if is_examined(name, catalog)}
    present = {name for name in made if catalog.exists(name)}
    if not present:
        raise InputError(f"nothing is stored in {folder}: name the data_root of a run, and its --env.")
    origins = {name: origin for name in present if (origin := origin_of(name, made[name][0], listed))}
    stored = made.keys() & present.union(*(origin.inputs.values() for origin in origins.values()))
    unreadable = set(stored)
    faults = [
        Fault(name, fault, command)
        for name, (_, command) in made.items()
        if name in stored and (fault := complaint(name, origins.get(name), catalog, unreadable))
    ]
    return Examination(len(stored), tuple(faults))


def complaint(name: str, origin: Origin | None, catalog: CatalogProtocol, unreadable: set[str]) -> str | None:
    """The first fault of a data set, if it has any; one that can be read is taken from those that are `unreadable`."""
    try:
        data = read(name, catalog)
        unreadable.remove(name)
        if origin is None or not unreadable.isdisjoint(origin.inputs.values()):
            return None
        return stale(data, origin, catalog)
    except Exception as error:  # any error is a fault of the file
        return sentence(error) or f"it cannot be read ({type(error).__name__}: {error})."


def is_examined(name: str, catalog: CatalogProtocol) -> bool:
    """Whether a data set is stored and no figure: figures are drawn from others, and some types cannot be loaded."""
    return (
        name in catalog
        and not isinstance(catalog.get(name), InMemoryDataset)
        and metadata(name, catalog).get("mlflow") != "figure"
    )


def metadata(name: str, catalog: CatalogProtocol) -> Mapping[str, Any]:
    return getattr(catalog.get(name), "metadata", None) or {}


def stale(data: Any, origin: Origin, catalog: CatalogProtocol) -> str | None:
    """A sentence on the first entry of a lineage that differs from what this run would give; None if there is none."""
    if isinstance(data, bytes):
        _, data = unpack_bytes(data, "it")
        data = require_this_version(data, "it") if "format" in data else data
    stored = stored_in(data)  # a table without rows has none
    values = {argument: catalog.load(source) for argument, source in origin.inputs.items()}
    different = change(stored, origin.lineage(**values)) if stored else None
    return f"it was made {different}." if different else None


def read(name: str, catalog: CatalogProtocol) -> Any:
    """Read all values of a data set; raise an error for damage, and for values against its contract or digest."""
    dataset: Any = catalog.get(name)
    try:
        data = dataset.load()
    except DatasetError as error:
        if damage := damage_of(dataset, error):
            raise damage from error
        raise
    if isinstance(data, xr.Dataset):
        for array in data.variables.values():
            for block in array.data.blocks.ravel() if array.chunks else ():
                block.compute()
    validate_dataset(catalog, name, data).raise_if_failed()
    if metadata(name, catalog).get("digest") and not fits_digest(data):
        raise InputError("its values do not match its digest.")
    return data
