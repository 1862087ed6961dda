"""A trained model alone: `fieldcast.load(path).fill(dataset)`, .forecast, .sample. xarray in, xarray out; no Kedro.

The data set may come in any CF-like shape that ingestion takes (names and order of dimensions, latitudes either way);
what goes out has its names, its order, its coordinates and its attributes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import Checkpoint, read_header, unpack
from fieldcast.encoding.device import choose_device
from fieldcast.errors import InputError
from fieldcast.fields import calendars, conventions
from fieldcast.inference.compatibility import last_states, matching
from fieldcast.inference.ensemble_forecast import LEAD, START, Forecaster, physical
from fieldcast.inference.quality_control import sentences, suspects
from fieldcast.inference.reconstruct import context_of, draw
from fieldcast.inference.rollout import Feed
from fieldcast.inference.sampling import draw_states
from fieldcast.inference.sampling import physical as physical_states
from fieldcast.inference.user_layout import as_before

LOG = logging.getLogger(__name__)


def load(
    path: str | Path, device: str = "auto", feed: Feed = "members", options: Mapping[str, Any] | None = None
) -> TrainedModel:
    """The model of a checkpoint file.

    The same weights may be drawn from in several ways: `options` are keywords of the model in place of those that it
    was trained with, such as {"scheme": "rk4"} or {"sampler": "ddim", "jumps": 50}; `feed` is what each step of a
    forecast starts from, "members" or their "mean".

    Raises
    ------
    InputError
        If the file is missing, damaged, or no checkpoint of Fieldcast; for options that the model does not have.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): name a checkpoint.safetensors of a trained experiment."
        ) from None
    model = {**read_header(data, str(path))["model"], **options} if options else None
    return TrainedModel(unpack(data, str(path), model), feed).to(device)


