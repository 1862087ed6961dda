"""Named parts of a grid: bands of latitude that scores are averaged over."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

EDGE = 20.0  # degrees: between the tropics and either of the extratropics (WeatherBench 2)
FEWEST_ROWS = 3  # fewer are no region: their mean is that of a few cells
NEAR_POLE = 80.0  # degrees: the cells of a global grid reach beyond it at both ends
WHOLE = ("globe", "domain")


def regions(
    latitude: Float[np.ndarray, " latitude"], wraps: bool
) -> dict[str, Bool[np.ndarray, " latitude"]]:
    """Rows of each region, the whole grid first: `globe`, or `domain` where it does not span the globe.

    A grid that goes round the globe also has `tropics` (20 S to 20 N), `northern_extratropics` and
    `southern_extratropics` (beyond), each where it holds at least three rows and is not the whole grid. They
    share no row.
    """
    everywhere = np.ones(len(latitude), dtype=bool)
    half = np.abs(np.diff(latitude)).max() / 2 if len(latitude) > 1 else 0.0  # cells end beyond their centres
    spans = wraps and latitude.min() - half < -NEAR_POLE and latitude.max() + half > NEAR_POLE
    found = {"globe" if spans else "domain": everywhere}
    bands = {
        "tropics": np.abs(latitude) <= EDGE,
        "northern_extratropics": latitude > EDGE,
        "southern_extratropics": latitude < -EDGE,
    }
    return found | {
        name: rows for name, rows in bands.items() if wraps and rows.sum() >= FEWEST_ROWS and not rows.all()
    }
