"""The few fields that an evaluation stores for figures, so that no report has to read all draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from jaxtyping import Integer

from fieldcast import calendars
from fieldcast.fields.meaning import circle_of
from fieldcast.fields.quantities import near
from fieldcast.geometry import GRID, evenly_spaced_indices
from fieldcast.kinds import CASE, LEAD, MEMBER, START, state_dimension
from fieldcast.scores.alignment import AlignedForecasts

RECONSTRUCTION_KINDS = ("truth", "observed", "mean", "member", "spread")


def examples(
    reconstructions: xr.Dataset,
    observations: xr.Dataset,
    truth: xr.Dataset,
    fractions: Sequence[float] = (0.05, 0.1, 0.2),
    times: int = 2,
) -> xr.Dataset:
    """Truth, observed values, mean, first member and spread (ddof 1) of an ensemble for a few cases at a few times.

    Holds each variable of the observations, dims (case, time, kind, latitude, longitude), in its units. The cases
    are random masks at the fractions k nearest to `fractions`, and each other pattern at its k nearest to 10 %;
    `times` are spread evenly over the scored times. The spread of a single member is NaN. Members of an angle are
    within half a circle of the truth, so that their mean is near it, and errors are along the shorter arc.
    `reconstructions` and `truth` may be lazy.
    """
    cases = example_cases(observations["pattern"].to_numpy(), observations["k"].to_numpy(), fractions)
    moments = example_times(observations.sizes["time"], times)
    selected = {CASE: cases, "time": moments}
    observed = observations.isel(selected)
    ensemble = reconstructions.isel(selected)
    actual = truth.sel(time=observed.time)
    stored = {}
    for name in observations.data_vars:
        x, y = ensemble[name].load().astype("float64"), actual[name].load()
        if circle := circle_of(truth[name]):
            reference = y.broadcast_like(x).transpose(*x.dims).to_numpy()
            x = x.copy(data=near(circle, x.to_numpy(), reference))
        kinds = (
            y.broadcast_like(observed[name]),
            observed[name],
            x.mean(MEMBER),
            x.isel({MEMBER: 0}),
            x.std(MEMBER, ddof=1) if x.sizes[MEMBER] > 1 else x.isel({MEMBER: 0}) * np.nan,
        )
        together = xr.concat(
            [kind.drop_vars(MEMBER, errors="ignore") for kind in kinds],
            "kind",
            coords="minimal",
            compat="override",
        )
        example = together.transpose(CASE, "time", "kind", *GRID).astype("float32")
        example.attrs = dict(truth[name].attrs)
        stored[str(name)] = example.drop_vars(["mask", "segment"], errors="ignore")
    dataset = xr.Dataset(stored).assign_coords(
        kind=list(RECONSTRUCTION_KINDS),
        pattern=(CASE, observed["pattern"].to_numpy().astype(str)),
        k=(CASE, observed["k"].to_numpy()),
    )
    attributes = {"digest": truth.attrs.get("digest", ""), "members": reconstructions.sizes[MEMBER]}
    return dataset.assign_attrs(attributes)


def example_cases(patterns: np.ndarray, k: np.ndarray, fractions: Sequence[float]) -> list[int]:
    """Indices of the cases to store, in ascending order."""
    cases = set()
    for pattern in dict.fromkeys(patterns.tolist()):
        indices = np.flatnonzero(patterns == pattern)
        for fraction in fractions if pattern == "random" else (0.1,):
            distance = np.abs(np.log(k[indices].astype(float) / fraction))
            cases.add(int(indices[np.argmin(distance)]))
    return sorted(cases)


def example_times(scored: int, times: int) -> list[int]:
    """Indices of `times` times, spread evenly over `scored` ones."""
    return sorted({int((number + 0.5) * scored / times) for number in range(times)})


# The few forecasts that an evaluation stores for figures, so that no report has to read them all.


FORECAST_KINDS = ("truth", "mean", "member_0", "member_1")


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
    a `climatology` (dim dayofyear of 365) they are anomalies, and have the attribute `anomaly`. Members and climatology
    of an angle are within half a circle of the truth. For a single member the kinds of members are NaN. Attributes:
    start, digest, members. `forecasts` and `truth` may be lazy.
    """
    shared = [
        str(name) for name, values in truth.data_vars.items() if "time" in values.dims and name in forecasts
    ]
    middle = forecasts.sizes[START] // 2
    selected = forecasts.isel({START: [middle], LEAD: slice(steps)})
    names = shared[:variables]
    aligned = AlignedForecasts.of(selected, truth, names)
    start_indices = AlignedForecasts.of(
        selected.isel({LEAD: [0]}).assign_coords({LEAD: [0.0]}), truth, names
    ).indices[0]
    stored = {}
    for name in names:
        normal = np.zeros((365, 1, 1), "float32")
        if climatology is not None:
            normal = climatology[name].transpose("dayofyear", *GRID).to_numpy()
        first = truth[name].isel(time=start_indices[0]).transpose(*GRID).to_numpy()
        day = calendars.day_of_year(truth["time"].isel(time=start_indices))[0]
        circle = circle_of(truth[name])
        of_normal = None if climatology is None else circle
        maps = [np.stack([first - near(of_normal, normal[day - 1], first)] * len(FORECAST_KINDS))]
        for drawn, y, days in aligned.pairs(name):
            x = near(circle, drawn, y)
            members = x[:2, 0] if len(x) > 1 else np.full((2, *y.shape[1:]), np.nan)
            maps.append(np.concatenate([y, x.mean(0), members]) - near(of_normal, normal[days[0] - 1], y[0]))
        values = np.stack(maps, axis=1).astype("float32")
        stored[name] = (("kind", LEAD, *GRID), values, dict(truth[name].attrs))
    coordinates = {name: truth[name].to_numpy() for name in GRID}
    coordinates |= {"kind": list(FORECAST_KINDS), LEAD: [0.0, *aligned.leads.tolist()]}
    attributes = {"start": calendars.iso(selected[START])[0], "digest": truth.attrs.get("digest", "")}
    attributes |= {"members": forecasts.sizes[MEMBER]} | ({} if climatology is None else {"anomaly": 1})
    return xr.Dataset(stored, coordinates, attributes)


