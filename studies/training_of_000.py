"""The training of report 000, ten epochs of batches of 16, and the configured one: `python -m studies.training_of_000`.

Trains `reconstruct.denoising_vae` on the planet both ways, with the same data and masks and several training seeds,
each in a folder under data_tables/training_of_000 that shares the data, and scores the unobserved cells of the cases
with random masks. Runs whose scores exist are kept. The record is docs/results/denoising_epochs.csv: scores of both and
paired differences, for each seed and over all; `--print-only` prints it. Takes half an hour.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from fieldcast.atomic import write_atomically
from fieldcast.encoding.checkpoint import read_header
from studies.full_vae import nested
from studies.make_tables import ROOT
from studies.paired import Difference, difference, statistics_at

RECORD = ROOT / "docs" / "results" / "denoising_epochs.csv"
STORE = ROOT / "data_tables" / "training_of_000"
SHARED = ("03_primary", "04_feature")
ADDRESS = "reconstruct.denoising_vae"
# both warm-ups are from 10 % to 13 % of the steps
TRAININGS: dict[str, dict[str, object]] = {
    "configured": {"fit.steps": 2000, "fit.epochs": None, "fit.batch": 64, "model.kl_warm_up": [200, 260]},
    "report": {"fit.epochs": 10, "fit.batch": 16, "model.kl_warm_up": [0.1, 0.13]},
}
SCORES = ("crps", "rmse")


def main() -> int:
    """Run what is missing, record it, and print the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=TRAININGS, nargs="*", default=list(TRAININGS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2], help="training seeds")
    parser.add_argument("--print-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.print_only:
        for seed in arguments.seeds:
            for training in arguments.only:
                if not scores_file(training, seed).exists() and not run(training, seed):
                    sys.stderr.write(f"failed: see run.log in {root_of(training, seed)}.\n")
                    return 1
        if lines := list(differences()):
            write_atomically(RECORD, pd.DataFrame(lines).to_csv(index=False, float_format="%.5g"))
    if not RECORD.exists():
        sys.stderr.write("There is no record yet: both trainings must have run with the same seed.\n")
        return 1
    sys.stdout.write(table(pd.read_csv(RECORD, dtype={"k": str, "seeds": str})) + "\n")
    return 0


def run(training: str, seed: int) -> bool:
    """Train and score once, on data and masks that all runs share; return its success."""
    prepared, root = STORE / "prepared", root_of(training, seed)
    if not (prepared / "04_feature" / "observations.zarr").exists() and not kedro(
        prepared, {"pipelines": "ingestion,sparsification"}, {}
    ):
        return False
    root.mkdir(parents=True, exist_ok=True)
    for layer in SHARED:
        if not (root / layer).is_symlink():
            (root / layer).symlink_to(os.path.relpath(prepared / layer, root))
    params = {f"{ADDRESS}.{name}": value for name, value in TRAININGS[training].items()}
    stages = {"pipelines": "training,reconstruction,evaluation", "namespaces": ADDRESS}
    return kedro(root, stages, {"seed": seed, **params})


def kedro(root: Path, options: Mapping[str, object], params: Mapping[str, object]) -> bool:
    """Call `kedro run` with options and parameters in a file; return its success."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / "run.yml"
    run = {"run": {"env": "base", **options, "params": nested({"data_root": str(root), **params})}}
    file.write_text(yaml.safe_dump(run), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--config", str(file)]
    with (root / "run.log").open("a") as log:
        return subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode == 0


def root_of(training: str, seed: int) -> Path:
    """Data root of one run."""
    return STORE / training / f"seed_{seed}"


def scores_file(training: str, seed: int) -> Path:
    """Statistics of one run."""
    return root_of(training, seed) / "08_reporting" / ADDRESS.replace(".", "/") / "scores.parquet"


def differences() -> list[dict[str, object]]:
    """Scores of report 000's training and of the configured one, and their difference with its 95 % interval.

    Intervals are paired by time; they are those of the test times, not of the training seeds.
    """
    seeds = [seed for seed in range(10) if all(scores_file(name, seed).exists() for name in TRAININGS)]
    tables = {(name, seed): pd.read_parquet(scores_file(name, seed)) for name in TRAININGS for seed in seeds}
    groups = [[seed] for seed in seeds] + ([seeds] if len(seeds) > 1 else [])
    return [line for group in groups for line in differences_of(tables, group)]


def differences_of(
    tables: dict[tuple[str, int], pd.DataFrame], seeds: Sequence[int]
) -> list[dict[str, object]]:
    """Lines of the record for some seeds, of which the statistics are averaged: one for each k, and one for all."""
    fractions = fractions_of(tables["report", seeds[0]])
    lines: list[dict[str, object]] = []
    for score in SCORES:
        for ks in ([k] for k in fractions), [fractions]:
            for listed in ks:
                sides = (
                    [
                        statistics_at(tables[name, seed], {"pattern": "random", "k": k})
                        for seed in seeds for k in listed
                    ]
                    for name in ("report", "configured")
                )  # fmt: skip
                compared = difference(score, *sides)
                lines.append(
                    {
                        "score": score, "k": f"{listed[0]:g}" if len(listed) == 1 else "all",
                        "seeds": " ".join(map(str, seeds)), "report": compared.value,
                        "configured": compared.reference, **compared._asdict(),
                        **{f"{name}_{cost}": mean_cost(name, seeds, cost) for name in TRAININGS
                           for cost in ("train_steps", "train_seconds")},
                    }
                )  # fmt: skip
                del lines[-1]["value"], lines[-1]["reference"]
    return lines


def fractions_of(scores: pd.DataFrame) -> list[float]:
    """Observed fractions of the cases with random masks."""
    return sorted(float(k) for k in scores.loc[scores["pattern"] == "random", "k"].unique())


def mean_cost(training: str, seeds: Sequence[int], cost: str) -> float:
    """Mean number of steps, or of seconds, that a training took."""
    files = (root_of(training, s) / "06_models" / ADDRESS.replace(".", "/") for s in seeds)
    headers = [read_header((file / "checkpoint.safetensors").read_bytes(), str(file)) for file in files]
    return float(pd.Series([header["costs"].get(cost, math.nan) for header in headers]).mean())


def table(record: pd.DataFrame) -> str:
    """The record as text, with the verdict by the mean CRPS over all k and seeds."""
    out = []
    for (score, seeds), part in record.groupby(["score", "seeds"], sort=False):
        out.append(
            f"{str(score).upper()}, unobserved cells, random masks, seeds {seeds} (paired by time; * excludes 0)"
        )
        out.append(f"{'k':>6}{'10 epochs of 16':>18}{'2000 steps of 64':>18}   difference")
        for _, line in part.iterrows():
            compared = Difference(
                line["report"], line["configured"], line["difference"], line["low"], line["high"]
            )
            out.append(
                f"{line['k']:>6}{line['report']:>18.4f}{line['configured']:>18.4f}   {compared.text(4)}"
            )
    last = record[(record["score"] == "crps") & (record["k"] == "all")].iloc[-1]
    verdict = "worse than" if last["low"] > 0 else "no worse than"
    out.append(
        f"report 000's training ({last['report_train_steps']:.0f} steps, {last['report_train_seconds']:.0f} s) is "
        f"{verdict} the configured one ({last['configured_train_steps']:.0f} steps, "
        f"{last['configured_train_seconds']:.0f} s), by the CRPS over all k, seeds {last['seeds']}"
    )
    return "\n".join(out)


if __name__ == "__main__":
    sys.exit(main())
