"""Checks of types and shapes of the parts of a checkpoint, which its digest does not guarantee."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


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
    """Name of the first part that does not fit grid and variables; None if all fit.

    Raises
    ------
    KeyError
        If a part of the grid is missing.
    """
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
