"""A training as a process of its own, for tests that kill it."""

import importlib.util
import os
import signal
from dataclasses import replace
from pathlib import Path

import torch
from kedro_datasets.pandas import CSVDataset

from fieldcast.datasets import BytesDataset
from fieldcast.datasets.base import earlier
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training import state_source
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

OPTIONS = Fit(steps=60, batch=4, report_every=4, save_every=0.0, validation=8, learning_rate=3e-3)


def train_to_disk(folder: Path, saves: int, shard_bytes: int = 0) -> None:
    """Train, and save in `folder` what a node yields, in the order of the catalog, by the catalog's own data sets.

    The process kills itself after this number of saves, those of None included; -1 for never. With `shard_bytes` the
    data are streamed in shards of this size.
    """
    if shard_bytes:
        state_source.SHARD_BYTES = shard_bytes
    torch.set_num_threads(1)
    spec = importlib.util.spec_from_file_location("worlds", Path(__file__).parents[1] / "worlds.py")
    worlds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worlds)
    world = worlds.World(worlds.make_world(days=800))
    recipe = Recipe(
        Reconstruction(Sparsification(noise=0.1)),
        {"type": "vae.ConditionalVAE", "latent": 4},
        replace(OPTIONS, data="stream" if shard_bytes else "memory"),
        0,
        Limits(),
        "cpu",
    )
    checkpoint, state = (
        BytesDataset(filepath=f"atomic://{folder}/{name}.safetensors")
        for name in ("checkpoint", "training_state")
    )
    history = CSVDataset(filepath=f"atomic://{folder}/history.csv")
    for saved in train(recipe, world.data, earlier(state), stored=earlier(checkpoint)):
        parts = (checkpoint, saved.checkpoint), (state, saved.state), (history, saved.history)
        for dataset, part in parts:
            if part is not None:
                dataset.save(part)
            saves -= 1
            if saves == 0:
                os.kill(os.getpid(), signal.SIGKILL)
