"""A checkpoint: one file of tensors from which a trained model can be rebuilt and used alone.

Tensors: the model's state, the Space, climatology and normalisation. Header: the model's type and keywords, its
lineage, costs and versions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fieldcast import lineage
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint_parts import is_header, misfit
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
from fieldcast.models.configuration import build
from fieldcast.models.core import Model
from fieldcast.models.space import Space
from fieldcast.time_steps import TimeStep

FORMAT = 5
Codec = FieldCodec | AnyDayCodec | ImageCodec
PIECE = 64  # fields that are checked at once: the check copies them
NEEDED = ("model", "variables", "wraps", "step_hours", "weights")  # entries of the header of a checkpoint
SPACE = ("area", "exists", "points", "static", "tendency")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model, the codec that brings data to it, and the header: its lineage, costs and versions."""

    model: Model
    codec: Codec
    header: Mapping[str, Any]

    @property
    def field_codec(self) -> FieldCodec:
        """The codec of a model of fields at a day of the year.

        Raises
        ------
        InputError
            If the checkpoint is of the task `sample`.
        """
        if not isinstance(self.codec, FieldCodec):
            raise InputError(
                "this checkpoint is of the task 'sample', whose states have no day: name an experiment of another task."
            )
        return self.codec

    @property
    def state_codec(self) -> AnyDayCodec | ImageCodec:
        """The codec of a model of states.

        Raises
        ------
        InputError
            If the checkpoint is of another task than `sample`.
        """
        if isinstance(self.codec, FieldCodec):
            raise InputError("this checkpoint is not of the task 'sample': name an experiment of sample.")
        return self.codec


def read_header(data: bytes, where: str) -> dict[str, Any]:
    """The header alone, without reading or checking the tensors.

    Raises
    ------
    InputError
        If the file is no checkpoint, or one of another version.
    """
    try:
        header = header_of(data)[2]
    except UNREADABLE:
        raise InputError(f"{where} {DAMAGED}: train the experiment again.") from None
    return of_this_version(header, where)


def of_this_version(header: dict[str, Any], where: str) -> dict[str, Any]:
    """The header, unless another version of Fieldcast wrote it.

    Raises
    ------
    InputError
        For the header of another version, or a damaged one.
    """
    complete = set(NEEDED) <= set(header)
    if complete and header.get("format") == FORMAT and not is_header(header):
        raise InputError(f"{where} {DAMAGED}: train the experiment again.")
    if header.get("format") != FORMAT or not complete:
        raise InputError(
            f"{where} is not a checkpoint of this version of Fieldcast: train the experiment again."
        )
    return header


def model_digest(header: Mapping[str, Any], model: Mapping[str, Any]) -> str:
    """Digest of what draws are drawn from: the tensors of a checkpoint, and the model that holds them.

    The lineage of a checkpoint is not enough: one lineage leads to several weights where a clock ends the training.
    Its code counts too: equal weights draw differently after a change of `sample`.
    """
    return lineage.digest(
        header["weights"], model, *([header[lineage.CODE]] if lineage.CODE in header else [])
    )


def codec_digest(codec: Codec) -> str:
    """Digest of a codec: its climatology, its normalisation and what is known of its variables."""
    return lineage.digest(codec.header(), (part for item in sorted(codec.arrays().items()) for part in item))


def pack(model: Model, codec: Codec, header: Mapping[str, Any]) -> bytes:
    """The checkpoint of a model; `header` holds at least `model`, its configuration."""
    space = model.space
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"space.{name}": getattr(space, name) for name in SPACE}
    arrays = codec.arrays()
    tensors |= {f"codec.{name}": torch.from_numpy(np.ascontiguousarray(a)) for name, a in arrays.items()}
    tensors = on_cpu(tensors)
    step = space.time_step
    grid = {"variables": list(space.variables), "wraps": space.wraps, **step.attrs()}
    digests = {"format": FORMAT, "weights": tensor_digest(tensors)}
    return pack_bytes(tensors, {**header, **grid, **codec.header(), **digests})


def unpack(data: bytes, where: str = "the checkpoint", model: Mapping[str, Any] | None = None) -> Checkpoint:
    """The checkpoint that `pack` wrote; `model`: another configuration for the same weights, such as another sampler.

    Raises
    ------
    InputError
        For a damaged or incomplete file, a file of another version, numbers that are not finite, or weights that do
        not fit `model`.
    """
    tensors, header = unpack_bytes(data, where)
    of_this_version(header, where)
    arrays = {k.removeprefix("codec."): v.numpy() for k, v in tensors.items() if k.startswith("codec.")}
    try:
        if name := misfit(tensors, header):
            raise InputError(f"{where} {DAMAGED} ({name}): train the experiment again.")
        refuse_not_finite(tensors, where)
        fixed = {name: tensors[f"space.{name}"] for name in SPACE}
        step = TimeStep.stored_in(header)
        place = {"variables": tuple(header["variables"]), "wraps": header["wraps"]}
        space = Space(**place, step=step.hours, months=step.months, **fixed)
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


def refuse_not_finite(tensors: Mapping[str, Tensor], where: str) -> None:
    """Raise an InputError for weights, statistics or a climatology with NaN or Inf where cells exist.

    Only days may be NaN: those of states without a date.
    """
    exists = tensors["space.exists"]
    for name, tensor in tensors.items():
        gridded = tensor.shape[-2:] == exists.shape
        pieces = tensor.flatten(0, -3).split(PIECE) if gridded and tensor.ndim > 2 else (tensor,)
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
    return cls(variables=tuple(header["variables"]), attrs=header["attrs"], **arrays)
