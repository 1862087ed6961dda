"""Forks of a process that has used threads."""

import subprocess
import sys

FORK = """
import multiprocessing
import dask.array
from fieldcast.app import processes

def add():
    assert dask.array.ones((8, 8), chunks=2).sum().compute() == 64

add()
fork = multiprocessing.get_context("fork").Process(target=add)
fork.start()
fork.join(30)
fork.kill()
print(fork.exitcode)
"""


def test_dask_computes_in_a_fork_of_a_process_in_which_it_has_computed() -> None:
    """A worker of `ParallelRunner` that reads Zarr would wait for ever for threads that only its parent has."""
    ran = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert ran.stdout == "0\n", ran.stderr
