"""Initial times of forecasts, shared by every method.

An initial time, or start, is the time of the last state that a forecast is given; the forecast is valid at start +
lead.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import xarray as xr
from jaxtyping import Int

from fieldcast import calendars, lineage
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import refuse_images
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.errors import InputError
from fieldcast.fields.domain import require_complete
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.kinds import InitialTimes
from fieldcast.models.space import evenly

HISTORY = 5  # number of states before a start that a model may use


def select_initial_times(
    fields: xr.Dataset, splits: SplitRanges, rollout: Rollout, limits: Limits
) -> InitialTimes:
    """Evenly spaced initial times of scored forecasts and of the long rollout, leads, members, and their digest.

    All states from HISTORY before a start to its last scored lead are in the test split and in one segment. A long
    rollout may continue past the end of the test split, where there is no truth.
    """
    test = select(fields, splits, "test")
    refuse_images(test)
    require_complete(test, "forecasts")
    step = regular_step(test)
    leads, long = limits.cap("times", rollout.steps), limits.cap("times", rollout.stability.steps)
    iso, (before, after) = calendars.iso(test["time"]), states_around(test["segment"].values)
    scored = np.flatnonzero((before >= HISTORY) & (after >= leads))
    if not scored.size:
        raise InputError(
            f"the test split, {len(iso)} times from {iso[0]} to {iso[-1]}, has no start with {HISTORY} states before "
            f"it and {leads} after it: ask for fewer rollout.steps, or for a longer ingestion.splits.test."
        )
    choice = {
        "data": test.attrs["digest"],
        "train": list(splits["train"]),  # its climatology and deviations enter the scores
        **step.attrs(),
        "scored": iso[evenly_spaced(scored, limits.cap("times", rollout.initial_times))].tolist(),
        "leads": leads,
        "members": limits.cap("members", rollout.members),
        "stability": iso[
            long_rollout_times(before, after, long, limits.cap("times", rollout.stability.initial_times))
        ].tolist(),
        "stability_steps": long,
        "stability_members": limits.cap("members", rollout.stability.members),
    }
    scored_choice = {name: value for name, value in choice.items() if not name.startswith("stability")}
    return cast("InitialTimes", {**choice, "digest": lineage.digest(scored_choice)})


def regular_step(fields: xr.Dataset) -> TimeStep:
    """The time step of fields to forecast."""
    step = TimeStep.of(fields)
    if not step.hours:
        raise InputError(
            "the fields have no regular time step, which forecasts need: run the tasks reconstruct and sample only, or "
            "resample the data to a regular time step."
        )
    return step


def require_initial_times(
    stored: InitialTimes, fields: xr.Dataset, splits: SplitRanges, options: Rollout, limits: Limits
) -> None:
    """Raise an InputError unless stored initial times were chosen from these fields, splits and options.

    Otherwise they might lie in the training split.
    """
    lineage.require(
        stored,
        select_initial_times(fields, splits, options, limits),
        "the stored initial times were chosen",
        "choose them again with `kedro run --pipelines initial_times`",
    )


def states_around(
    segment: Int[np.ndarray, " time"],
) -> tuple[Int[np.ndarray, " time"], Int[np.ndarray, " time"]]:
    """Number of states before and after each state in its segment."""
    position = np.arange(segment.size)
    _, first, size = np.unique(segment, return_index=True, return_counts=True)
    begin, end = np.repeat(first, size), np.repeat(first + size - 1, size)
    return position - begin, end - position


def long_rollout_times(
    before: Int[np.ndarray, " time"], after: Int[np.ndarray, " time"], steps: int, count: int
) -> Int[np.ndarray, " start"]:
    """Initial times with a truth at all steps; if there are too few, at half as many steps as the best start has."""
    possible = np.flatnonzero(before >= HISTORY)
    covered = possible[after[possible] >= steps]
    if covered.size < count:
        covered = possible[after[possible] >= after[possible].max() // 2]
    return evenly_spaced(covered, count)


def evenly_spaced(positions: Int[np.ndarray, " position"], count: int) -> Int[np.ndarray, " start"]:
    """Evenly spaced positions, at most `count` of them."""
    return positions[evenly(positions.size, count).numpy()]
