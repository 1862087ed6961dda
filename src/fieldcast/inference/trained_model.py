"""A trained model on its own, without Kedro: `.fill(dataset)`, `.forecast`, `.sample`; xarray in, xarray out.

The data set may have any CF-like layout that ingestion accepts (names and order of dimensions, latitudes either way);
the result has the same names, order, coordinates and attributes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from fieldcast import arguments, calendars, memory
from fieldcast.encoding.checkpoint import Checkpoint, pack
from fieldcast.encoding.device import choose_devices
from fieldcast.encoding.stations import times_of
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.stations import read_stations
from fieldcast.inference.compatibility import last_states
from fieldcast.inference.ensemble_forecast import EnsembleForecaster, lead_dataset
from fieldcast.inference.ensemble_moments import with_moments
from fieldcast.inference.filling import Stations, fill_fields
from fieldcast.inference.forecast_layout import after_last_state
from fieldcast.inference.result_attributes import with_attributes
from fieldcast.inference.rollout import Feedback
from fieldcast.inference.sample import draw_states, physical_states
from fieldcast.inference.stations import Representativeness, check_representativeness
from fieldcast.inference.whole_file import write_named
from fieldcast.models.replicas import replicate

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model p(x | c) with the codec between data sets and tensors.

    `feedback` is the state from which each step of a forecast starts: the members, or their mean.
    """

    checkpoint: Checkpoint
    feedback: Feedback = "members"

    def __repr__(self) -> str:
        header, space = self.checkpoint.header, self.checkpoint.model.space
        grid = " x ".join(map(str, space.shape))
        kind = f"{header['task']}, {header['model']['type']}"
        return f"TrainedModel({kind}: {', '.join(space.variables)} on {grid} cells)"

    def to(self, device: str) -> TrainedModel:
        """Move the model to other devices: "auto" or "cuda", all GPUs; "cpu", or a single one such as "cuda:1"."""
        model = replicate(self.checkpoint.model, choose_devices(device))
        return replace(self, checkpoint=replace(self.checkpoint, model=model))

    def save(self, path: str | Path) -> None:
        """Write the checkpoint to a file, which `fieldcast.load` reads, in one step.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        path = arguments.path(path, "path", "mine.safetensors")
        write_named(path, pack(self.checkpoint.model, self.checkpoint.codec, self.checkpoint.header))

    def check_task(self, task: str, requires: str) -> None:
        """Raise an InputError if the checkpoint is of another task; `requires` begins the remedy: "fill needs"."""
        trained = self.checkpoint.header["task"]
        if trained != task:
            raise InputError(
                f"this checkpoint is of the task '{trained}': {requires} an experiment of {task}."
            )

    @property
    def name(self) -> str:
        """Type and digest of the model, for the attributes of results."""
        return f"{self.checkpoint.header['model']['type']} (weights {self.checkpoint.header['weights']})"

    def origin(self, experiment: str) -> dict[str, str]:
        """Attributes of a result: the experiment that it comes from, and the digest of the weights."""
        return {"fieldcast_experiment": experiment, "fieldcast_weights": self.checkpoint.header["weights"]}

    @memory.reports_out_of_memory
    def fill(
        self, dataset: xr.Dataset | xr.DataArray | None = None, members: int = 19, noise: float = 0.0,
        seed: int = 0, where: str = "the data set", *, stations: pd.DataFrame | str | Path | None = None,
        where_stations: str = "the table of stations", representativeness: Representativeness = None,
    ) -> xr.Dataset:  # fmt: skip
        """Members of x given the values of a data set that are not NaN, or of stations, with their mean and spread.

        Each variable v becomes v (member, ...), v_mean and v_spread (ddof 1; absent for one member), in the data set's
        units, which may be any that convert to the model's. A variable that is absent counts as unobserved. A model
        that checks observations adds v_suspect, 1 where an observation was too far from its expected value and was
        given less weight; the log counts and lists them. Observed cells keep their values, unless `noise`, the standard
        deviation of their error in anomaly standard deviations, is above zero. Messages call the data set `where`.

        Stations, a table as `fields.stations` describes it, are observed beside the cells of the data set, each with
        its own error and an error of representativeness (in units of the variables, by default estimated from all).
        Without a data set, the fields of their times are drawn on the model's grid. Gross errors are left out, and
        listed in the log; v_suspect is the check of the cells by themselves.

        Raises
        ------
        InputError
            If the grid is not the model's, if all variables are absent, or if units do not convert to the model's; if
            there is neither a data set nor a station, if a station is outside the grid or of a variable that the
            model lacks, or if the model cannot use stations.
        """
        self.check_task("reconstruct", "fill needs")
        members, seed = arguments.whole_number(members, "members", 1), arguments.seed_number(seed)
        noise = arguments.real_number(noise, "noise")
        check_representativeness(representativeness)
        observed_stations = None
        if stations is not None:
            observed_stations = Stations(
                read_stations(stations, where_stations), where_stations, representativeness
            )
        if dataset is None:
            if observed_stations is None:
                raise InputError("fill needs a data set, stations, or both.")
            dataset = self.nothing_observed(self.times_near(observed_stations.table, where_stations))
        dataset = conventions.as_dataset(dataset, where)
        result, facts = fill_fields(self.checkpoint, dataset, observed_stations, members, noise, seed, where)
        options = {"members": result.sizes["member"], "noise": noise, "seed": seed}
        result = with_attributes(result, dataset.attrs, "Reconstruction", self.name, options)
        return result.assign_attrs(facts)

    def times_near(self, table: pd.DataFrame, where: str) -> xr.DataArray:
        """The times of the model nearest to the times of a table of stations; `where` names the table in messages."""
        first = self.checkpoint.header["splits"]["train"][0]
        return times_of(table, self.checkpoint.model.space.time_step, first, where)

    def nothing_observed(self, times: xr.DataArray) -> xr.Dataset:
        """Fields of NaN at some times, on the model's grid and in its units."""
        codec = self.checkpoint.field_codec
        nothing = torch.full((len(times), 1, *self.checkpoint.model.space.state_shape), torch.nan)
        return codec.decode(nothing, times).isel(member=0, drop=True)

    @memory.reports_out_of_memory
    def forecast(
        self, dataset: xr.Dataset | xr.DataArray, steps: int, members: int = 10, seed: int = 0,
        where: str = "the data set",
    ) -> xr.Dataset:  # fmt: skip
        """Members of the states that follow the last ones of a data set, with their mean and spread.

        Each variable v becomes v (lead, member, ...), v_mean and v_spread (lead, ...), in the data set's units, which
        may be any that convert to the model's. `lead` is in hours after the scalar `forecast_reference_time`, the last
        time of the data set, or counts months, with the hours beside it as `forecast_period` (lead); `time` (lead) is
        the valid time. Error messages call the data set `where`.

        Raises
        ------
        InputError
            If grid, variables or time step differ from those of training, if units do not convert to the model's, if
            there are too few states, or if they have missing values.
        """
        self.check_task("forecast", "forecast needs")
        members, seed = arguments.whole_number(members, "members", 1), arguments.seed_number(seed)
        steps = arguments.whole_number(steps, "steps", 1)
        dataset = conventions.as_dataset(dataset, where)
        model = self.checkpoint.model
        data, codec = last_states(dataset, self.checkpoint.field_codec, model.space, model.history, where)
        last = data["time"].values[-1:]
        forecaster = EnsembleForecaster(
            model, codec, data, list(calendars.iso(last)), members, seed, self.feedback
        )
        pieces = [lead_dataset(forecaster, ensemble) for ensemble in forecaster.run(steps)]
        moments = with_moments(xr.concat(pieces, "lead").rename(start="time"), codec)
        valid = np.concatenate([forecaster.valid(number) for number in range(1, steps + 1)])
        result = after_last_state(dataset, moments, codec, last[0], valid)
        options = {
            "members": result.sizes["member"], "steps": steps, "feedback": self.feedback, "seed": seed
        }  # fmt: skip
        return with_attributes(result, dataset.attrs, "Forecast", self.name, options)

    @memory.reports_out_of_memory
    def sample(self, count: int, seed: int = 0) -> xr.Dataset:
        """`count` states drawn at random, (sample, ...): fields in their units, or images in grey values.

        Raises
        ------
        InputError
            If the checkpoint is of another task, or `count` is not positive.
        """
        self.check_task("sample", "sample needs")
        count, seed = arguments.whole_number(count, "count", 1), arguments.seed_number(seed)
        model = self.checkpoint.model
        states = physical_states(model.space, self.checkpoint.state_codec, draw_states(model, count, seed))
        if "latitude" not in states.coords:
            return states
        return with_attributes(states, {}, "Sample", self.name, {"samples": count, "seed": seed})
