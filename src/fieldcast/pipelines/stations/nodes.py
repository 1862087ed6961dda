"""Stations: scores of trained experiments at a user's stations, each left out once."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.inference.left_out_stations import as_text, scores_at_left_out
from fieldcast.inference.loading import trained_model
from fieldcast.inference.options import Evaluation, Fill


def score(
    fill: Fill, evaluation: Evaluation, parameters: Mapping[str, Any],
    checkpoints: Mapping[str, Callable[[], bytes]], seed: int, limits: Limits, device: str,
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """Score every trained experiment of `reconstruct` that can use stations; the table, and its text."""
    path = fill.table()
    models = {
        address: trained_model(address, parameters, checkpoints).to(device)
        for address in (name.replace("/", ".") for name in checkpoints if name.startswith("reconstruct/"))
    }
    able = {name: model for name, model in models.items() if model.checkpoint.model.accepts_points}
    if not able:
        raise InputError(
            "no experiment that can use stations has been trained yet here: run "
            f"`kedro run --pipelines {fill.experiment}` first, with the same data_root and --env."
        )
    members = limits.cap("members", evaluation.members)
    table = scores_at_left_out(able, path, members, seed, f"fill.stations '{path}'")
    return table, as_text(table)
