"""The few fields that an evaluation stores for figures, so that no report has to read all reconstructions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from fieldcast.geometry import GRID

KINDS = ("truth", "observed", "mean", "member", "spread")


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
    `times` are spread evenly over the scored times. The spread of a single member is NaN. `reconstructions` and `truth`
    may be lazy.
    """
    cases = example_cases(observations["pattern"].to_numpy(), observations["k"].to_numpy(), fractions)
    moments = example_times(observations.sizes["time"], times)
    selected = {"case": cases, "time": moments}
    observed = observations.isel(selected)
    ensemble = reconstructions.isel(selected)
    actual = truth.sel(time=observed.time)
    stored = {}
    for name in observations.data_vars:
        x = ensemble[name].load().astype("float64")
        kinds = (
            actual[name].load().broadcast_like(observed[name]),
            observed[name],
            x.mean("member"),
            x.isel(member=0),
            x.std("member", ddof=1) if x.sizes["member"] > 1 else x.isel(member=0) * np.nan,
        )
        together = xr.concat(
            [kind.drop_vars("member", errors="ignore") for kind in kinds],
            "kind",
            coords="minimal",
            compat="override",
        )
        example = together.transpose("case", "time", "kind", *GRID).astype("float32")
        example.attrs = dict(truth[name].attrs)
        stored[str(name)] = example.drop_vars(["mask", "segment"], errors="ignore")
    dataset = xr.Dataset(stored).assign_coords(
        kind=list(KINDS),
        pattern=("case", observed["pattern"].to_numpy().astype(str)),
        k=("case", observed["k"].to_numpy()),
    )
    attributes = {"digest": truth.attrs.get("digest", ""), "members": reconstructions.sizes["member"]}
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
