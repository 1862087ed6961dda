"""Covariance of anomalies as users of kriging know it: model, sill, range and nugget, and the empirical variogram.

    gamma(D) = sill (1 - (1 - n) rho(D / L)),    nugget = n sill,

is half the mean squared difference of two simultaneous anomalies in units of the variable (Chiles and Delfiner 2012,
section 2.2), with the correlation of `models.gaps.local_kriging`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist

from fieldcast.errors import InputError
from fieldcast.geometry import MEAN_EARTH_RADIUS, great_circle_km
from fieldcast.inference.stations.kriging import FREE, Fixed, StationKriging
from fieldcast.inference.stations.suspects import places
from fieldcast.models.gaps.local_kriging import MATERN
from fieldcast.models.space import evenly

MODELS = {"exponential": 0.5, "matern32": 1.5, "matern52": 2.5}
KEYS = ("model", "range", "time", "sill", "nugget")
MAX_STATIONS = 500  # gauges whose pairs make the empirical variogram
BINS = 15  # bins of distance, up to half the largest
COLUMNS = ["variable", "distance_km", "pairs", "empirical", "fitted"]


def fixed_covariance(given: str | Mapping[str, Any] | None, variable: str, names: Iterable[str]) -> Fixed:
    """Parameters of the covariance that an option gives for a variable.

    Parameters
    ----------
    given
        "model=matern32 range=500 time=3 sill=4 nugget=0.5", some of these, or a mapping of them: range [km] and time
        [steps] are the scales L and tau, sill and nugget in squared units; or such by the names of variables.
    variable, names
        The variable, and all of them.
    """
    if isinstance(given, Mapping) and (set(given) & set(names)):
        if unknown := [str(name) for name in given if name not in names]:
            raise InputError(f"covariance names {', '.join(unknown)}, but the table has {', '.join(names)}.")
        given = given.get(variable)
    if given is None:
        return FREE
    if isinstance(given, str):
        pairs = [each.partition("=") for each in re.split(r"[\s,]+", given.strip()) if each]
        given = {key: value for key, _, value in pairs}
    usage = (
        f"give some of {', '.join(f'{key}=...' for key in KEYS)}, such as model=matern32 range=500 nugget=0.2"
    )
    if unknown := [str(key) for key in given if key not in KEYS]:
        raise InputError(f"covariance has no {', '.join(unknown)}: {usage}.")
    model = str(given.get("model", "")).lower()
    if model and model not in MODELS:
        raise InputError(f"covariance has no model '{model}': give {', '.join(MODELS)}.")
    values: dict[str, float] = {}
    for key in KEYS[1:]:
        if key in given:
            try:
                values[key] = float(given[key])
            except (TypeError, ValueError):
                values[key] = math.nan
            if not (
                math.isfinite(values[key]) and (values[key] > 0 or (key == "nugget" and values[key] == 0))
            ):
                raise InputError(f"covariance has {key}={given[key]}, not a positive number: {usage}.")
    if values.get("nugget", 0) >= values.get("sill", math.inf):
        raise InputError(
            f"covariance has a nugget of {values['nugget']:g}, which is part of the sill of {values['sill']:g}: give a "
            "smaller one."
        )
    chord = (
        2 * math.sin(min(values["range"] / (2 * MEAN_EARTH_RADIUS), math.pi / 2))
        if "range" in values
        else None
    )
    return Fixed(MODELS.get(model), chord, values.get("time"), values.get("sill"), values.get("nugget"))


class Parameters(NamedTuple):
    """Parameters of a fitted covariance, in squared units of the variable, km and steps."""

    model: str
    sill: float
    nugget: float
    range_km: float
    steps: float

    @classmethod
    def of(cls, kriging: StationKriging) -> Parameters:
        """The parameters; the sill is the mean variance of the anomalies of the stations."""
        c, s = kriging.model.correlation, kriging.climate.stations.deviation
        sill = float(np.mean(s**2))
        model = next(name for name, smoothness in MODELS.items() if smoothness == c.smoothness)
        return cls(model, sill, float(c.nugget) * sill, great_circle_km(float(c.space)), float(c.time))

    def text(self, units: str, fixed: Fixed) -> str:
        """The parameters in words; `fixed` says which were given."""
        square = f" ({units})^2" if units else ""
        given = [
            key
            for key, value in zip(("model", "range", "time", "sill", "nugget"), fixed, strict=True)
            if value is not None
        ]
        by = f"; fixed: {', '.join(given)}" if given else ""
        return (
            f"covariance of anomalies: model {self.model}, sill {self.sill:.3g}{square}, of which nugget "
            f"{self.nugget:.3g}, range {self.range_km:.0f} km, time {self.steps:.3g} steps{by}"
        )


def variogram(name: str, kriging: StationKriging) -> pd.DataFrame:
    """Empirical and fitted variogram of a variable by distance, a row for each bin with pairs of gauges.

    The first row has the pairs in one place, if there are any; its fitted value is the nugget.
    """
    record, climate = kriging.record, kriging.climate
    some = evenly(record.x.shape[1], MAX_STATIONS).numpy()
    a = (record.x - climate.stations.mean(record.phase))[:, some]
    mask, a = np.isfinite(a).astype(float), np.nan_to_num(a)
    common = mask.T @ mask
    square = (a**2).T @ mask + mask.T @ a**2 - 2 * a.T @ a
    pair = np.triu_indices(len(some), 1)
    common, square = common[pair], square[pair]
    chord = pdist(record.points[some])
    place = places(record.points[some])
    together = place[pair[0]] == place[pair[1]]
    limit = float(chord.max()) / 2 if len(chord) else 0.0
    number = np.where(together, -1, np.minimum((chord / max(limit, 1e-12) * BINS).astype(int), BINS))
    parameters, rows = Parameters.of(kriging), []
    c = kriging.model.correlation
    for each in range(-1, BINS):
        used = (number == each) & (common > 0)
        if not used.any():
            continue
        weight = common[used]
        distance = 0.0 if each < 0 else float(np.average(chord[used], weights=weight))
        rho = float(MATERN[c.smoothness](torch.tensor(distance / float(c.space), dtype=torch.float64), 1.0))
        fitted = parameters.sill - (parameters.sill - parameters.nugget) * rho
        empirical = float(square[used].sum() / weight.sum() / 2)
        rows.append([name, great_circle_km(distance), int(used.sum()), empirical, fitted])
    return pd.DataFrame(rows, columns=COLUMNS)
