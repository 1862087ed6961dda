"""The tables of samples in docs/tables.md: `make tables SETTING=reduced|full`. Long; goes on where it was cut.

Each row is one experiment of `sample` with one seed, trained, sampled and scored by `kedro run` in a folder of its
own under data_tables/, named by the parameters that it sets, and is not run again once its scores are there: delete
the folder after a change of code or of conf/. Rows run side by side, `--jobs` of them, each on its share of the cores;
what they say goes to run.log in their folders. After every row the tables are printed, and its scores, with the day,
the machine and the seconds, go to the record, docs/samples.csv; from that the document is written at the end or by
`--print-only`. With `--missing` rows that stand in the record are not run again, wherever they were run. At the end the
figures of each table, of its rows with the first seed, are drawn: data_tables/SETTING/figures/TABLE/08_reporting.
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
from sample_tables import LENDERS, SETTINGS, TABLES, Parameters, Row, Table
from tqdm import tqdm

from fieldcast.fields.images import VALIDATION

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
DOCUMENT = ROOT / "docs" / "tables.md"
RECORD = ROOT / "docs" / "samples.csv"  # scores of all rows that were run, one a line
STORE = ROOT / "data_tables"
IMAGES = 60_000  # of the training set of MNIST, and of Fashion-MNIST
SHARED = ("01_raw", "02_intermediate", "03_primary", "04_feature")  # what no seed changes
OWN = ("06_models", "07_model_output", "08_reporting")
BESIDE = (
    "fid_ceiling",
    "kid_ceiling",
    "accuracy",
)  # of noise, and of the features: they stand beside the scores
BEGIN, END = "<!-- samples: begin -->", "<!-- samples: end -->"

Folders = Mapping[str, str | None]  # of the IDX files of each environment


@dataclass(frozen=True)
class Job:
    """A row with one seed, and where it lives."""

    setting: str
    table: Table
    row: Row
    seed: int

    @property
    def experiments(self) -> tuple[str, ...]:
        """The row's own, after the one whose weights it draws with."""
        name = self.row.experiment
        return (LENDERS[name], name) if name in LENDERS else (name,)

    @property
    def params(self) -> dict[str, object]:
        """What is asked, but for the seed: only what concerns its experiment."""
        setting = SETTINGS[self.setting]
        given = {**setting.common, **setting.of.get(self.table.name, {}), **self.row.params}
        mine = ("sampling.", "ingestion.", *(f"sample.{name}." for name in self.experiments))
        return {key: value for key, value in given.items() if key.startswith(mine)}

    @property
    def source(self) -> dict[str, object]:
        """What its data depend on."""
        return {key: value for key, value in self.params.items() if key.startswith("ingestion.")}

    @property
    def folder(self) -> Path:
        return STORE / self.setting / self.name / f"seed_{self.seed}"

    @property
    def shared(self) -> Path:
        """Data and features, the same for other rows."""
        return STORE / self.setting / self.table.env / f"data_{digest(self.source)}"

    @property
    def name(self) -> str:
        """In the record: the same for the same parameters."""
        return f"{self.table.env}/{self.row.experiment}_{digest(self.params)}"

    @property
    def machine(self) -> Path:
        """The file that says where it was run."""
        return self.folder / "machine.txt"

    @property
    def seconds(self) -> Path:
        """The file that says how long it took."""
        return self.folder / "seconds.txt"

    @property
    def scores(self) -> Path:
        return self.folder / "08_reporting" / "sample" / self.row.experiment / "scores.parquet"


