"""Ingest any data set: from a source to `fields` and the quality table."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
import xarray as xr

from fieldcast import geometry, lineage
from fieldcast.errors import InputError
from fieldcast.fields import images, quality
from fieldcast.fields.conventions import (
    KEPT_ATTRS,
    LEFT_OUT,
    SUFFIXES,
    VALID_ATTRS,
    require_variables,
    static,
    time_varying,
    to_contract,
)
from fieldcast.fields.domain import blocks
from fieldcast.fields.opening import first_line, reading
from fieldcast.fields.options import Ingestion, Missing, Source
from fieldcast.fields.planet import weather
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.repair import MIN_TIMES, Finding, Gaps, repair
from fieldcast.fields.sources import open_source
from fieldcast.fields.times import as_record
from fieldcast.kinds import CASE, LEAD, MEMBER, SAMPLE, START, STEP

LOG = logging.getLogger(__name__)
# coordinates of the climatology, observations, reconstructions, forecasts and samples; "all" is the mean over variables
RESERVED = sorted(
    {"all", "dayofyear", "k", "mask", "pattern", "quantile", "segment", "variable"}
    | {CASE, LEAD, MEMBER, SAMPLE, START, STEP}
)
MAX_MEMORY_BYTES = 2**30  # bytes; larger data are read block by block, in several passes


def ingest_source(source: Source) -> tuple[xr.Dataset, pd.DataFrame]:
    """Ingest a user's file, store or address: `fields` and the quality table."""
    return _repaired(open_source(source), source.label, source.gaps, MIN_TIMES, source.missing)


def ingest(
    dataset: xr.Dataset, where: str = "the data", gaps: Gaps = "refuse", fewest: int = MIN_TIMES,
    missing: Missing = "refuse",
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Convert, repair and check a data set: `fields` as in the contract, and the quality table (`quality.COLUMNS`).

    Fewer times than `fewest`, by default what training needs, are refused. `gaps` and `missing` are those of `Source`.
    """
    return _repaired(to_contract(as_record(dataset, where), where), where, gaps, fewest, missing)


def _repaired(
    fields: xr.Dataset, where: str, gaps: Gaps, fewest: int, missing: Missing
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Repair and check a data set in the layout of `to_contract`, as `ingest` does."""
    _check_names(fields, where)
    require_variables(fields, where)
    left_out = _left_out(fields, where)
    if fields.nbytes <= MAX_MEMORY_BYTES:
        with reading(where, Exception):
            fields = fields.load()
    with reading(where, OSError, RuntimeError):
        fields, findings = repair(fields, where, gaps, fewest)
        fields, more = quality.inspect(fields, where, missing)
        fields = _described(fields, where)
    return fields, quality.table(left_out + findings + more)


def _left_out(fields: xr.Dataset, where: str) -> list[Finding]:
    """Findings on variables that `to_contract` left out, which are also logged."""
    findings = []
    for name, reason in fields.attrs.pop(LEFT_OUT, {}).items():
        sentence = f"Variable '{name}' was left out: {reason} (ingestion.variables reads it nevertheless)."
        LOG.warning("%s: %s", where, sentence)
        findings.append(Finding("categories", name, "", 1, "allowed", sentence))
    return findings


def _check_names(fields: xr.Dataset, where: str) -> None:
    """Reject a name that results use themselves, or give to a statistic of another variable."""
    names = list(map(str, fields.data_vars))
    for name in names:
        if name in RESERVED:
            raise InputError(
                f"variable '{name}' of {where} has a name that results use themselves ({', '.join(RESERVED)}): rename "
                "it in the file, or leave it out with ingestion.variables"
            )
    for name in names:
        for suffix in SUFFIXES:
            if name + suffix in names:
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
            **{key: attrs[key] for key in (*KEPT_ATTRS, *VALID_ATTRS) if key in attrs},
        }
    origin = fields.attrs.get("source") or fields.attrs.get("title") or where
    return fields.assign_attrs(
        digest=digest(fields),
        source=first_line(origin),
        wraps=int(geometry.wraps(fields["longitude"])),
        Conventions="CF-1.11",
    )


PLANET = "planet"
SIMULATED = "simulated planet"  # beginning of the attribute `source` of its fields


class Ingested(NamedTuple):
    """Fields, the table of their quality, and the states of the simulated planet, which other sources lack."""

    fields: xr.Dataset
    quality: pd.DataFrame
    states: xr.Dataset


def from_source(ingestion: Ingestion) -> Ingested:
    """The fields of the source that the options name: the simulated planet, images, or a user's files."""
    if ingestion.source == PLANET:
        simulated = simulate(ingestion.planet, ingestion.seed)
        simulated.attrs["source"] = f"{SIMULATED}, {ingestion.planet.years:g} years, seed {ingestion.seed}"
        states = simulated[["q"]].assign_attrs(digest=weather.state_digest(simulated["q"]))
        return Ingested(*ingest(simulated, "the simulated planet"), states)
    if ingestion.source == "images":
        pictures = images.open_images(ingestion.images, ingestion.folder())
        return Ingested(pictures, quality.table(images.inspect(pictures)), xr.Dataset())
    return Ingested(*ingest_source(ingestion.file()), xr.Dataset())
