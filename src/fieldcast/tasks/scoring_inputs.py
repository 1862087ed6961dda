"""Requirements of scoring on fields and draws."""

from __future__ import annotations

import xarray as xr

from fieldcast import geometry
from fieldcast.fields.splits import SplitRanges
from fieldcast.kinds import are_images
from fieldcast.lineage import Lineage, require


def cell_areas(fields: xr.Dataset) -> xr.DataArray:
    """Areas of the cells (latitude, longitude)."""
    values = geometry.cell_areas(fields["latitude"].values, fields["longitude"].values)
    return xr.DataArray(values, {c: fields[c] for c in ("latitude", "longitude")})


def units(data: xr.Dataset) -> dict[str, str]:
    """Units by variable."""
    return {str(name): str(values.attrs["units"]) for name, values in data.data_vars.items()}


def scored_period(fields: xr.Dataset, splits: SplitRanges) -> list[str]:
    """First and last time of the test split; empty for images, which have no times."""
    return [] if are_images(fields) else [str(time) for time in splits["test"]]


def require_draws(draws: xr.Dataset, present: Lineage, name: str, stage: str) -> None:
    """Raise an InputError unless draws have the lineage that they would have in this run: their scores are stored under
    it."""
    again = f"draw them again with `kedro run --pipelines {stage},evaluation,reporting`"
    require(draws.attrs, present, f"the {name} were drawn", again)
