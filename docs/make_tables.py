"""The tables of samples in docs/tables.md: `make tables SETTING=reduced|full`. Long; goes on where it was cut.

Each row is one experiment of `sample` with one seed, trained, sampled and scored by `kedro run` in a folder of its
own under data_tables/, named by the parameters that it sets, and is not run again once its scores are there: delete
the folder after a change of code or of conf/. The tables are printed after every row, and written into the document at
the end or by `--print-only`.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "tables.md"
STORE = ROOT / "data_tables"
SHARED = ("01_raw", "02_intermediate", "03_primary", "04_feature")  # what no seed changes
BEGIN, END = "<!-- samples: begin -->", "<!-- samples: end -->"

Parameters = Mapping[str, object]


@dataclass(frozen=True)
class Setting:
    """How much is spent: `common` on every row, `of` on the rows of a table."""

    seeds: int
    common: Parameters
    of: Mapping[str, Parameters] = field(default_factory=dict)
    told: str = ""


@dataclass(frozen=True)
class Row:
    """One experiment of one table."""

    experiment: str
    params: Parameters = field(default_factory=dict)
    report: str = ""  # what the report that the table is of has for it


@dataclass(frozen=True)
class Table:
    """Rows that stand together, and what is shown of them."""

    name: str
    env: str
    title: str
    scores: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: str


def z40(experiment: str) -> dict[str, object]:
    """The literature's protocol (Tomczak and Welling 2018): z = 40, binarised anew at each step."""
    model = f"sample.{experiment}.model"
    return {
        f"{model}.latent": 40, f"{model}.encoder.latent": 40, f"{model}.decoder.latent": 40,
        f"sample.{experiment}.options.treatment": "bernoulli",
    }  # fmt: skip


CONTINUOUS = {
    "sample.vae_flow.model.likelihood.type": "likelihoods.ContinuousBernoulli",
    "sample.vae_flow.options.treatment": "dequantised",
}
LENDERS = {"ddim": "ddpm"}  # whose weights it draws with
LATENT = "the published figures: Exemplar VAE's table, S = 5000"
TABLES = (
    Table(
        "priors", "mnist", "Priors of a VAE with a latent of two components, MNIST binarised at 1/2",
        ("elbo", "reconstruction", "kl", "iwae", "active_units"),
        (
            Row("vae", report="-135.00 ± .40 / -29.40 ± 2.95"),
            Row("vae_mixture", report="-134.07 ± .41 / -29.12 ± 2.10"),
            Row("vae_vamp", report="-134.00 ± .29 / -28.83 ± 1.76"),
            Row("vae_flow", report="-134.88 ± .66 / -27.27 ± 2.71"),
        ),
        "The report's columns are ELBO / IWAE; its IWAE is impossible: a tighter bound lies a few nats above the "
        "ELBO. It used 10 runs of 20 epochs, batches of 128; here the same two hidden layers of 512, batch and "
        "epochs, with the moving average of the weights and a learning rate that falls.",
    ),
    Table(
        "quality", "mnist", "Samples of three kinds of model, MNIST dequantised",
        ("fid", "fid_floor", "kid", "kid_floor", "c2st", "bits_per_dim"),
        (
            Row("vae_flow", CONTINUOUS, report="4.168 / .189 ± .008"),
            Row("flow", report=".452 / .158 ± .010"),
            Row("ddim", report=".018 / .012 ± .004 (DDPM)"),
        ),
        "The report's columns are FID / KID in features of its own, 256 against 256 images: the order is the result, "
        "not the values. FID and KID here are in features of our own classifier, never to be compared with Inception "
        "figures, and biased by the number of samples; the floor is what training images have. A VAE's samples are "
        "means of pixels. Bits of `ddim` are the bound of the chain of 1000 steps that its weights were trained for.",
    ),
    Table(
        "codes", "fashion_mnist", "Autodecoders, Fashion-MNIST, latent 100: mean squared error of a pixel",
        ("train_loss", "test_loss", "elbo"),
        (
            Row("autodecoder", report=".0252 / .1186"),
            Row("variational_autodecoder", report=".0186 / .1112"),
            Row("variational_autodecoder_uniform", report=".1457 / .1644"),
            Row("variational_autodecoder_laplace", report=".0204 / .1118"),
        ),
        "The report's columns are train / test; it does not define its loss. Here the codes of both are fitted "
        "afresh, by gradient descent with the decoder as it is.",
    ),
    Table(
        "kl_weight", "mnist", "The weight of the KL divergence, MNIST binarised at 1/2",
        ("reconstruction", "kl", "iwae", "fid", "active_units"),
        (
            Row("vae_kl0", report="sharp reconstructions, no sampling"),
            Row("vae", report="-"),
            Row("vae_kl30", report="blurry"),
        ),
        "The report has words only. FID compares means of pixels with binary images.",
    ),
    Table(
        "literature", "mnist", "The literature's protocol: z = 40, dynamic binarisation",
        ("elbo", "iwae", "active_units"),
        (
            Row("vae", z40("vae"), report="-84.45 ± 0.12"),
            Row(
                "vae_vamp", {**z40("vae_vamp"), "sample.vae_vamp.model.prior.components": 500},
                report="-82.43 ± 0.06",
            ),
        ),
        f"Beside it {LATENT}, after up to 2000 epochs with early stopping and two gated layers of 300; here two "
        "layers of 512 with ReLU and the budget of the setting.",
    ),
)  # fmt: skip
FASHION = {"ingestion.images.train": 12_000, "ingestion.images.test": 2_000}
CODES = {
    f"sample.{row.experiment}.fit.steps": 1500
    for table in TABLES
    if table.name == "codes"
    for row in table.rows
}
SETTINGS = {
    "reduced": Setting(
        3,
        {"sampling.samples": 1000, "sampling.data": 1000, "sampling.draws": 500},
        {
            "codes": {**FASHION, **CODES, "sampling.data": 256, "sampling.draws": 64},
            "quality": {
                "sampling.data": 256, "sampling.draws": 64,
                "sample.flow.fit.steps": 1600, "sample.ddpm.fit.steps": 1600,
            },
        },
        "reduced, for a processor: three seeds; IWAE with K = 500 on 1000 test images; 1000 samples (FID and KID are "
        "biased by that number); the flow has four epochs and the DDPM two, sampled by DDIM in 50 steps; "
        "autodecoders on 10 000 + 2000 images, two-part losses on 256 of each",
    ),
    "full": Setting(
        10,
        {"sampling.samples": 10_000, "sampling.data": 10_000, "sampling.draws": 5000},
        {
            "quality": {"sample.flow.fit.steps": 40_000, "sample.ddpm.fit.steps": 80_000, "sampling.draws": 1000},
            "codes": {"sampling.data": 10_000, "sampling.draws": 500},
            "literature": {
                "sample.vae.fit.steps": 200_000, "sample.vae_vamp.fit.steps": 200_000,
                "sample.vae.fit.patience": 50, "sample.vae_vamp.fit.patience": 50,
            },
        },
        "full, for a GPU: ten seeds; IWAE with K = 5000 and 10 000 samples on all test images",
    ),
}  # fmt: skip


