"""Records larger than memory: speed of streamed data, and the memory of a whole run under a limit.

    OMP_NUM_THREADS=1 python -m benchmarks.streaming batches [--gigabytes 1] [--cold] [--folder /tmp]
    OMP_NUM_THREADS=1 python -m benchmarks.streaming training [--steps 600]
    OMP_NUM_THREADS=1 python -m benchmarks.streaming memory [--gigabytes 4] [--limit 2] [--rows 64] [--group FOLDER]

`batches`: batches of 16 shuffled states a second, without a training, from a store on a grid of 256 x 128: a loop over
the store in order, streamed, and from Zarr v3 shards with the same chunks of 2 MiB; and, if xbatcher is installed, its
generator in a DataLoader of torch. `training`: steps a second of a denoising VAE on 64 x 32 cells, in memory and
streamed, alternating. `memory`: ingestion, training, draws and scores of a record and of one of a quarter of its size;
prints the largest resident memory of each. The memory of the process is that of a control group (--group FOLDER), or
its data are limited by RLIMIT_DATA, which also counts addresses that were never written to.

The records are red noise of 40 waves with an annual cycle; their values are read from the cache of the system, or
once from the disk (--cold), as those of a record are that is larger than memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import dask.array as da
import numpy as np
import torch
import xarray as xr
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from fieldcast.datasets import ZarrDataset, parts
from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.ingest import ingest
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import make, select
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from fieldcast.training.steps import BatchOrder
from fieldcast.training.task import OnFields

VARIABLES = "z500", "t850", "u850", "v850"
BATCH = 16
PASSES = 3  # passes over a streamed record that is in the cache, as the first window is not read ahead
LIMITED = """
import os, resource, sys
if os.path.isdir(sys.argv[1]):
    with open(os.path.join(sys.argv[1], "cgroup.procs"), "w") as group:
        group.write(str(os.getpid()))
else:
    resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
