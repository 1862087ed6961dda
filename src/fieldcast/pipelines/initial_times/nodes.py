"""Initial times of forecasts, and the forecasts of the perfect model from them."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.fields.planet.perfect import lineage_of, perfect_model
from fieldcast.fields.splits import SplitRanges
from fieldcast.kinds import InitialTimes
from fieldcast.lineage import matches

LOG = logging.getLogger(__name__)


def choose_initial_times(
    fields: xr.Dataset, splits: SplitRanges, rollout: Rollout, limits: Limits
) -> InitialTimes:
    """Initial times, the same for every method."""
    return select_initial_times(fields, splits, rollout, limits)


def run_perfect_model(
    planet_states: xr.Dataset, initial_times: InitialTimes, splits: SplitRanges, rollout: Rollout, seed: int,
    earlier: Mapping[str, Any],
) -> Iterator[xr.Dataset]:  # fmt: skip
    """Forecasts of the perfect model by lead time; an empty data set for other sources, and nothing if they exist."""
    if not planet_states.data_vars:
        yield xr.Dataset(attrs={"starts": initial_times["digest"]})
        return
    training = [str(time) for time in splits["train"]]
    sources = planet_states, initial_times, training, rollout.perfect_model.initial_error, seed
    stored = earlier.get("perfect_model")
    if stored is not None and matches(stored.attrs, lineage_of(*sources)):
        LOG.info("Using the existing forecasts of the perfect model.")
        return
    yield from perfect_model(*sources)