def main() -> int:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--mnist", help="folder of the IDX files; else they are fetched")
    parser.add_argument("--fashion-mnist", help="folder of the IDX files; else they are fetched")
    parser.add_argument("--only", choices=[table.name for table in TABLES], help="one table")
    parser.add_argument("--print-only", action="store_true", help="run nothing: write what is there")
    given = parser.parse_args()
    folders = {"mnist": given.mnist, "fashion_mnist": given.fashion_mnist}
    folders = {name: folder and str(Path(folder).resolve()) for name, folder in folders.items()}
    tables = [table for table in TABLES if given.only in (None, table.name)]
    failed = []
    for job in tqdm([] if given.print_only else missing(given.setting, tables), unit="row", disable=None):
        if not run(given.setting, *job, folders):
            failed.append(str(folder_of(given.setting, *job).relative_to(STORE)))
        sys.stdout.write("\n\n".join(text(given.setting, table) for table in tables) + "\n")
    write("\n\n".join([heading(given.setting), *(text(given.setting, table) for table in TABLES)]))
    if failed:
        sys.stderr.write(f"{len(failed)} rows failed, see above: {', '.join(failed)}; run it again.\n")
    return 1 if failed else 0


def missing(setting: str, tables: Sequence[Table]) -> list[tuple[Table, Row, int]]:
    """Rows without scores: all rows of the first seed, then all of the next; what two tables share only once."""
    jobs = {
        folder_of(setting, table, row, seed): (table, row, seed)
        for seed, table in itertools.product(range(SETTINGS[setting].seeds), tables)
        for row in table.rows
    }
    return [job for job in jobs.values() if not scores_of(setting, *job).exists()]


def asked(setting: str, table: Table, row: Row) -> dict[str, object]:
    """What is asked of a row, but for the seed: only what concerns its experiment."""
    given = {**SETTINGS[setting].common, **SETTINGS[setting].of.get(table.name, {}), **row.params}
    mine = ("sampling.", "ingestion.", *(f"sample.{name}." for name in with_lender(row.experiment)))
    return {key: value for key, value in given.items() if key.startswith(mine)}


