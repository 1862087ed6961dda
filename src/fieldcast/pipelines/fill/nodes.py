"""Fill: a user's file with gaps, or stations, as members, mean and spread."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from fieldcast import calendars
from fieldcast.encoding.options import Limits
from fieldcast.inference.file_options import Fill

LOG = logging.getLogger(__name__)


def fill(
    fill: Fill, parameters: Mapping[str, Any], checkpoints: Mapping[str, Callable[[], bytes]],
    seed: int, limits: Limits, device: str,
) -> xr.Dataset:  # fmt: skip
    """Draw the missing values of the file, or the fields around the stations, from a trained experiment."""
    from fieldcast.fields.opening import read_file
    from fieldcast.inference.result_attributes import in_one_line
    from fieldcast.inference.trained_model import trained_model

    path = fill.file()
    observations = None if path is None else read_file(path, "fill.observations", fill.region, fill.where)
    model = trained_model(fill.experiment, parameters, checkpoints, "fill.experiment").to(device)
    result = model.fill(
        observations,
        limits.cap("members", fill.members),
        fill.noise,
        seed,
        f"'{path}'",
        stations=fill.stations,
        where_stations=f"fill.stations '{fill.stations}'",
        representativeness=fill.representativeness,
        dem=None if fill.dem is None else read_file(fill.dem, "fill.dem"),
    )
    if observations is None:
        dates = calendars.iso(result["time"])
        LOG.info("fill.stations: %d fields, from %s to %s", len(dates), dates[0], dates[-1])
    if error := result.attrs.get("fieldcast_representativeness"):
        LOG.info("fill.stations: error of representativeness %s", error)
    LOG.info("%s", in_one_line(result))
    return result.assign_attrs(model.origin(fill.experiment))
