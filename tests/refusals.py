"""Shared parts of the tests of refusals: a sound file, ways to harm files, and the form of a refusal."""

import builtins
import hashlib
import io
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

ROOT = Path(__file__).parents[1]
TIMES = 60
Spoil = Callable[[xr.Dataset], xr.Dataset]


def weather(times: int = TIMES, longitudes: int = 6) -> xr.Dataset:
    """Two variables of slow noise about a mean: a file as it should be."""
    rng = np.random.default_rng([2, times])
    red = rng.standard_normal((times, 5, longitudes)).astype(np.float32)
    for i in range(1, times):
        red[i] += 0.8 * red[i - 1]
    dims = ("time", "latitude", "longitude")
    return xr.Dataset(
        {"t2m": (dims, 288 + 3 * red, {"units": "K"}), "msl": (dims, 1e5 + 800 * red[::-1], {"units": "Pa"})},
        {
            "time": xr.date_range("2001-01-01", periods=times),
            "latitude": ("latitude", np.linspace(-60, 60, 5), {"units": "degrees_north"}),
            "longitude": ("longitude", np.arange(longitudes) * 360.0 / longitudes, {"units": "degrees_east"}),
        },
    )


FILES: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "missing": (lambda file: file.unlink(), ("does not exist", "check its name (ingestion.path)")),
    "truncated": (
        lambda file: file.write_bytes(file.read_bytes()[:-2000]),
        ("damaged or truncated", "again"),
    ),
    "not NetCDF": (lambda file: file.write_text("time,t2m\n2001-01-01,288\n"), ("is not NetCDF", "give")),
    "empty": (lambda file: file.write_bytes(b""), ("is empty (0 bytes)", "again")),
}


def change_a_weight(data: bytes) -> bytes:
    return data[:-7] + bytes([data[-7] ^ 1]) + data[-6:]


CHECKPOINTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda data: data[: len(data) // 2], "is damaged or was not written by Fieldcast"),
    "empty": (lambda data: b"", "is damaged or was not written by Fieldcast"),
    "tampered": (change_a_weight, "was changed after it was written"),
    "another file": (lambda data: b"not a checkpoint at all", "is damaged or was not written by Fieldcast"),
}


def state(folder: Path) -> dict[str, str]:
    """Digest of every file under a folder."""
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def only_a_sentence(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 1, and nothing but progress and one sentence with these words."""
    assert done.returncode == 1, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line[:2].isdigit()]  # not the clock's
    assert len(lines) == 1 and lines[0].startswith("fieldcast: "), done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert done.stdout == ""


def ingest(file: Path) -> dict[str, Any]:
    return {"ingestion": {"source": "file", "path": str(file)}}


def refuse_to_write(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> None:
    """The operating system refuses every file that is begun to be written in a folder."""
    opened = io.open

    def refuse(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wax+") and str(file).startswith(str(folder)):
            raise OSError(number, os.strerror(number), str(file))
        return opened(file, mode, *args, **kwargs)

    monkeypatch.setattr(io, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
