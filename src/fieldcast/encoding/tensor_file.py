"""Tensors and a header in one safetensors file, with a digest of both that reveals damage; work resumed from them.

The header is JSON text. Nothing is pickled.

A piece of data is saved before the state after it, so the data on disk hold as many pieces as the state, or one more if
the interruption fell between the two saves. A state that is damaged, of another lineage, or of other data on disk is
left aside: the work restarts, and overwrites it.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from safetensors.torch import save_file as save_to_file
from torch import Tensor

from fieldcast import lineage
from fieldcast.errors import InputError
from fieldcast.lineage import Lineage, differences

LOG = logging.getLogger(__name__)
DAMAGED = "is damaged or was not written by Fieldcast"
MAX_BYTES_IN_MEMORY = 64 * 2**20  # size of a file above which it is written to disk first
TRAIN_AGAIN = "train the experiment again"
UNREADABLE = (ValueError, KeyError, TypeError, RecursionError)  # errors that a damaged header raises


def pack_bytes(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
    """A safetensors file with a JSON header and a digest of both."""
    stored_tensors = on_cpu(tensors)
    text = json.dumps(header)
    # a single entry, because the format has no fixed order of entries, and equal content must give equal bytes
    return safetensors_bytes(
        stored_tensors, {"fieldcast": json.dumps([tensor_digest(stored_tensors, text), text])}
    )


def safetensors_bytes(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The bytes of a safetensors file; a large file goes through the disk, because the library copies it in memory."""
    if sum(tensor.nbytes for tensor in tensors.values()) < MAX_BYTES_IN_MEMORY:
        return save_tensors(tensors, metadata)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors"
        save_to_file(tensors, path, metadata)
        return path.read_bytes()


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, sorted by name."""
    return {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}


def unpack_bytes(
    data: bytes, where: str, remedy: str = TRAIN_AGAIN
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header."""
    try:
        return unpack_intact(data)
    except ValueError as error:
        raise InputError(f"{where} {error}: {remedy}.") from None


def unpack_state(data: bytes | None, where: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of an earlier state; both empty if there is none.

    A damaged state is ignored with a warning: the work restarts and overwrites it.
    """
    if data is None:
        return {}, {}
    try:
        return unpack_intact(data)
    except ValueError as error:
        LOG.warning("%s %s: it is ignored, and the work restarts.", where, error)
        return {}, {}


def unpack_intact(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of an intact file."""
    try:
        tensors = load_tensors(data)
        expected, text, header = header_of(data)
    except (SafetensorError, *UNREADABLE):
        raise ValueError(DAMAGED) from None
    if tensor_digest(tensors, text) != expected:
        raise ValueError("was changed after it was written (its digest differs)")
    return tensors, header


def header_of(data: bytes) -> tuple[str, str, dict[str, Any]]:
    """Digest, text and content of the header, which follows eight bytes with its length."""
    size = int.from_bytes(data[:8], "little")
    expected, text = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fieldcast"])
    header = json.loads(text)
    if not isinstance(header, dict):
        raise TypeError(f"the header is a {type(header).__name__}")
    return expected, text, header


def tensor_digest(tensors: Mapping[str, Tensor], *parts: Any) -> str:
    """Digest of names, types, shapes and values of tensors, and of further parts."""
    return lineage.digest(*parts, (part for item in sorted(tensors.items()) for part in tensor_parts(*item)))


def tensor_parts(name: str, tensor: Tensor) -> Iterator[Any]:
    """Yield name, type and shape of a tensor, and its values as bytes, because numpy lacks some types of torch."""
    yield [name, str(tensor.dtype), *tensor.shape]
    yield tensor.contiguous().view(torch.uint8).numpy() if tensor.ndim else tensor.numpy()


class Resumed(NamedTuple):
    """The remains of a previous run: tensors, numbers, and the number of completed pieces; empty if there are none."""

    tensors: dict[str, Tensor]
    header: dict[str, Any]
    completed: int


def pack_state(tensors: Mapping[str, Tensor], lineage: Lineage, completed: int, **numbers: Any) -> bytes:
    """The state after some completed pieces as bytes, with numbers that JSON can hold."""
    return pack_bytes(tensors, {**numbers, "completed": completed, "lineage": dict(lineage)})


def resume(
    state: bytes | None, lineage: Lineage, work: str, stored: int | None = None, *, warn: bool = False
) -> Resumed:
    """The remains from which a run of this lineage resumes.

    `work` names the work in messages ("rollout"); `stored` is the number of pieces on disk, for work that stores them;
    with `warn` the log says why a state of another lineage is left aside: the first of its entries that differs.
    """
    tensors, header = unpack_state(state, f"The state of the {work}")
    completed = header.get("completed", 0)
    changes = next(differences(header.get("lineage", {}), lineage), None) if header else None
    if changes and warn:
        LOG.warning("The last %s had %s %s, this run has %s: the %s restarts.", work, *changes, work)
    if not header or changes or (stored is not None and not completed <= stored <= completed + 1):
        return Resumed({}, {}, 0)
    return Resumed(tensors, header, completed)
