"""Long rollouts: whether a model stays finite and keeps mean, variance and spectrum, and how long it has skill.

Only statistics of each step and a few snapshots are kept, so that neither memory nor disk use grows with the steps.
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
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, EnsembleState, Values, lead_dataset
from fieldcast.kinds import LEAD, STEP, InitialTimes
from fieldcast.scores.stability import step_statistics, zonal_power

SNAPSHOTS = 1, 10, 100, 500  # steps at which some members are kept
SNAPSHOT_MEMBERS = 2  # number of members of a snapshot
SAVE_EVERY = 30.0  # seconds between saves of the state


class LongRollout(NamedTuple):
    """A row per step, the snapshots so far, and the state that the rollout resumes from.

    Table and snapshots hold the digest of their `model`, as forecasts do.
    """

    table: pd.DataFrame
    snapshots: xr.Dataset
    state: bytes


def long_rollout(
    forecaster: EnsembleForecaster,
    initial_times: InitialTimes,
    fields: xr.Dataset,
    previous: bytes | None,
    model_digest: str,
) -> Iterator[LongRollout]:
    """Roll out from the initial times of the stability test; yield at regular intervals and at the end."""
    steps = initial_times["stability_steps"]
    sources = {
        **forecaster.lineage(model_digest, initial_times),
        "stability": list(initial_times["stability"]),
    }
    first, contexts, header = forecaster.resume(previous, sources)
    # the state may hold more steps than this run needs
    table = [row for row in header.get("table", []) if row["step"] <= steps]
    snapshots_by_step = (
        {n: x for n, x in stored_snapshots(previous).items() if n <= steps} if header and previous else {}
    )
    if first > steps:
        yield with_digest(model_digest, table, snapshots_of(forecaster, snapshots_by_step), previous or b"")
        return
    measure, last = Measure(forecaster, fields, steps), time.monotonic()
    for ensemble in forecaster.run(steps, first, contexts):
        table.append({"step": ensemble.number, **measure(ensemble)})
        if ensemble.number in SNAPSHOTS:
            snapshots_by_step[ensemble.number] = ensemble.x[:, :SNAPSHOT_MEMBERS].float().cpu()
        if ensemble.number == steps or time.monotonic() - last >= SAVE_EVERY:
            snapshots = {f"snapshot.{n}": x for n, x in snapshots_by_step.items()}
            state = forecaster.state(ensemble, sources, snapshots, table=table)
            yield with_digest(model_digest, table, snapshots_of(forecaster, snapshots_by_step), state)
            last = time.monotonic()


def with_digest(
    model_digest: str, table: list[dict[str, Any]], snapshots: xr.Dataset, state: bytes
) -> LongRollout:
    """The results so far, labelled with the digest of the model."""
    frame = pd.DataFrame(table).assign(model=model_digest)
    return LongRollout(frame, snapshots.assign_attrs(model=model_digest), state)


class Measure:
    """A function that returns the statistics of one step, with scores where there is a truth."""

    def __init__(self, forecaster: EnsembleForecaster, fields: xr.Dataset, steps: int):
        space = forecaster.model.space
        self.forecaster, self.fields, self.wraps = forecaster, fields, space.wraps
        times = np.stack([forecaster.valid(number) for number in range(1, steps + 1)])
        step = space.time_step
        self.positions = step.positions(fields["time"], times.ravel()).reshape(times.shape)
        self.area = (space.existing_area).cpu().numpy()
        self.reference = zonal_power(self.states(forecaster.positions), self.area, self.wraps)

    def __call__(self, ensemble: EnsembleState) -> dict[str, Any]:
        positions = self.positions[ensemble.number - 1]
        truth = self.states(positions) if (positions >= 0).all() else None
        x = ensemble.x.float().cpu().numpy()
        return step_statistics(x, truth, self.area, reference=self.reference, wraps=self.wraps)

    def states(self, positions: np.ndarray) -> Float[np.ndarray, "start variable y x"]:
        """Anomalies of the fields at some positions in time; 0 where they are missing."""
        encoded = self.forecaster.codec.encode(self.fields.isel(time=positions))
        return torch.nan_to_num(encoded).numpy()


def stored_snapshots(previous: bytes) -> dict[int, Values]:
    """Snapshots in the state of an interrupted rollout, by step."""
    tensors, _ = unpack_bytes(previous, "the state of the rollout", "remove it, and run the rollout again")
    return {int(name.split(".")[1]): x for name, x in tensors.items() if name.startswith("snapshot.")}


def snapshots_of(forecaster: EnsembleForecaster, snapshots_by_step: Mapping[int, Values]) -> xr.Dataset:
    """Snapshots in physical units, (step, start, member, latitude, longitude)."""
    pieces = [
        lead_dataset(forecaster, EnsembleState(number, x, []))
        .squeeze(LEAD, drop=True)
        .expand_dims({STEP: [number]})
        for number, x in sorted(snapshots_by_step.items())
    ]
    return xr.concat(pieces, STEP) if pieces else xr.Dataset()
