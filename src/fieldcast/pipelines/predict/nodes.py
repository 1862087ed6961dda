"""Predict: a forecast from the last states of a user's file, as members, mean and spread."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.inference.file_options import Predict

LOG = logging.getLogger(__name__)


def predict(
    predict: Predict, parameters: Mapping[str, Any], checkpoints: Mapping[str, Callable[[], bytes]],
    seed: int, limits: Limits, device: str,
) -> xr.Dataset:  # fmt: skip
    """Forecast from the last states of the file with a trained experiment."""
    from fieldcast.fields.opening import read_file
    from fieldcast.inference.result_attributes import in_one_line
    from fieldcast.inference.trained_model import trained_model

    path = predict.file()
    states = read_file(path, "predict.states", predict.region, predict.where)
    model = trained_model(predict.experiment, parameters, checkpoints, "predict.experiment").to(device)
    members = limits.cap("members", predict.members)
    result = model.forecast(states, predict.steps, members, seed, f"'{path}'")
    LOG.info("%s", in_one_line(result))
    return result.assign_attrs(model.origin(predict.experiment))
