"""The task `reconstruct` without its learned models: one node at a time against several in processes.

    OMP_NUM_THREADS=1 python -m benchmarks.runners [--env test] [--workers 2] [--dask]

Both runs begin with the same prepared data and one thread for each node. Prints the seconds of each and their ratio.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fieldcast.experiments import experiments

PREPARED = "ingestion,sparsification"


def run(env: str, data_root: Path, pipelines: str, *options: str) -> float:
    """Seconds that a run takes."""
    command = [sys.executable, "-m", "kedro", "run", "--env", env, "--pipelines", pipelines]
    begin = time.perf_counter()
    subprocess.run(
        [*command, "--params", f"data_root={data_root}", *options],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True,
    )  # fmt: skip
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--env", default="test")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--dask", action="store_true", help="also on a Dask cluster of this machine")
    given = parser.parse_args()
    listed = experiments(Path("conf")).values()
    classical = [
        each.address for each in listed if each.task == "reconstruct" and each.about.family == "classical"
    ]
    workers = "--runner-params", f"max_workers={given.workers}"
    runners: dict[str, tuple[str, ...]] = {"SequentialRunner": ()}
    runners["ParallelRunner"] = workers
    if given.dask:
        runners["fieldcast.app.dask.DaskRunner"] = workers
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared")
        run(given.env, prepared, PREPARED)
        alone = 0.0
        for runner, options in runners.items():
            shutil.copytree(prepared, data_root := Path(folder, runner))
            seconds = run(given.env, data_root, ",".join(classical), "--runner", runner, *options)
            alone = alone or seconds
            print(
                f"{runner.rpartition('.')[2]:16} {seconds:7.1f} s  {alone / seconds:5.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    main()
