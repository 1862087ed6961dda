"""Stored fields as anomalies from the climatology, whose annual cycle and latitudes would hide the weather."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fieldcast.fields.climatology import at
from fieldcast.time_steps import TimeStep


def example_anomalies(examples: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """Examples of reconstructions minus the climatology of their days, with the attribute `anomaly`.

    The spread of an ensemble stays as it is: subtracting a constant does not change it.
    """
    names = [name for name in examples.data_vars if name in climatology]
    normal = at(climatology[names], examples["time"])
    with xr.set_options(keep_attrs=True):
        values = examples[names].where(examples["kind"] == "spread", examples[names] - normal)
    return examples.assign(
        {name: values[name].transpose(*examples[name].dims) for name in names}
    ).assign_attrs(anomaly=1)


def snapshot_anomalies(snapshots: xr.Dataset, climatology: xr.Dataset, step: TimeStep) -> xr.Dataset:
    """Snapshots of long rollouts minus the climatology of the days at which they are valid."""
    names = [name for name in snapshots.data_vars if name in climatology]
    normals = [
        at(climatology[names], step.after(snapshots["start"].to_numpy(), number))
        .rename(time="start")
        .assign_coords(start=snapshots["start"])
        for number in snapshots["step"].to_numpy().tolist()
    ]
    normal = xr.concat(normals, snapshots["step"])
    with xr.set_options(keep_attrs=True):
        values = snapshots[names] - normal
    return snapshots.assign(
        {name: values[name].transpose(*snapshots[name].dims).astype(np.float32) for name in names}
    ).assign_attrs(anomaly=1)
