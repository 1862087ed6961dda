"""A process under a limit of memory keeps its addresses for data."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

RESERVED = """
import re
from pathlib import Path
import fieldcast
import pyarrow

def data():
    return int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = data()
pyarrow.array([1.5] * 1000)
print(data() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much is reserved")
def test_a_table_reserves_no_addresses() -> None:
    run = subprocess.run([sys.executable, "-c", RESERVED], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 100_000, "KiB"
