"""Tables of samples in docs/results/sample.md: `make tables SETTING=002|reduced|full`. Takes hours, and resumes.

Each row is one experiment of `sample` with one seed. `kedro run` trains, samples and scores it in a separate folder
under data_tables/, named by the row's parameters, and does not run it again once its scores exist: delete the folder
after a change of code or of conf/. `--jobs` rows run at a time, each on its share of the cores, with their output in
run.log in their folders. After every row the program prints the tables and adds the scores, with the day, the machine
and the seconds, to the record docs/results/samples.csv; it writes the document from the record at the end, or with
`--write-only`; `--print-only` prints the tables and writes nothing. `--missing` skips rows that are in the record,
whatever machine ran them. The last step draws the figures of each table, for the rows with the first seed:
data_tables/SETTING/figures/TABLE/08_reporting.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
import yaml
from tqdm import tqdm

from fieldcast.atomic import write_atomically
from fieldcast.encoding.tensor_file import tensor_digest
from fieldcast.errors import counted
from fieldcast.fields.images import VALIDATION
from fieldcast.inference.samples.features import SHIPPED, stored_weights
from studies.feature_spaces import drawn_by, in_other_spaces
from studies.sample_tables import SETTINGS, TABLES, Parameters, Row, Table
from studies.welch import Runs, differences

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
DOCUMENT = ROOT / "docs" / "results" / "sample.md"
RECORD = ROOT / "docs" / "results" / "samples.csv"  # scores of all completed rows, one per line
RECORDED_AS = {"002": "report"}  # former names of settings, in samples.csv
STORE = ROOT / "data_tables"
IMAGES = 60_000  # size of the training sets of MNIST and Fashion-MNIST
SHARED = ("03_primary", "04_feature")  # layers that do not depend on the seed
PRIVATE = ("06_models", "07_model_output", "08_reporting")
# diagnostics that are printed beside the scores: those of noise, and of the features
DIAGNOSTICS = "fid_ceiling", "kid_ceiling", "accuracy"
Folders = Mapping[str, str | None]  # folder of the IDX files of each environment


@dataclass(frozen=True)
class Job:
    """A row with one seed, and its files."""

    setting: str
    table: Table
    row: Row
    seed: int

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of its experiment without the seed."""
        setting = SETTINGS[self.setting]
        params = {
            **setting.common,
            **setting.of.get(self.table.shares or self.table.name, {}),
            **self.row.params,
        }
        prefixes = ("sampling.", "ingestion.", f"sample.{self.row.experiment}.")
        return {key: value for key, value in params.items() if key.startswith(prefixes)}

    @property
    def source(self) -> dict[str, object]:
        """Parameters on which its data depend."""
        return {key: value for key, value in self.params.items() if key.startswith("ingestion.")}

    @property
    def folder(self) -> Path:
        return STORE / self.setting / self.name / f"seed_{self.seed}"

    @property
    def shared(self) -> Path:
        """Folder of data and features, shared with other rows."""
        return STORE / self.setting / self.table.env / f"data_{digest(self.source)}"

    @property
    def name(self) -> str:
        """Name in the record, a function of the parameters."""
        return f"{self.table.env}/{self.row.experiment}_{digest(self.params)}"

    @property
    def machine(self) -> Path:
        """File with the name of the machine that ran it."""
        return self.folder / "machine.txt"

    @property
    def seconds(self) -> Path:
        """File with the seconds that it took."""
        return self.folder / "seconds.txt"

    @property
    def scores(self) -> Path:
        return self.folder / "08_reporting" / "sample" / self.row.experiment / "scores.parquet"


