"""What an artefact was made from, compared with what this run would make it from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

UNSET = "unset"


def differences(
    trained: Mapping[str, Any], present: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Dotted names under which two nested mappings differ, and both values."""
    before, now = dict(leaves(trained)), dict(leaves(present))
    for key in {**now, **before}:
        if before.get(key, UNSET) != now.get(key, UNSET):
            yield key, before.get(key, UNSET), now.get(key, UNSET)


def leaves(nested: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by dotted name."""
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
