"""Checks of the return values of model methods, with messages that name the class and the method."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Model, Terms


def draws_of(model: Model, x: Any, count: int, members: int) -> Tensor:
    """Return the draws of `sample` for `count` contexts.

    Raises
    ------
    InputError
        If they are not a tensor (B, M, V, Y, X).
    """
    shape = count, members, *model.space.state_shape
    if not isinstance(x, Tensor) or x.shape != shape:
        returned = f"a tensor {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise InputError(
            f"{type(model).__name__}.sample returns {returned}: it must return a tensor (B, M, V, Y, X) = {shape}, "
            "with M = draws.members."
        )
    return x


def terms_of(model: Model, terms: Any) -> Terms:
    """Return the result of `loss`.

    Raises
    ------
    InputError
        If it is not `Terms` with a scalar total, or if the total does not depend on the parameters.
    """
    returned = f"a {type(terms).__name__}"
    if isinstance(terms, Terms) and isinstance(terms.total, Tensor):
        if terms.total.ndim == 0 and terms.total.requires_grad:
            return terms
        total = f"a total {tuple(terms.total.shape)}" if terms.total.ndim else "a total without a gradient"
        returned = f"Terms with {total}"
    raise InputError(
        f"{type(model).__name__}.loss returns {returned}: it must return Terms(total, parts) of fieldcast.models.core, "
        "total the mean over the batch as one number with a gradient, parts a mapping of numbers to be plotted."
    )