def main() -> int:
    """Run missing rows, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", help=" or ".join(SETTINGS))
    parser.add_argument("--mnist", help="folder of the IDX files; by default they are downloaded")
    parser.add_argument("--fashion-mnist", help="folder of the IDX files; by default they are downloaded")
    parser.add_argument("--only", choices=[table.name for table in TABLES], help="one table")
    parser.add_argument("--missing", action="store_true", help="only rows that the record lacks")
    parser.add_argument("--print-only", action="store_true", help="run and write nothing: print the tables")
    parser.add_argument(
        "--write-only", action="store_true", help="run nothing: write the tables from the record"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="rows at a time (default: one per core)"
    )
    arguments = parser.parse_args()
    setting = arguments.setting
    if setting not in SETTINGS:
        renamed = [new for new, old in RECORDED_AS.items() if old == setting]
        parser.error(f"SETTING={setting}: give {renamed[0] if renamed else ' or '.join(SETTINGS)}")
    tables = [table for table in TABLES if arguments.only in (None, table.name) and table.of(setting)]
    folders = {"mnist": arguments.mnist, "fashion_mnist": arguments.fashion_mnist}
    folders = {name: folder and str(Path(folder).resolve()) for name, folder in folders.items()}
    pending = [job for job in all_jobs(setting, tables) if not job.scores.exists()]
    finished = [job for job in all_jobs(setting, TABLES) if job.scores.exists()]
    recorded = record([] if arguments.print_only else finished)
    if arguments.missing:
        pending = [job for job in pending if key(job) not in recorded.index]
    if arguments.print_only:
        sys.stdout.write("\n\n".join(page_parts(setting, recorded).values()) + "\n")
        return 0
    failed = []
    for job, well in side_by_side([] if arguments.write_only else pending, folders, max(1, arguments.jobs)):
        if well:
            recorded = record([job])
        else:
            failed.append(log_file(job.folder))
        sys.stdout.write("\n\n".join(text(setting, table, recorded) for table in tables) + "\n")
    if not arguments.write_only:
        undrawn = (table for table in tables if not draw(setting, table, folders))
        failed += [log_file(figures_of(setting, table)) for table in undrawn]
    document = DOCUMENT.read_text(encoding="utf-8")
    for mark, content in page_parts(setting, recorded).items():
        document = between_marks(document, mark, content)
    write_atomically(DOCUMENT, document)
    if failed:
        sys.stderr.write(
            f"{len(failed)} failed: for the reasons see {', '.join(failed)}. Then run the command again.\n"
        )
    return 1 if failed else 0


def page_parts(setting: str, recorded: pd.DataFrame) -> dict[str, str]:
    """Heading and tables of a setting, and in 002 what they show of the priors, by mark in the document."""
    tables = [text(setting, table, recorded) for table in TABLES if table.of(setting)]
    parts = {SETTINGS[setting].mark: "\n\n".join([heading(setting, recorded), *tables])}
    return parts | ({"002 in words": of_priors(recorded)} if setting == "002" else {})


def of_priors(recorded: pd.DataFrame) -> str:
    """An item of a list: differences of the four priors in the runs of setting 002."""
    priors, fit = (next(table for table in TABLES if table.name == name) for name in ("priors", "prior_fit"))
    scores, outside = (
        {
            row.experiment: list(recorded[of(recorded, "002", table, row)][score].dropna())
            for row in table.of("002")
        }
        for table, score in ((priors, "elbo"), (fit, "outside_prior"))
    )
    here = {name: Runs.of(values) for name, values in scores.items()}
    there = {row.experiment: Runs.from_text(row.reported, priors.reported_runs) for row in priors.rows}
    shares = ", ".join(f"{sum(v) / len(v):.3f} (`{name}`)" for name, v in outside.items() if v)
    seeds, fewer = (max(map(len, values.values()), default=0) for values in (scores, outside))
    paragraph = (
        "- **Priors, a latent with two components.** The report finds no significant impact, but by its own table, if "
        f"its ± is the standard deviation of its {priors.reported_runs} runs, the ELBO differs from that with a "
        f"Gaussian prior by {differences(there, 'vae')} [nats, ± standard error, Welch's test]. With the same budget "
        f"(setting `002`) and {counted(seeds, 'seed')} it differs by {differences(here, 'vae')}. The share of the "
        "test codes outside the prior's 95 % region, .05 for a prior that fits, is in the mean of "
        f"{counted(fewer, 'seed')} {shares}."
    )
    return textwrap.fill(
        paragraph, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def side_by_side(jobs: Sequence[Job], folders: Folders, abreast: int) -> Iterator[tuple[Job, bool]]:
    """Jobs as they end, each with its success; data are prepared first, once for all jobs that share them."""
    sources = {job.shared: job for job in jobs}.values()
    unprepared = {job.shared for job in sources if not prepare(job, folders)}
    yield from ((job, False) for job in jobs if job.shared in unprepared)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // abreast)))
    pool = ThreadPoolExecutor(abreast)
    try:
        ends = {pool.submit(run, job, folders): job for job in jobs if job.shared not in unprepared}
        for end in tqdm(as_completed(ends), total=len(ends), unit="row", disable=None):
            yield ends[end], end.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, which also reaches the running jobs


def prepare(job: Job, folders: Folders) -> bool:
    """Create the data and the features of a job unless they exist; return whether they do."""
    ready = (job.shared / "04_feature" / "extractor.safetensors").exists()
    job.shared.mkdir(parents=True, exist_ok=True)
    return ready or kedro(job, folders, {**job.source, "data_root": job.shared}, "ingestion,features")


def run(job: Job, folders: Folders) -> bool:
    """Run one experiment with one seed, on data and features that it shares with other rows; return its success."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for layer in SHARED:
        if not (job.folder / layer).is_symlink():
            (job.folder / layer).symlink_to(os.path.relpath(job.shared / layer, job.folder))
    job.machine.write_text(machine(), encoding="utf-8")
    begin = time.monotonic()
    params = {**job.params, "seed": job.seed, "data_root": job.folder}
    well = kedro(job, folders, params, "training,sampling,evaluation", f"sample.{job.row.experiment}")
    before = float(job.seconds.read_text(encoding="utf-8")) if job.seconds.exists() else 0.0
    job.seconds.write_text(f"{before + time.monotonic() - begin:.0f}", encoding="utf-8")
    return well


