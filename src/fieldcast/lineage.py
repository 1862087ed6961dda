"""What an artefact was made from, compared with what this run would make it from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
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


def leaves(nested: Mapping[str, Any], *, empty: bool = False, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by dotted name (`fit.steps`), dataclasses opened like mappings.

    empty: whether an empty mapping counts as a value.
    """
    for key, value in nested.items():
        inner = _fields(value) if is_dataclass(value) and not isinstance(value, type) else value
        if isinstance(inner, Mapping) and (inner or not empty):
            yield from leaves(inner, empty=empty, prefix=f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _fields(instance: Any) -> dict[str, Any]:
    return {field.name: getattr(instance, field.name) for field in fields(instance)}
