"""Cost of what is not computation: commands that run nothing, and a run whose nodes are all finished.

python -m benchmarks.start                                   lists, help, refusals: each in a fresh process
python -m benchmarks.start --finished demo FOLDER            the demo again, in a copy of its data root
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = (
    "kedro registry list",
    "kedro run --help",
    "fieldcast --help",
    "kedro run --env nothing",
    "kedro run --pipelines reconstruct.nothing",
    "kedro run --params sparsification.nois=0.1",
    "kedro run --pipelines training --params data_root=nowhere",
    "kedro run --env netcdf --params ingestion.path=nowhere.nc",
    "fieldcast fill nowhere.nc",
)


def measure(words: list[str], check: bool = False) -> tuple[float, float]:
    """Seconds of the processor and of the clock."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ended = subprocess.run([sys.executable, "-m", *words], capture_output=True, check=check, text=True)
    if "Traceback" in ended.stderr:
        raise RuntimeError(ended.stderr)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def again(pipeline: str, data_root: Path) -> None:
    """Run a finished pipeline, whose nodes only look at what is there."""
    env = ["--env", "demo"] if pipeline == "demo" else []
    words = ["kedro", "run", *env, "--pipelines", pipeline, "--params", f"data_root={data_root}"]
    processor, wall = measure(words, check=True)
    print(f"{wall:6.1f} s of the clock, {processor:.1f} s of the processor")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finished", nargs=2, metavar=("PIPELINE", "FOLDER"))
    given = parser.parse_args()
    if given.finished:
        again(given.finished[0], Path(given.finished[1]))
        return
    print(f"{'processor':>9} {'clock':>6}")
    for command in COMMANDS:
        processor, wall = measure(command.split())
        print(f"{processor:8.2f}s {wall:5.2f}s  {command}")


if __name__ == "__main__":
    main()