def figures_of(setting: str, table: Table) -> Path:
    """Folder of the figures of a table."""
    return STORE / setting / "figures" / table.name


def draw(setting: str, table: Table, folders: Folders) -> bool:
    """Write the report on the rows with the first seed, in a folder of links to theirs; return its success."""
    folder = figures_of(setting, table)
    jobs = [job for row in table.of(setting) if (job := Job(setting, table, row, 0)).scores.exists()]
    if not jobs or not prepare(jobs[0], folders):
        return not jobs
    links = {folder / layer: jobs[0].shared / layer for layer in SHARED}
    for job in jobs:
        for place in (f"{layer}/sample/{job.row.experiment}" for layer in PRIVATE):
            links[folder / place] = job.folder / place
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))
    params = {key: value for job in jobs for key, value in job.params.items()}
    return kedro(jobs[0], folders, {**params, "data_root": folder}, "reporting")


def kedro(job: Job, folders: Folders, params: Parameters, stages: str, namespace: str | None = None) -> bool:
    """Call `kedro run` for some stages; return its success."""
    path = folders[job.table.env]
    options = {**params, "ingestion.path": path} if path else params
    assignments = ",".join(f"{key}={value}" for key, value in options.items())
    program = str(Path(sys.executable).parent / "kedro")
    command = [program, "run", "--env", job.table.env, "--pipelines", stages]
    command += ["--params", assignments, *(["--namespaces", namespace] if namespace else [])]
    with (Path(str(params["data_root"])) / "run.log").open("a") as log:
        return subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode == 0


def log_file(folder: Path) -> str:
    """Path of the log of a run."""
    return str((folder / "run.log").relative_to(ROOT))


