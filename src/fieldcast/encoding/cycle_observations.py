"""Observations of successive states for assimilation cycles, the same for every method."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float

from fieldcast import lineage
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.observations import observations_dataset, observed_values, of_mappings
from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.fields.prepared import quantities_in
from fieldcast.fields.quantities import Quantities
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.models.random_streams import seed_for
from fieldcast.models.space import Space

GROSS_ERROR = 5.0  # size of a gross error, in anomaly standard deviations


def observe_cycle(
    fields: xr.Dataset, splits: SplitRanges, codec: FieldCodec, space: Space, options: Sparsification,
    cycling: CycledAssimilation, limits: Limits,
) -> xr.Dataset:  # fmt: skip
    """Observations (case, time, latitude, longitude) of the first states of the test split, NaN where there is none.

    An observation is truth + noise * anomaly standard deviation * eps, in physical units (of mapped values, in own
    units, if a variable is mapped); a share `gross_errors` of
    them is wrong by `GROSS_ERROR` anomaly standard deviations, in either direction. The attribute `noise` is the error
    that filters assume.
    """
    truth = cycled_states(fields, splits, cycling, limits)
    x, times = codec.encode(truth), truth.sizes["time"]
    by_step = replace(options, masks=times, cases={pattern: k for pattern, k in cycling.cases.items()})
    number = torch.arange(times)
    cases = [(pattern, k) for pattern, fractions in cycling.cases.items() for k in fractions]
    values = np.stack([observed_values(x, number, space, by_step, case, i) for i, case in enumerate(cases)])
    values = values + gross_errors(values.shape, cycling.gross_errors, options.seed)
    values = codec.to_physical(values, codec.climatology_at(truth["time"]))
    sources = lineage_of(fields, splits, options, cycling, times, codec.quantities)
    return observations_dataset(values, cases, number, truth, codec).assign_attrs(
        digest=lineage.digest(sources, values),
        lineage=json.dumps(sources),
        data=sources["data"],
        noise=options.noise * cycling.assumed_error,
        seed=options.seed,
        spin_up=spin_up(cycling, limits),
    )


def gross_errors(
    shape: tuple[int, ...], share: float, seed: int
) -> Float[np.ndarray, "case time variable y x"]:
    """Errors of + or - `GROSS_ERROR` in a share of all values, and 0 in the others."""
    rng = np.random.default_rng(seed_for("gross errors", seed))
    sign = np.where(rng.random(shape) < 0.5, -1.0, 1.0)
    return (GROSS_ERROR * sign * (rng.random(shape) < share)).astype(np.float32)


def cycled_states(
    fields: xr.Dataset, splits: SplitRanges, cycling: CycledAssimilation, limits: Limits
) -> xr.Dataset:
    """The successive states of the test split that are observed, spin-up first."""
    test = select(fields, splits, "test")
    first = int(test["segment"].values[0])
    in_segment = int((test["segment"].values == first).sum())
    count = spin_up(cycling, limits) + limits.cap("times", cycling.steps)
    if in_segment < min(count, test.sizes["time"]) or in_segment <= spin_up(cycling, limits):
        raise InputError(
            f"a cycle needs {count} successive states, and more than assimilation.spin_up = {cycling.spin_up}; the "
            f"first segment of the test split has {in_segment}: choose another ingestion.splits, or lower "
            "assimilation.steps or assimilation.spin_up."
        )
    return test.isel(time=slice(count))


def spin_up(cycling: CycledAssimilation, limits: Limits) -> int:
    """Number of states at the start of a cycle that are not scored."""
    return limits.cap("times", cycling.spin_up)


def lineage_of(
    fields: xr.Dataset, splits: SplitRanges, options: Sparsification, cycling: CycledAssimilation, times: int,
    quantities: Quantities,
) -> dict[str, Any]:  # fmt: skip
    """Everything that the observations of the cycles depend on."""
    observing_network = {key: getattr(options, key) for key in ("seed", "noise", "per_variable")}
    defaults = CycledAssimilation()
    errors = {key: getattr(cycling, key) for key in ("assumed_error", "gross_errors")}
    observing_network |= {key: value for key, value in errors.items() if value != getattr(defaults, key)}
    cycle = {"spin_up": cycling.spin_up, "times": times, "cases": list(asdict(cycling)["cases"].items())}
    return {
        "data": fields.attrs["digest"],
        "splits": dict(splits),
        "network": observing_network | of_mappings(quantities),
        "cycle": cycle,
    }


def made_from(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, sparsification: Sparsification,
    assimilation: CycledAssimilation, limits: Limits,
) -> dict[str, Any]:  # fmt: skip
    """Everything that the observations of a run with these options depend on."""
    times = cycled_states(fields, splits, assimilation, limits).sizes["time"]
    return lineage_of(fields, splits, sparsification, assimilation, times, quantities_in(normalisation))


def require_cycle_observations(
    stored: xr.Dataset, fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, options: Sparsification,
    cycling: CycledAssimilation, limits: Limits,
) -> None:  # fmt: skip
    """Raise an InputError unless stored observations were made from these fields, splits and options."""
    lineage.require(
        stored,
        made_from(fields, normalisation, splits, options, cycling, limits),
        "the observations of the cycles were made",
        "recreate them with `kedro run --pipelines observing_network`",
    )
