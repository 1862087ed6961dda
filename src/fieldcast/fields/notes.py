"""Carry notes on a variable's values, as attributes, from the reading of its file to the check of its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fieldcast.fields.fills import PACKED_FILLS
from fieldcast.fields.valid import VALID
from fieldcast.fields.versions import VERSIONS

WIDE_ATTR = "fieldcast_wide"  # attribute: 1 if the file's numbers have more digits than single precision
_NOTES = (PACKED_FILLS, VALID, VERSIONS, WIDE_ATTR)


def notes_of(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Select the notes among a variable's attributes."""
    return {key: attrs[key] for key in _NOTES if key in attrs}


def with_notes_of_all(attrs: Sequence[dict[Any, Any]], context: Any = None) -> dict[Any, Any]:
    """Combine the first file's attributes with the notes of all files; for xarray's `combine_attrs`."""
    notes = {key: note for of_file in reversed(attrs) for key, note in notes_of(of_file).items()}
    fills = {value: number for of_file in attrs for value, number in of_file.get(PACKED_FILLS, {}).items()}
    return {**attrs[0], **notes, **({PACKED_FILLS: fills} if fills else {})}
