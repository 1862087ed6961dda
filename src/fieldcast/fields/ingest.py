"""Ingest any data set: from a source to `fields` and the quality table."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import geometry, lineage
from fieldcast.errors import InputError, counted
from fieldcast.fields import climatology, domain, images, quality
from fieldcast.fields.conventions import (
    DIMS,
    KEPT_ATTRS,
    LEFT_OUT,
    MASK,
    PREDICTORS,
    RENAMED,
    RESERVED,
    VALID_ATTRS,
    is_land_mask,
    require_variables,
    select_variables,
    static,
    time_varying,
    to_contract,
)
from fieldcast.fields.domain import PREDICTOR, SEA, blocks
from fieldcast.fields.opening import first_line, reading
from fieldcast.fields.options import Gaps, Ingestion, Missing, Source, fills_gaps
from fieldcast.fields.planet import weather
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.repair import MIN_TIMES, Finding, repair
from fieldcast.fields.sources import open_source
from fieldcast.fields.times import as_record

LOG = logging.getLogger(__name__)
FEWEST_TO_FILL = 5  # smallest number of times of such a record
MAX_MEMORY_BYTES = 2**30  # bytes; larger data are read block by block, in several passes


def ingest_source(source: Source) -> tuple[xr.Dataset, pd.DataFrame]:
    """Ingest a user's file, store or address: `fields` and the quality table."""
    return _repaired(open_source(source), source.label, source.gaps, MIN_TIMES, source.missing)


