"""A checkpoint as a model of MLflow's flavour `python_function`: arrays in, arrays out, nothing pickled.

    model = mlflow.pyfunc.load_model("models:/fieldcast-reconstruct@champion")
    filled = model.predict({"time": seconds, "z500": values}, params={"members": 19})

MLflow stores a copy of this file, which it runs to load the model (models from code), and beside it the checkpoint.
Each variable is an array (time, latitude, longitude) in its units, on the grid of the model's metadata, NaN where it
was not observed; `time` counts seconds since 1970-01-01 in the `calendar` of the metadata, as `cftime.date2num` does. A
variable that was not observed at all is an array of NaN, for MLflow requires every tensor of a signature. A forecast
starts from the last states of its input, a sample has no input.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from pathlib import Path
from typing import Any

import cftime
import mlflow
import numpy as np
import xarray as xr
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

import fieldcast
from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.geometry import GRID
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.capabilities import ChecksObservations
from fieldcast.tasks import TASKS, Serving

SECONDS = "datetime64[s]"  # type of dates in the standard calendar
EPOCH = "seconds since 1970-01-01"  # unit of `time`
MAX_EXAMPLE = 100_000  # values of the example, which is text
EXAMPLE_SPACING = 10  # cells from one observed cell of the example to the next

# MLflow warns of samples, which have no input
warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)


class CheckpointModel(PythonModel):
    """Fill, continue or sample fields with the checkpoint among the artifacts."""

    # otherwise MLflow warns of an input without type hints, which it has for tables only
    _skip_type_hint_validation = True

    def load_context(self, context: PythonModelContext) -> None:
        self.trained = fieldcast.load(context.artifacts["checkpoint"])

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Members, mean and spread of each variable, by name; see `TrainedModel` for errors."""
        return predict(self.trained, model_input, {**serving_of(self.trained).parameters, **(params or {})})


def predict(
    trained: TrainedModel, arrays: dict[str, np.ndarray] | None, params: dict[str, int]
) -> dict[str, np.ndarray]:
    """Draws of a model given arrays by variable.

    Reconstructions are v (time, member, latitude, longitude), forecasts v (lead, member, latitude, longitude) with the
    valid `time` (lead), each with v_mean and v_spread (NaN for a single member); samples are v (sample, ...). A model
    that checks its observations adds v_suspect, 1 where it down-weighted one.
    """
    serving = serving_of(trained)
    if serving.takes == "nothing":
        return values_of(serving.draw(trained, None, **params))
    data = dataset(trained.checkpoint.field_codec, arrays or {}, calendar_of(trained))
    drawn = serving.draw(trained, data, **params)
    valid = {"time": seconds(drawn["time"].values)} if serving.takes == "states" else {}
    return {**with_spread(drawn), **valid}


def dataset(codec: FieldCodec, arrays: dict[str, np.ndarray], calendar: str) -> xr.Dataset:
    """Arrays by variable as a data set on the grid of the model, whose data have the calendar."""
    grid = {axis: getattr(codec, axis) for axis in GRID}
    fields = {
        v: (("time", *GRID), np.asarray(arrays[v]), dict(codec.attrs[v])) for v in codec.names if v in arrays
    }
    return xr.Dataset(fields, {"time": dates(arrays["time"], calendar), **grid})


def dates(count: Any, calendar: str) -> np.ndarray:
    """Dates from seconds since 1970: `datetime64[s]` in the standard calendar, else cftime."""
    whole_seconds = np.asarray(count).astype(np.int64)
    is_standard = calendar in calendars.STANDARD
    try:
        result = (
            whole_seconds.astype(SECONDS) if is_standard else cftime.num2date(whole_seconds, EPOCH, calendar)
        )
        fits = calendars.representable(result) if is_standard else True
    except (OverflowError, ValueError):
        fits = False
    if not fits:
        limit = f"goes beyond the years {calendars.FIRST_YEAR} to {calendars.LAST_YEAR}"
        raise InputError(
            f"'time' of the input, {whole_seconds.min()} to {whole_seconds.max()}, "
            f"{limit if is_standard else 'is not a date'} in the model's calendar '{calendar}': give it in {EPOCH}, as "
            f"cftime.date2num(dates, '{EPOCH}', '{calendar}') does."
        )
    return result


def seconds(times: np.ndarray) -> np.ndarray:
    """Seconds since 1970 of dates, in their calendar."""
    if times.dtype.kind == "M":
        return times.astype(SECONDS).astype(np.int64)
    return np.asarray(cftime.date2num(times, EPOCH, times[0].calendar)).astype(np.int64)


def calendar_of(trained: TrainedModel) -> str:
    """The calendar of the data that the model was trained on."""
    return str(trained.checkpoint.header.get("calendar", "proleptic_gregorian"))