from kedro.framework.cli.cli import main
sys.argv[1:2] = []
main()
"""  # program of a run under a limit
EXPERIMENTS = "reconstruct.climatology,reconstruct.gappy_pca,reconstruct.diffusion"
CHUNK_TIMES = 64  # times that are made together
# glibc returns freed memory of 4 MiB and more to the system at once, and does not divide it among threads
ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "4194304",
    "MALLOC_TRIM_THRESHOLD_": "4194304",
}


def waves(rows: int, columns: int) -> np.ndarray:
    """Forty smooth patterns on the sphere, (wave, y, x)."""
    rng = np.random.default_rng(0)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows + 2)[1:-1, None]
    longitude = np.arange(columns) * 2 * np.pi / columns
    m, n = rng.integers(0, 12, 40), rng.integers(1, 12, 40)
    phase = rng.uniform(0, 2 * np.pi, (2, 40, 1, 1))
    return (
        np.cos(latitude)
        * np.cos(n[:, None, None] * latitude + phase[0])
        * np.cos(m[:, None, None] * longitude + phase[1])
    ).astype(np.float32)


def record(gigabytes: float, rows: int, columns: int) -> xr.Dataset:
    """A daily record of four variables, made lazily."""
    times = int(gigabytes * 1e9 / (4 * len(VARIABLES) * rows * columns)) // CHUNK_TIMES * CHUNK_TIMES
    patterns, rng = waves(rows, columns), np.random.default_rng(1)
    amplitude = rng.standard_normal((len(VARIABLES), times, 40), dtype=np.float32)
    for t in range(1, times):
        amplitude[:, t] = 0.8 * amplitude[:, t - 1] + 0.6 * amplitude[:, t]
    year = np.cos(2 * np.pi * np.arange(times) / 365.25).astype(np.float32)

    def block(variable: int, start: int) -> np.ndarray:
        span = slice(start, start + CHUNK_TIMES)
        x = np.tensordot(amplitude[variable, span], patterns, 1) + year[span, None, None] * patterns[0]
        noise = np.random.default_rng([variable, start]).standard_normal(x.shape, dtype=np.float32)
        return 280 + x + np.float32(0.05) * noise

    def array(variable: int) -> da.Array:
        def piece(block_info: dict) -> np.ndarray:
            return block(variable, block_info[None]["array-location"][0][0])

        chunks = ((CHUNK_TIMES,) * (times // CHUNK_TIMES), (rows,), (columns,))
        return da.map_blocks(piece, chunks=chunks, dtype=np.float32, meta=np.empty((0, 0, 0), np.float32))

    dims = ("time", "latitude", "longitude")
    data = {name: (dims, array(i), {"units": "K"}) for i, name in enumerate(VARIABLES)}
    latitude = np.linspace(-90, 90, rows + 1)[1:] - 90 / rows
    coords = {
        "time": np.datetime64("1900-01-01", "ns") + np.arange(times) * np.timedelta64(1, "D"),
        "latitude": ("latitude", latitude, {"units": "degrees_north"}),
        "longitude": ("longitude", np.arange(columns) * 360 / columns, {"units": "degrees_east"}),
    }
    return xr.Dataset(data, coords, {"title": "red noise of waves"})


def stored(fields: xr.Dataset, path: Path) -> xr.Dataset:
    """The fields in a store, opened in parts."""
    ZarrDataset(filepath=str(path), save_args={"chunk_bytes": 2 * 2**20}).save(fields)
    return opened(path)


def opened(path: Path) -> xr.Dataset:
    return parts.opened_in_parts(str(path))


def prepared(fields: xr.Dataset) -> PreparedData:
    """Fields with the statistics of their training split."""
    splits = make(fields["time"])
    training = select(fields, splits, "train")
    normal = climatology.fit(training)
    return PreparedData(fields, normal, normalisation.fit(training, normal), splits)


def rate(name: str, batches: Iterator[int], size: int, reference: float = 0.0) -> float:
    """Print and return the batches a second of an iterator over numbers of states."""
    begin, processor, states = time.perf_counter(), time.process_time(), 0
    for count in batches:
        states += count
    number = states / BATCH
    speed = number / (time.perf_counter() - begin)
    cost = 1e3 * (time.process_time() - processor) / number
    share = f"  {speed / reference:5.2f} of the raw speed" if reference else ""
    print(
        f"{name:30} {speed:7.1f} batches/s  {speed * BATCH * size / 1e6:5.0f} MB/s  {cost:5.1f} ms of CPU{share}",
        flush=True,
    )
    return speed


def evict(folder: Path) -> None:
    """Remove the files of a folder from the cache of the system."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def batches(gigabytes: float, folder: Path, cold: bool) -> None:
    """Batches a second of each reader, over all training states once."""
    fields = stored(ingest(record(gigabytes, 128, 256))[0], folder / "fields.zarr")
    data = prepared(fields)
    training = select(fields, data.splits, "train")
    codec, space = FieldCodec.of(*data.statistics), space_of(*data.statistics)
    n, size = training.sizes["time"], 4 * int(space.size)

    def raw(group: zarr.Group, length: int = 128) -> Iterator[int]:
        for start in range(0, n, length):
            span = slice(start, min(start + length, n))
            for name in VARIABLES:
                group[name][span]  # type: ignore[index]
            yield span.stop - start

    def streamed() -> Iterator[int]:
        states = OnFields().states(training, codec, space, Fit(data="stream"))
        order = BatchOrder(ReconstructionBatches(states, space, Sparsification()), None, 0, BATCH)
        passes = 1 if cold else PASSES
        return (len(states[order.data(step)]) for step in range(passes * order.steps * order.windows))

    shards = folder / "shards.zarr"
    group = zarr.open_group(shards, mode="w")
    for name in VARIABLES:
        array = group.create_array(
            name, shape=fields[name].shape, chunks=(16, 128, 256), shards=(512, 128, 256), dtype="f4",
            compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"), Crc32cCodec()],
        )  # fmt: skip
        for start in range(0, fields.sizes["time"], 512):
            array[start : start + 512] = fields[name][start : start + 512].values

    def measure(name: str, iterator: Iterator[int], reference: float = 0.0) -> float:
        if cold:
            evict(folder)
        return rate(name, iterator, size, reference)

    for _ in range(2):
        reference = measure("chunks in order", raw(zarr.open_group(folder / "fields.zarr", mode="r")))
        measure("Zarr v3 shards in order", raw(zarr.open_group(shards, mode="r")), reference)
        measure("streamed, shuffled", streamed(), reference)
        if (peer := xbatcher_batches(folder / "fields.zarr", n)) is not None:
            measure("xbatcher, shuffled DataLoader", islice(peer, 20), reference)


