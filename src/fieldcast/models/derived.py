"""Cache of quantities derived from a fitted state, recomputed when that state changes."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from torch import Tensor

Value = TypeVar("Value")


class Derived:
    """A model that caches quantities derived from one of its tensors; copies of the model start without them."""

    def derived(self, key: Hashable, derive: Callable[[], Value], source: Tensor) -> Value:
        """Return `derive()`, cached under `key` until `source` is replaced, moved or modified.

        All cached quantities of a model must have the same source.
        """
        tensor, version, values = self.__dict__.get("_derived", (None, 0, {}))
        if tensor is not source or version != source._version:
            values = {}
            self.__dict__["_derived"] = source, source._version, values
        if key not in values:
            values[key] = derive()
        value: Value = values[key]
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_derived"}
