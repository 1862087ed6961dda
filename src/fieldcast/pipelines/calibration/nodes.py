"""Calibration: the background errors and tuned values of one filter."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from
from fieldcast.pipelines.streams import released
from fieldcast.training.options import Fit


@made_from(checkpoint="fieldcast.tasks.assimilate.checkpoint_made_from")
def calibrate(
    fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges,
    planet_states: xr.Dataset, model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str,
    assimilation: CycledAssimilation, sparsification: Sparsification, previous_checkpoint: Any, **parts: bytes,
) -> Iterator[tuple[tuple[bytes | None, bytes | None], pd.DataFrame]]:  # fmt: skip
    """Checkpoint with the state of the calibration, and the trials, after each sweep and trial."""
    from fieldcast.tasks.assimilate import Assimilation
    from fieldcast.training import calibration
    from fieldcast.training.run import Recipe

    data = PreparedData(fields, climatology, normalisation, splits)
    recipe = Recipe(Assimilation(assimilation, sparsification), model, fit, seed, limits, device)
    _, state, stored = previous_checkpoint()
    options = assimilation, sparsification
    for saved in calibration.calibrate(
        recipe, *options, data, parts.get("base"), state, planet_states, stored
    ):
        yield released((saved.checkpoint, saved.state), saved.history)
