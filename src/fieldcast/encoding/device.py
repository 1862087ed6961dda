"""The device that a run computes on."""

from __future__ import annotations

import torch

from fieldcast.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device of this name; "auto" is the GPU where there is one.

    Raises
    ------
    InputError
        For a device that torch does not know or that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        raise InputError(f"device '{name}' is not available here: set device to auto, cpu or cuda.") from None
