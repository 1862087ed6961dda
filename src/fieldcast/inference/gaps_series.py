"""A stretch of each variable in which values are hidden, as the methods fill it: the table of a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from fieldcast import calendars
from fieldcast.inference.gap_trials import STRETCH, Comparison, best_of
from fieldcast.models.gaps.trial import Trial


def series(comparison: Comparison, trials: Sequence[Trial]) -> pd.DataFrame:
    """Series of one cell for each variable, in its units.

    Columns: `variable, latitude, longitude, time`; `observed` and `hidden`, the values left to the methods and those
    hidden from them, NaN elsewhere; `filled` and `spread` of the best method, `dineof` and `linear_in_time`.
    """
    left, mask = comparison.left, comparison.hidden.mask
    climatology, scale = left.climatology[:, comparison.series], left.scale[comparison.series]
    best, by_name = best_of(trials), {trial.name: trial for trial in trials}
    truth = comparison.gappy.values[:, comparison.series]
    anomalies = {
        "filled": best.mean_of_series,
        "dineof": by_name["dineof"].mean_of_series,
        "linear_in_time": left.linear_in_time(left.record)[:, comparison.series],
    }
    columns = {name: x * scale + climatology for name, x in anomalies.items()} | {
        "observed": torch.where(left.record.observed[:, comparison.series], truth, torch.nan),
        "hidden": torch.where(mask[:, comparison.series], truth, torch.nan),
        "spread": best.spread_of_series * scale,
    }
    tables = []
    places = comparison.gappy.there.nonzero()[comparison.series.cpu()].tolist()
    codec = comparison.gappy.codec
    for number, (v, y, x) in enumerate(places):
        first = int(comparison.begins[number])
        part = slice(first, first + STRETCH)
        place = {
            "variable": codec.variables[v],
            "latitude": codec.latitude[y],
            "longitude": codec.longitude[x],
        }
        times = {"time": calendars.iso(comparison.gappy.times)[part]}
        values = {name: np.asarray(values[part, number].cpu()) for name, values in columns.items()}
        tables.append(pd.DataFrame(place | times | values))
    return pd.concat(tables, ignore_index=True)
