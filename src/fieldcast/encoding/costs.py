"""What a model costs: time and peak memory of the device it runs on."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch

PROCESS = Path("/proc/self")  # Linux tells a process's peak there, and forgets it on demand


def wait(device: torch.device) -> None:
    """Until the device has done what it was given: a clock that is read before tells too little."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement, where the system allows it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            (PROCESS / "clear_refs").write_text("5")  # proc(5): resets the peak resident set size


def peak_mb(device: torch.device) -> float | None:
    """Peak memory in MB since the last reset: of the GPU, or of this process; None where it cannot be told."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    try:
        line = next(x for x in (PROCESS / "status").read_text().splitlines() if x.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return round(int(line.split()[1]) * 1024 / 1e6, 1)
