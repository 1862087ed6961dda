"""A small network of gauges."""

import numpy as np
import pandas as pd

STATIONS, TIMES = 24, 60


def network(elevations: bool = False) -> pd.DataFrame:
    """Temperatures of a few waves with a small error, as read at sea level."""
    rng = np.random.default_rng(0)
    latitude, longitude = rng.uniform(40, 50, STATIONS).round(3), rng.uniform(0, 12, STATIONS).round(3)
    size = np.zeros((TIMES, 4))
    for t in range(1, TIMES):
        size[t] = 0.8 * size[t - 1] + 0.6 * rng.normal(size=4)
    y, x = np.deg2rad(8 * latitude), np.deg2rad(6 * longitude)
    value = 10 + 2 * size @ np.stack([np.cos(x), np.sin(x), np.cos(y), np.sin(y)])
    value += 0.1 * rng.normal(size=value.shape)
    table = {
        "time": np.repeat(pd.date_range("2001-01-01", periods=TIMES), STATIONS),
        "lat": np.tile(latitude, TIMES), "lon": np.tile(longitude, TIMES), "variable": "t2m",
        "value": value.ravel(), "units": "degC",
        "station": np.tile([f"S{number:02d}" for number in range(STATIONS)], TIMES),
    }  # fmt: skip
    if elevations:
        table["elevation"] = np.tile(np.random.default_rng(11).uniform(0, 3000, STATIONS), TIMES)
    return pd.DataFrame(table)
