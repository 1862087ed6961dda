"""Requirements of scoring on fields and draws, and the share of draws that no field can be."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from fieldcast import geometry
from fieldcast.calendars import TimeStep
from fieldcast.fields.climatology import at
from fieldcast.fields.meaning import circle_of, nature_of, sampled_values
from fieldcast.fields.quantities import near
from fieldcast.fields.splits import SplitRanges
from fieldcast.kinds import LAYOUTS, START, STEP, are_images, require_layout
from fieldcast.lineage import Lineage, require
from fieldcast.report.first_screen import OUTSIDE_RANGE


def cell_areas(fields: xr.Dataset) -> xr.DataArray:
    """Areas of the cells (latitude, longitude)."""
    values = geometry.cell_areas(fields["latitude"].values, fields["longitude"].values)
    return xr.DataArray(values, {c: fields[c] for c in ("latitude", "longitude")})


def units(data: xr.Dataset) -> dict[str, str]:
    return {str(name): str(values.attrs["units"]) for name, values in data.data_vars.items()}


def scored_period(fields: xr.Dataset, splits: SplitRanges) -> list[str]:
    """First and last time of the test split; empty for images, which have no times."""
    return [] if are_images(fields) else [str(time) for time in splits["test"]]


def require_draws(draws: xr.Dataset, expected: Lineage, name: str, stage: str) -> None:
    """Raise an InputError unless draws have the lineage and the layout that they would have in this run: their scores
    are stored under it."""
    again = f"draw them again with `kedro run --pipelines {stage},evaluation`"
    require(draws, expected, f"the {name} were drawn", again)
    kind = "images" if "image" in draws else name
    if kind in LAYOUTS:
        require_layout(draws, kind, again)


def outside_range(draws: xr.Dataset, fields: xr.Dataset) -> dict[str, str]:
    """Attribute of diagnostics: share of the values of draws outside the valid range of each variable that has one."""
    if are_images(fields):
        return {}
    shares = {}
    for name in map(str, draws.data_vars):
        nature = nature_of(fields[name], sampled_values(fields[name]))
        if nature.meaning in ("positive", "bounded"):
            beyond = (draws[name] < nature.low) | (draws[name] > nature.high)
            counts = xr.Dataset({"beyond": beyond.sum(), "all": draws[name].notnull().sum()}).compute()
            shares[name] = float(counts["beyond"]) / max(int(counts["all"]), 1)
    return {OUTSIDE_RANGE: json.dumps(shares)} if shares else {}


# Stored fields as anomalies from the climatology, whose annual cycle and latitudes would hide the weather.


def example_anomalies(examples: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """Examples of reconstructions minus the climatology of their days, with the attribute `anomaly`.

    The spread of an ensemble stays as it is: subtracting a constant does not change it. The anomaly of an angle is that
    along the shorter arc for the truth.
    """
    names = [name for name in examples.data_vars if name in climatology]
    truth = examples.sel(kind="truth")
    normal = {
        name: normal_near(normal, truth[name])
        for name, normal in at(climatology[names], truth["time"]).items()
    }
    with xr.set_options(keep_attrs=True):
        values = {
            name: examples[name].where(examples["kind"] == "spread", examples[name] - normal[name])
            for name in names
        }
    return examples.assign(
        {name: values[name].transpose(*examples[name].dims) for name in names}
    ).assign_attrs(anomaly=1)


def normal_near(normal: xr.DataArray, values: xr.DataArray) -> xr.DataArray:
    """The climatology at some values; that of an angle is within half a circle of them."""
    normal = normal.broadcast_like(values).transpose(*values.dims)
    return normal.copy(data=near(circle_of(values), normal.to_numpy(), values.to_numpy()))


def snapshot_anomalies(snapshots: xr.Dataset, climatology: xr.Dataset, step: TimeStep) -> xr.Dataset:
    """Snapshots of long rollouts minus the climatology of the days at which they are valid."""
    names = [name for name in snapshots.data_vars if name in climatology]
    normals = [
        at(climatology[names], step.after(snapshots[START].to_numpy(), number))
        .rename(time=START)
        .assign_coords({START: snapshots[START]})
        for number in snapshots[STEP].to_numpy().tolist()
    ]
    normal = xr.concat(normals, snapshots[STEP])
    with xr.set_options(keep_attrs=True):
        values = {name: snapshots[name] - normal_near(normal[name], snapshots[name]) for name in names}
    return snapshots.assign(
        {name: values[name].transpose(*snapshots[name].dims).astype(np.float32) for name in names}
    ).assign_attrs(anomaly=1)
