"""Long rollouts: whether a model stays finite, keeps its mean, variance and spectrum, and until when it has skill.

Only statistics of each step and a few snapshots are kept: memory and disk do not grow with the fields.
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

from fieldcast.fields import calendars
from fieldcast.loops.checkpoint import unpack_bytes
from fieldcast.loops.forecasts import Ensemble, Forecaster, Values, physical
from fieldcast.verification.stability import step_statistics, zonal_power

SNAPSHOTS = 1, 10, 100, 500  # steps of which two members are kept
SHOWN = 2
SAVE_EVERY = 30.0  # seconds


class Stability(NamedTuple):
    """A row a step, the snapshots so far, and the state that the rollout is gone on from."""

    table: pd.DataFrame
    snapshots: xr.Dataset
    state: bytes


def stability(
    forecaster: Forecaster,
    starts: Mapping[str, Any],
    fields: xr.Dataset,
    earlier: bytes | None,
    origin: str,
) -> Iterator[Stability]:
    """Roll out from the stability starts; yields now and then, and at the end."""
    steps, known = (
        starts["stability_steps"],
        f"{forecaster.mark(origin, starts)} stability {starts['stability']}",
    )
    first, rows, header = forecaster.resumed(earlier, known)
    table, kept = list(header.get("table", [])), kept_before(earlier) if header and earlier else {}
    if first > steps:
        yield Stability(pd.DataFrame(table), shown(forecaster, kept), earlier or b"")
        return
    measure, last = Measure(forecaster, fields), time.monotonic()
    for ensemble in forecaster.run(steps, first, rows):
        table.append({"step": ensemble.number, **measure(ensemble)})
        if ensemble.number in SNAPSHOTS:
            kept[ensemble.number] = ensemble.x[:, :SHOWN].float().cpu()
        if ensemble.number == steps or time.monotonic() - last >= SAVE_EVERY:
            state = forecaster.state(
                ensemble, known, {f"snapshot.{n}": x for n, x in kept.items()}, table=table
            )
            yield Stability(pd.DataFrame(table), shown(forecaster, kept), state)
            last = time.monotonic()


class Measure:
    """Statistics of one step, against the truth where there is any."""

    def __init__(self, forecaster: Forecaster, fields: xr.Dataset):
        space = forecaster.model.space
        self.forecaster, self.fields, self.wraps = forecaster, fields, space.wraps
        self.area = (space.area * space.exists).cpu().numpy()
        self.reference = zonal_power(self.states(forecaster.places), self.area, self.wraps)

    def __call__(self, ensemble: Ensemble) -> dict[str, Any]:
        times = calendars.iso(self.forecaster.valid(ensemble.number))
        places = calendars.positions(self.fields["time"], times)
        truth = self.states(places) if (places >= 0).all() else None
        x = ensemble.x.float().cpu().numpy()
        return step_statistics(x, truth, self.area, reference=self.reference, wraps=self.wraps)

    def states(self, places: np.ndarray) -> Float[np.ndarray, "start variable y x"]:
        encoded = self.forecaster.codec.encode(self.fields.isel(time=places))
        return torch.nan_to_num(encoded).numpy()


def kept_before(earlier: bytes) -> dict[int, Values]:
    """Snapshots that a state holds, by step."""
    tensors, _ = unpack_bytes(earlier, "the state of the rollout")
    return {int(name.split(".")[1]): x for name, x in tensors.items() if name.startswith("snapshot.")}


def shown(forecaster: Forecaster, kept: Mapping[int, Values]) -> xr.Dataset:
    """Snapshots in physical units, (step, start, member, latitude, longitude)."""
    pieces = [
        physical(forecaster, Ensemble(number, x, [])).squeeze("lead", drop=True).expand_dims(step=[number])
        for number, x in sorted(kept.items())
    ]
    return xr.concat(pieces, "step") if pieces else xr.Dataset()
