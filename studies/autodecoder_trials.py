"""Trials of autodecoders in docs/results/sample.md: `python -m studies.autodecoder_trials [--fashion-mnist FOLDER]`.

The report's test error is five times its training error, and its uniform posterior is far worse than others.
Each trial trains one model as the setting `reduced` of `make tables` does, and measures the errors of training and test
images after several numbers of steps of the fit of their codes, which one training serves; beside them the error of
training images with the codes that the table learnt. Trials with a record in docs/reports/data/autodecoder_trials.csv
are skipped; `--write-only` writes the table from it, and `--print-only` prints it and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
import xarray as xr

from fieldcast.atomic import write_atomically
from fieldcast.encoding.checkpoint import Checkpoint
from fieldcast.fields.splits import SplitRanges
from fieldcast.inference.samples.latent_space import Split, examine, split_of
from fieldcast.inference.trained_model import load
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.vae import VAE
from studies import make_tables
from studies.make_tables import DOCUMENT, ROOT, Job, between_marks
from studies.sample_tables import CODES, FASHION, Row, Table

RECORD = ROOT / "docs" / "reports" / "data" / "autodecoder_trials.csv"
STEPS = (3, 10, 30, 100, 300)  # steps of the fit of codes
IMAGES = 256  # number of images of each split
PIXELS = 784
SEED = 0


def trial(experiment: str, label: str, spread: float | None = None, kl_weight: float | None = None) -> Row:
    """A model with another initial spread, or with a loss of squares: sum or mean over pixels, plus the KL."""
    model = f"sample.{experiment}.model"
    options: dict[str, object] = {
        **FASHION,
        f"sample.{experiment}.fit.steps": CODES[f"sample.{experiment}.fit.steps"],
    }
    if spread is not None:
        options[f"{model}.encoder.spread"] = spread
    if kl_weight is not None:  # -log p = |x - mean|^2 up to a constant
        options |= {f"{model}.likelihood.type": "likelihoods.Gaussian", f"{model}.likelihood.sigma": 0.5**0.5}
        options[f"{model}.kl_weight"] = kl_weight
    return Row(experiment, options, label=label)


NORMAL, UNIFORM = "variational_autodecoder", "variational_autodecoder_uniform"
TRIALS = (
    trial("autodecoder", "codes without a distribution"),
    trial(NORMAL, "normal, sum of squares + KL", kl_weight=1),
    trial(NORMAL, "normal, mean of squares + KL", kl_weight=PIXELS),
    trial(UNIFORM, "uniform, learnt variance of pixels"),
    trial(UNIFORM, "uniform, learnt variance of pixels, initial spread 1", spread=1.0),
    trial(UNIFORM, "uniform, sum of squares + KL", kl_weight=1),
    trial(UNIFORM, "uniform, mean of squares + KL", kl_weight=PIXELS),
)
TABLE = Table(
    "trials",
    "fashion_mnist",
    "Autodecoders: other losses, spreads and fits of codes, Fashion-MNIST",
    (),
    TRIALS,
    "",
)


def main() -> int:
    """Run missing trials, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fashion-mnist", help="folder of the IDX files; by default they are downloaded")
    parser.add_argument("--print-only", action="store_true", help="run and write nothing: print the table")
    parser.add_argument(
        "--write-only", action="store_true", help="run nothing: write the table from the record"
    )
    parser.add_argument("--only", choices=[row.label for row in TRIALS], help="one trial")
    arguments = parser.parse_args()
    if arguments.print_only:
        sys.stdout.write(text(record()) + "\n")
        return 0
    path = arguments.fashion_mnist
    folders = {"fashion_mnist": path and str(Path(path).resolve())}
    failed = []
    for row in () if arguments.write_only else TRIALS:
        if arguments.only in (None, row.label) and row.label not in set(record()["trial"]):
            job = Job("reduced", TABLE, row, SEED)
            if trained(job, folders):
                errors = pd.DataFrame(errors_of(job)).assign(trial=row.label)
                store(pd.concat([record(), errors], ignore_index=True))
            else:
                failed.append(make_tables.log_file(job.folder))
    document = DOCUMENT.read_text(encoding="utf-8")
    write_atomically(DOCUMENT, between_marks(document, "trials", text(record())))
    sys.stderr.writelines(f"failed: see {log}\n" for log in failed)
    return 1 if failed else 0


