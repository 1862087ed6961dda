"""The few forecasts that an evaluation stores for figures, so that no report has to read them all."""

from __future__ import annotations

import numpy as np
import xarray as xr

from fieldcast import calendars
from fieldcast.geometry import GRID
from fieldcast.scores.alignment import AlignedForecasts

KINDS = ("truth", "mean", "member_0", "member_1")


@np.errstate(invalid="ignore", over="ignore")  # a model may have blown up
def forecast_examples(
    forecasts: xr.Dataset,
    truth: xr.Dataset,
    *,
    climatology: xr.Dataset | None = None,
    variables: int = 2,
    steps: int = 15,
) -> xr.Dataset:
    """Truth, mean and first two members of an ensemble from the start in the middle.

    Holds the first `variables` of the truth that vary in time and were forecast, dims (kind, lead, latitude,
    longitude), in their units; lead in hours, first 0 (the truth, for each kind), then the first `steps` leads. With
    a `climatology` (dim dayofyear of 365) they are anomalies, and have the attribute `anomaly`. For a single member
    the kinds of members are NaN. Attributes: start, digest, members. `forecasts` and `truth` may be lazy.

    Raises
    ------
    InputError
        For a truth that does not match the forecasts.
    """
    shared = [
        str(name) for name, values in truth.data_vars.items() if "time" in values.dims and name in forecasts
    ]
    middle = forecasts.sizes["start"] // 2
    selected = forecasts.isel(start=[middle], lead=slice(steps))
    names = shared[:variables]
    aligned = AlignedForecasts.of(selected, truth, names)
    start_indices = AlignedForecasts.of(
        selected.isel(lead=[0]).assign_coords(lead=[0.0]), truth, names
    ).indices[0]
    stored = {}
    for name in names:
        normal = np.zeros((365, 1, 1), "float32")
        if climatology is not None:
            normal = climatology[name].transpose("dayofyear", *GRID).to_numpy()
        first = truth[name].isel(time=start_indices[0]).transpose(*GRID).to_numpy()
        day = calendars.day_of_year(truth["time"].isel(time=start_indices))[0]
        maps = [np.stack([first - normal[day - 1]] * len(KINDS))]
        for x, y, days in aligned.pairs(name):
            members = x[:2, 0] if len(x) > 1 else np.full((2, *y.shape[1:]), np.nan)
            maps.append(np.concatenate([y, x.mean(0), members]) - normal[days[0] - 1])
        values = np.stack(maps, axis=1).astype("float32")
        stored[name] = (("kind", "lead", *GRID), values, dict(truth[name].attrs))
    coordinates = {name: truth[name].to_numpy() for name in GRID}
    coordinates |= {"kind": list(KINDS), "lead": [0.0, *aligned.leads.tolist()]}
    attributes = {"start": calendars.iso(selected["start"])[0], "digest": truth.attrs.get("digest", "")}
    attributes |= {"members": forecasts.sizes["member"]} | ({} if climatology is None else {"anomaly": 1})
    return xr.Dataset(stored, coordinates, attributes)
