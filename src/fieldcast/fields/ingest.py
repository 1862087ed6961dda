"""Ingestion: from any data set to `fields`, with what was found on the way."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import xarray as xr

from fieldcast import geometry, lineage
from fieldcast.errors import InputError
from fieldcast.fields import quality
from fieldcast.fields.chunked import blocks
from fieldcast.fields.conventions import KEPT, static, time_varying, to_contract
from fieldcast.fields.repair import Gaps, mend
from fieldcast.fields.sources import Source, line, open_source, reading

IN_MEMORY = 2**30  # bytes; larger data are read block by block, several times


def ingest_source(source: Source) -> tuple[xr.Dataset, pd.DataFrame]:
    """`fields` and the quality table of a user's file, store or address."""
    return ingest(open_source(source), source.where, source.gaps)


def ingest(
    dataset: xr.Dataset, where: str = "the data", gaps: Gaps = "refuse"
) -> tuple[xr.Dataset, pd.DataFrame]:
    """`fields` as the contract has them, and the quality table (`quality.COLUMNS`).

    Raises InputError: one sentence saying what is wrong, where (`where`: file or store), and what to do.
    """
    fields = to_contract(dataset, where)
    if not time_varying(fields):
        raise InputError(f"{where} holds no variable on (time, latitude, longitude): give another file")
    if fields.nbytes <= IN_MEMORY:
        with reading(where, Exception):
            fields = fields.load()
    with reading(where, OSError, RuntimeError):
        fields, findings = mend(fields, where, gaps)
        fields, more = quality.inspect(fields, where)
        fields = _described(fields, where)
    return fields, quality.table(findings + more)


def digest(fields: xr.Dataset) -> str:
    """12 hex digits of the SHA-256 over names, coordinates and values; attributes do not count."""
    return lineage.digest(_parts(fields))


def _parts(fields: xr.Dataset) -> Iterator[bytes]:
    """What the digest of fields is of, a block at a time."""
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
    """With the attributes of the contract."""
    for name in fields.data_vars:
        attrs = fields[name].attrs
        fields[name].attrs = {"long_name": str(name), **{key: attrs[key] for key in KEPT if key in attrs}}
    told = fields.attrs.get("source") or fields.attrs.get("title") or where
    return fields.assign_attrs(
        digest=digest(fields),
        source=line(told),
        wraps=int(geometry.wraps(fields["longitude"])),
        Conventions="CF-1.11",
    )
