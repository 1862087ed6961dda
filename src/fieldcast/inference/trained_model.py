"""A trained model on its own, without Kedro: `.fill(dataset)`, `.forecast`, `.sample`; xarray in, xarray out.

The data set may have any CF-like layout that ingestion accepts (names and order of dimensions, latitudes either way);
the result has the same names, order, coordinates and attributes.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch
import xarray as xr

from fieldcast import arguments, calendars, runtime
from fieldcast.arguments import nearest, write_named
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import Checkpoint, pack, read_header, unpack
from fieldcast.encoding.stations import times_of
from fieldcast.errors import InputError
from fieldcast.fields import conventions
from fieldcast.fields.gauges import in_range
from fieldcast.fields.observation_error import Given, holders
from fieldcast.fields.stations import converted, read_stations
from fieldcast.fields.times import as_record
from fieldcast.inference.compatibility import last_states, match_model
from fieldcast.inference.forecasts.ensemble import (
    EnsembleForecaster,
    Feedback,
    lead_dataset,
    with_moments,
)
from fieldcast.inference.reconstruct import draw, observed_with_errors, suspect_messages, suspects
from fieldcast.inference.result_attributes import restore_layout, with_attributes
from fieldcast.inference.samples.sets import draw_states, physical_states
from fieldcast.inference.stations.elevation import Relief
from fieldcast.inference.stations.observations import (
    Representativeness,
    check_representativeness,
    with_stations,
)
from fieldcast.kinds import CF, LEAD, MEMBER, START
from fieldcast.models.replicas import choose_devices, replicate

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

    @runtime.reports_out_of_memory
    def fill(
        self, dataset: xr.Dataset | xr.DataArray | None = None, members: int = 19, noise: Given = 0.0,
        seed: int = 0, where: str = "the data set", *, stations: pd.DataFrame | str | Path | None = None,
        where_stations: str = "the table of stations", representativeness: Representativeness = None,
        dem: xr.Dataset | xr.DataArray | None = None,
    ) -> xr.Dataset:  # fmt: skip
        """Members of x given the values of a data set that are not NaN, or of stations, with their mean and spread.

        Each variable v becomes v (member, ...), v_mean and v_spread (ddof 1; absent for one member), in the data set's
        units, which may be any that convert to the model's. A variable that is absent counts as unobserved. A model
        that checks observations adds v_suspect, 1 where an observation was too far from its expected value and was
        given less weight; the log counts and lists them. Messages call the data set `where`.

        Observed cells keep their values, unless `noise`, the standard deviation of their error, is above zero: a number
        of anomaly standard deviations, "0.3 degC", "35%", or a variable of the data set (`fields.observation_error`).
        Errors that differ between values need a model that accepts points.

        Stations, a table as `fields.stations` describes it, are observed beside the cells of the data set, each with
        its own error and an error of representativeness (in units of the variables, by default estimated from all).
        Without a data set, the fields of their times are drawn on the model's grid. Gross errors are left out, and
        listed in the log; v_suspect is the check of the cells by themselves. If the table has elevations, readings are
        brought to those of the cells, from `dem` or the variable `surface_altitude` of the data set, where that helps.

        Raises
        ------
        InputError
            If the grid is not the model's, if all variables are absent, or if units do not convert to the model's; if
            there is neither a data set nor a station, if a station is outside the grid or of a variable that the
            model lacks, or if the model cannot use stations.
        """
        self.check_task("reconstruct", "fill needs")
        members, seed = arguments.whole_number(members, "members", 1), arguments.seed_number(seed)
        if not isinstance(noise, str | Mapping):
            noise = arguments.real_number(noise, "noise")
        check_representativeness(representativeness)
        observed_stations = None
        if stations is not None:
            table = self.valid_readings(read_stations(stations, where_stations), where_stations)
            relief = None if dem is None else Relief.of(conventions.as_dataset(dem, "dem"), "dem")
            observed_stations = Stations(table, where_stations, representativeness, relief)
        if dataset is None:
            if observed_stations is None:
                raise InputError("fill needs a data set, stations, or both.")
            dataset = self.nothing_observed(self.times_near(observed_stations.table, where_stations))
        dataset = as_record(dataset, where)
        result, facts = fill_fields(self.checkpoint, dataset, observed_stations, members, noise, seed, where)
        stated = (
            ", ".join(f"{v}={each}" for v, each in noise.items()) if isinstance(noise, Mapping) else noise
        )
        options = {"members": result.sizes[MEMBER], "noise": stated, "seed": seed}
        result = with_attributes(result, dataset.attrs, "Reconstruction", self.name, options)
        return result.assign_attrs(facts)

    def valid_readings(self, table: pd.DataFrame, where: str) -> pd.DataFrame:
        """A table of stations without readings outside the range of a mapped variable, which the log names."""
        codec = self.checkpoint.field_codec
        if not codec.quantities:
            return table
        units = {v: str(codec.attrs[v].get("units", "")) for v in codec.names}
        return in_range(converted(table, units, where), {v: units[v] for v in codec.quantities}, where)

    def times_near(self, table: pd.DataFrame, where: str) -> xr.DataArray:
        """The times of the model nearest to the times of a table of stations; `where` names the table in messages."""
        first = self.checkpoint.header["splits"]["train"][0]
        return times_of(table, self.checkpoint.model.space.time_step, first, where)

    def nothing_observed(self, times: xr.DataArray) -> xr.Dataset:
        """Fields of NaN at some times, on the model's grid and in its units."""
        codec = self.checkpoint.field_codec
        nothing = torch.full((len(times), 1, *self.checkpoint.model.space.state_shape), torch.nan)
        return codec.decode(nothing, times).isel({MEMBER: 0}, drop=True)

    @runtime.reports_out_of_memory
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
        dataset = as_record(dataset, where)
        model = self.checkpoint.model
        data, codec = last_states(dataset, self.checkpoint.field_codec, model.space, model.history, where)
        last = data["time"].values[-1:]
        forecaster = EnsembleForecaster(
            model, codec, data, list(calendars.iso(last)), members, seed, self.feedback
        )
        pieces = [lead_dataset(forecaster, ensemble) for ensemble in forecaster.run(steps)]
        moments = with_moments(xr.concat(pieces, LEAD).rename({START: "time"}), codec)
        valid = np.concatenate([forecaster.valid(number) for number in range(1, steps + 1)])
        result = after_last_state(dataset, moments, codec, last[0], valid)
        options = {
            "members": result.sizes[MEMBER], "steps": steps, "feedback": self.feedback, "seed": seed
        }  # fmt: skip
        return with_attributes(result, dataset.attrs, "Forecast", self.name, options)

    @runtime.reports_out_of_memory
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


