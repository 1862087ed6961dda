"""Seconds of the processor that commands take which run nothing, each in a fresh process.

python -m benchmarks.start                        lists, help, refusals
python -m benchmarks.start kedro run --env demo   a command of your own, such as one whose nodes are all finished
"""

import resource
import subprocess
import sys
import time

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


def measure(words: list[str]) -> tuple[float, float]:
    """Seconds of the processor and of the clock."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", *words], capture_output=True, check=False)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - begin
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> None:
    commands = [" ".join(sys.argv[1:])] if len(sys.argv) > 1 else COMMANDS
    print(f"{'processor':>9} {'clock':>6}")
    for command in commands:
        processor, wall = measure(command.split())
        print(f"{processor:8.2f}s {wall:5.2f}s  {command}")


if __name__ == "__main__":
    main()
