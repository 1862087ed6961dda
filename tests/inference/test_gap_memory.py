"""The memory of filling gaps grows with the record by a few times its size, and no more."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

pytestmark = pytest.mark.proof

SIDE, TIMES = 64, (800, 1600)
# growth of the peak in sizes of the record: itself, the result (values, mean, spread, flags), and four more
MOST = 1 + 3.25 + 4
# values are held out of a large record until they suffice: here they are few, so that their tables do not count
PEAK = """
import resource
from fieldcast.models.gaps import held_out
held_out.ENOUGH_VALUES, held_out.ENOUGH_GAPS = 2**13, 5
{}
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
IN_PYTHON = """
import fieldcast, xarray as xr
with xr.open_dataset("{0}") as data:
    fieldcast.fill_gaps(data, method="red_noise", quantities="none")
"""
COMMAND = """
import sys
from fieldcast.__main__ import main
sys.argv = ["fieldcast", "fill-gaps", "{0}", "--output", "{0}.filled.nc", "--method", "red_noise",
            "--quantity", "sst=none", "--params", "data_root={0}.root"]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def gappy(times: int) -> xr.Dataset:
    """Red noise of a few modes, of which squares of a quarter of the grid are missing at each time."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    modes = np.stack([np.cos(np.pi * (k * x + (3 - k) * y)) for k in range(4)])
    scores = rng.normal(size=(times, 4))
    for t in range(1, times):
        scores[t] = 0.9 * scores[t - 1] + 0.44 * scores[t]
    values = np.tensordot(scores, modes, 1) + 0.1 * rng.normal(size=(times, SIDE, SIDE))
    for field, (a, b) in zip(values, rng.integers(0, SIDE // 2, (times, 2)), strict=True):
        field[a : a + SIDE // 2, b : b + SIDE // 2] = np.nan
    coords = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "latitude": ("latitude", 40 + 0.1 * np.arange(SIDE), {"units": "degrees_north"}),
        "longitude": ("longitude", 0.1 * np.arange(SIDE), {"units": "degrees_east"}),
    }
    sst = xr.Variable(("time", "latitude", "longitude"), values.astype(np.float32), {"units": "K"})
    return xr.Dataset({"sst": sst}, coords)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of glibc's malloc makes freed memory free")
@pytest.mark.parametrize("how", [IN_PYTHON, COMMAND], ids=["in Python", "the command"])
def test_the_peak_grows_by_a_few_sizes_of_the_record(tmp_path: Path, how: str) -> None:
    peaks, sizes = [], []
    for times in TIMES:
        record, path = gappy(times), tmp_path / f"{times}.nc"
        record.to_netcdf(path)
        sizes.append(record["sst"].nbytes)
        limit = {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
        run = subprocess.run(
            [sys.executable, "-c", PEAK.format(how.format(path))],
            env=os.environ | limit, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-2000:]
        peaks.append(int(run.stdout.rpartition("peak ")[2]))
    growth = (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])
    assert growth < MOST, [round(peak / 1e6) for peak in peaks]
