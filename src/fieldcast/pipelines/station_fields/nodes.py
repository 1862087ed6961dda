"""Station fields: a user's stations as fields, without any gridded data."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.fields.quantities import AUTO
from fieldcast.geometry import edges
from fieldcast.inference.file_options import StationFields


def grid_stations(
    station_fields: StationFields, quantities: Any, seed: int, device: str
) -> tuple[xr.Dataset, pd.DataFrame, pd.DataFrame, str]:
    """The fields, their scores at held-out stations, in all and at each station, and these as text."""
    from fieldcast.fields.opening import read_file
    from fieldcast.inference.stations.gridding import grid_and_score

    path = station_fields.table()
    like = None if station_fields.like is None else read_file(station_fields.like, "station_fields.like")
    where = f"station_fields.stations '{path}'"
    options = station_fields
    dem = None if options.dem is None else read_file(options.dem, "station_fields.dem")
    result = grid_and_score(
        path, options.resolution, like, options.step, seed, device, where, quantities or AUTO,
        accept=options.accept, dem=dem,
    )  # fmt: skip
    return result.fields, result.scores, result.by_station, result.text


def draw_maps(fields: xr.Dataset, scores: pd.DataFrame, by_station: pd.DataFrame) -> dict[str, bytes]:
    """CRPS and bias of the best method at each station, a figure for each variable, as PNG by name."""
    from fieldcast.figures.sheet import outline
    from fieldcast.figures.stations import station_maps
    from fieldcast.figures.style import png

    if scores.empty:
        return {}
    west = float(edges(fields["longitude"].to_numpy())[0])
    return {name: png(figure) for name, figure in station_maps(scores, by_station, outline(fields), west)}
