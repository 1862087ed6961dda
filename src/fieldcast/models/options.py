"""Ranges of the options of models, which `configuration` checks by the annotations of constructors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field

from fieldcast.errors import InputError

Count: TypeAlias = Annotated[int, Field(ge=1)]
Number: TypeAlias = Annotated[int, Field(ge=0)]
Counts: TypeAlias = Annotated[Sequence[Count], Field(min_length=1)]
Positive: TypeAlias = Annotated[float | int, Field(gt=0)]
NonNegative: TypeAlias = Annotated[float | int, Field(ge=0)]
Share: TypeAlias = Annotated[float | int, Field(ge=0, le=1)]
Interval: TypeAlias = Annotated[Sequence[float | int], Field(min_length=2, max_length=2)]


def require_interval(interval: Interval, name: str) -> None:
    """Raise an InputError for an interval that does not ascend."""
    low, high = interval
    if low >= high:
        raise InputError(f"model.{name} = {[low, high]} should ascend, as in [0, 1].")


# Names of the patterns of masks, which `masks` defines, and the smallest k: options need them without torch.


Pattern = Literal["random", "regular", "stations", "swaths", "blocks"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)
MIN_K = 0.005  # smallest share k of observed cells


# Names of the treatments of images, which `image_transforms` defines: options name them without importing torch.


Treatment = Literal["threshold", "bernoulli", "grey", "dequantised", "symmetric"]
BINARY: tuple[Treatment, ...] = ("threshold", "bernoulli")  # those that give zeros and ones
