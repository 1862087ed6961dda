"""Ingest any data set: from a source to `fields` and the quality table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pandas as pd
import xarray as xr

from fieldcast import geometry, lineage
from fieldcast.errors import InputError
from fieldcast.fields import images, quality
from fieldcast.fields.conventions import KEPT_ATTRS, SUFFIXES, static, time_varying, to_contract
from fieldcast.fields.domain import blocks
from fieldcast.fields.opening import first_line, reading
from fieldcast.fields.options import Ingestion, Missing, Source
from fieldcast.fields.planet import weather
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.quality import table
from fieldcast.fields.repair import MIN_TIMES, Gaps, repair
from fieldcast.fields.sources import open_source

# coordinates of the climatology, observations, reconstructions, forecasts and samples; "all" is the mean over variables
RESERVED = (
    "all",
    "case",
    "dayofyear",
    "k",
    "lead",
    "mask",
    "member",
    "pattern",
    "quantile",
    "sample",
    "segment",
    "start",
    "step",
    "variable",
)
MAX_MEMORY_BYTES = 2**30  # bytes; larger data are read block by block, in several passes


def ingest_source(source: Source) -> tuple[xr.Dataset, pd.DataFrame]:
    """Ingest a user's file, store or address: `fields` and the quality table."""
    return repaired(open_source(source), source.where, source.gaps, missing=source.missing)


def ingest(
    dataset: xr.Dataset, where: str = "the data", gaps: Gaps = "refuse", fewest: int = MIN_TIMES,
    missing: Missing = "refuse",
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Convert, repair and check a data set: `fields` as in the contract, and the quality table (`quality.COLUMNS`).

    Fewer times than `fewest`, by default what training needs, are refused. `gaps` and `missing` are those of `Source`.
    """
    return repaired(to_contract(dataset, where), where, gaps, fewest, missing=missing)


def repaired(
    fields: xr.Dataset,
    where: str,
    gaps: Gaps = "refuse",
    fewest: int = MIN_TIMES,
    missing: Missing = "refuse",
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Repair and check a data set in the layout of `to_contract`, as `ingest` does."""
    _refuse_reserved_names(fields, where)
    _refuse_names_of_results(fields, where)
    if not time_varying(fields):
        raise InputError(f"{where} has no variable on (time, latitude, longitude): choose another file")
    if fields.nbytes <= MAX_MEMORY_BYTES:
        with reading(where, Exception):
            fields = fields.load()
    with reading(where, OSError, RuntimeError):
        fields, findings = repair(fields, where, gaps, fewest)
        fields, more = quality.inspect(fields, where, missing)
        fields = _described(fields, where)
    return fields, quality.table(findings + more)


def _refuse_reserved_names(fields: xr.Dataset, where: str) -> None:
    for name in fields.data_vars:
        if name in RESERVED:
            raise InputError(
                f"variable '{name}' of {where} has a name that results use themselves ({', '.join(RESERVED)}): rename "
                "it in the file, or leave it out with ingestion.variables"
            )


def _refuse_names_of_results(fields: xr.Dataset, where: str) -> None:
    """Reject a variable whose name results give to a statistic of another one."""
    for name in map(str, fields.data_vars):
        for suffix in SUFFIXES:
            if name + suffix in fields.data_vars:
                raise InputError(
                    f"variables '{name}' and '{name + suffix}' of {where}: results call the {suffix[1:]} of "
                    f"'{name}' '{name + suffix}': rename one, or leave one out with ingestion.variables"
                )


def digest(fields: xr.Dataset) -> str:
    """Digest of names, coordinates and values of fields; attributes do not count."""
    return lineage.digest(_parts(fields))


def _parts(fields: xr.Dataset) -> Iterator[bytes]:
    """Yield the bytes that the digest of fields covers, block by block."""
    for name in ("time", "latitude", "longitude", "segment"):
        values = fields[name].values
        text = values.astype("M8[s]").astype(str) if values.dtype.kind == "M" else values.astype(str)
        yield f"{name}:{','.join(text.tolist())};".encode()
    for name in time_varying(fields):
        yield f"{name}:".encode()
        yield from (x.astype("<f4").tobytes() for _, x in blocks(fields[name]))
    for name in static(fields):
        yield f"{name}:".encode()
        yield fields[name].values.astype("<f4").tobytes()


def _described(fields: xr.Dataset, where: str) -> xr.Dataset:
    """Set the attributes of the contract."""
    for name in fields.data_vars:
        attrs = fields[name].attrs
        fields[name].attrs = {
            "long_name": str(name),
            **{key: attrs[key] for key in KEPT_ATTRS if key in attrs},
        }
    origin = fields.attrs.get("source") or fields.attrs.get("title") or where
    return fields.assign_attrs(
        digest=digest(fields),
        source=first_line(origin),
        wraps=int(geometry.wraps(fields["longitude"])),
        Conventions="CF-1.11",
    )


# Sources of fields: the simulated planet, files, images, and functions of installed packages.


PLANET = "planet"
SIMULATED = "simulated planet"  # beginning of the attribute `source` of its fields


class Ingested(NamedTuple):
    """Fields, the table of their quality, and the states of the simulated planet, which other sources lack."""

    fields: xr.Dataset
    quality: pd.DataFrame
    states: xr.Dataset


def from_source(ingestion: Ingestion) -> Ingested:
    """The fields of the source that the options name."""
    return SOURCES[ingestion.source](ingestion)


def from_planet(ingestion: Ingestion) -> Ingested:
    """A simulation of the planet."""
    simulated = simulate(ingestion.planet, ingestion.seed)
    simulated.attrs["source"] = f"{SIMULATED}, {ingestion.planet.years:g} years, seed {ingestion.seed}"
    fields, quality = ingest(simulated, "the simulated planet")
    states = simulated[["q"]].assign_attrs(digest=weather.state_digest(simulated["q"]))
    return Ingested(fields, quality, states)


def from_file(ingestion: Ingestion) -> Ingested:
    """The variables of a file, a store or a list of them."""
    return Ingested(*ingest_source(ingestion.file()), xr.Dataset())


def from_images(ingestion: Ingestion) -> Ingested:
    """A data set of images."""
    pictures = images.open_images(ingestion.images, ingestion.folder())
    return Ingested(pictures, table(images.inspect(pictures)), xr.Dataset())


SOURCES: dict[str, Callable[[Ingestion], Ingested]] = {
    PLANET: from_planet,
    "file": from_file,
    "images": from_images,
}
