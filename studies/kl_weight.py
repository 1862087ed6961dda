"""The VAE of reconstructions by the weight of its KL, with sigma fixed or learned: `python -m studies.kl_weight`.

Each line of the table is `reconstruct.denoising_vae` with the planet and the training of the demo and other options of
its model, trained and scored by `kedro run --env demo`. Scores are those of the leaderboard at 10 % observed; KL is the
last in training, in nats a cell. A draw is the decoder's mean, in the last line with the noise of the likelihood.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
from safetensors import safe_open

ENV = "demo"
FIXED: dict[str, object] = {}
LEARNED: dict[str, object] = {"likelihood.type": "likelihoods.Gaussian", "likelihood.learned": True}
VARIANTS = [
    *({"kl_weight": weight, **sigma} for sigma in (FIXED, LEARNED) for weight in (0.0, 0.1, 1.0, 10.0)),
    {"kl_weight": 1.0, **LEARNED, "likelihood_noise": True},
]


def scored(options: dict[str, object], folder: Path) -> list[str]:
    """Train and score a VAE with these options of its model; return its cells of the table."""
    model = {f"reconstruct.denoising_vae.model.{key}": value for key, value in options.items()}
    given = {"data_root": folder, "ingestion.quantities": "none", **model}
    params = ",".join(f"{key}={value}" for key, value in given.items())
    command = [sys.executable, "-m", "kedro", "run", "--env", ENV]
    for pipeline in ("reconstruct.denoising_vae", "reporting"):
        run = [*command, "--pipelines", pipeline, "--params", params]
        subprocess.run(run, check=True, stdout=subprocess.DEVNULL)
    training = folder / "06_models" / "reconstruct" / "denoising_vae"
    with safe_open(training / "checkpoint.safetensors", "pt") as checkpoint:
        sigma = math.exp(checkpoint.get_tensor("model.likelihood.log_sigma"))
    kl = pd.read_csv(training / "history.csv")["kl"].iloc[-1]
    board = pd.read_csv(folder / "08_reporting" / "leaderboard_reconstruct.csv")
    board = board.query("pattern == 'random' and k == 0.1 and variable == 'all' and cells == 'unobserved'")
    scores = board[board["experiment"] == "denoising_vae"].set_index("score")["value"]
    drawn = "learned, drawn" if "likelihood_noise" in options else "learned" if sigma != 1 else "fixed"
    figures = (f"{value:.3f}" for value in (sigma, kl, scores["crps"], scores["rmse"], scores["ssr"]))
    return [f"{options['kl_weight']:g}", drawn, *figures]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, default=Path("data_kl"))
    folder = parser.parse_args().data_root
    print(" weight           sigma             KL      CRPS      RMSE       SSR", flush=True)
    for options in VARIANTS:
        weight, sigma, *figures = scored(options, folder)
        print(f"{weight:>7} {sigma:>15}" + "".join(f"{cell:>10}" for cell in figures)[2:], flush=True)


if __name__ == "__main__":
    main()
