"""Processes of a run."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fieldcast import runtime

pytestmark = pytest.mark.proof

PROGRAM = """
import signal
from fieldcast.runtime import CONTEXT, start_server

def report(pipe):
    pipe.send({signal.SIGINT, signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_BLOCK, []))

if __name__ == "__main__":
    start_server()
    ours, other = CONTEXT.Pipe()
    process = CONTEXT.Process(target=report, args=(other,))
    process.start()
    print("blocked" if ours.recv() else "open")
    print("blocked" if signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []) else "open")
    process.join()
"""


def test_ctrl_c_is_for_the_main_process_alone(tmp_path: Path) -> None:
    """A terminal sends it to all processes; a worker that it reached would print a traceback."""
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.stdout.split() == ["blocked", "open"], done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="the resident memory is that of /proc")
def test_freed_memory_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    pieces = [bytearray(60_000) for _ in range(4000)]
    kept = pieces[::100]  # between which the C library keeps what is freed
    full = resident()
    del pieces
    before = resident()
    runtime.release_memory()
    assert len(kept) == 40 and full - before < 100e6 and full - resident() > 200e6
    large = np.ones(4_000_000)
    del large  # after which arrays of this size would lie between others
    arrays = [np.ones(1_000_000) for _ in range(80)]
    full = resident()
    del arrays[::2]
    assert full - resident() > 250e6
