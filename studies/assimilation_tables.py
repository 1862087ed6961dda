"""The table of docs/results/assimilate.md: `make tables SETTING=assimilate`. Takes hours, and resumes row by row.

A row is one observing network: the fractions observed, or one change from 5 % of random cells with the
right error. The planet, the forecast model and the filters are those of one data root, `--trained`; without it they are
trained in data_tables/assimilate/trained. Each row links to them, and cycles and scores filters in a folder of its own,
the least costly filters first; what has scores is not run again, and its draws are deleted. After each the program adds
its scores to the record docs/results/assimilation.csv and writes the document from it; `--write-only` does that
alone, `--print-only` prints the tables and writes nothing, `--only` runs some rows and `--filters` some filters. The
row `another planet` observes a planet with other parameters, which the forecast model and the filters were not trained
on; it uses `fieldcast.cycle`, as for a record of one's own.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import xarray as xr
import yaml

import fieldcast
from fieldcast.atomic import write_atomically
from fieldcast.geometry import cell_areas
from fieldcast.lineage import with_present_columns
from fieldcast.scores.leaderboard import ASSIMILATE, leaderboard
from fieldcast.scores.stability import step_statistics
from studies.make_tables import CONF, ROOT, between_marks

DOCUMENT = ROOT / "docs" / "results" / "assimilate.md"
RECORD = ROOT / "docs" / "results" / "assimilation.csv"  # scores of all completed rows
# statistics of the analyses of each day of a year
DAILY_RECORD = ROOT / "docs" / "results" / "assimilation_year.csv"
STORE = ROOT / "data_tables" / "assimilate"
MARK = "assimilation"
CHECKPOINT = "checkpoint.safetensors"
DAILY_MARK = "assimilation-year"
YEAR = 365  # days
SEASONS = 4  # equal parts of the year
DAYS_OF_A_MEAN = 15  # means of the regression on time: successive days depend on each other
ENV = "demo"
# folders of the trained data root that rows share
SHARED_FOLDERS = ("03_primary", "04_feature/event_thresholds.zarr", "06_models")
INDEX = ["row", "k", "experiment"]
WITHOUT_INTERVAL = ("ssr", "chi_squared", "observation_error")
SCORES = ("crps", "rmse", *WITHOUT_INTERVAL)
# filters, the least costly first
BY_COST = (
    "optimal_interpolation",
    "lim_filter",
    "hybrid",
    "free_run",
    "letkf",
    "perfect_letkf",
    "guided_diffusion",
)
COMPARED_FILTERS = ("optimal_interpolation", "lim_filter", "hybrid", "letkf")
ROLES = {"reference": "optimal_interpolation", "bound": "perfect_letkf"}
TRAINING = {"assimilation.calibration.cycles": 16, "ingestion.quantities": "none"}


@dataclass(frozen=True)
class Row:
    """One observing network: its differences from 5 % of random cells, and the filters that cycle with it."""

    name: str
    filters: tuple[str, ...] = COMPARED_FILTERS
    assimilation: Mapping[str, object] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    planet: Mapping[str, float] = field(default_factory=dict)  # parameters of another planet

    @property
    def folder(self) -> Path:
        return STORE / self.name.replace(" ", "_").replace("%", "percent").replace(",", "")

    @property
    def options(self) -> dict[str, object]:
        """Parameters `assimilation`: 240 scored steps, and no forecasts from the analyses but one."""
        usual = {"steps": 240, "cases": {"random": [0.05]}, "forecast_every": 1000, "forecast_steps": 1}
        return {**usual, **self.assimilation}


ROWS = (
    Row("k", (*COMPARED_FILTERS, "perfect_letkf"), {"cases": {"random": [0.01, 0.02, 0.05, 0.1]}}),
    Row("stations", COMPARED_FILTERS, {"cases": {"random": [], "stations": [0.05]}}),
    Row("swaths", COMPARED_FILTERS, {"cases": {"random": [], "swaths": [0.05]}}),
    Row("half the error assumed", COMPARED_FILTERS, {"assumed_error": 0.5}),
    Row("twice the error assumed", COMPARED_FILTERS, {"assumed_error": 2.0}),
    Row("5 % gross errors", COMPARED_FILTERS, {"gross_errors": 0.05}),
    *(Row(f"seed {seed}", ("hybrid",), {}, {"sparsification.seed": seed}) for seed in (1, 2, 3)),
    Row("a year", ("hybrid", "free_run", "letkf"), {"steps": YEAR}),
    Row("each day by itself, 32 days", ("optimal_interpolation", "guided_diffusion"), {"steps": 32}),
    Row("another planet", planet={"jet_winter": 54.0, "jet_summer": 46.0, "drag": 3.0, "relaxation": 25.0}),
)
MEMBERS = 24


def main() -> int:
    """Run missing rows, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trained", help="a data root of the environment demo with its filters")
    parser.add_argument("--only", nargs="*", choices=[row.name for row in ROWS], help="some rows")
    parser.add_argument("--filters", nargs="*", help="some filters of the rows")
    parser.add_argument("--print-only", action="store_true", help="run and write nothing: print the tables")
    parser.add_argument(
        "--write-only", action="store_true", help="run nothing: write the tables from the record"
    )
    arguments = parser.parse_args()
    if arguments.print_only:
        sys.stdout.write("\n\n".join(tables(update_record()).values()) + "\n")
        return 0
    trained = Path(arguments.trained).resolve() if arguments.trained else STORE / "trained"
    jobs = [(row, name) for name in BY_COST for row in ROWS if name in row.filters]
    failed = []
    for row, name in [] if arguments.write_only else jobs:
        if row.name not in (arguments.only or [row.name]) or name not in (arguments.filters or [name]):
            continue
        run_row = run_on_another_planet if row.planet else run
        if scores_of(row, name).exists() or run_row(row, name, trained):
            write(update_record(row))
        else:
            failed.append(f"{row.name}, {name} (see {row.folder / 'run.log'})")
    write(update_record())
    if failed:
        sys.stderr.write(f"failed: {'; '.join(failed)}. Then run the command again.\n")
    return 1 if failed else 0


