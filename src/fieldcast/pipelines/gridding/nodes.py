"""Gridding: a user's stations as fields, without any gridded data."""

import pandas as pd
import xarray as xr

from fieldcast.fields.opening import read_file
from fieldcast.figures.sheet import outline
from fieldcast.figures.stations import station_maps
from fieldcast.figures.style import png
from fieldcast.geometry import edges
from fieldcast.inference.file_options import Gridding
from fieldcast.inference.stations.gridding import grid_and_score


def grid_stations(
    gridding: Gridding, seed: int, device: str
) -> tuple[xr.Dataset, pd.DataFrame, pd.DataFrame, str]:
    """The fields, their scores at held-out stations, in all and at each station, and these as text."""
    path = gridding.table()
    like = None if gridding.like is None else read_file(gridding.like, "gridding.like")
    where = f"gridding.stations '{path}'"
    result = grid_and_score(path, gridding.resolution, like, gridding.step, seed, device, where)
    return result.fields, result.scores, result.by_station, result.text


def draw_maps(fields: xr.Dataset, scores: pd.DataFrame, by_station: pd.DataFrame) -> dict[str, bytes]:
    """CRPS and bias of the best method at each station, a figure for each variable, as PNG by name."""
    if scores.empty:
        return {}
    west = float(edges(fields["longitude"].to_numpy())[0])
    return {name: png(figure) for name, figure in station_maps(scores, by_station, outline(fields), west)}