def all_jobs(setting: str, tables: Sequence[Table]) -> list[Job]:
    """Jobs of all rows with the first seed, then with the next; a job that two tables share appears once."""
    budget = SETTINGS[setting]
    jobs = (
        Job(setting, table, row, seed)
        for seed in range(budget.seeds)
        for table in tables
        if seed in budget.seeds_of(table)
        for row in table.of(setting)
    )
    return list({job.folder: job for job in jobs}.values())


def key(job: Job) -> tuple[str, str, int]:
    """Index of a job in the record."""
    return RECORDED_AS.get(job.setting, job.setting), job.name, job.seed


def record(jobs: Sequence[Job]) -> pd.DataFrame:
    """Record with the scores of these jobs in place of older ones: one line per row, one column per score."""
    index = ["setting", "row", "seed"]
    before = pd.read_csv(RECORD, index_col=index) if RECORD.exists() else pd.DataFrame()
    scores = {key(job): scores_of(job) for job in jobs}
    if not scores:
        return before
    new = pd.DataFrame(scores).T.rename_axis(index)
    new = new.join(pd.DataFrame([origin(job) for job in jobs], new.index))
    whole = pd.concat([before.drop(new.index, errors="ignore"), new]).sort_index()
    write_atomically(RECORD, whole.to_csv(float_format="%.6g"))
    return whole


def scores_of(job: Job) -> pd.Series:
    """Scores, half the 95 % interval of the ELBO and of KID (due to the choice of images), diagnostics, and the
    distances of Table `spaces` in other features."""
    scores = pd.read_parquet(job.scores).set_index("score")
    half = (scores["high"] - scores["low"]).reindex(["elbo", "kid"]).dropna().add_suffix("_half") / 2
    beside = {name: value for name, value in diagnostics_of(job).items() if name in DIAGNOSTICS}
    if job.table.name in ("quality", "spaces") and (drawn := drawn_by(job.folder, job.row.experiment)):
        beside |= in_other_spaces(drawn, job.seed)
    return pd.concat([scores["value"], half, pd.Series(beside, dtype=float)])


def diagnostics_of(job: Job) -> Mapping[str, Any]:
    """Attributes of the diagnostics of a row."""
    path = job.scores.with_name("diagnostics.zarr")
    return xr.open_zarr(path).attrs if path.exists() else {}


def origin(job: Job) -> dict[str, Any]:
    """Day of the scores, digest of the features, and machine and seconds if recorded."""
    day = datetime.fromtimestamp(job.scores.stat().st_mtime, UTC).strftime("%Y-%m-%d")
    noted = job.machine.read_text(encoding="utf-8") if job.machine.exists() else None
    seconds = float(job.seconds.read_text(encoding="utf-8")) if job.seconds.exists() else None
    features = diagnostics_of(job).get("weights")
    return {"made": day, "machine": noted, "seconds": seconds, "features": features}


def machine() -> str:
    """Name of this machine: its GPU if `nvidia-smi` lists one, otherwise its processor."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    installed = shutil.which(command[0]) is not None
    output = subprocess.run(command, capture_output=True, text=True, check=False).stdout if installed else ""
    return (output.splitlines() or [f"{os.cpu_count()} cores ({platform.machine()})"])[0]


def digest(params: Parameters) -> str:
    """Digest of parameters, part of the name of a folder, so that scores of other parameters are never reused."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]


