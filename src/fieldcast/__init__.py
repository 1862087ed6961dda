"""Fill, forecast and sample gridded weather with generative models.

    import fieldcast
    model = fieldcast.fit(dataset, "reconstruct.optimal_interpolation")
    model.save("mine.safetensors")
    model = fieldcast.load("data/06_models/reconstruct/corrected_interpolation/checkpoint.safetensors")
    filled = model.fill(dataset, members=19)        # xarray in, xarray out; NaN is what was not observed
    model = fieldcast.load("data/06_models/forecast/corrected_inverse_model/checkpoint.safetensors")
    future = model.forecast(dataset, steps=10)      # from the last states of the data set
    analyses = fieldcast.cycle(forecaster, updater, record)  # of every time, from its observations and those before
    filled = fieldcast.fill_gaps(dataset)           # from the data set's own values, without any training data

Packages: `models` (what p(x | c) is), `fields` (data), `encoding` (the bridge between data sets and tensors),
`training`, `inference`, `scores`, `figures` and `report` (how good a model is), `pipelines` (the Kedro stages, thin),
`datasets` (what the catalog is made of) and `frame` (checks, error messages, the lock, tracking).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Before torch is imported. OpenMP threads busy-wait by default, which slows training severely beside other busy
# processes; sleeping at once doubles the time of a step on an idle machine. A short spin avoids both. libgomp reads
# GOMP_SPINCOUNT, other runtimes OMP_WAIT_POLICY.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import pandas as pd
    import xarray as xr

    from fieldcast.inference.trained_model import TrainedModel
    from fieldcast.standalone import Data


def load(path: str | Path, device: str = "auto", **how: Any) -> TrainedModel:
    """The trained model of a checkpoint file; `how` to draw from it: see `fieldcast.inference.loading.load`."""
    from fieldcast.inference.loading import (
        load as load_checkpoint,  # here: torch takes a second to import
    )

    return load_checkpoint(path, device, **how)


def fit(dataset: Data, experiment: str, **how: Any) -> TrainedModel:
    """The model of an experiment, fitted to a data set: see `fieldcast.standalone.fit`."""
    from fieldcast import standalone

    return standalone.fit(dataset, experiment, **how)


def fill_gaps(dataset: Data, **how: Any) -> xr.Dataset:
    """The data set with its gaps filled from its own values: see `fieldcast.inference.fill_gaps.fill_gaps`."""
    from fieldcast.inference import fill_gaps as gaps

    return gaps.fill_gaps(dataset, **how)


def cycle(
    forecaster: TrainedModel | None, updater: TrainedModel, observations: Data, **how: Any
) -> xr.Dataset:
    """Analyses of a record by turns of forecast and update: see `fieldcast.inference.cycle.cycle`."""
    from fieldcast.inference.cycle import cycle as analyses

    return analyses(forecaster, updater, observations, **how)


def score(truth: Data, draws: Data, **how: Any) -> pd.DataFrame:
    """Scores of ensembles of any origin, in the columns of the leaderboard: see `fieldcast.standalone.score`."""
    from fieldcast import standalone

    return standalone.score(truth, draws, **how)
