"""The stored test observations: masks shared by every method, and the values observed through them.

A pair (pattern, k) is a *case*. Each case has `masks` masks, cycled over the scored times, so that times share
factorisations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import calendars, geometry, lineage
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import POINTS, Limits, Sparsification
from fieldcast.encoding.stations import points_at
from fieldcast.fields.bilinear import stencil
from fieldcast.fields.prepared import quantities_in
from fieldcast.fields.quantities import Quantities
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.geometry import GRID
from fieldcast.kinds import CASE, as_draws
from fieldcast.models import masks
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly

MASKS, ERRORS = "masks", "errors of observations"  # keys of the random streams with the seed of the options


def sparsify(
    fields: xr.Dataset, splits: SplitRanges, codec: FieldCodec, space: Space, options: Sparsification,
    limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Observations (case, time, latitude, longitude) of evenly spaced test times, NaN where nothing was observed.

    An observation is truth + noise * anomaly standard deviation * eps, in physical units; the error of a mapped
    variable is that of its mapped value.
    """
    truth = scored_times(fields, splits, options, limits)
    x = codec.encode(truth)
    number = torch.arange(len(x)) % options.masks
    cases = [(pattern, k) for pattern, fractions in options.cases.items() for k in fractions]
    values = np.stack([observed_values(x, number, space, options, case, i) for i, case in enumerate(cases)])
    values = codec.to_physical(values, codec.climatology_at(truth["time"]))
    result = with_points(observations_dataset(values, cases, number, truth, codec), x, codec, space, options)
    names = [f"point_{coordinate}" for coordinate in POINT_COORDINATES]
    points = [result[name].values for name in names if name in result]
    sources = lineage_of(fields, splits, options, len(x), codec.quantities)
    result.attrs = {
        "digest": lineage.digest(sources, values, *points), "lineage": json.dumps(sources), "data": sources["data"],
        "noise": options.noise, "seed": options.seed,
    }  # fmt: skip
    return result


def observations_dataset(
    values: Float[np.ndarray, "case time variable y x"], cases: Sequence[tuple[str, float]],
    number: Int[Tensor, " time"], truth: xr.Dataset, codec: FieldCodec,
) -> xr.Dataset:  # fmt: skip
    """Observations as a data set, with pattern and k of each case and the number of the mask of each time."""
    dims = CASE, "time", *GRID
    data = {v: (dims, own.astype(np.float32), truth[v].attrs) for v, own in codec.own_values(values)}
    coords = {
        "pattern": (CASE, [pattern for pattern, _ in cases]), "k": (CASE, [k for _, k in cases]),
        "mask": ("time", number.numpy().astype(np.int32)), "time": truth["time"], **{c: truth[c] for c in GRID},
    }  # fmt: skip
    return as_draws("observations", xr.Dataset(data, coords))


def scored_times(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, limits: Limits
) -> xr.Dataset:
    """The evenly spaced test fields that are observed."""
    test = select(fields, splits, "test")
    count = min(limits.cap("times", options.times), test.sizes["time"])
    return test.isel(time=evenly(test.sizes["time"], count).numpy())


def lineage_of(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, times: int, quantities: Quantities
) -> dict[str, Any]:
    """Everything that observations at a number of test times depend on.

    The splits are part of it, because errors are in anomaly standard deviations of the training split, and so are the
    mappings of variables; the masks of the training are not.
    """
    cases = list(options.cases.items())  # their order counts: the errors of a case are keyed by its number
    relevant = {k: v for k, v in asdict(options).items() if k != "training"} | {
        "times": times,
        "cases": cases,
        **of_mappings(quantities),
    }
    return {"data": fields.attrs["digest"], "splits": dict(splits), "sparsification": relevant}


def of_mappings(quantities: Quantities) -> dict[str, Any]:
    """The entry of a lineage for mapped variables; empty without any."""
    states = {name: quantity.state() for name, quantity in quantities.items()}
    return {"quantities": states} if states else {}


def made_from(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, sparsification: Sparsification, limits: Limits
) -> dict[str, Any]:  # fmt: skip
    """Everything that the observations of a run with these options depend on."""
    times = scored_times(fields, splits, sparsification, limits).sizes["time"]
    return lineage_of(fields, splits, sparsification, times, quantities_in(normalisation))