def ingest(
    dataset: xr.Dataset, where: str = "the data", gaps: Gaps = "refuse", fewest: int = MIN_TIMES,
    missing: Missing = "refuse", predictors: Sequence[str] = (),
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Convert, repair and check a data set: `fields` as in the contract, and the quality table (`quality.COLUMNS`).

    Fewer times than `fewest`, by default what training needs, are refused. `gaps`, `missing` and `predictors` are those
    of `Source`.
    """
    with reading(where, OSError, RuntimeError, of=dataset):
        fields = to_contract(as_record(dataset, where), where, curvilinear=fills_gaps(gaps, missing))
    if predictors:
        fields.attrs[PREDICTORS] = list(select_variables(fields, predictors, where, "predictors"))
    return _repaired(fields, where, gaps, fewest, missing, of=dataset)


def ingest_contract(
    fields: xr.Dataset, where: str = "the data", gaps: Gaps = "refuse", missing: Missing = "refuse",
    part: bool = False,
) -> xr.Dataset:  # fmt: skip
    """Repair and check fields that are in the layout of `conventions.to_contract` already.

    A `part` of a record, which was checked as a whole, may be short, and constant or empty.
    """
    return _repaired(fields, where, gaps, 1 if part else MIN_TIMES, missing, part)[0]


def _repaired(
    fields: xr.Dataset, where: str, gaps: Gaps, fewest: int, missing: Missing, part: bool = False,
    of: xr.Dataset | None = None,
) -> tuple[xr.Dataset, pd.DataFrame]:  # fmt: skip
    """Repair and check a data set in the layout of `to_contract`, as `ingest` does; `of` is the one that was given."""
    require_variables(fields, where)
    notes, predictors = _noted(fields, where), _named_predictors(fields, where, missing)
    if fields.nbytes <= MAX_MEMORY_BYTES:
        with reading(where, Exception, of=of):
            fields = fields.load()
    with reading(where, OSError, RuntimeError, of=of):
        mask = fields.get(MASK)
        fields, land = _without_land(fields.drop_vars(MASK, errors="ignore"), where, missing, predictors)
        if mask is not None:  # both hold
            mask = mask.where(fields[SEA], 0.0) if SEA in fields.coords else mask
            fields = fields.drop_vars(SEA, errors="ignore").assign({MASK: mask})
        if fills_gaps(gaps, missing):
            fewest = min(fewest, FEWEST_TO_FILL)
        fields, findings = repair(fields, where, gaps, fewest)
        if MASK in fields:
            fields, masked = _without_masked(fields, where, missing, predictors)
            land.append(masked)
        if fewest <= fields.sizes["time"] < MIN_TIMES and missing == "train" and not part:
            findings.append(_few_times(fields.sizes["time"], where))
        fields, more = quality.inspect(fields, where, missing, errors=fills_gaps(gaps, missing), part=part)
        if predictors:
            fields = _with_predictors(fields, predictors, where)
        fields = _described(fields, where)
    return fields, quality.table(notes + land + findings + more)


def _named_predictors(fields: xr.Dataset, where: str, missing: Missing) -> list[str]:
    """The predictors that an option names, beside which variables to fill are left; takes them from the attributes."""
    names: list[str] = fields.attrs.pop(PREDICTORS, [])
    if names and missing != "train":
        raise InputError("ingestion.predictors is for records with gaps: set ingestion.missing=train, too.")
    if names and {*names, MASK} >= set(time_varying(fields)):
        raise InputError(
            f"predictors: {', '.join(names)} are all variables of {where}: leave out those that are to be filled."
        )
    return names


def _noted(fields: xr.Dataset, where: str) -> list[Finding]:
    """Findings on variables that `to_contract` left out or renamed, which are also logged."""
    findings = []
    for name, reason in fields.attrs.pop(LEFT_OUT, {}).items():
        sentence = f"Variable '{name}' was left out: {reason} (ingestion.variables reads it nevertheless)."
        findings.append(Finding("categories", name, "", 1, "allowed", sentence))
    for name, old in fields.attrs.pop(RENAMED, {}).items():
        sentence = f"Variable '{old}' is called '{name}': results use its own name themselves."
        findings.append(Finding("names", name, "", 1, "repaired", sentence))
    for finding in findings:
        LOG.warning("%s: %s", where, finding.sentence)
    return findings


def _few_times(number: int, where: str) -> Finding:
    """Finding on a record of fewer times than training needs, which is also logged."""
    sentence = (
        f"There are only {counted(number, 'time')}: climatology and spread rest on few values, and nothing is "
        f"learned of the season; {MIN_TIMES} or more are better."
    )
    LOG.warning("%s: %s", where, sentence)
    return Finding("few times", "", "", number, "allowed", sentence)


MAX_OBSERVED_LAND = 0.02  # largest share of the observations on land for a mask to be one of the land


def _without_land(
    fields: xr.Dataset, where: str, missing: Missing, predictors: Sequence[str]
) -> tuple[xr.Dataset, list[Finding]]:
    """Drop what is observed on land, by a mask of 0 and 1 in the file; cells of the sea exist, though never observed.

    Values are observed in the sea, which tells 0 from 1. With `missing` "train" the coordinate `domain.SEA` (latitude,
    longitude) marks the sea. A mask that the data contradict is left out. Predictors keep their values.
    """
    findings: list[Finding] = []
    masked = [name for name in time_varying(fields) if name not in predictors]
    for name in [name for name in static(fields) if is_land_mask(name, fields[name])]:
        values = fields[name].values
        binary = bool(np.isin(values[np.isfinite(values)], (0, 1)).all()) and len(np.unique(values)) > 1
        counts = sum(_observed(fields[v]) for v in masked) if binary else np.zeros(values.shape)
        by_class = [int(counts[values == number].sum()) for number in (0, 1)]
        sea = values == int(np.argmax(by_class))
        on_land = int(counts[~sea].sum())
        if not binary or on_land > MAX_OBSERVED_LAND * counts.sum():
            if name in RESERVED:
                reason = "the data contradict it" if binary else "it does not hold 0 and 1"
                sentence = f"Variable '{name}' was left out: it is no mask of the land, for {reason}."
                findings.append(Finding("land", name, "", 1, "allowed", sentence))
                fields = fields.drop_vars(name)
            continue
        never = int((sea & (counts == 0)).sum())
        sentence = (
            f"'{name}' masks the land ({int((~sea).sum())} of {sea.size} cells are {1 - int(np.argmax(by_class))}): "
            f"{counted(on_land, 'value')} observed there {'was' if on_land == 1 else 'were'} dropped; "
            f"{counted(never, 'cell')} of the sea {'was' if never == 1 else 'were'} never observed."
        )
        findings.append(Finding("land", name, "", on_land, "repaired", sentence))
        mask = xr.DataArray(sea, dims=DIMS[1:])
        fields = fields.drop_vars(name)
        with xr.set_options(keep_attrs=True):
            fields = fields.assign({v: fields[v].where(mask) for v in masked})
        if missing == "train":
            fields = fields.assign_coords({SEA: (DIMS[1:], sea)})
        break
    for finding in findings:
        LOG.warning("%s: %s", where, finding.sentence)
    return fields, findings


def _without_masked(
    fields: xr.Dataset, where: str, missing: Missing, predictors: Sequence[str]
) -> tuple[xr.Dataset, Finding]:
    """Drop what is observed where the variable `MASK` is 0; the coordinate `domain.SEA` marks where it is not.

    Its dates are those of the fields. A date that was inserted, at which it is NaN, has the mask of the date before.
    Predictors keep their values.
    """
    mask, fields = fields[MASK], fields.drop_vars(MASK)
    if missing != "train":
        raise InputError("ingestion.mask is for records with gaps: set ingestion.missing=train, too.")
    values, inserted = mask.values, 0
    if "time" in mask.dims:
        mask = mask.transpose(*DIMS)
        given = np.isfinite(mask[:, 0, 0].values)
        inserted = int((~given).sum())
        last = np.maximum.accumulate(np.where(given, np.arange(len(given)), 0))
        values = mask.values if given.all() else mask.values[last]
    odd = values[(values != 0) & (values != 1)]
    if odd.size:
        raise InputError(
            f"the mask of {where} holds {odd[0]:g}, not only 0 and 1: give a variable that is 1 where values are "
            "filled."
        )
    sea = values == 1
    kept, dropped = 0, 0
    names = [name for name in time_varying(fields) if name not in predictors]
    with xr.set_options(keep_attrs=True):
        for name in names:
            for span, x in blocks(fields[name]):
                inside = sea[span] if sea.ndim == len(DIMS) else sea
                observed = np.isfinite(x)
                kept += int((observed & inside).sum())
                dropped += int((observed & ~inside).sum())
        marked = xr.DataArray(sea, dims=mask.dims)
        fields = fields.assign({name: fields[name].where(marked) for name in names})
    if not kept:
        raise InputError(
            f"the mask of {where} is 0 wherever a value is observed: it must be 1 where values are filled."
        )
    sentence = (
        f"The mask is 0 for {(~sea).mean():.1%} of the {'times and cells' if sea.ndim == len(DIMS) else 'cells'}: "
        f"{counted(dropped, 'value')} observed there {'was' if dropped == 1 else 'were'} dropped."
    )
    if inserted:
        sentence += (
            f" {counted(inserted, 'missing date has', 'missing dates have')} the mask of the date before."
        )
    LOG.warning("%s: %s", where, sentence)
    return fields.assign_coords({SEA: (mask.dims, sea)}), Finding(
        "mask", "", "", dropped, "repaired", sentence
    )


def _with_predictors(fields: xr.Dataset, names: Sequence[str], where: str) -> xr.Dataset:
    """Make some variables predictors of the others: coordinates with their standardised anomalies."""
    if constant := [name for name in names if name not in time_varying(fields)]:
        raise InputError(f"predictors: '{constant[0]}' of {where} does not vary in time: leave it out.")
    arrays = {}
    for name in names:
        normal = climatology.fit(fields[[name]], shrink=True)
        anomaly = climatology.anomaly(fields[[name]], normal)[name].transpose(*DIMS)
        spread = float(anomaly.std())
        if not spread > 1e-6 * float(abs(fields[name]).max()):
            raise InputError(
                f"predictors: '{name}' of {where} is its climatology at all times: leave it out."
            )
        arrays[PREDICTOR + name] = (DIMS, (anomaly / spread).values.astype(np.float32))
    LOG.info("%s: %s is used to fill gaps of other variables, and for nothing else.", where, ", ".join(names))
    return fields.drop_vars(list(names)).assign_coords(arrays)


def _observed(array: xr.DataArray) -> np.ndarray:
    """Number of values of each cell."""
    return np.sum([np.isfinite(x).sum(0) for _, x in blocks(array)], axis=0)


def digest(fields: xr.Dataset) -> str:
    """Digest of names, coordinates and values of fields; attributes do not count."""
    return lineage.digest(_parts(fields))


def _parts(fields: xr.Dataset) -> Iterator[bytes]:
    """Yield the bytes that the digest of fields covers, block by block."""
    for name in ("time", "latitude", "longitude", "segment"):
        values = fields[name].values
        text = values.astype("M8[s]").astype(str) if values.dtype.kind == "M" else values.astype(str)
        yield f"{name}:{','.join(text.tolist())};".encode()
    for name in (name for name in (*geometry.TRUE_GRID, SEA) if name in fields.coords):
        if "time" in fields[name].dims:
            yield f"{name}:".encode() + np.packbits(fields[name].values.astype(bool)).tobytes()
        else:
            yield f"{name}:".encode() + fields[name].values.astype("<f8").tobytes()
    for name, array in domain.predictors(fields).items():
        yield f"{PREDICTOR}{name}:".encode()
        yield from (x.astype("<f4").tobytes() for _, x in blocks(array))
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
