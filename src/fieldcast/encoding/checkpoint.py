"""A checkpoint: one file of tensors from which a trained model can be rebuilt and used by itself.

Tensors: the model's state, the Space, climatology and normalisation. Header: the model's type and keywords, its
lineage, costs and versions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fieldcast import lineage
from fieldcast.calendars import TimeStep, days_per_year
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.states import AnyDayCodec, ImageCodec
from fieldcast.encoding.tensor_file import (
    DAMAGED,
    UNREADABLE,
    header_of,
    on_cpu,
    pack_bytes,
    tensor_digest,
    unpack_bytes,
)
from fieldcast.errors import InputError
from fieldcast.fields.quantities import quantity_of
from fieldcast.models.configuration import build
from fieldcast.models.core import Model
from fieldcast.models.space import Space

FORMAT = 6  # version of the file, and of random numbers, which a checkpoint is written with
READABLE = (5, FORMAT)  # a checkpoint of another version is refused; 5: before modules of models moved
Codec = FieldCodec | AnyDayCodec | ImageCodec
FIELDS_AT_ONCE = 64  # number of fields that are checked together, because the check copies them
# entries of the header that every checkpoint has
REQUIRED_ENTRIES = "model", "variables", "wraps", "step_hours", "weights"
FITTED_BY = "fitted_by"  # entry of the header that names the options of its task, which are entries, too
SPACE = ("area", "exists", "points", "static", "tendency")  # tensors of a Space


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model, its codec, and the header of its file: lineage, costs and versions."""

    model: Model
    codec: Codec
    header: Mapping[str, Any]

    @property
    def field_codec(self) -> FieldCodec:
        """The codec of a model of dated fields."""
        if not isinstance(self.codec, FieldCodec):
            raise InputError(
                "this checkpoint is of the task 'sample', whose states have no day: name an experiment of another task."
            )
        return self.codec

    @property
    def state_codec(self) -> AnyDayCodec | ImageCodec:
        """The codec of a model of states."""
        if isinstance(self.codec, FieldCodec):
            raise InputError("this checkpoint is not of the task 'sample': name an experiment of sample.")
        return self.codec


def read_header(data: bytes, where: str) -> dict[str, Any]:
    """The header alone, without reading or checking the tensors."""
    try:
        header = header_of(data)[2]
    except UNREADABLE:
        raise InputError(
            f"{where} {DAMAGED}: give the checkpoint.safetensors of a trained experiment, or train the experiment "
            "again."
        ) from None
    return require_this_version(header, where)


def require_this_version(header: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the header with the present names of options, unless another version of Fieldcast wrote it."""
    header = lineage.with_present_names(header)
    complete = set(REQUIRED_ENTRIES) <= set(header)
    if complete and header.get("format") in READABLE and not is_header(header):
        raise InputError(f"{where} {DAMAGED}: train the experiment again.")
    if header.get("format") not in READABLE or not complete:
        raise InputError(
            f"{where} is not a checkpoint of this version of Fieldcast: train the experiment again."
        )
    return header


def model_digest(header: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Digest of everything that determines draws: the tensors of a checkpoint, and the model around them.

    The lineage of a checkpoint is not enough: if a time limit ends the training, one lineage has several weights. The
    code counts, too: after a change of `sample`, equal weights give other draws.
    """
    return lineage.digest(
        header["weights"], model, *([header[lineage.CODE]] if lineage.CODE in header else [])
    )


def codec_digest(codec: Codec) -> str:
    """Digest of a codec: climatology, normalisation and attributes of the variables."""
    return lineage.digest(codec.header(), (part for item in sorted(codec.arrays().items()) for part in item))


def pack(model: Model, codec: Codec, header: Mapping[str, Any]) -> bytes:
    """The checkpoint of a model as bytes; `header` holds at least the entry `model`, its configuration."""
    space = model.space
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"space.{name}": getattr(space, name) for name in SPACE}
    arrays = codec.arrays()
    tensors |= {f"codec.{name}": torch.from_numpy(np.array(a, order="C")) for name, a in arrays.items()}
    tensors = on_cpu(tensors)
    step = space.time_step
    grid = {"variables": list(space.variables), "wraps": space.wraps, **step.attrs()}
    digests = {"format": FORMAT, "weights": tensor_digest(tensors)}
    return pack_bytes(tensors, {**header, **grid, **codec.header(), **digests})


