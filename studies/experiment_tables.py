"""Tables of docs/results/reconstruct.md and forecast.md: `make tables SETTING=planet|sea_level_pressure|winter`.

Takes hours, and can be done in pieces, on several machines. Each experiment of a setting is one `kedro run`, all in one
data root, the classical ones first; one whose scores exist is not run again: delete the data root after a change of
code or of conf/. After each, its rows of the leaderboard replace those in the record, docs/results/SETTING_TASK.csv,
its long rollout those in SETTING_rollouts.csv, and a line in runs.csv says when and where it ran, from which commit and
for how long, and whether a time limit ended its training. The tables in the document are written from the record;
`--write-only` does that alone, and `--print-only` prints them and writes nothing. `--only` runs some experiments,
`--missing` those that the record lacks.

Paired differences need the reference and skill the climatological ensemble in the same data root, so these always run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from fieldcast.atomic import write_atomically
from fieldcast.experiments import Experiment, experiments
from fieldcast.lineage import code, with_present_columns
from fieldcast.scores.stability import stability_horizons
from fieldcast.scores.summary import forecast_table, reconstruct_summary
from studies.make_tables import CONF, ROOT, between_marks, machine

DOCUMENTS = ROOT / "docs" / "results"
RECORD = ROOT / "docs" / "results"
STORE = ROOT / "data_tables"
LIMIT_MESSAGE = "fit.max_minutes:"  # beginning of the log message that a time limit ended a training
# roles of experiments that always run: others are compared with them
BASELINE_ROLES = "reference", "climatology"


@dataclass(frozen=True)
class Setting:
    """A record of weather, and the tasks whose experiments run on it."""

    name: str
    env: str = "base"
    file: str = ""  # name of the file that the user gives as --path
    without: tuple[str, ...] = ()  # experiments that cannot run on this record, or would take a day
    tasks: tuple[str, ...] = ("reconstruct", "forecast")
    options: tuple[str, ...] = ()  # parameters, KEY=VALUE, that differ from those of the environment

    @property
    def root(self) -> Path:
        """Data root of all its experiments."""
        return STORE / self.name

    def command(self, pipelines: str, path: str) -> list[str]:
        """The command that runs pipelines."""
        params = {"data_root": str(self.root)} | ({"ingestion.path": path} if self.file else {})
        assigned = ",".join([*(f"{key}={value}" for key, value in params.items()), *self.options])
        return [
            "run",
            "--env",
            self.env,
            "--pipelines",
            pipelines,
            "--params",
            assigned,
        ]


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("planet"),
        Setting("sea_level_pressure", "netcdf", "ncep_slp_daily_2.5deg.nc", ("perfect_model",)),
        Setting(
            "winter",
            "netcdf",
            "era5_djf_2.5deg.nc",
            ("diffusion", "guided_diffusion"),
            ("reconstruct",),
            # few, because each solves for up to 10 000 observations
            ("reconstruct.corrected_interpolation.fit.steps=400",),
        ),
    )
}
SECONDS = "seconds.csv"  # file in a data root with the time of each run that this script has started
# rows of the leaderboard that summaries show: a column and its values
SUMMARY_ROWS = {"reconstruct": ("cells", ("unobserved",)), "forecast": ("region", ("globe", "domain"))}


def main() -> int:
    """Run experiments, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--path", default="", help="the file of the setting")
    parser.add_argument("--only", nargs="*", help="addresses of experiments, such as forecast.vae")
    parser.add_argument("--missing", action="store_true", help="only experiments that the record lacks")
    parser.add_argument("--print-only", action="store_true", help="run and write nothing: print the tables")
    parser.add_argument(
        "--write-only", action="store_true", help="run nothing: write the tables from the record"
    )
    arguments = parser.parse_args()
    setting = SETTINGS[arguments.setting]
    if arguments.print_only:
        sys.stdout.writelines(f"{text(setting, task)}\n" for task in recorded_tasks(setting))
        return 0
    if setting.file and not arguments.path and not arguments.write_only:
        parser.error(f"give the file {setting.file} of this setting: --path FILE")
    failed = []
    for experiment in (
        [] if arguments.write_only else experiments_to_run(setting, arguments.only, arguments.missing)
    ):
        address = experiment.address
        if not scores_of(setting, address).exists() and not run(setting, address, arguments.path):
            failed.append(address)
            continue
        record(setting, experiment)
        write(setting)
    write(setting)
    if failed:
        log = (setting.root / "run.log").relative_to(ROOT)
        sys.stderr.write(f"failed: {', '.join(failed)}; see {log}, then run the command again.\n")
    return 1 if failed else 0


def experiments_to_run(setting: Setting, only: Sequence[str] | None, missing: bool) -> Iterator[Experiment]:
    """Experiments to run: references first, then classical models, then learned ones."""
    recorded = set(zip(runs(setting)["task"], runs(setting)["experiment"], strict=True)) if missing else set()
    listed = [each for each in experiments(CONF).values() if each.task in setting.tasks]
    listed = [each for each in listed if each.name not in setting.without]
    for each in sorted(
        listed, key=lambda each: (each.about.role not in BASELINE_ROLES, each.about.family == "learned")
    ):
        requested = only is None or each.address in only
        if each.about.role in BASELINE_ROLES or (requested and (each.task, each.name) not in recorded):
            yield each


def scores_of(setting: Setting, address: str) -> Path:
    """Statistics of an experiment."""
    return setting.root / "08_reporting" / address.replace(".", "/") / "scores.parquet"


