"""Two ranks of one thread against one process of two threads and of one, on the same two cores.

    OMP_NUM_THREADS=2 python -m benchmarks.ranks [--steps 80] [--rounds 2]

Trains the U-Net of `crps_ensemble` and a denoising VAE on red noise of 64 x 32 cells, and prints steps a second, the
validation at the end, and the largest resident memory: of the process, or of the larger rank, which includes the states
that ranks share.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.streaming import prepared, record, stored
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.fields.ingest import ingest
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

RECONSTRUCT = Reconstruction(Sparsification())
VAE = {"type": "vae.ConditionalVAE", "latent": 64}
NETWORK = {"type": "stepped.Stepped", "model": {"type": "ensemble.Ensemble", "history": 2}}
CASES: tuple[tuple[str, Literal["memory", "stream"], Any, dict[str, Any]], ...] = (
    ("U-Net", "memory", Forecasting(), NETWORK),
    ("VAE", "memory", RECONSTRUCT, VAE),
    ("VAE", "stream", RECONSTRUCT, VAE),
)
RANKS_AND_THREADS = (1, 2), (1, 1), (2, 1)  # threads of each
GIGABYTES = 0.6  # two windows of a streamed training


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = prepared(stored(ingest(record(GIGABYTES, 32, 64))[0], Path(folder) / "fields.zarr"))
        fit = Fit(steps=arguments.steps, report_every=arguments.steps, validation=8, save_every=1e9)
        for name, source, problem, model in CASES:
            for ranks, threads in RANKS_AND_THREADS * arguments.rounds:
                torch.set_num_threads(ranks * threads)
                options = replace(fit, data=source, ranks=ranks)
                *_, last = train(Recipe(problem, model, options, 0, Limits(), "cpu"), data, None)
                row, header = last.history.iloc[-1], unpack_bytes(last.state or b"", "")[1]
                print(
                    f"{name:6} {source:7} ranks: {ranks}, threads of each: {threads}  "
                    f"{arguments.steps / row['seconds']:6.2f} steps/s  validation {row['validation']:.5f}  "
                    f"{header['peak_mb']:5.0f} MB", flush=True,
                )  # fmt: skip


if __name__ == "__main__":
    main()
