"""Work that can be interrupted: the state after each of its pieces, and what a later run resumes from.

A piece of data is saved before the state after it, so the data on disk hold as many pieces as the state, or one more if
the interruption fell between the two saves. A state that is damaged, of another lineage, or of other data on disk is
left aside: the work restarts, and overwrites it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor

from fieldcast.encoding.tensor_file import pack_bytes, unpack_state
from fieldcast.lineage import Lineage, differences

LOG = logging.getLogger(__name__)


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
