"""Full VAE or decoder, as report 000 asks: `python -m studies.full_vae planet|sea_level_pressure [--path FILE]`.

Trains `forecast.vae` with several weights of the KL divergence, the decoders and the other VAEs of forecasts, each in a
folder under data_tables/full_vae that shares the data of its setting, and scores them on the test split. Beside the
scores stands whether the decoder uses its latent (`training.latent_use`, on the validation split), and the CRPS of
forecasts over 1 to 5 days from the validation split, by which a weight is selected. Runs whose scores exist are kept;
the record is docs/results/full_vae.csv, the paired differences from `decoder_l1` are full_vae_differences.csv, and
`--print-only` prints the tables from both. Takes hours.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml
from jaxtyping import Float

from fieldcast.atomic import write_atomically
from fieldcast.encoding.checkpoint import Checkpoint, unpack
from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, forecast
from fieldcast.lineage import code
from fieldcast.scores import bootstrap
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.scoring_inputs import cell_areas
from fieldcast.training.loop import latent_use
from fieldcast.training.options import Fit
from studies.experiment_tables import SETTINGS, merge
from studies.make_tables import ROOT, machine
from studies.paired import difference, statistics_at, value_of

RECORD = ROOT / "docs" / "results"
STORE = ROOT / "data_tables" / "full_vae"
SHARED = ("03_primary", "04_feature")
LEADS = (24, 48, 72, 120, 240)  # printed lead times [hours]
VALIDATION = Rollout(initial_times=64, steps=5)  # forecasts by which a weight is selected
STABILITY = 20  # steps of the long rollout, which is not scored here
REFERENCE = "decoder_l1"
# error with another day's latent over that with the latent of the day, for a decoder that uses it
NEEDED = 1.05
WEIGHT, WARM_UP = "forecast.vae.model.model.kl_weight", "forecast.vae.model.model.kl_warm_up"


@dataclass(frozen=True)
class Variant:
    """An experiment with some parameters: its label, and the label in whose folder it runs (its weights' own)."""

    label: str
    experiment: str
    params: Mapping[str, object]
    folder: str
    weight: float | None = None  # that of the KL, where it is one of the scanned ones


def variants(setting: str) -> list[Variant]:
    """All variants of a setting, in the order of the tables.

    The two largest weights are readings of report 000's "MSE + KL" as a mean of squares with a mean, or with the sum,
    of the divergences of the 1000 components; the loss here is half the sum of squares plus the sum.
    """
    cells = {"planet": 8192, "sea_level_pressure": 561}[setting]
    weights = {"kl_.001": 0.001, "kl_.003": 0.003, "kl_.01": 0.01, "kl_.03": 0.03, "kl_.1": 0.1, "kl_1": 1.0}
    weights |= {f"kl_{text}": float(text) for text in (number(cells / 2000), number(cells / 2))}
    scanned = [Variant(label, "vae", {WEIGHT: weight}, label, weight) for label, weight in weights.items()]
    warm = [
        Variant(f"{label}_warm", "vae", {WEIGHT: weights[label], WARM_UP: [200, 260]}, f"{label}_warm", None)
        for label in ("kl_.1", "kl_1")
    ]
    others = [
        Variant(name, name, {}, {"vae_conditional_noise": "vae_conditional"}.get(name, name))
        for name in (
            REFERENCE, "vae_direct", "vae_rk4_trained", "vae_convolutional_past", "vae_conditional",
            "vae_conditional_noise",
        )
    ]  # fmt: skip
    return [*scanned, *warm, *others]


def number(value: float) -> str:
    """Two digits, without a leading zero: 4.1, .28, 4096, 280."""
    return f"{value:.2g}".removeprefix("0") if value < 100 else f"{value:.0f}"


def main() -> int:
    """Run what is missing, record it, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", choices=("planet", "sea_level_pressure"))
    parser.add_argument("--path", default="", help="the file of the setting")
    parser.add_argument("--only", nargs="*", help="labels of variants, such as kl_.01 or vae_conditional")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="training seeds")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--print-only", action="store_true", help="run nothing")
    arguments = parser.parse_args()
    if not arguments.print_only:
        requested = [
            v for v in variants(arguments.setting) if arguments.only is None or v.label in arguments.only
        ]
        failed = run_all(arguments.setting, arguments.path, requested, arguments.seeds, arguments.jobs or 1)
        record(arguments.setting)
        if failed:
            sys.stderr.write(f"failed: {', '.join(failed)}; see run.log in their folders.\n")
            return 1
    sys.stdout.write(tables(arguments.setting) + "\n")
    return 0


def run_all(setting: str, path: str, listed: Sequence[Variant], seeds: Iterable[int], jobs: int) -> list[str]:
    """Run variants with seeds, those that draw with the weights of another after it; return the failed ones."""
    prepared = STORE / setting / "prepared"
    if not (prepared / "04_feature" / "initial_times.json").exists():
        kedro(setting, path, prepared, "ingestion,initial_times,events", {}, None)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    pairs = [(variant, seed) for seed in seeds for variant in listed]
    failed = []
    for borrowed in (False, True):
        pending = [
            (variant, seed) for variant, seed in pairs
            if (variant.folder != variant.label) == borrowed and not scores_file(setting, variant, seed).exists()
        ]  # fmt: skip
        with ThreadPoolExecutor(jobs) as pool:
            ended = pool.map(lambda pair: run(setting, path, *pair), pending)
            failed += [
                f"{v.label}, seed {s}" for (v, s), well in zip(pending, ended, strict=True) if not well
            ]
    return failed


def run(setting: str, path: str, variant: Variant, seed: int) -> bool:
    """Train, roll out and score one variant on data that all share; return its success."""
    root = root_of(setting, variant, seed)
    root.mkdir(parents=True, exist_ok=True)
    for layer in SHARED:
        if not (root / layer).is_symlink():
            (root / layer).symlink_to(os.path.relpath(STORE / setting / "prepared" / layer, root))
    stages = "rollout,evaluation" if variant.folder != variant.label else "training,rollout,evaluation"
    return kedro(setting, path, root, stages, {**variant.params, "seed": seed}, variant.experiment)


def kedro(
    setting: str, path: str, root: Path, stages: str, params: Mapping[str, object], experiment: str | None
) -> bool:
    """Call `kedro run` for some stages; return its success. Parameters go into a file: some of them are lists."""
    root.mkdir(parents=True, exist_ok=True)
    given = {
        "data_root": str(root),
        **({"ingestion.path": str(Path(path).resolve())} if path else {}),
        **params,
    }
    options = {"pipelines": stages, "params": nested({**given, "rollout.stability.steps": STABILITY})}
    options |= {"namespaces": f"forecast.{experiment}"} if experiment else {}
    options |= {"env": SETTINGS[setting].env}
    file = root / "run.yml"
    file.write_text(yaml.safe_dump({"run": options}), encoding="utf-8")
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--config", str(file)]
    with (root / "run.log").open("a") as log:
        return subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode == 0


def nested(params: Mapping[str, object]) -> dict[str, Any]:
    """Parameters by dotted name as mappings within mappings."""
    tree: dict[str, Any] = {}
    for name, value in params.items():
        *path, last = name.split(".")
        branch = tree
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = value
    return tree


def root_of(setting: str, variant: Variant, seed: int) -> Path:
    """Data root of one run."""
    return STORE / setting / variant.folder / f"seed_{seed}"


def scores_file(setting: str, variant: Variant, seed: int) -> Path:
    """Statistics of one run."""
    return (
        root_of(setting, variant, seed) / "08_reporting" / "forecast" / variant.experiment / "scores.parquet"
    )


def record(setting: str) -> None:
    """Put all finished runs of a setting into the record, with the paired differences from the reference."""
    finished = {
        variant.label: seeds
        for variant in variants(setting)
        if (seeds := [seed for seed in range(10) if scores_file(setting, variant, seed).exists()])
    }
    by_label = {variant.label: variant for variant in variants(setting)}
    lines, tests = [], {}
    for label, seeds in finished.items():
        for seed in seeds:
            table = pd.read_parquet(scores_file(setting, by_label[label], seed))
            tests[label, seed] = {lead: statistics_at(table, {"lead_hours": lead}) for lead in LEADS}
            lines.append(
                {
                    "setting": setting, "variant": label, "seed": seed, **score_columns(tests[label, seed]),
                    **validated(setting, by_label[label], seed), "commit": code()["commit"], "machine": machine(),
                }
            )  # fmt: skip
    merge(RECORD / "full_vae.csv", pd.DataFrame(lines), ["setting", "variant", "seed"])
    rows = [
        {"setting": setting, "variant": label, **row}
        for label in finished
        if label != REFERENCE
        for row in differences(tests, label)
    ]
    file = RECORD / "full_vae_differences.csv"
    before = (
        pd.read_csv(file)
        if file.exists()
        else pd.DataFrame(columns=["setting", "variant", "score", "lead", "seeds"])
    )
    whole = pd.concat([before, pd.DataFrame(rows)])  # the newest of those with most seeds
    identity = ["setting", "variant", "score", "lead"]
    whole = whole.sort_values("seeds", kind="stable").drop_duplicates(identity, keep="last")
    whole = whole.sort_values(["setting", "score", "variant", "lead"])
    write_atomically(file, whole.to_csv(index=False, float_format="%.5g"))


def score_columns(statistics: Mapping[int, pd.DataFrame]) -> dict[str, float]:
    """CRPS, RMSE and spread-skill ratio at each lead."""
    return {
        f"{score}_{lead // 24}": value_of(score, statistics[lead])
        for score in ("crps", "rmse", "ssr")
        for lead in LEADS
    }


def differences(
    tests: Mapping[tuple[str, int], Mapping[int, pd.DataFrame]], label: str
) -> list[dict[str, object]]:
    """Scores minus those of the reference at each lead, with 95 % intervals paired by start; seeds are averaged."""
    seeds = [seed for seed in range(10) if {(label, seed), (REFERENCE, seed)} <= set(tests)]
    if not seeds:
        return []
    rows = []
    for score in ("crps", "rmse"):
        for lead in LEADS:
            sides = ([tests[name, seed][lead] for seed in seeds] for name in (label, REFERENCE))
            rows.append(
                {
                    "score": score,
                    "lead": lead // 24,
                    **difference(score, *sides)._asdict(),
                    "seeds": len(seeds),
                }
            )
    return rows


def validated(setting: str, variant: Variant, seed: int) -> dict[str, float]:
    """Use of the latent and CRPS over 1 to 5 days on the validation split, with the standard error of that CRPS."""
    root = root_of(setting, variant, seed)
    file = root / f"validation_{variant.label}.json"
    if not file.exists():
        checkpoint = root / "06_models" / "forecast" / trainer_of(variant) / "checkpoint.safetensors"
        write_atomically(file, pd.Series(validation(root, checkpoint, variant, seed)).to_json())
    return pd.read_json(file, typ="series").to_dict()


def trainer_of(variant: Variant) -> str:
    """The experiment that trains the weights of a variant."""
    return variant.experiment if variant.folder == variant.label else variant.folder


def validation(root: Path, checkpoint: Path, variant: Variant, seed: int) -> dict[str, float]:
    """The numbers of `validated`, computed."""
    trained = unpack(checkpoint.read_bytes())
    layers = {
        name: xr.open_zarr(root / "03_primary" / f"{name}.zarr")
        for name in ("fields", "climatology", "normalisation")
    }
    splits = pd.read_json(root / "03_primary" / "splits.json", typ="series").to_dict()
    fields = layers["fields"].load()
    split = select(fields, splits, "validation")
    batches = Forecasting().batches(split, trained.field_codec, trained.model, Fit(), False)
    use = latent_use(trained.model, batches, seed, VALIDATION.initial_times)
    crps, starts = validation_crps(trained, fields, layers, splits, seed)
    weights = bootstrap.block_weights(len(starts), bootstrap.block_length(starts))
    return {
        **use,
        "train_steps": trained.header["costs"].get("train_steps", math.nan),
        "validation_crps": float(crps.mean()),
        "validation_error": float((weights @ crps).std()),
    }


def validation_crps(
    trained: Checkpoint, fields: xr.Dataset, layers: Mapping[str, xr.Dataset], splits: SplitRanges, seed: int
) -> tuple[Float[np.ndarray, " start"], np.ndarray]:
    """Mean CRPS over 1 to 5 days of forecasts from each start in the validation split, and the starts."""
    moved = {**splits, "test": splits["validation"]}
    times = select_initial_times(fields, moved, VALIDATION, Limits())
    forecaster = EnsembleForecaster(
        trained.model, trained.field_codec, fields, times["scored"], times["members"], seed
    )
    draws = xr.concat([lead.forecasts for lead in forecast(forecaster, times, None, "")], "lead")
    table, _ = forecast_statistics(
        draws,
        fields,
        climatology=layers["climatology"].load(),
        normalisation=layers["normalisation"].load(),
        area=cell_areas(fields),
        seed=seed,
    )
    at_leads = [
        statistics_at(table, {"lead_hours": lead}).loc["crps"] for lead in table["lead_hours"].unique()
    ]
    crps = pd.concat(at_leads, axis=1).mean(axis=1)
    return crps.to_numpy(), crps.index.to_numpy().astype("datetime64[s]")


def uses_latent(line: pd.Series) -> bool:
    """Whether the decoder uses its latent: another day's raises the error by at least 5 %."""
    return bool(line["rmse_other"] >= NEEDED * line["rmse_posterior"])


def selected(recorded: Mapping[str, pd.DataFrame]) -> float | None:
    """The largest scanned weight whose decoder uses the latent on every setting and that is near the best on each.

    Near the best is a validation CRPS within one standard error of the lowest one. None if there is no such weight.
    """
    kept: list[set[float]] = []
    for setting, lines in recorded.items():
        weights = {v.label: v.weight for v in variants(setting) if v.weight is not None}
        scanned = lines[lines["variant"].isin(weights) & (lines["seed"] == 0)]
        best = scanned.loc[scanned["validation_crps"].idxmin()]
        near = scanned["validation_crps"] <= best["validation_crps"] + best["validation_error"]
        kept.append({weights[row["variant"]] for _, row in scanned[near].iterrows() if uses_latent(row)})
    both = set.intersection(*kept) if kept else set()
    return max(both, default=None)


def tables(setting: str) -> str:
    """Both tables of a setting: scores with the use of the latent, and paired differences from the decoder."""
    recorded = pd.read_csv(RECORD / "full_vae.csv")
    lines = recorded[recorded["setting"] == setting]
    paired = pd.read_csv(RECORD / "full_vae_differences.csv")
    paired = paired[paired["setting"] == setting]
    order = [v.label for v in variants(setting) if v.label in set(lines["variant"])]
    head = f"{'variant':<24}{'seeds':>6}{'KL':>11}{'RMSE z':>9}{'other':>8}{'prior':>8}{'uses z':>8}{'val. CRPS':>16}"
    out = [
        f"{setting}: KL [nats]; error of one draw at one step with z of the posterior, of another day, of the prior;",
        "CRPS over 1 to 5 days on validation data (standard error over starts); then CRPS and spread-skill ratio (SSR)",
        "on test data, mean over seeds; kl_W: weight W of the KL, _warm: which rises from 0 over steps 200 to 260",
        head + "".join(f"{f'CRPS {lead // 24} d':>10}" for lead in LEADS) + f"{'SSR 1 d':>9}{'5 d':>7}",
    ]
    for label in order:
        of_label = lines[lines["variant"] == label]
        mean = of_label.mean(numeric_only=True)
        has_latent = not math.isnan(mean["latent_kl"])
        use = "".join(
            f"{mean[name]:{width}}"
            for name, width in (
                ("latent_kl", "11.4g"),
                ("rmse_posterior", "9.3f"),
                ("rmse_other", "8.3f"),
                ("rmse_prior", "8.3f"),
            )
        )
        use = use + f"{'yes' if uses_latent(mean) else 'no':>8}" if has_latent else " " * 44
        crps = f"{mean['validation_crps']:.3f} ({mean['validation_error']:.3f})"
        scores = "".join(f"{mean[f'crps_{lead // 24}']:>10.3f}" for lead in LEADS)
        out.append(
            f"{label:<24}{len(of_label):>6}{use}{crps:>16}{scores}{mean['ssr_1']:>9.3f}{mean['ssr_5']:>7.3f}"
        )
    out += [
        "",
        f"minus {REFERENCE} with the same seeds (95 % interval of the paired difference; * it excludes 0)",
    ]
    for score in ("crps", "rmse"):
        out.append(f"{score.upper():<24}" + "".join(f"{f'{lead // 24} d':>26}" for lead in LEADS))
        for label in order:
            cells = paired[(paired["variant"] == label) & (paired["score"] == score)].set_index("lead")
            if len(cells):
                out.append(f"{label:<24}" + "".join(f"{cell(cells.loc[lead // 24]):>26}" for lead in LEADS))
    settings = {name: part for name, part in recorded.groupby("setting", sort=False)}
    weight = selected(settings)
    out += ["", f"the largest weight of the KL at which the decoder uses z ({' and '.join(settings)}), among those "
            f"within a standard error of the best: {'none' if weight is None else f'{weight:g}'}"]  # fmt: skip
    return "\n".join(out)


def cell(row: pd.Series) -> str:
    """A paired difference with its interval, and a star if it excludes 0."""
    star = "*" if row["low"] > 0 or row["high"] < 0 else " "
    return f"{row['difference']:+.3f} ({row['low']:+.3f}, {row['high']:+.3f}){star}"


if __name__ == "__main__":
    sys.exit(main())
