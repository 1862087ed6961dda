"""The check for a change of units midway through a record."""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields.repair import Finding
from fieldcast.fields.survey import Survey


def check_unit_jumps(array: xr.DataArray, survey: Survey, where: str) -> Finding:
    """Reject a change of units midway: an exceptional, lasting step of the area mean or of the log area spread.

    Such a step exceeds ten times (for the log spread five times) the fifth largest step, so that up to four changes are
    detected; it exceeds three area spreads (a front over a small region reaches two), or a factor of five; and it
    lasts: the ten times before it and the ten after it differ by at least half of it. Steps between segments do not
    count.

    Raises
    ------
    InputError
        For such a step.
    """
    observed = np.flatnonzero(survey.present)
    name, segment = str(array.name), array["segment"].values[observed]
    means, spreads = survey.mean[observed], survey.spread[observed]
    typical = float(np.median(spreads))
    sound = spreads > 1e-6 * typical
    logs = np.log(np.where(sound, spreads, 1.0))
    inside = np.diff(segment) == 0
    at = lasting_step(means, inside, 10.0, 3 * typical)
    if at is None:
        at = lasting_step(logs, inside & sound[1:] & sound[:-1], 5.0, float(np.log(5.0)))
    if at is None:
        return Finding("unit jumps", name, "", 0, "fine", "Neither mean nor spread changes abruptly.")
    date = calendars.date(array["time"][observed[at + 1]])
    mean, spread = means[at : at + 2], spreads[at : at + 2]
    raise InputError(
        f"variable '{name}' of {where} seems to change its units at {date}: its mean changes from "
        f"{mean[0]:.4g} to {mean[1]:.4g} and its spread from {spread[0]:.3g} to {spread[1]:.3g} "
        f"({array.attrs['units']}): convert one part, or choose another ingestion.period"
    )


def lasting_step(
    series: Float[np.ndarray, " time"], inside: Bool[np.ndarray, " steps"], ratio: float, least: float
) -> int | None:
    """Index before an exceptional step that lasts; None if there is none."""
    steps = np.abs(np.diff(series)) * inside
    threshold = max(ratio * np.sort(steps)[-5:][0], least)
    for at in np.flatnonzero(steps > threshold):
        before, after = series[max(at - 9, 0) : at + 1], series[at + 1 : at + 11]
        separation = max(before.min() - after.max(), after.min() - before.max())
        if min(before.size, after.size) >= 3 and separation > 0.5 * steps[at]:
            return int(at)
    return None
