"""NetCDF files of readings along tracks, as tables: altimeters, ships, floats (CF conventions, chapter 9).

Times, latitudes and longitudes share the dimension of the readings; the readings of a track are a row of a matrix, or
follow each other in the order of tracks (contiguous ragged arrays), or name their track (indexed ragged arrays).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.errors import InputError, listed
from fieldcast.fields.containers import format_of, is_netcdf
from fieldcast.fields.conventions import axes
from fieldcast.fields.encoding import declared_encoding
from fieldcast.fields.headings import NAMES, plain

AXES = ("time", "latitude", "longitude")


def is_track_file(path: Path) -> bool:
    """Whether a file is NetCDF, by its first bytes."""
    return path.is_file() and path.stat().st_size > 0 and is_netcdf(format_of(str(path)))


def read_tracks(path: Path, where: str) -> pd.DataFrame:
    """A table with a row for each reading and a column for each quantity, whose heading has its units in brackets."""
    try:
        dataset = xr.open_dataset(path)
    except Exception as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise InputError(f"{where} cannot be read as NetCDF ({reason}): give another file.") from error
    with dataset:
        by_name = {axis: [str(x) for x in dataset.variables if plain(x) in NAMES[axis]] for axis in AXES}
        names = {axis: each[0] for axis, each in by_name.items() if each} | axes(dataset)
        if missing := [axis for axis in AXES if axis not in names]:
            raise InputError(
                f"{where} has no {' and no '.join(missing)}: give a table, or a file with all of them."
            )
        dims = dataset[names["time"]].dims
        if not dims or any(dataset[names[axis]].dims != dims for axis in AXES) or len(dims) > 2:
            raise InputError(
                f"{where} is no file of readings along tracks, whose times, latitudes and longitudes share one "
                "dimension. Give a table of stations, or fill a record of fields with `fieldcast fill-gaps`."
            )
        columns = {axis: np.ravel(dataset[names[axis]].values) for axis in AXES}
        track = track_of(dataset, dims)
        quantities = {}
        for name, array in dataset.variables.items():
            variable = dataset[name]
            usable = array.dims == dims and variable.dtype.kind in "fiu" and name not in names.values()
            if not usable or plain(name) in NAMES["track"]:
                continue
            encoding = declared_encoding(variable)
            if not encoding.category:
                units = str(variable.attrs.get("units", "")).strip()
                masked = encoding.masked(variable)
                quantities[f"{name} [{units}]" if units else str(name)] = np.ravel(masked.values)
        if not quantities:
            present = list(map(str, dataset.variables))
            raise InputError(
                f"{where} has no quantity along its tracks, only {listed(present, len(present))}: give another file."
            )
    table = pd.DataFrame({**columns, **quantities})
    if track is not None:
        table["track"] = track
    complete = table[list(AXES)].notna().all(axis=1)
    return table[complete].reset_index(drop=True)


def track_of(dataset: xr.Dataset, dims: tuple[object, ...]) -> np.ndarray | None:
    """Name of the track of each reading, joined from all variables that say so; None without one."""
    size = {dim: dataset.sizes[dim] for dim in dims}
    parts: list[np.ndarray] = []
    for name, array in dataset.variables.items():
        of_row = dict(array.attrs)
        if of_row.get("sample_dimension") in dims:  # contiguous ragged: the number of readings of each track
            counts = np.nan_to_num(array.values).astype(int)
            if counts.sum() == np.prod(list(size.values())):
                parts.append(np.repeat(np.arange(len(counts)).astype(str), counts))
            continue
        is_name = of_row.get("cf_role") == "trajectory_id" or plain(name) in NAMES["track"]
        if not (is_name or "instance_dimension" in of_row):
            continue
        if array.dims == dims:
            parts.append(texts(array.values.ravel()))
        elif len(dims) == 2 and array.dims == dims[:1]:
            parts.append(np.repeat(texts(array.values), size[dims[1]]))
    if not parts and len(dims) == 2:
        parts.append(np.repeat(np.arange(size[dims[0]]).astype(str), size[dims[1]]))
    return np.array([" ".join(each) for each in zip(*parts, strict=True)]) if parts else None


def texts(values: np.ndarray) -> np.ndarray:
    """Names as texts."""
    return np.array([each.decode() if isinstance(each, bytes) else str(each) for each in values.tolist()])
