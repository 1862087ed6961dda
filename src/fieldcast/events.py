"""Events: anomalies beyond a climatological quantile of their day of the year and cell.

The event of the quantile p is a value below it where p < 1/2, and a value above it elsewhere, so its climatological
probability is min(p, 1 - p). Thresholds are anomalies from the climatology on a few days of the year, between which
they are interpolated linearly; those of monthly data hold for a calendar month.
"""

from __future__ import annotations

import numpy as np
import xarray as xr
from jaxtyping import Float, Integer

from fieldcast import calendars
from fieldcast.calendars import DAYS_PER_YEAR
from fieldcast.geometry import GRID

MONTHS = 12


def is_low(quantile: float) -> bool:
    """Whether the event of a quantile is a value below it."""
    return quantile < 0.5


def probability(quantile: float) -> float:
    """Climatological probability of the event of a quantile."""
    return min(quantile, 1.0 - quantile)


def label(quantile: float) -> str:
    """The event as text: "below 5 %", "above 99 %"."""
    return f"{'below' if is_low(quantile) else 'above'} {100 * quantile:.4g} %"


def thresholds_on(
    thresholds: xr.DataArray, days: Integer[np.ndarray, " time"]
) -> Float[np.ndarray, "quantile time latitude longitude"]:
    """Thresholds of one variable on some days of the year, 1 to 365: anomalies in its units."""
    values = thresholds.transpose("quantile", "dayofyear", *GRID).to_numpy()
    count = values.shape[1]
    if count == MONTHS:
        return values[:, np.searchsorted(calendars.DAYS_BEFORE_MONTH, days, side="left") - 1]
    position = (days - float(thresholds["dayofyear"][0])) % DAYS_PER_YEAR / (DAYS_PER_YEAR / count)
    before = position.astype(int) % count
    share = (position - before).astype(values.dtype)[:, None, None]
    return (1 - share) * values[:, before] + share * values[:, (before + 1) % count]
