"""Killed at any moment and run again, a training ends with bit for bit the weights of one that was left alone."""

import random
import signal
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
import torch

from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.runtime import CONTEXT

sys.path.insert(0, str(Path(__file__).parent))
from train_to_disk import train_to_disk

pytestmark = pytest.mark.proof


def start(folder: Path, saves: int = -1, shard_bytes: int = 0) -> ForkServerProcess:
    folder.mkdir(exist_ok=True)
    worker = CONTEXT.Process(target=train_to_disk, args=(folder, saves, shard_bytes))
    worker.start()
    return worker


def finish(folder: Path, shard_bytes: int = 0) -> dict[str, torch.Tensor]:
    worker = start(folder, shard_bytes=shard_bytes)
    worker.join(timeout=300)
    assert worker.exitcode == 0
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
        while worker.is_alive() and not (state.exists() and state.stat().st_mtime_ns > before):
            time.sleep(0.02)  # until it trains
        time.sleep(moments.uniform(0, 0.05))  # the whole training may take a third of a second
        if worker.is_alive():
            worker.kill()
            kills += 1
        worker.join()
    assert kills >= 2
    assert same(finish(tmp_path), alone)


@pytest.mark.parametrize(
    "saves", [2, 15, 43], ids=["after the first state", "after a history", "after the checkpoint"]
)
def test_killed_between_the_saves_of_one_yield(alone, tmp_path, saves):
    """Three saves a yield and fifteen yields: checkpoint (None before the last), state, history."""
    worker = start(tmp_path, saves)
    worker.join(timeout=300)
    assert worker.exitcode == -signal.SIGKILL
    assert same(finish(tmp_path), alone)


def test_killed_while_its_data_are_streamed(tmp_path):
    """The kill falls between the saves of a yield, in the fourth window."""
    shard_bytes = 16 * 4 * 2 * 7 * 12
    worker = start(tmp_path / "killed", 20, shard_bytes)
    worker.join(timeout=300)
    assert worker.exitcode == -signal.SIGKILL
    assert same(finish(tmp_path / "killed", shard_bytes), finish(tmp_path / "alone", shard_bytes))
