"""Cycle: a user's record of successive times as analyses, and how good they are at withheld observations."""

from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.opening import read_file
from fieldcast.inference.cycle import cycle as analyses
from fieldcast.inference.cycle_quality import as_text
from fieldcast.inference.loading import trained_model
from fieldcast.inference.options import Cycle
from fieldcast.models.capabilities import CyclesAlone


def cycle(
    cycle: Cycle, parameters: Mapping[str, Any], checkpoints: Mapping[str, Callable[[], bytes]],
    seed: int, limits: Limits, device: str,
) -> tuple[xr.Dataset, str]:  # fmt: skip
    """Cycle over the times of the file with two trained experiments; the analyses, and their scores as text."""
    path = cycle.file()
    record = read_file(path, "cycle.observations")
    updater = trained_model(cycle.updater, parameters, checkpoints, "cycle.updater").to(device)
    origin, forecaster = updater.origin(cycle.updater), None
    if not isinstance(updater.checkpoint.model, CyclesAlone):
        forecaster = trained_model(cycle.forecaster, parameters, checkpoints, "cycle.forecaster").to(device)
        weights = forecaster.checkpoint.header["weights"]
        origin |= {"fieldcast_forecaster": cycle.forecaster, "fieldcast_forecaster_weights": weights}
    members = max(2, limits.cap("members", cycle.members))
    result = analyses(
        forecaster, updater, record, members, seed, cycle.noise, cycle.withheld, f"'{path}'"
    ).assign_attrs(origin)
    return result, as_text(result)
