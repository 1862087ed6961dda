"""Costs of filling records of many sizes, and of the race of the methods beside a comparison of all.

`python -m studies.gap_costs sizes [NAME ...]` fills the records of `gap_records.CASES` (all, or those named) by
`fill_gaps`, each in a process of its own: of fading waves (six patterns and noise), and of moving features with a
power-law spectrum. Prints a row as each is done: the time, on a clock of the wall and of the processor, the time that
is the aim, and the one before the methods raced; the peak of the resident memory (Linux), and what it rose by beyond
the record and the result, beside its limit, four times the record and .2 GB; the method, and the RMSE at the removed
values beside that of linear interpolation in time. "Time left": in how many of ten moments, from a fifth of the run
on, the total that the time left predicts was within 30 % of the true one; of runs above 30 s. `--busy` runs a loop
beside it that leaves a processor no rest; `--kind moving` fills one of the two kinds of records.
`python -m studies.gap_costs race SOURCE [SHARE [TIMES]]` removes SHARE % (60) of the first TIMES times in blobs, races
the methods, tries all of them on the whole record, and prints a row of a table, and the rounds. SOURCE is a NetCDF
file, a Zarr store, `moving`, `waves`, `monthly` or one of the cases; SHARE 0 leaves the gaps of the record as they are.
`python -m studies.gap_costs peers NAME ...` fills the records of waves of these cases by one mode of pyDINEOF
(`pip install pydineof`), whose time is multiplied by the number of modes for as many as `fill_gaps` may choose, and by
linear interpolation in time. `--program PATH` is DINEOF's own program, which stops when more modes are no better.
`python -m studies.gap_costs training ARGUMENT ...` gives the arguments to `fieldcast run`, and prints "time left" of
each loop that runs above 30 s.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import runtime
from fieldcast.__main__ import main as fieldcast
from fieldcast.fields.ingest import ingest
from fieldcast.inference.gaps.trials import Comparison, Tried
from fieldcast.models.gaps.dineof import MAX_MODES
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.training.fill_gaps import fill_gaps
from studies.dineof_example import FORTRAN, by_program, processor_of_children
from studies.gap_records import (
    CASES,
    MOVING,
    SEED,
    blobs,
    record_of,
    root_mean_square,
    row_areas,
    variable,
)

WAVES = "waves"
KINDS = WAVES, MOVING
HEADINGS = (
    "case", "kind", "times x cells", "s", "processor [s]", "aim [s]", "before", "peak [MB]",
    "beyond record and result, limit [MB]", "method", "RMSE", "/ linear in time", "time left",
)  # fmt: skip
MEGABYTE = 1e6
TIMES_RECORD, MORE = 4, 200  # limit of the memory beyond record and result: times the record, and [MB]
EVERY = 0.2  # interval of the readings of the time left [s]
SHORTEST, FIRST, MOMENTS, TOLERANCE = 30.0, 0.2, 10, 0.3  # of the time left that is judged


class Reading(NamedTuple):
    """A time left, as it is told: when [s], of which loop, and how much [s]."""

    at: float
    loop: str
    left: float


@contextlib.contextmanager
def readings() -> Iterator[list[Reading]]:
    """Read the time left of the outermost loop until the end."""
    read, end = list[Reading](), threading.Event()

    def watch() -> None:
        while not end.wait(EVERY):
            if match := re.match(r"\d+ (of \d+ [a-z ]+), about ([^;]+) left", runtime.state()):
                read.append(Reading(time.perf_counter(), match[1], pd.Timedelta(match[2]).total_seconds()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield read
    finally:
        end.set()
        thread.join()


def within(read: Sequence[Reading], begun: float, ended: float) -> str:
    """Count the moments in which the last reading predicted the total; empty for a short run.

    At a moment before the first reading nothing did.
    """
    total, good = ended - begun, 0
    if total < SHORTEST:
        return ""
    for moment in begun + total * np.linspace(FIRST, 1, MOMENTS, endpoint=False):
        last = next((each for each in reversed(read) if each.at <= moment), None)
        good += last is not None and abs(last.at + last.left - ended) <= TOLERANCE * total
    return f"{good} of {MOMENTS}"


def sizes(names: Sequence[str], kinds: Sequence[str], busy: bool) -> None:
    """Print the table of the sizes, each row by a process of its own."""
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|", flush=True)
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        for name in names:
            for kind in kinds:
                command = [sys.executable, "-m", "studies.gap_costs", "size", name, kind]
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                failed = f"| {name} | {kind} | {' | '.join(done.stderr.splitlines()[-1:])} |"
                print(failed if done.returncode else done.stdout.strip(), flush=True)
    finally:
        if loop is not None:
            loop.kill()


def size(name: str, kind: str) -> None:
    """Fill the record of a case, and print its row."""
    case = CASES[name]
    truth, removed = record_of(case, kind)
    gappy = truth.where(~xr.DataArray(removed, dims=truth["sst"].dims))
    del truth, removed  # which are made again
    before = reset_peak()
    begun, of_processor = time.perf_counter(), time.process_time()
    with readings() as read:
        filled = fill_gaps(gappy)
        ended, peak = time.perf_counter(), memory("VmHWM")
    of_processor = time.process_time() - of_processor
    beyond = (peak - before - filled.nbytes) / MEGABYTE
    errors = errors_of(filled, name, kind)
    row = (
        name, kind, f"{case.times} x {case.variables * case.latitude[2] * case.longitude[2]}", f"{ended - begun:.0f}",
        f"{of_processor:.0f}", f"{case.goal:g}", case.before, f"{peak / MEGABYTE:.0f}",
        f"{beyond:.0f}, {TIMES_RECORD * gappy.nbytes / MEGABYTE + MORE:.0f}", filled.attrs["fieldcast_method"],
        f"{errors[0]:.3f}", f"{errors[0] / errors[1]:.2f}", within(read, begun, ended),
    )  # fmt: skip
    print(f"| {' | '.join(row)} |")


def errors_of(filled: xr.Dataset, name: str, kind: str) -> tuple[float, float]:
    """RMSE at the removed values of the record of a case, of the fill and of linear interpolation in time."""
    truth, removed = record_of(CASES[name], kind)
    squares = np.zeros(2)
    for v in truth.data_vars:
        x = truth[v]
        linear = linear_in_time(x.where(~xr.DataArray(removed, dims=x.dims)))
        area = np.broadcast_to(row_areas(truth), removed.shape)[removed]
        squares += [
            root_mean_square((y - x).values[removed].astype(float), area) ** 2
            for y in (filled[f"{v}_mean"], linear)
        ]
    of_fill, of_linear = np.sqrt(squares / len(truth.data_vars))
    return float(of_fill), float(of_linear)


def linear_in_time(x: xr.DataArray) -> xr.DataArray:
    """Missing values by linear interpolation in time, before the first and after the last one by that one."""
    return x.interpolate_na("time").ffill("time").bfill("time")


def peers(names: Sequence[str], program: Path | None = None) -> None:
    """Print processor time and RMSE of linear interpolation and of DINEOF, for records of waves."""
    try:
        from pydineof.main import run_2D
    except ImportError:
        sys.exit("`peers` needs pyDINEOF: `pip install pydineof`.")
    print(
        "| case | method | processor [s] | as many modes as here [s] | RMSE |\n|---|---|---|---|---|",
        flush=True,
    )
    for name in names:
        truth, removed = record_of(CASES[name], WAVES)
        x, area = truth["sst"], np.broadcast_to(row_areas(truth), removed.shape)[removed]
        gappy = x.where(~xr.DataArray(removed, dims=x.dims))
        begun = time.process_time()
        linear = linear_in_time(gappy)
        of_linear, begun = time.process_time() - begun, time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            one_mode = run_2D(gappy, nev=1, ncv=7, seed=SEED)
        of_mode = time.process_time() - begun
        rows = [
            ("linear in time", linear.values, of_linear, ""),
            (
                "pyDINEOF, one mode",
                one_mode.transpose("time", "lat", "lon").values,
                of_mode,
                f"{MAX_MODES * of_mode:.0f}",
            ),
        ]
        if program is not None:
            begun, cells = processor_of_children(), np.ones(x.shape[1:], dtype=bool)
            filled = by_program(program, gappy.values, x["time"].values, cells, MAX_MODES)[1]
            rows.append((FORTRAN, filled, processor_of_children() - begun, ""))
        for method, values, seconds, of_modes in rows:
            rmse = root_mean_square((values - x.values)[removed].astype(float), area)
            print(f"| {name} | {method} | {seconds:.1f} | {of_modes} | {rmse:.3f} |", flush=True)


def reset_peak() -> int:
    """Begin to measure the peak of the resident memory anew; that now [bytes]."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return memory("VmRSS")