def main() -> int:
    """Run what is missing, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--mnist", help="folder of the IDX files; else they are fetched")
    parser.add_argument("--fashion-mnist", help="folder of the IDX files; else they are fetched")
    parser.add_argument("--only", choices=[table.name for table in TABLES], help="one table")
    parser.add_argument("--missing", action="store_true", help="only rows that the record lacks")
    parser.add_argument("--print-only", action="store_true", help="run nothing: write what is there")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="rows side by side (one a core)")
    given = parser.parse_args()
    setting, tables = given.setting, [table for table in TABLES if given.only in (None, table.name)]
    folders = {"mnist": given.mnist, "fashion_mnist": given.fashion_mnist}
    folders = {name: folder and str(Path(folder).resolve()) for name, folder in folders.items()}
    asked = [job for job in every(setting, tables) if not job.scores.exists()]
    recorded = record([job for job in every(setting, TABLES) if job.scores.exists()])
    if given.missing:
        asked = [job for job in asked if key(job) not in recorded.index]
    failed = []
    for job, well in side_by_side([] if given.print_only else asked, folders, max(1, given.jobs)):
        if well:
            recorded = record([job])
        else:
            failed.append(told(job.folder))
        sys.stdout.write("\n\n".join(text(setting, table, recorded) for table in tables) + "\n")
    if not given.print_only:
        undrawn = (table for table in tables if not draw(setting, table, folders))
        failed += [told(figures_of(setting, table)) for table in undrawn]
    whole = [heading(setting, recorded), *(text(setting, table, recorded) for table in TABLES)]
    document = DOCUMENT.read_text(encoding="utf-8")
    replace(DOCUMENT, between_marks(document, "\n\n".join(whole)))
    if failed:
        sys.stderr.write(f"{len(failed)} failed: {', '.join(failed)} say why. Run it again.\n")
    return 1 if failed else 0


def side_by_side(jobs: Sequence[Job], folders: Folders, abreast: int) -> Iterator[tuple[Job, bool]]:
    """Each job as it ends, and whether it ended well; data are made before, once for all that share them."""
    sources = {job.shared: job for job in jobs}.values()
    unmade = {job.shared for job in sources if not prepare(job, folders)}
    yield from ((job, False) for job in jobs if job.shared in unmade)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // abreast)))
    pool = ThreadPoolExecutor(abreast)
    try:
        ends = {pool.submit(run, job, folders): job for job in jobs if job.shared not in unmade}
        for end in tqdm(as_completed(ends), total=len(ends), unit="row", disable=None):
            yield ends[end], end.result()
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, which those that run hear too


def prepare(job: Job, folders: Folders) -> bool:
    """The data and the features of a job, unless they are there."""
    made = (job.shared / "04_feature" / "extractor.safetensors").exists()
    job.shared.mkdir(parents=True, exist_ok=True)
    return made or kedro(job, folders, {**job.source, "data_root": job.shared}, "ingestion,features")


def run(job: Job, folders: Folders) -> bool:
    """One experiment with one seed, its data and features those shared with other rows."""
    job.folder.mkdir(parents=True, exist_ok=True)
    for layer in SHARED:
        if not (job.folder / layer).is_symlink():
            (job.folder / layer).symlink_to(os.path.relpath(job.shared / layer, job.folder))
    job.machine.write_text(machine(), encoding="utf-8")
    begin = time.monotonic()
    params = {**job.params, "seed": job.seed, "data_root": job.folder}
    *lender, own = (f"sample.{name}" for name in job.experiments)
    stages = "sampling,evaluation" if lender else "training,sampling,evaluation"
    well = all(kedro(job, folders, params, "training", name) for name in lender) and kedro(
        job, folders, params, stages, own
    )
    before = float(job.seconds.read_text(encoding="utf-8")) if job.seconds.exists() else 0.0
    job.seconds.write_text(f"{before + time.monotonic() - begin:.0f}", encoding="utf-8")
    return well


def figures_of(setting: str, table: Table) -> Path:
    """Where the figures of a table are."""
    return STORE / setting / "figures" / table.name


def draw(setting: str, table: Table, folders: Folders) -> bool:
    """The report on the rows with the first seed, in a folder that holds links to theirs; whether it ended well."""
    folder = figures_of(setting, table)
    jobs = [job for row in table.of(setting) if (job := Job(setting, table, row, 0)).scores.exists()]
    if not jobs or not prepare(jobs[0], folders):
        return not jobs
    links = {folder / layer: jobs[0].shared / layer for layer in SHARED}
    for job in jobs:
        for place in (f"{layer}/sample/{name}" for layer in OWN for name in job.experiments):
            links[folder / place] = job.folder / place
    for link, target in links.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        if target.exists() and not link.is_symlink():
            link.symlink_to(os.path.relpath(target, link.parent))
    asked = {key: value for job in jobs for key, value in job.params.items()}
    return kedro(jobs[0], folders, {**asked, "data_root": folder}, "reporting")


def kedro(job: Job, folders: Folders, params: Parameters, stages: str, namespace: str | None = None) -> bool:
    """`kedro run` of some stages; whether it ended well."""
    path = folders[job.table.env]
    asked = {**params, "ingestion.path": path} if path else params
    written = ",".join(f"{key}={value}" for key, value in asked.items())
    program = str(Path(sys.executable).parent / "kedro")
    command = [program, "run", "--env", job.table.env, "--pipelines", stages]
    command += ["--params", written, *(["--namespaces", namespace] if namespace else [])]
    with (Path(str(params["data_root"])) / "run.log").open("a") as log:
        return subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, check=False).returncode == 0


def told(folder: Path) -> str:
    """What says why a run failed."""
    return str((folder / "run.log").relative_to(ROOT))


def every(setting: str, tables: Sequence[Table]) -> list[Job]:
    """All rows of the first seed, then all of the next; what two tables share only once."""
    seeds = range(SETTINGS[setting].seeds)
    jobs = (Job(setting, table, row, seed) for seed in seeds for table in tables for row in table.of(setting))
    return list({job.folder: job for job in jobs}.values())


def key(job: Job) -> tuple[str, str, int]:
    """Of a row in the record."""
    return job.setting, job.name, job.seed


def record(jobs: Sequence[Job]) -> pd.DataFrame:
    """The record with the scores of these jobs in the place of older ones: a line a row, a column a score."""
    index = ["setting", "row", "seed"]
    before = pd.read_csv(RECORD, index_col=index) if RECORD.exists() else pd.DataFrame()
    scores = {key(job): scores_of(job) for job in jobs}
    if not scores:
        return before
    new = pd.DataFrame(scores).T.rename_axis(index)
    new = new.join(pd.DataFrame([made(job) for job in jobs], new.index))
    whole = pd.concat([before.drop(new.index, errors="ignore"), new]).sort_index()
    replace(RECORD, whole.to_csv(float_format="%.6g"))
    return whole


def scores_of(job: Job) -> pd.Series:
    """What was scored, half the 95 % interval of the ELBO (what the choice of test images leaves open), and what stands
    beside."""
    found = pd.read_parquet(job.scores).set_index("score")
    half = {"elbo_half": (found["high"]["elbo"] - found["low"]["elbo"]) / 2} if "elbo" in found.index else {}
    beside = {name: value for name, value in diagnosed(job).items() if name in BESIDE}
    return pd.concat([found["value"], pd.Series(half | beside, dtype=float)])


def diagnosed(job: Job) -> Mapping[str, Any]:
    """What the diagnostics of a row say of themselves."""
    path = job.scores.with_name("diagnostics.zarr")
    return xr.open_zarr(path).attrs if path.exists() else {}


def made(job: Job) -> dict[str, Any]:
    """The day of its scores, the weights of the features, and machine and seconds where these were noted."""
    day = datetime.fromtimestamp(job.scores.stat().st_mtime, UTC).strftime("%Y-%m-%d")
    noted = job.machine.read_text(encoding="utf-8") if job.machine.exists() else None
    seconds = float(job.seconds.read_text(encoding="utf-8")) if job.seconds.exists() else None
    features = diagnosed(job).get("weights")
    return {"made": day, "machine": noted, "seconds": seconds, "features": features}


def machine() -> str:
    """This one: its GPU where `nvidia-smi` knows one, else its processor."""
    asked = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    known = shutil.which(asked[0]) is not None
    told = subprocess.run(asked, capture_output=True, text=True, check=False).stdout if known else ""
    return (told.splitlines() or [f"{os.cpu_count()} cores of a {platform.machine()} processor"])[0]


def digest(params: Parameters) -> str:
    """Names a folder, so that scores of other parameters set here are never taken for those asked for."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:8]


