"""Loss curves in several number formats and on a GPU beside the processor's: `python -m benchmarks.loss_curves`.

Each family of `benchmarks.gpu` is trained with the same weights, batches and random numbers: on the processor in
float32, and on the device in float32, in bfloat16 (autocast) and compiled in float32. A column is the mean training
loss of the steps since the column before it. Rounding alone makes curves differ, more so the longer a training lasts.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import torch

from benchmarks.gpu import FAMILIES, training
from fieldcast.training.steps import train_steps

STEPS, COLUMNS = 100, 5


def curve(address: str, number_format: str, compiled: bool, device: str, steps: int = STEPS) -> list[float]:
    """Mean training loss of each fifth of a training."""
    options = {"steps": steps, "report_every": steps // COLUMNS, "validation": 16}
    run, data = training(address, number_format, compiled, device, **options)
    for _ in train_steps(run, data, data):
        pass
    return [row["loss"] for row in run.history]


def variants(device: str) -> Sequence[tuple[str, bool, str]]:
    """Number format, whether compiled, and device of each training of a family."""
    reference = ("float32", False, "cpu")
    others = (("float32", False, device), ("bfloat16", False, device), ("float32", True, device))
    return (reference, *(each for each in others if each != reference))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", default="", help="families whose name contains this")
    parser.add_argument("--steps", type=int, default=STEPS)
    given = parser.parse_args()
    if given.steps < COLUMNS or given.steps % COLUMNS:
        parser.error(f"--steps: give a multiple of {COLUMNS}")
    print(
        torch.cuda.get_device_name() if given.device == "cuda" else "processor", f"torch {torch.__version__}"
    )
    heads = "".join(f"{given.steps * (i + 1) // COLUMNS:>11}" for i in range(COLUMNS))
    print(f"{'training':36} {'format':20} {'device':6}{heads}    seconds")
    for address in (name for name in FAMILIES if given.only in name):
        for number_format, compiled, device in variants(given.device):
            begin = time.perf_counter()
            losses = curve(address, number_format, compiled, device, given.steps)
            name = f"{number_format}{', compiled' if compiled else ''}"
            row = "".join(f"{loss:11.5g}" for loss in losses)
            print(f"{address:36} {name:20} {device:6}{row} {time.perf_counter() - begin:10.1f}", flush=True)


if __name__ == "__main__":
    main()
