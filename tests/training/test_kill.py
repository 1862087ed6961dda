"""Killed at any moment and run again, a training ends with bit for bit the weights of one that was left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from fieldcast.encoding.tensor_file import unpack_bytes

WORKER = Path(__file__).parent / "train_to_disk.py"


def start(folder: Path, *message: str) -> subprocess.Popen:
    folder.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, WORKER, folder, *message], env=env, stderr=subprocess.PIPE, text=True
    )


def finish(folder: Path) -> dict[str, torch.Tensor]:
    worker = start(folder)
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 0, errors
    tensors, _ = unpack_bytes((folder / "checkpoint.safetensors").read_bytes(), "")
    return {name: value for name, value in tensors.items() if name.startswith("model.")}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[str, torch.Tensor]:
    return finish(tmp_path_factory.mktemp("alone"))


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_killed_again_and_again_at_random_moments(alone, tmp_path):
    moments, kills, state = random.Random(0), 0, tmp_path / "training_state.safetensors"
    for _ in range(3):
        before = state.stat().st_mtime_ns if state.exists() else 0
        worker = start(tmp_path)
        while worker.poll() is None and not (state.exists() and state.stat().st_mtime_ns > before):
            time.sleep(0.02)  # until it trains
        time.sleep(moments.uniform(0, 0.3))
        if worker.poll() is None:
            worker.send_signal(signal.SIGKILL)
            kills += 1
        worker.communicate()
    assert kills >= 2
    assert same(finish(tmp_path), alone)


@pytest.mark.parametrize(
    "saves", [1, 14, 43], ids=["after the first state", "after a checkpoint", "at the last yield"]
)
def test_killed_between_the_saves_of_one_yield(alone, tmp_path, saves):
    """Three saves a yield and fifteen yields: state, checkpoint, history."""
    worker = start(tmp_path, str(saves))
    worker.communicate(timeout=300)
    assert worker.returncode == -signal.SIGKILL
    assert same(finish(tmp_path), alone)
