"""A user's record through a cycle: at each time a forecast from the analysis before, updated by the observations."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr

from fieldcast import calendars
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.inference.compatibility import STEP_TOLERANCE, matching
from fieldcast.inference.cycle_models import CycleModels
from fieldcast.inference.cycle_quality import CycleQuality
from fieldcast.inference.reconstruct import context_of
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.inference.trained_model import TrainedModel, with_moments
from fieldcast.inference.user_layout import restore_layout
from fieldcast.inference.withheld import withheld_cells
from fieldcast.models.core import Context
from fieldcast.time_steps import TimeStep


def cycle(
    forecaster: TrainedModel | None,
    updater: TrainedModel,
    observations: xr.Dataset | xr.DataArray,
    members: int = 20,
    seed: int = 0,
    noise: float = 0.1,
    withheld: float = 0.1,
    where: str = "the record",
) -> xr.Dataset:
    """Analyses of successive times: members of p(x_t | y_1 .. y_t), with their mean and spread.

    Each variable v becomes v (time, member, ...), v_mean and v_spread, in the units of the record. Scores at withheld
    observations are v_crps, v_rmse and v_coverage90 (state), where `state` is the climatology (with a filter of
    `assimilate` the anomalies of the members that it starts from, at every time), the background, the analysis and,
    with optimal interpolation for an updater, the interpolation of each time by itself. Statistics of the
    innovations are v_chi_squared and v_suspect_share (time), and v_observation_error. All times count, also the first
    ones after the cold start from climatological members: see `CycleModels.start`.

    Parameters
    ----------
    forecaster
        A model of `forecast`; a Kalman filter makes its own forecasts, and needs None.
    updater
        A filter of `assimilate`; or optimal interpolation, whose covariance, scaled by the innovations, is then that of
        the errors of the mean of the forecasts.
    observations
        Fields with NaN where nothing was observed, at successive times one step of the forecast apart.
    members
        Size of the ensemble, at least 2.
    seed
        Seed of the draws and of the withheld blocks.
    noise
        Standard deviation of the error of an observation, in anomaly standard deviations.
    withheld
        Share of the observations that is never assimilated, in whole blocks of neighbouring cells.
    where
        The record, as messages call it.

    Raises
    ------
    InputError
        For models that fit neither each other nor a cycle; if the grid is not theirs, if times are fewer than two or
        not a step apart, if nothing was observed.
    """
    if members < 2 or noise < 0 or not 0 <= withheld < 1:
        raise InputError(
            "cycle needs at least two members, no negative noise, and withheld from 0 to below 1, not "
            f"{members}, {noise:g} and {withheld:g}."
        )
    models = CycleModels.of(forecaster, updater)
    dataset, space = conventions.as_dataset(observations, where), updater.checkpoint.model.space
    data, codec = matching(dataset, updater.checkpoint.field_codec, where)
    check_times(data["time"], space.time_step, where)
    c = context_of(data, codec, space, noise)
    assert c.observed is not None and c.mask is not None
    if not c.mask.any():
        raise InputError(f"{where} holds no observation: give values where there are any, NaN elsewhere.")
    held = withheld_cells(c.mask, withheld, space, seed)
    assimilated = Context(c.count, observed=c.observed * ~held, mask=c.mask & ~held, day=c.day, noise=noise)
    quality = CycleQuality(torch.where(c.mask, c.observed, torch.nan), held, noise, seed)
    x = torch.empty(c.count, members, *space.state_shape)
    for number, estimates in enumerate(models.run(assimilated, members, seed)):
        x[number] = estimates["analysis"][0].float().cpu()
        quality.add(number, estimates)
    x = x.masked_fill(~space.exists.cpu(), torch.nan)
    result = restore_layout(dataset, with_moments(codec.decode(x, data["time"]), codec), codec)
    options = {"members": members, "noise": noise, "withheld": withheld, "seed": seed}
    names = " and ".join(model.name for model in (updater, forecaster) if model is not None)
    return quality.beside(with_attributes(result, dataset.attrs, "Analysis", names, options), dataset, codec)


def check_times(times: xr.DataArray, step: TimeStep, where: str) -> None:
    """Raise an InputError unless there are two times or more, each one step after the time before."""
    if times.size < 2:
        raise InputError(
            f"{where} has {times.size} time, and a cycle needs two or more: give successive ones."
        )
    off = np.abs(step.counts(times) - 1) * step.hours > STEP_TOLERANCE
    if off.any():
        before, after = calendars.iso(times)[off.argmax() :][:2]
        raise InputError(
            f"{where} goes from {before} to {after}, and the models step by {step}: give every time at that step, in "
            "order, with NaN where nothing was observed."
        )
