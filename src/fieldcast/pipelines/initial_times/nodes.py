"""Initial times of forecasts, and the forecasts of the perfect model from them."""

import logging
from collections.abc import Iterator
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Limits, Rollout
from fieldcast.fields.splits import SplitRanges
from fieldcast.kinds import InitialTimes
from fieldcast.lineage import made_from, matches

LOG = logging.getLogger(__name__)


@made_from(initial_times="fieldcast.encoding.initial_times.select_initial_times")
def choose_initial_times(
    fields: xr.Dataset, splits: SplitRanges, rollout: Rollout, limits: Limits
) -> InitialTimes:
    """Initial times, the same for every method."""
    from fieldcast.encoding.initial_times import select_initial_times

    return select_initial_times(fields, splits, rollout, limits)


@made_from(perfect_model="fieldcast.pipelines.initial_times.nodes.perfect_model_made_from")
def run_perfect_model(
    planet_states: xr.Dataset, initial_times: InitialTimes, splits: SplitRanges, rollout: Rollout, seed: int,
    previous_perfect_model: Any,
) -> Iterator[xr.Dataset]:  # fmt: skip
    """Forecasts of the perfect model by lead time; an empty data set for other sources, and nothing if they exist."""
    from fieldcast.fields.planet.perfect import perfect_model

    lineage = perfect_model_made_from(planet_states, initial_times, splits, rollout, seed)
    if not planet_states.data_vars:
        yield xr.Dataset(attrs=lineage)
        return
    training = [str(time) for time in splits["train"]]
    stored = previous_perfect_model()
    if stored is not None and matches(stored, lineage):
        LOG.info("Using the existing forecasts of the perfect model.")
        return
    error = rollout.perfect_model.initial_error
    yield from perfect_model(planet_states, initial_times, training, error, seed)


def perfect_model_made_from(
    planet_states: xr.Dataset, initial_times: InitialTimes, splits: SplitRanges, rollout: Rollout, seed: int
) -> dict[str, Any]:
    """Lineage of the forecasts of the perfect model; of the empty ones for other sources, the initial times."""
    from fieldcast.fields.planet.perfect import lineage_of

    if not planet_states.data_vars:
        return {"starts": initial_times["digest"]}
    training = [str(time) for time in splits["train"]]
    return lineage_of(planet_states, initial_times, training, rollout.perfect_model.initial_error, seed)