def memory(what: str) -> int:
    """Resident memory of this process [bytes]: VmRSS now, VmHWM at most since the last reset."""
    line = re.search(rf"{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    return int(line[1]) * 1024 if line else 0


def training(arguments: Sequence[str]) -> None:
    """Run a pipeline, and print how well the time left of its long loops predicted their end."""
    with readings() as read:
        fieldcast(["run", *arguments], standalone_mode=False)
    print("| loop | s | time left |\n|---|---|---|")
    for loop in dict.fromkeys(each.loop for each in read):
        of_loop = [each for each in read if each.loop == loop]
        begun, ended = of_loop[0].at, of_loop[-1].at
        if ended - begun >= SHORTEST:
            print(f"| {loop} | {ended - begun:.0f} | {within(of_loop, begun, ended)} |")


def by_race(source: str, share: float, first: int | None) -> None:
    """Race the methods, try all of them on the whole record, and print a row of a table."""
    data = variable(source, first)
    (name,) = data.data_vars
    if share:
        times, rows, columns = data[name].shape
        removed = blobs(times, rows, columns, np.random.default_rng(SEED), share)
        data = data.where(~xr.DataArray(removed, dims=data[name].dims))
    comparison = Comparison.of(ingest(data, gaps="keep", missing="train")[0], SEED, "cpu")
    begun, tried = time.process_time(), Tried()
    for _ in comparison.race(tried):
        pass
    of_race = time.process_time() - begun
    crps, seconds = {}, {}
    for method in FILLERS:
        begun = time.process_time()
        (trial,) = comparison.method_trials([method])
        crps[method], seconds[method] = trial.crps, time.process_time() - begun
    best, winner = (min(names, key=crps.__getitem__) for names in (crps, tried.finalists))
    full, fits = sum(seconds.values()), sum(seconds[method] for method in tried.finalists)
    print(
        f"| {Path(source).stem} | {share:g} | {' x '.join(map(str, comparison.held_out.shape))} | {best} | {winner} "
        f"| {crps[winner] / crps[best]:.3f} | {full:.1f} | {of_race + fits:.1f} "
        f"| {(of_race + fits - seconds[winner]) / full:.0%} |"
    )
    for number, each in enumerate(tried.rounds, start=1):
        places = [
            f"{method} {place.crps:.4f} ± {place.error:.4f}" for method, place in each.standings.items()
        ]
        print(f"    round {number}, {each.times} x {each.cells}: {', '.join(places)}")
    print(
        f"    whole: {', '.join(f'{method} {value:.4f} {seconds[method]:.1f} s' for method, value in crps.items())}"
    )


def main() -> None:
    """Read the arguments, and print the tables that they ask for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_sizes = commands.add_parser("sizes")
    of_sizes.add_argument("names", nargs="*", metavar="NAME", default=[*CASES], help=", ".join(CASES))
    of_sizes.add_argument("--kind", choices=KINDS, help="by default both")
    of_sizes.add_argument("--busy", action="store_true", help="beside a busy loop")
    of_size = commands.add_parser("size")
    of_size.add_argument("name", choices=CASES)
    of_size.add_argument("kind", choices=KINDS)
    of_peers = commands.add_parser("peers")
    of_peers.add_argument("names", nargs="+", metavar="NAME", choices=CASES)
    of_peers.add_argument("--program", type=Path, help="DINEOF, built from its sources")
    of_race = commands.add_parser("race")
    of_race.add_argument("source", metavar="SOURCE")
    of_race.add_argument("share", nargs="?", type=float, default=60.0, metavar="SHARE")
    of_race.add_argument("times", nargs="?", type=int, metavar="TIMES")
    commands.add_parser("training", usage="%(prog)s ARGUMENT ... (those of `fieldcast run`)")
    given, others = parser.parse_known_args()
    if others and given.command != "training":
        parser.error(f"unknown: {', '.join(others)}")
    if given.command == "sizes":
        if unknown := [name for name in given.names if name not in CASES]:
            parser.error(f"unknown: {', '.join(unknown)}; the cases are {', '.join(CASES)}")
        sizes(given.names, [given.kind] if given.kind else KINDS, given.busy)
    elif given.command == "size":
        size(given.name, given.kind)
    elif given.command == "peers":
        peers(given.names, given.program)
    elif given.command == "race":
        by_race(given.source, given.share, given.times)
    else:
        training(others)


if __name__ == "__main__":
    main()
