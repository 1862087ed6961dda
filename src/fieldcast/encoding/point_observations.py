"""The pattern `points`: simulated stations between the cells, evenly distributed over the area of the grid.

    y = H x + noise eps,    eps ~ N(0, 1),

H bilinear (`fields.bilinear`). A data set of observations holds them as coordinates `point_latitude, point_longitude,
point_value` on (case, time, point), NaN in cases of other patterns, and `point_variable` (point), the number of the
variable; the cells of such a case are all unobserved.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars, geometry
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import POINTS, Sparsification
from fieldcast.encoding.stations import points_at
from fieldcast.fields.bilinear import stencil
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space

LOCATIONS, ERRORS = "places of points", "errors of points"  # keys of the random streams
DIMS = ("case", "time", "point")
POINT_COORDINATES = ("latitude", "longitude", "value")


def with_points(
    observations: xr.Dataset, x: Float[Tensor, "time variable y x"], codec: FieldCodec, space: Space,
    options: Sparsification,
) -> xr.Dataset:  # fmt: skip
    """Add the observations of the cases `points`, if there are any, from true standardised anomalies x."""
    cases = [(pattern, k) for pattern, fractions in options.cases.items() for k in fractions]
    if POINTS not in options.cases:
        return observations
    counts = [point_count(k, space) if pattern == POINTS else 0 for pattern, k in cases]
    tables = np.full(
        (len(POINT_COORDINATES), len(cases), len(x), len(codec.variables), max(counts)), np.nan, np.float32
    )
    normal = codec.climatology_at(observations["time"])
    number = observations["mask"].values
    for case, count in enumerate(counts):
        if not count:
            continue
        locations = [coordinate[number] for coordinate in point_locations(codec, space, count, options)]
        streams = RandomStreams(seed_for(ERRORS, options.seed), torch.arange(len(x)), step=case)
        eps = streams.normal(len(codec.variables), count)[:, 0].numpy()
        for t in range(len(x)):
            for v in range(len(codec.variables)):
                at = locations[0][t, v], locations[1][t, v]
                cells, weights = stencil(codec.latitude, codec.longitude, space.exists.cpu().numpy(), *at)
                anomaly, mean = (field[t, v].ravel()[cells] for field in (x.numpy(), normal))
                y = (anomaly * weights).sum(1) + options.noise * eps[t, v]
                tables[:, case, t, v, :count] = *at, y * codec.deviation[v] + (mean * weights).sum(1)
    variable = np.repeat(np.arange(len(codec.variables), dtype=np.int32), max(counts))
    coords: dict[str, Any] = {
        f"point_{name}": (DIMS, table.reshape(len(cases), len(x), -1))
        for name, table in zip(POINT_COORDINATES, tables, strict=True)
    }
    return observations.assign_coords(coords | {"point_variable": ("point", variable)})


def point_count(k: float, space: Space) -> int:
    """Number of points for a fraction k: as many as a mask observes cells."""
    return max(1, round(k * int(space.exists.sum())))


def point_locations(
    codec: FieldCodec, space: Space, count: int, options: Sparsification
) -> tuple[Float[np.ndarray, "mask variable n"], Float[np.ndarray, "mask variable n"]]:
    """Latitudes and longitudes, evenly distributed over existing cells; fewer points are a subset of more points."""
    draws = RandomStreams(seed_for(LOCATIONS, options.seed), torch.arange(options.masks))
    layers = len(codec.variables) if options.per_variable else 1
    streams = [draws.fork(layer) for layer in range(layers)]
    largest = point_count(1.0, space)
    uniform = np.stack(
        [[s.uniform(largest)[:, 0, :count].double().numpy() for _ in range(3)] for s in streams], axis=2
    )
    cumulated = np.cumsum((space.area * space.exists).cpu().double().numpy())
    cell = np.searchsorted(cumulated / cumulated[-1], uniform[0], side="right").clip(max=len(cumulated) - 1)
    row, column = np.divmod(cell, len(codec.longitude))
    south_north = np.sin(np.radians(np.clip(geometry.edges(codec.latitude), -90, 90)))
    west_east = geometry.edges(codec.longitude)
    latitude = np.degrees(np.arcsin(between_edges(south_north, row, uniform[1])))
    shape = options.masks, len(codec.variables), count
    return np.broadcast_to(latitude, shape), np.broadcast_to(
        between_edges(west_east, column, uniform[2]), shape
    )


def between_edges(
    edges: Float[np.ndarray, " edges"], number: np.ndarray, share: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    """Coordinates at some share of the way from the lower to the upper edge of each cell."""
    return edges[number] + share * (edges[number + 1] - edges[number])


def points_in(case: xr.Dataset, codec: FieldCodec, space: Space, noise: float) -> Points | None:
    """The points of a case; None for another pattern."""
    if case["pattern"].item() != POINTS:
        return None
    columns = {part: case[f"point_{part}"].values.astype(float).ravel() for part in POINT_COORDINATES}
    times = calendars.from_iso(calendars.iso(case["time"]))
    datum = np.repeat(np.arange(len(times)), case.sizes["point"])
    variable = np.tile(case["point_variable"].values, len(times))
    table = pd.DataFrame(
        {
            "datum": datum,  # two dates of 360_day may become one standard date, which only messages show
            "time": times[datum],
            "variable": np.array(codec.variables)[variable],
            "error": noise * codec.deviation[variable].astype(float),
            **columns,
        }
    )
    table = table.dropna(subset="value").reset_index(drop=True)
    return points_at(table, table["datum"].to_numpy(), case["time"], codec, space, "the stored observations")