def xbatcher_batches(path: Path, n: int) -> Iterator[int] | None:
    """Batches of xbatcher in torch's DataLoader; None if it is not installed."""
    try:
        import xbatcher
        from xbatcher.loaders.torch import MapDataset
    except ImportError:
        return None
    data = xr.open_zarr(path, chunks={})[list(VARIABLES)].isel(time=slice(n)).to_dataarray()
    sizes = {"time": 1, "latitude": 128, "longitude": 256, "variable": len(VARIABLES)}
    generator = xbatcher.BatchGenerator(data, input_dims=sizes, preload_batch=False)
    loader = torch.utils.data.DataLoader(MapDataset(generator), batch_size=BATCH, shuffle=True)
    return (len(batch) for batch in loader)


def training(steps: int, folder: Path) -> None:
    """Steps a second in memory and streamed."""
    data = prepared(stored(ingest(record(0.6, 32, 64))[0], folder / "fields.zarr"))
    fit = Fit(steps=steps, report_every=steps, batch=BATCH, validation=8, save_every=1e9)
    model = {"type": "vae.ConditionalVAE", "latent": 64}
    for kind in ("memory", "stream") * 2:
        recipe = Recipe(Reconstruction(Sparsification()), model, replace(fit, data=kind), 0, Limits(), "cpu")
        *_, last = train(recipe, data, None)
        row = last.history.iloc[-1]
        print(f"{kind:8} {steps / row['seconds']:7.2f} steps/s", flush=True)


def memory(
    gigabytes: float, limit: float, group: str | None, rows: int, experiments: str, folder: Path
) -> None:
    """Largest resident memory of a run on a record, and on one of a quarter of its size."""
    peaks = []
    for size in (gigabytes / 4, gigabytes):
        source = folder / f"source_{size:g}.zarr"
        record(size, rows, 2 * rows).to_zarr(source, zarr_format=2)
        options = {
            "ingestion.path": source, "data_root": folder / f"run_{size:g}", "limits.steps": 20,
            "limits.members": 2, "limits.times": 8, "reconstruct.diffusion.fit.batch": 4,
        }  # fmt: skip
        command = [sys.executable, "-c", LIMITED, group or str(int(limit * 2**30)), "run", "--env", "netcdf"]
        command += ["--pipelines", experiments]
        command += ["--params", ",".join(f"{key}={value}" for key, value in options.items())]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ALLOCATOR})
        _, status, usage = os.wait4(process.pid, 0)
        peaks.append(usage.ru_maxrss / 2**20)
        print(
            f"record of {size:g} GB: exit {status}, {time.perf_counter() - begin:.0f} s, at most {peaks[-1]:.2f} GiB "
            f"resident under {limit:g} GiB" + (" of the control group" if group else " of data"), flush=True,
        )  # fmt: skip
    print(f"ratio of the peaks: {peaks[1] / peaks[0]:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("batches", "training", "memory"))
    parser.add_argument("--gigabytes", type=float)
    parser.add_argument(
        "--cold", action="store_true", help="read from the disk, not from the cache of the system"
    )
    parser.add_argument("--limit", type=float, default=2.0, help="of the data of a process, in GiB")
    parser.add_argument(
        "--group", help="folder of a control group whose memory is limited so, in place of RLIMIT_DATA"
    )
    parser.add_argument("--rows", type=int, default=64, help="of the grid, which has twice as many columns")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--experiments", default=EXPERIMENTS, help="that run under the limit")
    parser.add_argument("--folder", help="for the records")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        if given.what == "batches":
            batches(given.gigabytes or 1.0, Path(name), given.cold)
        elif given.what == "training":
            training(given.steps, Path(name))
        else:
            memory(
                given.gigabytes or 4.0, given.limit, given.group, given.rows, given.experiments, Path(name)
            )


if __name__ == "__main__":
    main()