def scores_of(row: Row, name: str) -> Path:
    """Statistics of a filter."""
    return row.folder / "08_reporting" / "assimilate" / name / "scores.parquet"


def run(row: Row, name: str, trained: Path) -> bool:
    """Cycle one filter with the observing network of a row, score its analyses, and delete them; return the success."""
    address = f"assimilate.{name}"
    if not train(row, name, trained):
        return False
    for shared in SHARED_FOLDERS:
        link = row.folder / shared
        if not link.is_symlink():
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(trained / shared, link.parent))
    params = {**TRAINING, **row.params, "data_root": row.folder}
    conf = row_configuration(row)
    well = kedro(row.folder, params, conf, "observing_network") and kedro(
        row.folder, params, conf, "assimilation,evaluation", address
    )
    if well and row.options["steps"] == YEAR:
        write_atomically(
            DAILY_RECORD, daily_record(name, daily_statistics(row, name, trained)).to_csv(float_format="%.5g")
        )
    shutil.rmtree(row.folder / "07_model_output" / "assimilate" / name, ignore_errors=True)
    return well


def daily_statistics(row: Row, name: str, trained: Path) -> pd.DataFrame:
    """Standard deviation and power at short waves of the members of each day's analysis, over those of the truth."""
    codec = fieldcast.load(
        trained / "06_models" / "reconstruct" / ROLES["reference"] / CHECKPOINT
    ).checkpoint.field_codec
    draws = row.folder / "07_model_output" / "assimilate" / name / "draws.zarr"
    with xr.open_zarr(draws) as stored, xr.open_zarr(row.folder / "03_primary" / "fields.zarr") as fields:
        analyses = stored.sel(state="analysis").isel(case=0, time=slice(-YEAR, None))
        area = cell_areas(fields["latitude"].values, fields["longitude"].values)
        lines = []
        for day in analyses["time"].values:
            x = codec.encode(analyses.sel(time=[day]).load()).numpy().swapaxes(0, 1)
            truth = codec.encode(fields.sel(time=[day]).load()).numpy()
            members, true = (step_statistics(each, truth, area) for each in (x, truth[:, None]))
            lines.append((members["std"] / true["std"], members["spectrum_ratio"]))
    return pd.DataFrame(
        lines, columns=["deviation", "short_waves"], index=pd.RangeIndex(1, YEAR + 1, name="day")
    )


def daily_record(name: str, statistics: pd.DataFrame | None = None) -> pd.DataFrame:
    """The record of daily statistics, with those of a filter in place of older ones."""
    before = (
        pd.read_csv(DAILY_RECORD, index_col=["experiment", "day"])
        if DAILY_RECORD.exists()
        else pd.DataFrame()
    )
    if statistics is None:
        return before
    others = before if before.empty else before.drop(name, level="experiment", errors="ignore")
    return pd.concat([others, pd.concat({name: statistics}, names=["experiment"])]).sort_index()