def with_lender(experiment: str) -> tuple[str, ...]:
    return (LENDERS[experiment], experiment) if experiment in LENDERS else (experiment,)


def digest(params: Parameters) -> str:
    """Names a folder, so that scores of other parameters set here are never taken for those asked for."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]


def folder_of(setting: str, table: Table, row: Row, seed: int) -> Path:
    name = f"{row.experiment}_{digest(asked(setting, table, row))}"
    return STORE / setting / table.env / name / f"seed_{seed}"


def scores_of(setting: str, table: Table, row: Row, seed: int) -> Path:
    return (
        folder_of(setting, table, row, seed) / "08_reporting" / "sample" / row.experiment / "scores.parquet"
    )


def run(setting: str, table: Table, row: Row, seed: int, folders: Mapping[str, str | None]) -> bool:
    """One experiment with one seed, its data and features shared with other rows; whether all went well."""
    params = asked(setting, table, row)
    source = {key: value for key, value in params.items() if key.startswith("ingestion.")}
    shared = STORE / setting / table.env / f"data_{digest(source)}"
    if folders[table.env]:
        params["ingestion.path"] = source["ingestion.path"] = folders[table.env]
    features = shared / "04_feature" / "extractor.safetensors"
    if not features.exists() and not kedro(table.env, {**source, "data_root": shared}, "ingestion,features"):
        return False
    root = folder_of(setting, table, row, seed)
    root.mkdir(parents=True, exist_ok=True)
    for layer in SHARED:
        if not (root / layer).exists():
            (root / layer).symlink_to(os.path.relpath(shared / layer, root))
    params |= {"seed": seed, "data_root": root}
    *lender, experiment = (f"sample.{name}" for name in with_lender(row.experiment))
    return all(kedro(table.env, params, "training", name) for name in lender) and kedro(
        table.env, params, "sampling,evaluation" if lender else "training,sampling,evaluation", experiment
    )


def kedro(env: str, params: Parameters, stages: str, namespace: str | None = None) -> bool:
    """`kedro run` of some stages; whether it ended well."""
    written = ",".join(f"{key}={value}" for key, value in params.items())
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--env", env, "--pipelines", stages]
    command += ["--params", written, *(["--namespaces", namespace] if namespace else [])]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def text(setting: str, table: Table) -> str:
    """A table in Markdown: mean ± standard deviation over the seeds that are there."""
    if not any(scores_of(setting, table, row, 0).exists() for row in table.rows):
        return f"### {table.title}\n\nNot run yet."
    lines = [f"### {table.title}", "", f"| {' | '.join(['experiment', *table.scores, 'seeds', 'report'])} |"]
    lines.append("|---" * (len(table.scores) + 3) + "|")
    for row in table.rows:
        found = list(stored(setting, table, row))
        cells = [spread([one.get(score, math.nan) for one in found]) for score in table.scores]
        lines.append(f"| `{row.experiment}` | {' | '.join(cells)} | {len(found)} | {row.report} |")
    return "\n".join([*lines, "", table.notes])


def stored(setting: str, table: Table, row: Row) -> Iterator[dict[str, float]]:
    """Scores of each seed that is there."""
    for seed in range(SETTINGS[setting].seeds):
        file = scores_of(setting, table, row, seed)
        if file.exists():
            yield pd.read_parquet(file).set_index("score")["value"].to_dict()


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, with the digits that the latter allows."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "-"
    if not all(map(math.isfinite, known)):
        return "not finite"
    mean = sum(known) / len(known)
    deviation = pd.Series(known).std() if len(known) > 1 else math.nan
    size = deviation if deviation > 0 else abs(mean) / 100
    digits = min(max(0, 1 - math.floor(math.log10(size))), 5) if size > 0 else 0
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if not math.isnan(deviation) else "")


def heading(setting: str) -> str:
    """How the tables were made."""
    machine = f"{os.cpu_count()} cores of a {platform.machine()} processor"
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    left = len(missing(setting, TABLES))
    so_far = f" Not yet complete: {left} rows are still to be run." if left else ""
    return (
        f"Setting {SETTINGS[setting].told}. Mean ± standard deviation over training seeds.{so_far}\n\n"
        f"`make tables SETTING={setting}`, {machine}, {today}."
    )


def write(tables: str) -> None:
    """Into the document, between its marks."""
    whole = DOCUMENT.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{DOCUMENT.name} lacks the marks {BEGIN} and {END}, between which the tables go.")
    partial = DOCUMENT.with_suffix(".partial")
    partial.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
    partial.replace(DOCUMENT)


if __name__ == "__main__":
    sys.exit(main())
