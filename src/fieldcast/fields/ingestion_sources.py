"""Sources of fields: the simulated planet, files, images, and functions of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd
import xarray as xr

from fieldcast import plugins
from fieldcast.fields import images
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Ingestion
from fieldcast.fields.planet import reference
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.quality import table

PLANET = "planet"
SIMULATED = "simulated planet"  # beginning of the attribute `source` of its fields


class Ingested(NamedTuple):
    """Fields, the table of their quality, and the states of the simulated planet, which other sources lack."""

    fields: xr.Dataset
    quality: pd.DataFrame
    states: xr.Dataset


def from_source(ingestion: Ingestion) -> Ingested:
    """The fields of the source that the options name.

    Raises
    ------
    InputError
        If there is no such source, or if it cannot be used.
    """
    return SOURCES.get(ingestion.source, from_package)(ingestion)


def from_planet(ingestion: Ingestion) -> Ingested:
    """A simulation of the planet."""
    simulated = simulate(ingestion.planet, ingestion.seed)
    simulated.attrs["source"] = f"{SIMULATED}, {ingestion.planet.years:g} years, seed {ingestion.seed}"
    fields, quality = ingest(simulated, "the simulated planet")
    states = simulated[["q"]].assign_attrs(digest=reference.state_digest(simulated["q"]))
    return Ingested(fields, quality, states)


def from_file(ingestion: Ingestion) -> Ingested:
    """The variables of a file, a store or a list of them."""
    return Ingested(*ingest_source(ingestion.file()), xr.Dataset())


def from_images(ingestion: Ingestion) -> Ingested:
    """A data set of images."""
    pictures = images.open_images(ingestion.images, ingestion.folder())
    return Ingested(pictures, table(images.inspect(pictures)), xr.Dataset())


def from_package(ingestion: Ingestion) -> Ingested:
    """Fields from a function that an installed package advertises in the group `fieldcast.sources`."""
    fields = plugins.load("fieldcast.sources", ingestion.source)(ingestion)
    return Ingested(*ingest(fields, f"the source '{ingestion.source}'"), xr.Dataset())


SOURCES: dict[str, Callable[[Ingestion], Ingested]] = {
    PLANET: from_planet,
    "file": from_file,
    "images": from_images,
}
