"""Calibration: the background errors and tuned values of one filter."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.arguments import by_field
from fieldcast.encoding.options import CycledAssimilation, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.pipelines.streams import earlier_output, streamed
from fieldcast.tasks.assimilate import Assimilation
from fieldcast.training.calibration import calibrate
from fieldcast.training.run import TrainingOptions


@streamed
@by_field
def fit(
    data: PreparedData, training: TrainingOptions, assimilation: CycledAssimilation, sparsification: Sparsification,
    earlier: Mapping[str, Any], planet_states: xr.Dataset, base: bytes | None = None,
) -> Iterator[tuple[tuple[bytes | None, bytes | None], pd.DataFrame]]:  # fmt: skip
    """Checkpoint with the state of the calibration, and the trials, after each sweep and trial."""
    _, state, stored = earlier_output(earlier, "checkpoint")
    recipe = training.recipe(Assimilation(assimilation, sparsification))
    for saved in calibrate(recipe, assimilation, sparsification, data, base, state, planet_states, stored):
        yield (saved.checkpoint, saved.state), saved.history