def record() -> pd.DataFrame:
    """Columns trial, steps (0: the codes that the table learnt), split and error."""
    return (
        pd.read_csv(RECORD) if RECORD.exists() else pd.DataFrame(columns=["trial", "steps", "split", "error"])
    )


def store(errors: pd.DataFrame) -> None:
    """Write the record."""
    RECORD.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(
        RECORD, errors[["trial", "steps", "split", "error"]].to_csv(index=False, float_format="%.4g")
    )


def trained(job: Job, folders: make_tables.Folders) -> bool:
    """Train a trial on data that it shares with the rows of `make tables`; return its success."""
    if not make_tables.prepare(job, folders):
        return False
    job.folder.mkdir(parents=True, exist_ok=True)
    for layer in make_tables.SHARED:
        if not (job.folder / layer).is_symlink():
            (job.folder / layer).symlink_to((job.shared / layer).resolve())
    params = {**job.params, "seed": SEED, "data_root": job.folder}
    return make_tables.kedro(job, folders, params, "training", f"sample.{job.row.experiment}")


def errors_of(job: Job) -> Iterator[Mapping[str, object]]:
    """Yield the mean squared errors of a trained trial."""
    primary = job.folder / "03_primary"
    splits = json.loads((primary / "splits.json").read_text(encoding="utf-8"))
    checkpoint = load(
        job.folder / "06_models" / "sample" / job.row.experiment / "checkpoint.safetensors", "cpu"
    ).checkpoint
    yield from fitted_errors(checkpoint, xr.open_zarr(primary / "fields.zarr").load(), splits)


def fitted_errors(
    checkpoint: Checkpoint, fields: xr.Dataset, splits: SplitRanges, steps: Sequence[int] = STEPS
) -> Iterator[Mapping[str, object]]:
    """Yield the error with learnt codes (steps 0), then those of both splits for each number of steps."""
    model, codec = checkpoint.model, checkpoint.state_codec
    assert isinstance(model, VAE) and isinstance(model.encoder, LatentTable)
    parts = {name: split_of(fields, splits, name, IMAGES, codec, model) for name in ("train", "test")}
    yield {"steps": 0, "split": "train", "error": learnt_error(model, parts["train"])}
    for count in steps:
        model.encoder.steps = count
        for name, part in parts.items():
            loss = examine(model, part, 1, codec, SEED).values["loss"]
            yield {"steps": count, "split": name, "error": float(loss.mean())}


@torch.no_grad()
def learnt_error(model: VAE, part: Split) -> float:
    """Mean squared error of training images decoded from the means of their learnt codes."""
    assert isinstance(model.encoder, LatentTable)
    z = model.encoder(replace(part.batch, index=part.datum)).mean
    decoded = model.likelihood.mean(model.decoder(z[:, None], part.batch.context)[:, 0])
    return float((decoded - part.batch.x).square().mean())


def text(errors: pd.DataFrame) -> str:
    """Table in Markdown: training / test error for each number of steps."""
    cells = {(row.trial, row.steps, row.split): f"{row.error:.4f}" for row in errors.itertuples()}
    lines = [
        f"### {TABLE.title}",
        "",
        f"| trial | learnt codes | {' | '.join(f'{count} steps' for count in STEPS)} |",
        "|---" * (2 + len(STEPS)) + "|",
    ]
    for row in TRIALS:
        fitted = [
            " / ".join(cells.get((row.label, n, name), "-") for name in ("train", "test")) for n in STEPS
        ]
        first = cells.get((row.label, 0, "train"), "running")
        lines.append(f"| {row.label} | {' | '.join([first, *fitted])} |")
    note = (
        "`python -m studies.autodecoder_trials`. Mean squared errors of a pixel, training / test, of 256 images each, "
        "one seed, after a fit of their codes of so many steps of Adam from random codes; learnt codes: training "
        "images with "
        "the codes of the table. The models are trained as in the setting reduced. With a learnt variance of "
        "the pixels "
        "the loss is the negative log-likelihood plus the KL; sum and mean of squares plus the KL are two "
        "readings of a "
        f"loss that the report does not define, the second being the first with {PIXELS} times the weight of "
        "the KL. For codes without a distribution sum and mean are the same up to a factor, on which the steps "
        "of Adam do "
        "not depend."
    )
    return "\n".join([*lines, "", note])


if __name__ == "__main__":
    sys.exit(main())