# Fields drawn given a data set, stations, or both, in the layout of the data set.


class Stations(NamedTuple):
    """A table of stations, its name in messages, their representativeness error, and the elevation of the cells."""

    table: pd.DataFrame
    where: str
    representativeness: Representativeness
    relief: Relief | None = None


def fill_fields(
    checkpoint: Checkpoint, dataset: xr.Dataset, stations: Stations | None, members: int, noise: Given,
    seed: int, where: str,
) -> tuple[xr.Dataset, dict[str, str]]:  # fmt: skip
    """Members with their mean, spread and flags of doubtful observations, and facts about the stations as attributes.

    The log lists doubtful observations; `where` names the data set in messages.
    """
    model, stored = checkpoint.model, checkpoint.field_codec
    data, codec = match_model(dataset, stored, where, beside=holders(noise))
    data, c = observed_with_errors(data, codec, model, noise)
    in_cells, facts = c.points, dict[str, str]()
    if stations is not None:
        table, where_stations, representativeness, relief = stations
        relief = relief or Relief.of(dataset, where, only_altitude=True)
        c, facts = with_stations(
            c, model, stored, table, data["time"], where_stations, representativeness, relief
        )
        assert c.points is not None
        c = replace(c, points=c.points.joined(in_cells))
    filled = codec.decode(draw(model, c, members, seed), data["time"])
    if c.noise == 0 and in_cells is None:
        filled = with_observed(filled, data)
    flags = suspects(model, c, data, codec)
    for sentence in suspect_messages(flags, data):
        LOG.warning("%s: %s", where, sentence)
    return restore_layout(dataset, with_moments(filled, codec).merge(flags), codec), facts


def with_observed(filled: xr.Dataset, data: xr.Dataset) -> xr.Dataset:
    """The members with the observed values in their cells."""
    return filled.map(lambda v: xr.where(np.isfinite(data[v.name]), data[v.name], v).transpose(*v.dims))


# Restore the layout of a data set on the forecast that starts from it.


def after_last_state(
    dataset: xr.Dataset, moments: xr.Dataset, codec: FieldCodec, start: Any, valid: np.ndarray
) -> xr.Dataset:
    """A forecast in the layout of a data set; `start` is its last time, `valid` the valid time of each lead."""
    time = conventions.axes(dataset)["time"]
    template = dataset.isel({dim: -1 for dim in dataset[time].dims})
    template = template.drop_vars(
        [*bounds_of(template[time]), *coordinates_along(dataset, time)], errors="ignore"
    )
    coords = {
        "forecast_reference_time": ((), start, CF[START]),
        LEAD: moments[LEAD].variable,
        "time": (LEAD, valid, {"standard_name": "time"}),
    }
    coords |= period_of(moments[LEAD], start, valid)
    return restore_layout(template, moments, codec).drop_vars(time).assign_coords(coords)


