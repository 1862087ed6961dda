"""Station fields: a user's stations as fields, without any gridded data."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.fields.quantities import AUTO
from fieldcast.geometry import edges
from fieldcast.inference.file_options import StationFields


def grid_stations(
    station_fields: StationFields, quantities: Any, seed: int, device: str
) -> tuple[xr.Dataset, pd.DataFrame, pd.DataFrame, str, pd.DataFrame]:
    """The fields, their scores at held-out stations, in all and at each station, these as text, and variograms."""
    from fieldcast.fields.opening import read_file
    from fieldcast.inference.stations.gridding import grid_and_score

    path = station_fields.table()
    like = None if station_fields.like is None else read_file(station_fields.like, "station_fields.like")
    where = f"station_fields.stations '{path}'"
    options = station_fields
    mask = None if options.mask is None else read_file(options.mask, "station_fields.mask")
    dem = None if options.dem is None else read_file(options.dem, "station_fields.dem")
    result = grid_and_score(
        path, options.resolution, like, options.step, seed, device, where, quantities or AUTO,
        columns=options.columns, crs=options.crs, accept=options.accept, dem=dem,
        covariance=options.covariance, mask=mask,
    )  # fmt: skip
    return result.fields, result.scores, result.by_station, result.text, result.variogram


def draw_maps(
    fields: xr.Dataset, scores: pd.DataFrame, by_station: pd.DataFrame, variogram: pd.DataFrame
) -> dict[str, bytes]:
    """CRPS and bias of the best method at each station, and variograms, figures for each variable, as PNG by name."""
    from fieldcast.figures.maps import station_maps, variograms
    from fieldcast.figures.sheet import outline
    from fieldcast.figures.style import png

    drawn = {name: png(figure) for name, figure in variograms(variogram)}
    if scores.empty:
        return drawn
    west = float(edges(fields["longitude"].to_numpy())[0])
    return drawn | {
        name: png(figure) for name, figure in station_maps(scores, by_station, outline(fields), west)
    }