def run(setting: Setting, address: str, path: str) -> bool:
    """Run one experiment to its report; return the success."""
    setting.root.mkdir(parents=True, exist_ok=True)
    program = str(Path(sys.executable).parent / "kedro")
    begin = time.perf_counter()
    with (setting.root / "run.log").open("a") as log:
        succeeded = all(
            subprocess.run(
                [program, *setting.command(pipeline, path)], cwd=ROOT, stdout=log, stderr=log, check=False
            ).returncode
            == 0
            for pipeline in (address, "reporting")
        )
    with (setting.root / SECONDS).open("a") as file:
        file.write(f"{address},{time.perf_counter() - begin:.1f}\n")
    return succeeded


def record(setting: Setting, experiment: Experiment) -> None:
    """Add the scores of an experiment to the record, in place of earlier ones."""
    reporting, task, name = setting.root / "08_reporting", experiment.task, experiment.name
    board = with_present_columns(pd.read_csv(reporting / f"leaderboard_{task}.csv"))
    column, values = SUMMARY_ROWS[task]
    rows = board[(board["experiment"] == name) & (board["variable"] == "all") & board[column].isin(values)]
    merge(RECORD / f"{setting.name}_{task}.csv", rows, ["experiment"])
    if task == "forecast":
        steps = setting.root / "07_model_output" / "forecast" / name / "stability.csv"
        if steps.exists():  # the perfect model has no long rollout
            horizons = stability_horizons({name: pd.read_csv(steps)})
            merge(RECORD / f"{setting.name}_rollouts.csv", horizons, ["experiment"])
    line = {
        "setting": setting.name,
        "task": task,
        "experiment": name,
        "data_digest": rows["data_digest"].iloc[0],
        "commit": code()["commit"],
        "machine": machine(),
        "day": datetime.now(UTC).strftime("%Y-%m-%d"),
        "seconds": round(seconds_of(setting, experiment.address)),
        "time_limit": was_cut(setting, experiment.address),
    }
    merge(RECORD / "runs.csv", pd.DataFrame([line]), ["setting", "task", "experiment"])


def seconds_of(setting: Setting, address: str) -> float:
    """Time of all runs that an experiment took, for one that was interrupted is resumed."""
    table = pd.read_csv(setting.root / SECONDS, names=["experiment", "seconds"])
    return float(table.loc[table["experiment"] == address, "seconds"].sum())


def was_cut(setting: Setting, address: str) -> bool:
    """Whether a time limit ended the training of an experiment, by the log of its last run."""
    log = setting.root / "run.log"
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    _, fit, last = text.rpartition(f"{address}.training.fit")
    return bool(fit) and LIMIT_MESSAGE in last.partition(".evaluation.")[0]


def merge(file: Path, rows: pd.DataFrame, keys: list[str]) -> None:
    """Put rows into a table of the record, in place of those with the same keys or of other data."""
    table = pd.read_csv(file) if file.exists() else rows.iloc[:0]
    if "data_digest" in rows and "setting" not in rows and len(rows):
        table = table[table["data_digest"] == rows["data_digest"].iloc[0]]
    old = pd.MultiIndex.from_frame(table[keys]).isin(pd.MultiIndex.from_frame(rows[keys]))
    whole = pd.concat([table[~old], rows]).sort_values(keys, kind="stable")
    file.parent.mkdir(exist_ok=True)
    write_atomically(file, whole.to_csv(index=False, float_format="%.5g"))


def runs(setting: Setting) -> pd.DataFrame:
    """Lines of the record about the runs of a setting."""
    file = RECORD / "runs.csv"
    table = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["setting", "task", "experiment"])
    return table[table["setting"] == setting.name]


def write(setting: Setting) -> None:
    """Write the tables of a setting into the document of each task."""
    for task in recorded_tasks(setting):
        document = DOCUMENTS / f"{task}.md"
        page = document.read_text(encoding="utf-8")
        write_atomically(document, between_marks(page, f"{setting.name} {task}", text(setting, task)))


def recorded_tasks(setting: Setting) -> list[str]:
    """Tasks of a setting that have scores in the record."""
    return [task for task in setting.tasks if (RECORD / f"{setting.name}_{task}.csv").exists()]


def text(setting: Setting, task: str) -> str:
    """The tables of a task, where they were computed, and which experiments are missing."""
    board = pd.read_csv(RECORD / f"{setting.name}_{task}.csv")
    if task == "reconstruct":
        tables = reconstruct_summary(board)
    else:
        tables = forecast_table(board, pd.read_csv(RECORD / f"{setting.name}_rollouts.csv"))
    lines = runs(setting).query("task == @task")
    days, machines = sorted(lines["day"]), " and ".join(sorted(set(lines["machine"])))
    where = f"`make tables SETTING={setting.name}`, {machines}, {' to '.join(dict.fromkeys([days[0], days[-1]]))}."
    where += f" The {len(lines)} experiments took {lines['seconds'].sum() / 60:.0f} minutes in total."
    if setting.options:
        where += f" Options: {', '.join(setting.options)}."
    limited = sorted(lines[lines["time_limit"]]["experiment"])
    if limited:
        where += f" A time limit ended the training of {', '.join(limited)}."
    names = {each.name for each in experiments(CONF).values() if each.task == task}
    absent = sorted(names - set(lines["experiment"]))
    if absent:
        where += f" Not run: {', '.join(absent)}."
    return f"{where}\n\n```\n{tables}\n```"


if __name__ == "__main__":
    sys.exit(main())
