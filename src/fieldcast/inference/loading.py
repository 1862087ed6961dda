"""Load a trained model: from its file, or by the name of its experiment."""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, get_args

from fieldcast import arguments
from fieldcast.arguments import nearest
from fieldcast.encoding.checkpoint import read_header, unpack
from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import Feedback
from fieldcast.inference.trained_model import TrainedModel


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