def values_of(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The variables of a data set as arrays of single precision, by name."""
    return {str(name): np.asarray(array.values, np.float32) for name, array in data.data_vars.items()}


def with_spread(data: xr.Dataset) -> dict[str, np.ndarray]:
    """The variables of a data set as arrays, and NaN for the spread that a single member does not have."""
    values = values_of(data)
    means = {name.removesuffix("_mean"): mean for name, mean in values.items() if name.endswith("_mean")}
    return {**{f"{v}_spread": np.full_like(mean, np.nan) for v, mean in means.items()}, **values}


def task_of(trained: TrainedModel) -> str:
    return str(trained.checkpoint.header["task"])


def serving_of(trained: TrainedModel) -> Serving:
    """A model of this task as a function."""
    name = task_of(trained)
    if name not in TASKS:
        raise InputError(f"the task '{name}' of this model is not installed here: install its package.")
    serving = TASKS[name].serving
    if serving is None:
        raise InputError(f"a model of the task '{name}' does not work alone, so MLflow cannot load it.")
    return serving


def signature(trained: TrainedModel) -> ModelSignature:
    """Names, types and shapes of inputs, outputs and parameters; -1 is any size."""
    serving, space = serving_of(trained), trained.checkpoint.model.space
    defaults = [ParamSpec(name, "long", value) for name, value in serving.parameters.items()]
    state = (-1, *space.shape)
    if serving.takes == "nothing":
        samples: list[Any] = [field(name, state) for name in trained.checkpoint.state_codec.names]
        return ModelSignature(outputs=Schema(samples), params=ParamSchema(defaults))
    variables = trained.checkpoint.field_codec.names
    time = TensorSpec(np.dtype(np.int64), (-1,), "time")
    checks = serving.takes == "observations" and isinstance(trained.checkpoint.model, ChecksObservations)
    statistics = ("mean", "spread", *(["suspect"] if checks else []))
    outputs: list[Any] = [
        spec
        for v in variables
        for spec in (field(v, (-1, *state)), *(field(f"{v}_{name}", state) for name in statistics))
    ]
    return ModelSignature(
        Schema([time, *(field(v, state) for v in variables)]),
        Schema([*outputs, *([time] if serving.takes == "states" else [])]),
        ParamSchema(defaults),
    )


def field(name: str, shape: tuple[int, ...]) -> TensorSpec:
    """An array of single precision."""
    return TensorSpec(np.dtype(np.float32), shape, name)


def example(trained: TrainedModel) -> dict[str, np.ndarray] | None:
    """Input of a few observations, or of the climatology for a forecast; None for samples and large grids."""
    model, takes = trained.checkpoint.model, serving_of(trained).takes
    if takes == "nothing" or np.prod(model.space.state_shape) * max(model.history, 1) > MAX_EXAMPLE:
        return None
    codec, step = trained.checkpoint.field_codec, model.space.time_step
    days = codec.climatology[: max(model.history, 1)].copy()
    if takes == "observations":
        observed = np.zeros(model.space.shape, bool)
        observed.flat[::EXAMPLE_SPACING] = True
        days[:, :, ~observed] = np.nan
    epoch = dates([0], calendar_of(trained))
    time = np.concatenate([step.after(epoch, number) for number in range(len(days))])
    return {
        "time": seconds(time),
        **{v: np.ascontiguousarray(own) for v, own in codec.own_values(days)},
    }


def facts(trained: TrainedModel) -> dict[str, Any]:
    """Metadata of the stored model: task, variables with their units, grid, step, calendar."""
    codec, header = trained.checkpoint.codec, trained.checkpoint.header
    grid = {axis: getattr(codec, axis).tolist() for axis in GRID} if hasattr(codec, "latitude") else {}
    attrs = getattr(codec, "attrs", {})
    units = {v: attrs[v].get("units", "1") for v in codec.names if v in attrs}
    calendar = {"calendar": header["calendar"]} if "calendar" in header else {}
    step = TimeStep.stored_in(header).attrs()
    return {"task": task_of(trained), "units": units, **grid, **step, **calendar}


def save(checkpoint: Path, folder: Path, model_id: str | None = None) -> None:
    """Write the model of a checkpoint file to a folder that does not exist yet."""
    trained = fieldcast.load(checkpoint, "cpu")
    mlflow.pyfunc.save_model(
        folder,
        python_model=__file__,
        artifacts={"checkpoint": str(checkpoint)},
        signature=signature(trained),
        input_example=example(trained),
        pip_requirements=[f"fieldcast=={importlib.metadata.version('fieldcast')}"],
        metadata=facts(trained),
        mlflow_model=Model(model_id=model_id),
    )


mlflow.models.set_model(CheckpointModel())