def text(setting: str, table: Table, recorded: pd.DataFrame) -> str:
    """A table in Markdown: mean ± standard deviation over the seeds that are there."""
    found = {row: recorded[of(recorded, setting, table, row)] for row in table.of(setting)}
    if not any(map(len, found.values())):
        return f"### {table.title}\n\nNot run yet."
    lines = [f"### {table.title}", "", f"| {' | '.join(['experiment', *table.scores, 'seeds', 'report'])} |"]
    lines.append("|---" * (len(table.scores) + 3) + "|")
    for row, runs in found.items():
        cells = [spread(runs.get(score, [])) for score in table.scores]
        lines.append(f"| `{row.experiment}` | {' | '.join(cells)} | {len(runs)} | {row.report} |")
    shown = pd.concat(list(found.values()))
    half = shown["elbo_half"].mean() if "elbo" in table.scores and "elbo_half" in shown else math.nan
    images = f" The choice of test images alone leaves each ELBO open by ± {half:.1f} nats (95 %), and all of a table "
    images = "" if math.isnan(half) else images + "alike, for their images are the same."
    return "\n".join(
        [*lines, "", f"{table.notes} {budget(setting, table)}{images}{features_told(table, shown)}"]
    )


def features_told(table: Table, shown: pd.DataFrame) -> str:
    """Whose features a distance is of."""
    known = shown.reindex(columns=["features", "accuracy"]).dropna()
    if "fid" not in table.scores or known.empty:
        return ""
    names = " and ".join(sorted(set(known["features"].astype(str))))
    right = f"{known['accuracy'].astype(float).mean():.2%} of the test images"
    return f" The classifier of the features is right on {right} (weights {names})."