def text(setting: str, table: Table, recorded: pd.DataFrame) -> str:
    """Table in Markdown: mean ± standard deviation over the available seeds."""
    scores = {row: recorded[of(recorded, setting, table, row)] for row in table.of(setting)}
    lines_of_record = pd.concat(list(scores.values()))
    classifiers = features_of(table, lines_of_record)
    if len(classifiers) > 1:
        return f"### {table.title}\n\n{two_classifiers(classifiers)}"
    lines = [
        f"### {table.title}",
        "",
        f"| {' | '.join(['experiment', *table.scores, 'seeds', 'reported'])} |",
    ]
    lines.append("|---" * (len(table.scores) + 3) + "|")
    for row, runs in scores.items():
        cells = [spread(runs.get(score, [])) for score in table.scores]
        name = ", ".join(filter(None, (f"`{row.experiment}`", row.label)))
        present = runs.reindex(columns=table.scores).notna()
        done = int((present.all(axis=1) if table.shares else present.any(axis=1)).sum())
        left = "running" if done < len(SETTINGS[setting].seeds_of(table)) else ""
        count = ", ".join(filter(None, (str(done), left))) if done else left
        lines.append(f"| {name} | {' | '.join(cells)} | {count} | {row.reported} |")
    sampling = elbo_uncertainty(table, lines_of_record)
    note = f"{table.notes} {budget(setting, table)}{sampling}{features_note(table, lines_of_record)}"
    return "\n".join([*lines, "", note, *welch_paragraph(table, scores)])


def welch_paragraph(table: Table, scores: Mapping[Row, pd.DataFrame]) -> list[str]:
    """Paragraph with Welch's t-test of the first score, here and in the report; empty for a table without `against`."""
    if not table.against:
        return []
    name = table.scores[0]
    here = {
        row.experiment: Runs.of(list(runs[name].dropna())) for row, runs in scores.items() if name in runs
    }
    there = {row.experiment: Runs.from_text(row.reported, table.reported_runs) for row in scores}
    parts = [
        f"{where}: {listed}"
        for where, listed in (
            ("here", differences(here, table.against)),
            (
                f"in the report, if its ± is the standard deviation of its {table.reported_runs} runs",
                differences(there, table.against),
            ),
        )
        if listed
    ]
    return (
        ["", f"Welch's t-test of `{name}` against `{table.against}` (± standard error), {'; '.join(parts)}."]
        if parts
        else []
    )


def features_of(table: Table, lines: pd.DataFrame) -> list[str]:
    """Digests of the classifiers in whose features the distances of a table are."""
    if not {"fid", "kid", "c2st"} & set(table.scores) or "features" not in lines:
        return []
    return sorted(set(lines["features"].dropna().astype(str)))


def two_classifiers(digests: Sequence[str]) -> str:
    """Sentence that refuses to compare distances in features of several classifiers."""
    return (
        f"Not printed: its distances are in features of {len(digests)} classifiers ({', '.join(digests)}), which no "
        "mean may mix; delete the folders of the older rows and run them again."
    )


def elbo_uncertainty(table: Table, lines: pd.DataFrame) -> str:
    """Sentence on the part of the ELBO's uncertainty that all rows share."""
    half = lines["elbo_half"].mean() if "elbo" in table.scores and "elbo_half" in lines else math.nan
    if math.isnan(half):
        return ""
    return (
        f" Each ELBO has a sampling uncertainty of ± {half:.1f} nats (95 %), shared by all rows because they use the "
        "same test images."
    )


def features_note(table: Table, lines: pd.DataFrame) -> str:
    """Sentence on the classifier whose features a distance uses."""
    features = lines.reindex(columns=["features", "accuracy"]).dropna()
    if "fid" not in table.scores or features.empty:
        return ""
    (name,) = features_of(table, lines)
    right = f"{features['accuracy'].astype(float).mean():.2%} of the test images"
    today = tensor_digest(stored_weights(SHIPPED / f"{table.env}.safetensors")[0])
    older = f"; the classifier of this version has the weights {today} and gives other values of FID and KID"
    return f" The classifier of the features is right on {right} (weights {name}{'' if name == today else older})."


