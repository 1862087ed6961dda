"""Long rollouts: whether a model stays finite, keeps mean, variance and spectrum, and until when it has skill.

Only statistics of each step and a few snapshots are kept, so memory and disk use do not grow with the fields.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float

from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.inference.ensemble_forecast import EnsembleForecaster, EnsembleState, Values, physical
from fieldcast.scores.stability import step_statistics, zonal_power
from fieldcast.starts import Starts

SNAPSHOTS = 1, 10, 100, 500  # steps of which some members are kept
SNAPSHOT_MEMBERS = 2
SAVE_EVERY = 30.0  # seconds


class LongRollout(NamedTuple):
    """A row per step, the snapshots so far, and the state that the rollout resumes from.

    Table and snapshots hold the digest of their `model`, as forecasts do.
    """

    table: pd.DataFrame
    snapshots: xr.Dataset
    state: bytes


def long_rollout(
    forecaster: EnsembleForecaster,
    starts: Starts,
    fields: xr.Dataset,
    earlier: bytes | None,
    model_digest: str,
) -> Iterator[LongRollout]:
    """Roll out from the stability starts, and yield now and then and at the end."""
    steps = starts["stability_steps"]
    sources = {**forecaster.lineage(model_digest, starts), "stability": list(starts["stability"])}
    first, contexts, header = forecaster.resumed(earlier, sources)
    # the state may hold more steps than this run needs
    table = [row for row in header.get("table", []) if row["step"] <= steps]
    kept = {n: x for n, x in kept_before(earlier).items() if n <= steps} if header and earlier else {}
    if first > steps:
        yield measure_model(model_digest, table, snapshots_of(forecaster, kept), earlier or b"")
        return
    measure, last = Measure(forecaster, fields, steps), time.monotonic()
    for ensemble in forecaster.run(steps, first, contexts):
        table.append({"step": ensemble.number, **measure(ensemble)})
        if ensemble.number in SNAPSHOTS:
            kept[ensemble.number] = ensemble.x[:, :SNAPSHOT_MEMBERS].float().cpu()
        if ensemble.number == steps or time.monotonic() - last >= SAVE_EVERY:
            snapshots = {f"snapshot.{n}": x for n, x in kept.items()}
            state = forecaster.state(ensemble, sources, snapshots, table=table)
            yield measure_model(model_digest, table, snapshots_of(forecaster, kept), state)
            last = time.monotonic()


def measure_model(
    model_digest: str, table: list[dict[str, Any]], snapshots: xr.Dataset, state: bytes
) -> LongRollout:
    """The results so far, which say what model they are of."""
    frame = pd.DataFrame(table).assign(model=model_digest)
    return LongRollout(frame, snapshots.assign_attrs(model=model_digest), state)


class Measure:
    """Statistics of one step, against the truth where there is one."""

    def __init__(self, forecaster: EnsembleForecaster, fields: xr.Dataset, steps: int):
        space = forecaster.model.space
        self.forecaster, self.fields, self.wraps = forecaster, fields, space.wraps
        times = np.stack([forecaster.valid(number) for number in range(1, steps + 1)])
        step = space.time_step
        self.places = step.positions(fields["time"], times.ravel()).reshape(times.shape)
        self.area = (space.existing_area).cpu().numpy()
        self.reference = zonal_power(self.states(forecaster.places), self.area, self.wraps)

    def __call__(self, ensemble: EnsembleState) -> dict[str, Any]:
        places = self.places[ensemble.number - 1]
        truth = self.states(places) if (places >= 0).all() else None
        x = ensemble.x.float().cpu().numpy()
        return step_statistics(x, truth, self.area, reference=self.reference, wraps=self.wraps)

    def states(self, places: np.ndarray) -> Float[np.ndarray, "start variable y x"]:
        """The fields at these places in time, as anomalies; 0 where they are missing."""
        encoded = self.forecaster.codec.encode(self.fields.isel(time=places))
        return torch.nan_to_num(encoded).numpy()


def kept_before(earlier: bytes) -> dict[int, Values]:
    """Snapshots that a state holds, by step."""
    tensors, _ = unpack_bytes(earlier, "the state of the rollout", "remove it, and run the rollout again")
    return {int(name.split(".")[1]): x for name, x in tensors.items() if name.startswith("snapshot.")}


def snapshots_of(forecaster: EnsembleForecaster, kept: Mapping[int, Values]) -> xr.Dataset:
    """Snapshots in physical units, (step, start, member, latitude, longitude)."""
    pieces = [
        physical(forecaster, EnsembleState(number, x, []))
        .squeeze("lead", drop=True)
        .expand_dims(step=[number])
        for number, x in sorted(kept.items())
    ]
    return xr.concat(pieces, "step") if pieces else xr.Dataset()