def train(row: Row, name: str, trained: Path) -> bool:
    """Train a filter, with the forecast model that it uses, unless it has a checkpoint; return the success."""
    row.folder.mkdir(parents=True, exist_ok=True)
    params = {**TRAINING, "data_root": trained}
    return is_trained(name, trained) or kedro(row.folder, params, CONF, f"assimilate.{name}")


def is_trained(name: str, trained: Path) -> bool:
    """Whether a filter, or the reconstruction that draws each analysis by itself, has a checkpoint."""
    models = trained / "06_models"
    return any((models / task / name / CHECKPOINT).exists() for task in ("assimilate", "reconstruct"))


def run_on_another_planet(row: Row, name: str, trained: Path) -> bool:
    """Cycle one filter over observations of another planet, and score its analyses; return the success."""
    planet = {f"ingestion.planet.{key}": value for key, value in row.planet.items()}
    params = {**planet, "data_root": row.folder}
    if not (
        train(row, name, trained)
        and kedro(row.folder, params, row_configuration(row), "ingestion,observing_network")
    ):
        return False
    primary = "03_primary/fields.zarr"
    with (
        xr.open_zarr(row.folder / "04_feature/cycle_observations.zarr") as observations,
        xr.open_zarr(row.folder / primary) as fields,
        xr.open_zarr(trained / primary) as training,
    ):
        observed = (
            observations[[name for name in training.data_vars if "time" in training[name].dims]]
            .isel(case=0, drop=True)
            .load()
        )
        scored = slice(observations.attrs["spin_up"], None)
        truth = fields.sel(time=observed["time"][scored]).load()
        analyses = analyses_of(name, trained, observed).isel(time=scored)
        table = fieldcast.score(
            truth,
            analyses,
            task="reconstruct",
            observed=observed.isel(time=scored),
            training=training,
            name=name,
        )
    scores_of(row, name).parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(scores_of(row, name))
    return True


def analyses_of(name: str, trained: Path, observed: xr.Dataset) -> xr.Dataset:
    """Analyses by a filter; optimal interpolation analyses each time by itself."""
    models = trained / "06_models"
    if name == ROLES["reference"]:
        interpolation = fieldcast.load(models / "reconstruct" / name / CHECKPOINT)
        return interpolation.fill(observed, members=MEMBERS, noise=0.1)
    forecaster, updater = (
        fieldcast.load(models / each / CHECKPOINT)
        for each in ("forecast/crps_ensemble", f"assimilate/{name}")
    )
    members = updater.checkpoint.model.ensemble_size or MEMBERS
    return fieldcast.cycle(forecaster, updater, observed, members=members, withheld=0.0)


def row_configuration(row: Row) -> Path:
    """A copy of conf/ with the options of a row."""
    folder = row.folder / "conf"
    shutil.copytree(CONF, folder, dirs_exist_ok=True)
    file = folder / ENV / "parameters_row.yml"
    file.write_text(yaml.safe_dump({"assimilation": dict(row.options)}), encoding="utf-8")
    return folder


def kedro(
    log: Path, params: Mapping[str, object], conf: Path, pipelines: str, namespace: str | None = None
) -> bool:
    """Call `kedro run`; return its success."""
    assignments = ",".join(f"{key}={value}" for key, value in params.items())
    command = [str(Path(sys.executable).parent / "kedro"), "run", "--env", ENV, "--conf-source", str(conf)]
    command += ["--pipelines", pipelines, "--params", assignments]
    command += ["--namespaces", namespace] if namespace else []
    with (log / "run.log").open("a") as file:
        return subprocess.run(command, cwd=ROOT, stdout=file, stderr=file, check=False).returncode == 0


def update_record(row: Row | None = None) -> pd.DataFrame:
    """The record, with the scores of a row in place of older ones."""
    before = pd.read_csv(RECORD, dtype={"k": str}).set_index(INDEX) if RECORD.exists() else pd.DataFrame()
    new = pd.DataFrame() if row is None else board(row)
    if new.empty:
        return before
    whole = pd.concat([before.drop(new.index, errors="ignore"), new]).sort_index()
    write_atomically(RECORD, whole.to_csv(float_format="%.4g"))
    return whole


