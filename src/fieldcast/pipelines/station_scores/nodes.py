"""Station scores: scores of trained experiments at a user's stations, each held out once."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.geometry import edges
from fieldcast.inference.file_options import Fill
from fieldcast.inference.options import Evaluation

LOG = logging.getLogger(__name__)


def score(
    fill: Fill, evaluation: Evaluation, parameters: Mapping[str, Any],
    checkpoints: Mapping[str, Callable[[], bytes]], seed: int, limits: Limits, device: str,
) -> tuple[pd.DataFrame, pd.DataFrame, str]:  # fmt: skip
    """Score every trained experiment of `reconstruct` that can use stations; by station; and as text.

    A checkpoint whose experiment has since been deleted is left out.
    """
    from fieldcast.inference.stations.held_out import FOLDS, scores_at_held_out
    from fieldcast.inference.trained_model import trained_model, with_same_data
    from fieldcast.scores.held_out import as_text

    path = fill.table()
    trained = [name for name in parameters["reconstruct"] if f"reconstruct/{name}" in checkpoints]
    models = {
        address: trained_model(address, parameters, checkpoints).to(device)
        for address in (f"reconstruct.{name}" for name in trained)
    }
    models_of_points = {
        name: model for name, model in models.items() if model.checkpoint.model.accepts_points
    }
    if not models_of_points:
        raise InputError(
            "no experiment that can use stations has been trained yet here: run "
            f"`kedro run --pipelines {fill.experiment}` first, {with_same_data(parameters)}."
        )
    LOG.info("Predicting held-out stations in %d folds with %s", FOLDS, ", ".join(models_of_points))
    members = limits.cap("members", evaluation.members)
    where = f"fill.stations '{path}'"
    table, by_station = scores_at_held_out(
        models_of_points, path, members, seed, where, fill.representativeness
    )
    return table, by_station, as_text(table, "readings at held-out stations")


def draw_maps(fields: xr.Dataset, scores: pd.DataFrame, by_station: pd.DataFrame) -> dict[str, bytes]:
    """CRPS and bias of the best experiment at each station, a figure for each variable, as PNG by name."""
    from fieldcast.figures.maps import station_maps
    from fieldcast.figures.sheet import outline
    from fieldcast.figures.style import png

    west = float(edges(fields["longitude"].to_numpy())[0])
    return {name: png(figure) for name, figure in station_maps(scores, by_station, outline(fields), west)}