def unpack(data: bytes, where: str = "the checkpoint", model: Mapping[str, Any] | None = None) -> Checkpoint:
    """The checkpoint that `pack` wrote; `model` is another configuration for its weights, such as another sampler."""
    tensors, header = unpack_bytes(data, where)
    header = require_this_version(header, where)
    arrays = {k.removeprefix("codec."): v.numpy() for k, v in tensors.items() if k.startswith("codec.")}
    try:
        if name := misfit(tensors, header):
            raise InputError(f"{where} {DAMAGED} ({name}): train the experiment again.")
        require_finite(tensors, where)
        fixed = {name: tensors[f"space.{name}"] for name in SPACE}
        step = TimeStep.stored_in(header)
        grid = {"variables": tuple(header["variables"]), "wraps": header["wraps"]}
        year = days_per_year(header.get("calendar", ""))
        space = Space(
            **grid, step=step.hours, months=step.months, same_day=step.same_day, days_per_year=year, **fixed
        )
        codec = stored_codec(arrays, header)
    except (KeyError, TypeError) as error:
        raise InputError(f"{where} is incomplete ({error}): train the experiment again.") from None
    built = build(model or header["model"], space)
    try:
        built.load_state_dict(
            {k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")}
        )
    except RuntimeError:
        raise InputError(
            f"{where} holds the weights of {header['model']['type']}, which do not fit the "
            "requested model: draw with the options of its training, or train the experiment again."
        ) from None
    return Checkpoint(built.eval(), codec, {**header, "model": dict(model)} if model else header)


def require_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise an InputError for weights, statistics or a climatology with NaN or Inf where cells exist.

    Only days may be NaN, for states without a date.
    """
    exists = tensors["space.exists"]
    for name, tensor in tensors.items():
        gridded = tensor.shape[-2:] == exists.shape
        pieces = tensor.flatten(0, -3).split(FIELDS_AT_ONCE) if gridded and tensor.ndim > 2 else (tensor,)
        checked = (piece[..., exists] if gridded else piece for piece in pieces)
        if not name.endswith(".days") and not all(torch.isfinite(piece).all() for piece in checked):
            raise InputError(
                f"{where} holds numbers that are not finite ({name}), so its draws would not be finite either: "
                "train the experiment again, with a lower fit.learning_rate if it diverged."
            )


def stored_codec(arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> Codec:
    """The codec of a checkpoint."""
    kind = header.get("codec", FieldCodec.kind)
    if kind == "image":
        return ImageCodec(header["treatment"], header["levels"])
    cls = FieldCodec if kind == FieldCodec.kind else AnyDayCodec
    quantities = {name: quantity_of(state) for name, state in header.get("quantities", {}).items()}
    return cls(variables=tuple(header["variables"]), attrs=header["attrs"], quantities=quantities, **arrays)


# Checks of types and shapes of the parts of a checkpoint, which its digest does not guarantee.


def is_header(header: Mapping[str, Any]) -> bool:
    """Whether the entries that every checkpoint has are of the right types."""
    model, variables, step = (header.get(name) for name in ("model", "variables", "step_hours"))
    return (
        isinstance(model, Mapping)
        and isinstance(model.get("type"), str)
        and isinstance(variables, list)
        and all(isinstance(name, str) for name in variables)
        and isinstance(step, int | float)
        and isinstance(header.get("step_months", 0), int)
        and isinstance(header.get("step_same_day", 0), int)
        and isinstance(header.get("wraps"), int)
        and isinstance(header.get("weights"), str)
    )


def misfit(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str | None:
    """Name of the first part that does not fit grid and variables; None if all fit."""
    exists = tensors["space.exists"]
    if exists.dtype != torch.bool or exists.ndim != 2:
        return "space.exists"
    v, grid = len(header["variables"]), tuple(exists.shape)
    shapes = {
        "space.area": grid,
        "space.points": (*grid, 3),
        "space.static": (-1, *grid),
        "space.tendency": (v,),
        "codec.climatology": (365, v, *grid),
        "codec.deviation": (v,),
        "codec.mean": (v,),
    }
    if "codec.climatology" in tensors:
        shapes |= {"codec.latitude": grid[:1], "codec.longitude": grid[1:]}
    for name, expected in shapes.items():
        shape = tuple(tensors[name].shape) if name in tensors else expected
        if len(shape) != len(expected) or any(e not in (-1, s) for s, e in zip(shape, expected, strict=True)):
            return name
    if header.get("codec", "field") != "image":
        attrs = header["attrs"]
        if not isinstance(attrs, Mapping) or not all(isinstance(entry, Mapping) for entry in attrs.values()):
            return "attrs"
    return _misfit_of_days(tensors)


def _misfit_of_days(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the tensor about training days that does not fit the others; None if all fit."""
    days, number = tensors.get("model.days"), tensors.get("model.number")
    if days is not None and days.ndim != 1:
        return "model.days"
    if days is None or number is None:
        return None
    anomalies = tensors.get("model.anomalies", number)
    fits = number.ndim == 1 and number.dtype == torch.long and anomalies.shape[:1] == number.shape
    valid = fits and (not len(number) or bool((number >= 0).all() and (number < len(days)).all()))
    return None if valid else "model.number"


# Costs of a model: time and peak memory on its device.


PROCESS = Path("/proc/self")  # source of the peak memory of a process on Linux, where it can be reset


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queue, so that the clock measures all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of peak memory, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            (PROCESS / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def peak_mb(device: torch.device) -> float | None:
    """Peak memory [MB] of the GPU, or of this process, since the last reset; None if the system does not report it."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    try:
        line = next(x for x in (PROCESS / "status").read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
