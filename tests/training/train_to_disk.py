"""A training as a process of its own, for tests that kill it: `train_to_disk.py FOLDER [saves until it kills itself]`.

What a node yields is saved in the order of the catalog, by the catalog's own data sets.
"""

import importlib.util
import os
import signal
import sys
from pathlib import Path

from fieldcast.datasets import BytesDataset, TableDataset
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

OPTIONS = Fit(steps=60, batch=4, report_every=4, save_every=0.0, validation=8, learning_rate=3e-3)


def main(folder: Path, saves: int) -> None:
    spec = importlib.util.spec_from_file_location("worlds", Path(__file__).parents[1] / "worlds.py")
    worlds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worlds)
    world = worlds.World(worlds.make_world(days=800))
    recipe = Recipe(
        Reconstruction(Sparsification(noise=0.1)),
        {"type": "vae.ConditionalVAE", "latent": 4},
        OPTIONS,
        0,
        Limits(),
        "cpu",
    )
    state = folder / "training_state.safetensors"
    stored = (
        BytesDataset(filepath=str(state)),
        BytesDataset(filepath=str(folder / "checkpoint.safetensors")),
        TableDataset(filepath=str(folder / "history.csv")),
    )
    earlier = BytesDataset(filepath=str(state), missing="none").load()
    for saved in train(recipe, world.data, earlier):
        for dataset, part in zip(stored, saved, strict=True):
            dataset.save(part)
            saves -= 1
            if saves == 0:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else -1)