def budget(setting: str, table: Table) -> str:
    """How long rows are trained: what the setting asks, else what the environment has for them."""
    known = yaml.safe_load((CONF / table.env / "parameters_fit.yml").read_text(encoding="utf-8"))["sample"]
    spent: dict[str, list[str]] = {}
    for row in table.of(setting):
        job = Job(setting, table, row, 0)
        trained = job.experiments[0]
        fit = known[trained]["fit"]
        steps, batch = job.params.get(f"sample.{trained}.fit.steps", fit["steps"]), fit["batch"]
        images = job.params.get("ingestion.images.train", IMAGES) * (1 - VALIDATION)
        words = f"{steps} steps of {batch} images, {steps * batch / images:.0f} epochs"
        spent.setdefault(words, []).append(f"`{row.experiment}`")
    told = [f"{words} ({', '.join(names)})" if len(spent) > 1 else words for words, names in spent.items()]
    return f"Trained for at most {'; '.join(told)}."


def of(recorded: pd.DataFrame, setting: str, table: Table, row: Row) -> list[bool]:
    """Which lines of the record are of a row, with any of its seeds."""
    asked = {key(Job(setting, table, row, seed)) for seed in range(SETTINGS[setting].seeds)}
    return [one in asked for one in recorded.index]


def spread(values: Iterable[float]) -> str:
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


def heading(setting: str, recorded: pd.DataFrame) -> str:
    """How the tables were made, when and on what: as the record says."""
    jobs = every(setting, TABLES)
    columns = ["machine", "made", "seconds"]
    shown = recorded[recorded.index.isin([key(job) for job in jobs])].reindex(columns=columns)
    machines = " and ".join(sorted(set(shown["machine"].astype(object).fillna("a machine not noted"))))
    days = sorted(set(shown["made"]))
    how = [f"`make tables SETTING={setting}`", machines, " to ".join([*days[:1], *days[1:][-1:]])]
    left = len(jobs) - len(shown)
    so_far = f" Not yet complete: {left} rows are still to be run." if left else ""
    spent = shown["seconds"].dropna().astype(float)
    took = f" The {len(spent)} rows whose time was noted took {spent.sum() / 60:.0f} minutes, added up."
    return (
        f"Setting {SETTINGS[setting].told}. Mean ± standard deviation over training seeds.{so_far}\n\n"
        f"{', '.join(filter(None, how))}.{took if len(spent) else ''}"
    )


def between_marks(document: str, tables: str) -> str:
    """The document with these tables."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{DOCUMENT.name} lacks the marks {BEGIN} and {END}, between which the tables go.")
    return f"{before}{BEGIN}\n{tables}\n{END}{after}"


def replace(file: Path, content: str) -> None:
    """Whole, or not at all."""
    partial = file.with_suffix(".partial")
    partial.write_text(content, encoding="utf-8")
    partial.replace(file)


if __name__ == "__main__":
    sys.exit(main())