def period_of(lead: xr.DataArray, start: Any, valid: np.ndarray) -> dict[str, Any]:
    """The forecast period [hours] for leads that count months; leads in hours are the forecast period."""
    if lead.attrs["units"] == "hours":
        return {}
    hours = [calendars.hours(np.array([start, time]))[1] for time in valid]
    return {"forecast_period": (LEAD, hours, {"standard_name": "forecast_period", "units": "hours"})}


def coordinates_along(dataset: xr.Dataset, time: str) -> list[str]:
    """Other coordinates that depend on time, such as a season, which a lead need not share with the last time."""
    along = set(dataset[time].dims)
    return [str(name) for name, array in dataset.coords.items() if name != time and along & set(array.dims)]


def bounds_of(coordinate: xr.DataArray) -> list[str]:
    """Names of the bounds of a coordinate."""
    return [str(coordinate.attrs["bounds"])] if "bounds" in coordinate.attrs else []


def load(
    path: str | Path,
    device: str = "auto",
    feedback: Feedback = "members",
    options: Mapping[str, Any] | None = None,
) -> TrainedModel:
    """The model of a checkpoint file.

    Parameters
    ----------
    path
        `checkpoint.safetensors` of a trained experiment.
    device
        "auto", "cpu" or "cuda".
    feedback
        State from which each step of a forecast starts: the "members", or their "mean".
    options
        Keywords of the model that replace those of its training, for another way to draw from the same weights:
        {"scheme": "rk4"}, or {"sampler": "ddim", "ddim_steps": 50}.

    Raises
    ------
    InputError
        If the file is missing, damaged, or no checkpoint of Fieldcast; for options that the model does not have.
    """
    path = arguments.path(path, "path", "checkpoint.safetensors")
    arguments.choice(feedback, "feedback", get_args(Feedback))
    if options is not None:
        options = arguments.mapping(options, "options", '{"scheme": "rk4"}')
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise OSError(errno.EINVAL, "it is not a regular file")  # reading a pipe would block for ever
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): name a checkpoint.safetensors of a trained experiment."
        ) from None
    if data[8:9] not in (b"", b"{"):  # the header of a safetensors file begins there
        raise InputError(
            f"{path} is not a checkpoint: name a checkpoint.safetensors of a trained experiment."
        )
    model = {**read_header(data, str(path))["model"], **options} if options else None
    return TrainedModel(unpack(data, str(path), model), feedback).to(device)


def with_same_data(parameters: Mapping[str, Any]) -> str:
    """The options by which another command trains on the data of this one, for messages."""
    ingestion = parameters.get("ingestion") or {}
    if ingestion.get("source") == "file" and not ingestion.get("path"):
        return "with the same data_root and --env, and with the ingestion.path of the data that are there"
    return "with the same data_root and --env"


def trained_model(
    experiment: str,
    parameters: Mapping[str, Any],
    checkpoints: Mapping[str, Callable[[], bytes]],
    key: str = "fill.experiment",
    types: Collection[str] = (),
) -> TrainedModel:
    """The model of an experiment `<task>.<name>`; `checkpoints`, keyed by <task>/<name>, read the files.

    `key` is the option that named the experiment, and `types` are the types of model that it takes, if not all.
    """
    task, _, name = experiment.partition(".")
    settings = (parameters.get(task) or {}).get(name) if name else None
    if not isinstance(settings, Mapping) or "model" not in settings:
        named = nearest(name, parameters.get(task) or {}, f"{task}.")
        form = "; write <task>.<name>, such as reconstruct.linear." if named == "." else named
        raise InputError(f"{key}: there is no experiment '{experiment}'{form}")
    if settings["model"].get("type") == "File":
        raise InputError(
            f"'{experiment}' is of type File: its forecasts were made elsewhere, so there is no model to draw from; "
            "name another."
        )
    serving = [
        name
        for name, other in sorted((parameters.get(task) or {}).items())
        if isinstance(other, Mapping) and (not types or (other.get("model") or {}).get("type") in types)
    ]
    if name not in serving:
        raise InputError(
            f"{key}: '{experiment}' cannot be used here; name {' or '.join(f'{task}.{each}' for each in serving)}."
        )
    weights_of = (settings.get("uses") or {}).get("weights")
    address = (weights_of or experiment).replace(".", "/")
    if address not in checkpoints:
        trained = [f"{task}.{each}" for each in serving if f"{task}/{each}" in checkpoints]
        others = f"; or use a trained one: --params {key}={' or '.join(trained)}" if trained else ""
        raise InputError(
            f"'{experiment}' has not been trained yet here: run `kedro run --pipelines {experiment}` first, "
            f"{with_same_data(parameters)}{others}."
        )
    where = f"'06_models/{address}/checkpoint.safetensors', the checkpoint of '{weights_of or experiment}',"
    checkpoint = unpack(checkpoints[address](), where, settings["model"] if weights_of else None)
    return TrainedModel(checkpoint, (settings.get("options") or {}).get("feedback", "members"))