def board(row: Row) -> pd.DataFrame:
    """Scores over all variables: of analyses at unobserved cells, and of the innovations."""
    files = {name: scores_of(row, name) for name in row.filters}
    tables = {
        name: with_present_columns(pd.read_parquet(file)) for name, file in files.items() if file.exists()
    }
    if not tables:
        return pd.DataFrame()
    if row.planet:
        table = pd.concat(tables.values(), ignore_index=True).assign(k=0.05)
        selected = table[(table["variable"] == "all") & (table["cells"] == "unobserved")]
    else:
        data, scored = next(iter(tables.values())).iloc[0][["data_digest", "case_digest"]]
        table = leaderboard(tables, data, scored, layout=ASSIMILATE, roles=ROLES)
        analysis = (table["state"] == "analysis") & (table["cells"] == "unobserved")
        selected = table[(table["variable"] == "all") & (analysis | (table["cells"] == "observed"))]
    selected = selected[selected["score"].isin(SCORES)].assign(
        row=row.name, k=selected["k"].map("{:g}".format)
    )
    wide = selected.pivot_table(index=INDEX, columns="score", values=["value", "low", "high"])
    wide.columns = [score if part == "value" else f"{score}_{part}" for part, score in wide.columns]
    return wide


def write(record: pd.DataFrame) -> None:
    """Put the tables between their marks in the document."""
    document = DOCUMENT.read_text(encoding="utf-8")
    for mark, content in tables(record).items():
        document = between_marks(document, mark, content)
    write_atomically(DOCUMENT, document)


def tables(record: pd.DataFrame) -> dict[str, str]:
    """The tables that have rows, by mark."""
    daily = daily_record("")
    recorded = {MARK: (record, text), DAILY_MARK: (daily, stability_text)}
    return {mark: table(rows) for mark, (rows, table) in recorded.items() if len(rows)}


def stability_text(daily: pd.DataFrame) -> str:
    """Table of a year in Markdown: means of each part of the year, and the trend of the standard deviation."""
    heads = [
        "filter",
        "standard deviation / truth, by quarter",
        "change over the year",
        "short waves / truth, by quarter",
    ]
    lines = head_lines(heads)
    for name, table in daily.groupby(level="experiment"):
        deviation, short_waves = (table[column].to_numpy() for column in ("deviation", "short_waves"))
        parts = [
            ", ".join(f"{part.mean():.3f}" for part in np.array_split(values, SEASONS))
            for values in (deviation, short_waves)
        ]
        means = deviation[: YEAR // DAYS_OF_A_MEAN * DAYS_OF_A_MEAN].reshape(-1, DAYS_OF_A_MEAN).mean(1)
        fit = scipy.stats.linregress(np.arange(len(means)) / len(means), means)
        trend = f"{fit.slope:+.3f} ± {1.96 * fit.stderr:.3f}"
        lines.append(f"| `{name}` | {parts[0]} | {trend} | {parts[1]} |")
    return "\n".join(lines)


def text(record: pd.DataFrame) -> str:
    """The table in Markdown, and the rows that are missing."""
    heads = [
        "network",
        "k",
        "filter",
        "fair CRPS",
        "RMSE",
        "spread-skill",
        "chi-squared",
        "inferred error",
        "RMSE skill",
    ]
    lines = head_lines(heads)
    missing = []
    for row in ROWS:
        of_row = record[record.index.get_level_values("row") == row.name]
        present = set(of_row.index.get_level_values("experiment"))
        if absent := [name for name in row.filters if name not in present]:
            missing.append(f"{row.name} ({', '.join(absent)})")
        for (_, k, name), scores in of_row.iterrows():
            cells = [interval(scores, "crps"), interval(scores, "rmse")]
            cells += [number(scores.get(score)) for score in WITHOUT_INTERVAL]
            cells.append(number(skill(of_row["rmse"].xs(k, level="k").droplevel("row"), name)))
            share = f"{100 * float(k):g} %"
            lines.append(
                f"| {row.name.removesuffix(', cycled')} | {share} | `{name}` | {' | '.join(cells)} |"
            )
    rest = f"\n\nNot run: {'; '.join(missing)}." if missing else ""
    return "\n".join(lines) + rest


def head_lines(heads: list[str]) -> list[str]:
    """The first two lines of a table in Markdown."""
    return [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]


def skill(rmse: pd.Series, name: str) -> float:
    """(RMSE_OI - RMSE) / (RMSE_OI - RMSE_perfect) of a filter, given all RMSEs; NaN for these two, and without them."""
    reference, bound = (rmse.get(ROLES[role], math.nan) for role in ("reference", "bound"))
    return math.nan if name in ROLES.values() else (reference - rmse[name]) / (reference - bound)


def number(value: float | None) -> str:
    """A score with three decimals; a dash if there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"


def interval(scores: pd.Series, score: str) -> str:
    """A score with its 95 % interval, if there are days enough for one."""
    low, high = (scores.get(f"{score}_{end}", math.nan) for end in ("low", "high"))
    return number(scores.get(score)) + ("" if math.isnan(low) else f" ({number(low)} to {number(high)})")


if __name__ == "__main__":
    sys.exit(main())
