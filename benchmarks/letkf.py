"""Seconds of an LETKF analysis, and Lorenz-96 cycled by this filter and by DAPPER's.

python -m benchmarks.letkf

Cells of the planet (4 variables, 32 x 64), 40 members, p observed values at random; weights in every cell, and in every
second row and column with interpolation. Each time is the best of three. Then Sakov's Lorenz-96 (`tests/lorenz96.py`),
7 members, for 1000 cycles: this filter with one run and with 16 at once, and, if the package `dapper` is installed, its
LETKF.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch

from benchmarks.optimal_interpolation import globe, smooth
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context
from fieldcast.models.gaussian.covariance_terms import EARTH_RADIUS_KM
from fieldcast.models.random_streams import RandomStreams

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from lorenz96 import circle, cycled, truth

MEMBERS, NOISE, LOCALISATION = 40, 0.1, 2000.0
REPEATS, CYCLES, RUNS = 3, 1000, 16
RESULT = Path(__file__).parent / "results" / "letkf.txt"


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def analysis(node_spacing: int, values: int) -> float:
    """Seconds of one analysis."""
    space = globe()
    x = smooth(space, MEMBERS + 1)
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(x[0].numel(), dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=generator)[:values]] = True
    mask = mask.view(1, *x[0].shape)
    y = (x[-1] + NOISE * torch.randn(x[0].shape, generator=generator)) * mask
    filter = LETKF(space, node_spacing=node_spacing)
    filter.choose(localisation=LOCALISATION)
    c, draws = Context(1, observed=y, mask=mask, noise=NOISE), RandomStreams(0, torch.arange(1), MEMBERS)
    return seconds(lambda: filter.update(x[None, :-1], c, {}, draws))


def lorenz96(runs: int) -> tuple[float, float]:
    """Seconds of `CYCLES` cycles of each of several runs, and the RMSE of the analyses."""
    states, filter, scores = truth(runs, 1 + CYCLES), LETKF(circle(), rotation=True), []
    filter.choose(localisation=2.2 * EARTH_RADIUS_KM, relaxation=0.0, inflation=1.04)
    took = seconds(lambda: scores.append(cycled(filter, 7, states)), repeats=1)
    return took, scores[0]


def dapper() -> tuple[float, float]:
    """Seconds and RMSE of DAPPER's LETKF."""
    import dapper
    import dapper.da_methods as methods
    from dapper.mods.Lorenz96.sakov2008 import HMM

    HMM.tseq.Ko = CYCLES
    dapper.set_seed(3)
    xx, yy = HMM.simulate()
    method = methods.LETKF(N=7, rot=True, infl=1.04, loc_rad=4)
    took = seconds(lambda: method.assimilate(HMM, xx, yy, liveplots=False), repeats=1)
    method.stats.average_in_time()
    return took, float(method.avrgs.err.rms.a.val)


def main() -> None:
    lines = [
        f"{MEMBERS} members, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"load average {os.getloadavg()[0]:.1f}",
        "",
        "observed values   seconds, every cell   every second",
    ]
    for values in (100, 400):
        lines.append(f"{values:15d} {analysis(1, values):21.2f} {analysis(2, values):14.2f}")
    lines += ["", f"Lorenz-96, {CYCLES} cycles    seconds a run   RMSE"]
    for runs in (1, RUNS):
        took, rmse = lorenz96(runs)
        lines.append(f"{f'this filter, runs: {runs}':24} {took / runs:17.2f} {rmse:6.2f}")
    if find_spec("dapper"):
        took, rmse = dapper()
        lines.append(f"{'DAPPER':24} {took:17.2f} {rmse:6.2f}")
    text = "\n".join(lines) + "\n"
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