def trained(
    experiment: str, parameters: Mapping[str, Any], checkpoints: Mapping[str, Callable[[], bytes]]
) -> TrainedModel:
    """The model of an experiment `<task>.<name>`; `checkpoints`, by <task>/<name>, give the files' bytes.

    Raises
    ------
    InputError
        If there is no such experiment or it has not been trained, with the command that trains it.
    """
    task, _, name = experiment.partition(".")
    settings = (parameters.get(task) or {}).get(name) if name else None
    if not isinstance(settings, Mapping) or "model" not in settings:
        raise InputError(
            f"there is no experiment '{experiment}'; write <task>.<name>, such as reconstruct.linear."
        )
    if settings["model"].get("type") == "File":
        raise InputError(
            f"'{experiment}' is of type File: it was made elsewhere, and there is no model to draw from; name another."
        )
    lender = (settings.get("uses") or {}).get("weights")
    address = (lender or experiment).replace(".", "/")
    if address not in checkpoints:
        there = ", ".join(sorted(one.replace("/", ".") for one in checkpoints)) or "none"
        raise InputError(
            f"'{experiment}' has not been trained yet here (trained: {there}): "
            f"run `kedro run --pipelines {experiment}` first, with the same data_root and --env."
        )
    where = f"the checkpoint of '{lender or experiment}'"
    checkpoint = unpack(checkpoints[address](), where, settings["model"] if lender else None)
    return TrainedModel(checkpoint, (settings.get("options") or {}).get("feed", "members"))


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """p(x | c) with what brings data to it and back."""

    checkpoint: Checkpoint
    feed: Feed = "members"  # what each step of a forecast starts from

    def to(self, device: str) -> TrainedModel:
        model = self.checkpoint.model.to(choose_device(device))
        return replace(self, checkpoint=replace(self.checkpoint, model=model))

    def check_task(self, task: str, what: str) -> None:
        """One sentence if the checkpoint is of another task."""
        own = self.checkpoint.header.get("task", "reconstruct")
        if own != task:
            raise InputError(f"this checkpoint is of the task '{own}': {what} needs an experiment of {task}.")

    def fill(
        self,
        dataset: xr.Dataset,
        members: int = 19,
        noise: float = 0.0,
        seed: int = 0,
        where: str = "the data set",
    ) -> xr.Dataset:
        """Members of x given the values of a data set that are not NaN, with their mean and spread.

        Each variable v becomes v (member, ...), v_mean and v_spread (ddof 1; absent for one member), in v's units. A
        model that checks observations adds v_suspect, 1 where an observation was too far from what was expected of it
        and was given less weight; the log counts and lists them. Observed cells keep their values, unless `noise`, the
        standard deviation of their error in anomaly standard deviations, is above zero. `where` is how sentences call
        the data set.

        Raises
        ------
        InputError
            If grid, variables or units differ from those the model was trained on.
        """
        self.check_task("reconstruct", "fill")
        if members < 1 or noise < 0:
            raise InputError(
                f"fill needs at least one member and no negative noise, not {members} and {noise}."
            )
        model, codec = self.checkpoint.model, self.checkpoint.by_day
        data = matching(dataset, codec, where)
        c = context_of(data, codec, model.space, noise)
        filled = codec.decode(draw(model, c, members, seed), data["time"])
        if noise == 0:
            filled = filled.map(
                lambda v: xr.where(np.isfinite(data[v.name]), data[v.name], v).transpose(*v.dims)
            )
        flags = suspects(model, c, data, codec)
        for sentence in sentences(flags, data):
            LOG.warning("%s: %s", where, sentence)
        return as_before(dataset, with_moments(filled, codec).merge(flags), codec)

    def forecast(
        self, dataset: xr.Dataset, steps: int, members: int = 10, seed: int = 0, where: str = "the data set"
    ) -> xr.Dataset:
        """Members of the states that follow the last ones of a data set, with their mean and spread.

        Each variable v becomes v (lead, member, ...), v_mean and v_spread (lead, ...), in v's units. `lead` is in
        hours after the scalar `forecast_reference_time`, the last time of the data set; `time` (lead) is what it is
        valid at. `where` is how sentences call the data set.

        Raises
        ------
        InputError
            If grid, variables, units or time step differ from those the model was trained on, if states are too few
            or have missing values.
        """
        self.check_task("forecast", "forecast")
        if members < 1 or steps < 1:
            raise InputError(f"forecast needs at least one step and one member, not {steps} and {members}.")
        model, codec = self.checkpoint.model, self.checkpoint.by_day
        data = last_states(dataset, codec, model.space, model.history, where)
        last = data["time"].values[-1:]
        forecaster = Forecaster(model, codec, data, list(calendars.iso(last)), members, seed, self.feed)
        pieces = [physical(forecaster, ensemble) for ensemble in forecaster.run(steps)]
        found = with_moments(xr.concat(pieces, "lead").rename(start="time"), codec)
        time = conventions.axes(dataset)["time"]
        template = dataset.isel({dim: -1 for dim in dataset[time].dims})
        result = as_before(template, found, codec, "forecast").drop_vars(time)
        valid = np.concatenate([forecaster.valid(number) for number in range(1, steps + 1)])
        return result.assign_coords(
            forecast_reference_time=((), last[0], START), lead=("lead", found["lead"].values, LEAD),
            time=("lead", valid, {"standard_name": "time"}),
        )  # fmt: skip

    def sample(self, count: int, seed: int = 0) -> xr.Dataset:
        """So many states that could be real, (sample, ...): fields in their units, or images in grey values.

        Raises
        ------
        InputError
            If the checkpoint is of another task, or nothing is asked for.
        """
        self.check_task("sample", "sample")
        if count < 1:
            raise InputError(f"sample needs a number of samples of at least one, not {count}.")
        model = self.checkpoint.model
        return physical_states(model.space, self.checkpoint.state_codec, draw_states(model, count, seed))


def with_moments(filled: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """Members, and their mean and spread beside them."""
    result = filled.copy()
    for v in codec.variables:
        name = codec.attrs[v].get("long_name", v)
        members = filled[v].astype(np.float64)  # no spread of rounding where all agree
        parts = {"mean": members.mean("member")}
        if filled.sizes["member"] > 1:
            parts["spread"] = members.std("member", ddof=1)
        for part, values in parts.items():
            units = codec.attrs[v].get("units", "1")
            result[f"{v}_{part}"] = values.astype(np.float32).assign_attrs(
                units=units, long_name=f"{part} of {name}"
            )
    result["member"].attrs = {"standard_name": "realization", "units": "1"}
    return result
