"""Observations that a model doubts: where they are, and the sentences that report them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from fieldcast import calendars
from fieldcast.counted import MAX_LISTED, listed
from fieldcast.departures import MAX_DEPARTURE
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.fields.result_names import SUSPECT
from fieldcast.geometry import GRID
from fieldcast.models.capabilities import ChecksObservations
from fieldcast.models.core import Context, Model


@torch.no_grad()
def suspects(model: Model, c: Context, data: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """v_suspect (time, latitude, longitude) of each variable v: 1 where an observation was down-weighted, else 0.

    Empty for a model that does not check its observations.
    """
    if not isinstance(model, ChecksObservations):
        return xr.Dataset()
    flags = model.suspects(c).cpu().numpy().astype(np.int8)
    attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "accepted down_weighted"}
    dims = ("time", *GRID)
    return xr.Dataset(
        {
            v + SUSPECT: (
                dims,
                flags[:, i],
                {**attrs, "long_name": f"quality flag of observed {v}"},
            )
            for i, v in enumerate(codec.variables)
        },
        {name: data[name] for name in dims},
    )


def suspect_messages(flags: xr.Dataset, data: xr.Dataset) -> Iterator[str]:
    """One sentence for each variable with suspects: their number and share, and the first of them."""
    for name, flag in flags.data_vars.items():
        v = str(name).removesuffix(SUSPECT)
        indices = np.argwhere(flag.values > 0)
        if not len(indices):
            continue
        observed = data[v].transpose("time", *GRID)
        texts = [
            f"{float(value):.4g} at {calendars.date(value['time'])}, latitude {float(value['latitude']):g}, "
            f"longitude {float(value['longitude']):g}"
            for value in (observed[tuple(index)] for index in indices[:MAX_LISTED])
        ]
        yield (
            f"{len(indices)} of {int(observed.notnull().sum())} observed values of {v} are more than {MAX_DEPARTURE:g} "
            "standard deviations from the value that training data and neighbours predict, and were given less weight: "
            f"{listed(texts, len(indices))}; check them."
        )