def budget(setting: str, table: Table) -> str:
    """Training budget of the rows, from the setting or else from the environment."""
    spent: dict[str, dict[str, None]] = {}
    for row in table.of(setting):
        job = Job(setting, table, row, 0)
        steps, batch = steps_and_batch(job)
        training = f"{steps} steps of {batch} images, {counted(round(epochs_of(job)), 'epoch')}"
        spent.setdefault(training, {})[f"`{row.experiment}`"] = None
    several = len(spent) > 1
    trainings = [
        f"{training} ({', '.join(names)})" if several else training for training, names in spent.items()
    ]
    return f"Trained for at most {'; '.join(trainings)}."


def steps_and_batch(job: Job) -> tuple[int, int]:
    """Steps of the training of a row, at most, and its number of images in a step."""
    fits = yaml.safe_load((CONF / job.table.env / "parameters_fit.yml").read_text(encoding="utf-8"))["sample"]
    fit = fits[job.row.experiment]["fit"]
    return job.params.get(f"sample.{job.row.experiment}.fit.steps", fit["steps"]), fit["batch"]


def epochs_of(job: Job) -> float:
    """Passes of the training of a row over its images, at most."""
    steps, batch = steps_and_batch(job)
    given = job.params.get("ingestion.images.train", IMAGES)
    return steps * batch / (given - job.params.get("ingestion.images.validation", given * VALIDATION))


def of(recorded: pd.DataFrame, setting: str, table: Table, row: Row) -> list[bool]:
    """Mask of the lines of the record that belong to a row, with any of its seeds."""
    keys = {key(Job(setting, table, row, seed)) for seed in SETTINGS[setting].seeds_of(table)}
    return [line in keys for line in recorded.index]


def spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation, rounded to the precision of the latter."""
    present = [value for value in values if not math.isnan(value)]
    if not present:
        return "-"
    if not all(map(math.isfinite, present)):
        return "not finite"
    mean = sum(present) / len(present)
    deviation = pd.Series(present).std() if len(present) > 1 else math.nan
    size = deviation if deviation > 0 else abs(mean) / 100
    digits = min(max(0, 1 - math.floor(math.log10(size))), 5) if size > 0 else 0
    return f"{mean:.{digits}f}" + (f" ± {deviation:.{digits}f}" if not math.isnan(deviation) else "")


def heading(setting: str, recorded: pd.DataFrame) -> str:
    """Setting, command, machine, days and time of the rows in the record."""
    jobs = all_jobs(setting, TABLES)
    columns = ["machine", "made", "seconds"]
    lines = recorded[recorded.index.isin([key(job) for job in jobs])].reindex(columns=columns)
    machines = " and ".join(sorted(set(lines["machine"].astype(object).fillna("an unrecorded machine"))))
    days = sorted(set(lines["made"]))
    how = [f"`make tables SETTING={setting}`", machines, " to ".join([*days[:1], *days[1:][-1:]])]
    left = len(jobs) - len(lines)
    so_far = f" Not yet complete: {left} runs are missing, each of one row with one seed." if left else ""
    begun = set(recorded.index.get_level_values("setting")) if len(recorded) else set()
    unrun = [
        SETTINGS[name].description
        for name in SETTINGS
        if RECORDED_AS.get(name, name) not in begun and setting == "reduced"
    ]
    never = [f"\n\nNever run: the setting {description}." for description in unrun]
    spent = lines["seconds"].dropna().astype(float)
    took = f" The {len(spent)} rows with a recorded time took {spent.sum() / 60:.0f} minutes in total."
    return (
        f"Setting {SETTINGS[setting].description}. Mean ± standard deviation over training seeds.{so_far}\n\n"
        f"{', '.join(filter(None, how))}.{took if len(spent) else ''}{''.join(never)}"
    )


def between_marks(document: str, mark: str, tables: str) -> str:
    """Document with these tables between its marks of that name."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, begun, rest = document.partition(begin)
    _, ended, after = rest.partition(end)
    if not (begun and ended):
        sys.exit(f"{DOCUMENT.name} lacks the marks {begin} and {end} that enclose the tables.")
    return f"{before}{begin}\n{tables}\n{end}{after}"


if __name__ == "__main__":
    sys.exit(main())
