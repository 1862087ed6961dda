"""The device of a run."""

from __future__ import annotations

import torch

from fieldcast import arguments
from fieldcast.errors import InputError


def choose_device(name: str) -> torch.device:
    """The device of this name; "auto" is the GPU if there is one, else the CPU."""
    arguments.text(name, "device", "auto")
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        available = "auto, cpu or cuda" if torch.cuda.is_available() else "auto or cpu"
        raise InputError(f"device '{name}' is not available here: set device to {available}.") from None


def choose_devices(name: str) -> list[torch.device]:
    """The devices that draw in parallel: all GPUs, if there are any, for "auto" and "cuda"; else the named device."""
    device = choose_device(name)
    if device.type == "cuda" and name in ("auto", "cuda"):
        return [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [device]
