"""Costs of a model: time and peak memory on its device."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

PROCESS = Path("/proc/self")  # source of the peak memory of a process on Linux, where it can be reset


def wait(device: torch.device) -> None:
    """Wait until the device has finished its queue, so that the clock measures all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of peak memory, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            (PROCESS / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def peak_mb(device: torch.device) -> float | None:
    """Peak memory [MB] of the GPU, or of this process, since the last reset; None if the system does not report it."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    try:
        line = next(x for x in (PROCESS / "status").read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
