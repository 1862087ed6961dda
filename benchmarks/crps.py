"""Fair CRPS against public implementations, as ratios in one run: python -m benchmarks.crps

One variable of one case of the reconstruction task: 64 times, 19 members, 32 x 64 cells, float32. Peers:
`scores` (fair, sorted) and `properscoring` (the classical form; compiled with numba where that is
installed), which xskillscore calls too; it is timed only if installed (`pip install properscoring numba`).
Rounds alternate between the implementations, and each one's best counts.
"""

from __future__ import annotations

import importlib.util
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import xarray as xr
from scores.probability import crps_for_ensemble

from fieldcast.scores.statistics import fair_crps

ROUNDS = 7
TIMES, MEMBERS, CELLS = 64, 19, (32, 64)


def implementations() -> dict[str, Callable[[], np.ndarray]]:
    """Name to a call that gives the score of every cell, each from arrays in the layout that it expects."""
    rng = np.random.default_rng(0)
    x = rng.normal(280, 10, (MEMBERS, TIMES, *CELLS)).astype("f4")
    y = rng.normal(280, 10, (TIMES, *CELLS)).astype("f4")
    ensemble = xr.DataArray(np.moveaxis(x, 0, -1).copy(), dims=("time", "latitude", "longitude", "member"))
    truth = xr.DataArray(y, dims=("time", "latitude", "longitude"))
    calls: dict[str, Callable[[], np.ndarray]] = {
        "fieldcast, fair": lambda: fair_crps(x, y),
        "scores, fair": lambda: crps_for_ensemble(
            ensemble, truth, "member", method="fair", preserve_dims="all"
        ).to_numpy(),
    }
    if importlib.util.find_spec("properscoring"):
        from properscoring import crps_ensemble

        compiled = "compiled" if importlib.util.find_spec("numba") else "numpy"
        last = ensemble.to_numpy()
        calls[f"properscoring, classical, {compiled}"] = lambda: crps_ensemble(y, last)
    return calls


def peak_megabytes(call: Callable[[], np.ndarray]) -> float:
    """Most memory that numpy held during the call, beyond what was there before."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    calls = implementations()
    for call in calls.values():
        call()
    best = dict.fromkeys(calls, np.inf)
    for _ in range(ROUNDS):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            best[name] = min(best[name], time.perf_counter() - start)
    ours = best["fieldcast, fair"]
    print(
        f"{TIMES} times x {MEMBERS} members x {CELLS[0]} x {CELLS[1]} cells, float32; best of {ROUNDS} rounds"
    )
    print()
    print(f"{'implementation':<36}{'ms':>8}{'ours is faster by':>20}{'peak MB':>10}")
    for name, call in calls.items():
        print(f"{name:<36}{1000 * best[name]:>8.1f}{best[name] / ours:>20.2f}{peak_megabytes(call):>10.1f}")
    difference = np.abs(calls["fieldcast, fair"]() - calls["scores, fair"]()).max()
    print(f"\nlargest difference from scores: {difference:.1e} (fields of 280 ± 10)")


if __name__ == "__main__":
    main()