# The few states that an evaluation of samples stores for figures.


PICTURES = 36  # number of samples, and of real states
BESIDE_NEAREST = 10  # samples that figures show beside their nearest training states


def sample_examples(samples: xr.Dataset, real: xr.Dataset, nearest: xr.Dataset) -> xr.Dataset:
    """Pictures of samples and real states, 36 each, and of the training states nearest to the first samples.

    Dims (picture, ...), with the coordinates kind ("sample", "real" or "nearest"), number and chain_time. All three
    arguments are data sets of states on `sample` or `time`.
    """
    spread = evenly_spaced_indices(count_of(real), PICTURES)
    pictures = [
        pictures_of_kind(samples, np.arange(min(PICTURES, count_of(samples))), "sample"),
        pictures_of_kind(real, spread, "real"),
        pictures_of_kind(nearest, np.arange(count_of(nearest)), "nearest"),
    ]
    return concatenate_pictures(pictures, samples.attrs)


def with_pictures(examples: xr.Dataset, pictures: xr.Dataset) -> xr.Dataset:
    """The examples, preceded by pictures that the model itself stored, if there are any."""
    return (
        concatenate_pictures([pictures[list(examples.data_vars)], examples], examples.attrs)
        if pictures.data_vars
        else examples
    )


def concatenate_pictures(pictures: Sequence[xr.Dataset], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Pictures of several kinds as one data set."""
    return xr.concat(pictures, "picture", coords="minimal", compat="override").assign_attrs(attrs)


def pictures_of_kind(states: xr.Dataset, indices: Integer[np.ndarray, " picture"], kind: str) -> xr.Dataset:
    """Some of the states as pictures of one kind."""
    dim = state_dimension(states)
    names = [name for name, values in states.data_vars.items() if dim in values.dims]
    selected = states[names].isel({dim: indices})
    selected = selected.drop_vars([name for name in selected.coords if dim in selected[name].dims]).load()
    count = len(indices)
    return selected.rename({dim: "picture"}).assign_coords(
        kind=("picture", np.full(count, kind)),
        number=("picture", np.arange(count)),
        chain_time=("picture", np.full(count, -1)),
    )


def count_of(states: xr.Dataset) -> int:
    """Number of states."""
    return int(states.sizes[state_dimension(states)])
