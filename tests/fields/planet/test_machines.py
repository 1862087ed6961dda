"""One planet on every machine: the same digests from other kernels, threads, vectors and last digits of tables."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[3]


def test_other_machines_have_the_same_weather() -> None:
    """Chaos blows up any difference within the 200 days; `benchmarks.machines` says what each variant is."""
    command = [sys.executable, "-m", "benchmarks.machines", "--days", "200"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sys.stdout.write(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    variants = run.stdout.splitlines()[1:]
    assert len(variants) >= 3
    threads = {line.split("  ")[0]: int(line.split()[-5]) for line in variants}
    assert threads.pop("two threads") == min(2, os.cpu_count() or 1) and set(threads.values()) == {1}
    flips = [float(number) for variant in variants for number in variant.split()[-2:]]
    assert 0 < max(flips) < 1e-3