def require_observations(
    stored: xr.Dataset, fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, options: Sparsification,
    limits: Limits,
) -> None:  # fmt: skip
    """Raise an InputError unless stored observations were made from these fields, splits and options.

    Otherwise they might observe the training split.
    """
    lineage.require(
        stored,
        made_from(fields, normalisation, splits, options, limits),
        "the stored observations were made",
        "recreate them with `kedro run --pipelines sparsification`",
    )


def observed_values(
    x: torch.Tensor,
    number: torch.Tensor,
    space: Space,
    options: Sparsification,
    case: tuple[str, float],
    index: int,
) -> np.ndarray:
    """Standardised observations of one case; NaN where nothing is observed, or where the truth is missing."""
    pattern, k = case
    if pattern == POINTS:
        return np.full(x.shape, np.nan, np.float32)
    streams = RandomStreams(seed_for(MASKS, options.seed), torch.arange(options.masks))
    mask = masks.draw((pattern,), (k, k), streams, space, options.per_variable)[number]
    errors = RandomStreams(seed_for(ERRORS, options.seed), torch.arange(len(x)), step=index)
    values = masks.observe(x, mask, options.noise, errors)
    return values.masked_fill(~mask, torch.nan).numpy()


# The pattern `points`: simulated stations between the cells, evenly distributed over the area of the grid.
#
#     y = H x + noise eps,    eps ~ N(0, 1),
#
# H bilinear (`fields.bilinear`). A data set of observations holds them as coordinates `point_latitude,
# point_longitude, point_value` on (case, time, point), NaN in cases of other patterns, and `point_variable` (point),
# the number of the variable; the cells of such a case are all unobserved.


LOCATIONS, POINT_ERRORS = "places of points", "errors of points"  # keys of the random streams
DIMS = (CASE, "time", "point")
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
        (len(POINT_COORDINATES), len(cases), len(x), len(codec.names), max(counts)), np.nan, np.float32
    )
    normal = codec.climatology_at(observations["time"])
    number = observations["mask"].values
    for case, count in enumerate(counts):
        if not count:
            continue
        locations = [coordinate[number] for coordinate in point_locations(codec, space, count, options)]
        streams = RandomStreams(seed_for(POINT_ERRORS, options.seed), torch.arange(len(x)), step=case)
        eps = streams.normal(len(codec.variables), count)[:, 0].numpy()
        for t in range(len(x)):
            for i, name in enumerate(codec.names):
                at = locations[0][t, i], locations[1][t, i]
                cells, weights = stencil(codec.latitude, codec.longitude, space.exists.cpu().numpy(), *at)
                values = []
                for v in codec.parts(name):
                    anomaly, mean = (field[t, v].ravel()[cells] for field in (x.numpy(), normal))
                    y = (anomaly * weights).sum(1) + options.noise * eps[t, v]
                    values.append(y * codec.deviation[v] + (mean * weights).sum(1))
                own = codec.in_own_units(name, np.stack(values)[:, None])[0]
                tables[:, case, t, i, :count] = *at, own
    variable = np.repeat(np.arange(len(codec.names), dtype=np.int32), max(counts))
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
    streams = RandomStreams(seed_for(LOCATIONS, options.seed), torch.arange(options.masks))
    layers = len(codec.names) if options.per_variable else 1
    layer_streams = [streams.fork(layer) for layer in range(layers)]
    largest = point_count(1.0, space)
    uniform = np.stack(
        [[s.uniform(largest)[:, 0, :count].double().numpy() for _ in range(3)] for s in layer_streams], axis=2
    )
    cumulated = np.cumsum((space.area * space.exists).cpu().double().numpy())
    cell = np.searchsorted(cumulated / cumulated[-1], uniform[0], side="right").clip(max=len(cumulated) - 1)
    row, column = np.divmod(cell, len(codec.longitude))
    south_north = np.sin(np.radians(np.clip(geometry.edges(codec.latitude), -90, 90)))
    west_east = geometry.edges(codec.longitude)
    latitude = np.degrees(np.arcsin(between_edges(south_north, row, uniform[1])))
    shape = options.masks, len(codec.names), count
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
            "variable": np.array(codec.names)[variable],
            **columns,
        }
    )
    table = table.dropna(subset="value").reset_index(drop=True)
    at = table["datum"].to_numpy(), case["time"], codec, space, "the stored observations"
    return points_at(table, *at, noise=noise)
