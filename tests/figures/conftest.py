"""A few forecasts of two experiments, one of which has a single member and one of which blew up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import xarray as xr

from fieldcast.scores.examples import forecast_examples


@pytest.fixture(scope="session")
def displayed(season: Callable) -> dict[str, xr.Dataset]:
    value = season(starts=3, shape=(6, 8))
    broken = value.forecasts.where(value.forecasts["lead"] < 72)
    ensembles = {"mine": value.forecasts, "single": value.forecasts.isel(member=[0]), "broken": broken}
    return {name: forecast_examples(item, value.truth) for name, item in ensembles.items()}
