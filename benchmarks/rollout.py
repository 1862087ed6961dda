"""A rollout beside a bare loop over the same network, its throughput and its memory: `python -m benchmarks.rollout`.

The network is the reports' VAE with a latent of 1000 at 64 x 32 x 4, stepped by Runge-Kutta with 10 members,
as in `forecast.vae_rk4`. The bare loop calls the network four times a step with torch's own random numbers and does
nothing else. Stretches of both alternate in one run; the ratio is that of the medians; the goal is 0.9. `--device cuda`
does so on a GPU. Peak memory is that of a process of its own that rolls out a smaller network for 50 and for 5000
steps, and writes each of them to a Zarr store as `kedro run` does.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor

from benchmarks.training_step import planet_sized
from fieldcast.datasets import ZarrDataset
from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.ingest import ingest
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, forecast, rollout
from fieldcast.kinds import InitialTimes
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.stepped import Stepped
from fieldcast.models.vae import ConditionalVAE

STRETCH, STRETCHES, LENGTHS, STORED = 20, 5, (50, 500), (50, 5000)  # steps; those of the peak of memory


def model(device: str = "cpu") -> Stepped:
    torch.manual_seed(0)
    space = planet_sized("random").space
    stepped = Stepped(
        space, ConditionalVAE(space, latent=1000, history=1, random=1), "rk4", scale=0.01
    ).eval()
    stepped.to(device)
    return stepped


def context(stepped: Stepped, members: int) -> Context:
    device = stepped.space.area.device
    past, day = torch.randn(1, 1, *stepped.space.state_shape, device=device), torch.zeros(1, device=device)
    return Context(1, past=past, day=day).repeat(members)


@torch.no_grad()
def ours(stepped: Stepped, members: int, steps: int) -> None:
    start = torch.zeros(1, dtype=torch.long, device=stepped.space.area.device)
    for _ in rollout(stepped, context(stepped, members), RandomStreams(0, start, members), steps):
        pass


@torch.no_grad()
def bare(stepped: Stepped, members: int, steps: int) -> None:
    vae, c = stepped.model, context(stepped, members)
    x, static = c.base(), c.channels(stepped.space)[:, x_channels(stepped) :]

    def f(x: Tensor, eps: Tensor, r: Tensor) -> Tensor:
        inputs = torch.cat([x, static], dim=1)
        h = vae.encoder.network(inputs)
        z = vae.encoder.mean(h) + torch.exp(vae.encoder.log_variance(h) / 2) * eps
        past = vae.decoder.past.features_of(inputs)
        return stepped.scale * vae.decoder.network(torch.cat([z, r], dim=1), past)

    for _ in range(steps):
        eps, r = torch.randn(members, 1000, device=x.device), torch.randn(members, 1, device=x.device)
        k1 = f(x, eps, r)
        k2 = f(x + k1 / 2, eps, r)
        k3 = f(x + k2 / 2, eps, r)
        x = x + (k1 + 2 * (k2 + k3) + f(x + k3, eps, r)) / 6


def x_channels(stepped: Stepped) -> int:
    return len(stepped.space.variables)


def seconds(run: Callable[..., None], *arguments: object) -> float:
    begin = time.perf_counter()
    run(*arguments)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def stored(steps: int) -> None:
    """So many steps of ten members, each of which goes to a Zarr store."""
    days, latitude = pd.date_range("2001-01-01", periods=100), np.linspace(-80, 80, 16)
    coords = {"time": days, "latitude": latitude, "longitude": 11.25 * np.arange(32)}
    values = np.random.default_rng(0).normal(size=(100, 16, 32)).astype(np.float32)
    noise = xr.DataArray(values, coords, attrs={"units": "K"})
    fields, _ = ingest(noise.to_dataset(name="t").assign_attrs(source="noise"))
    mean = climatology.fit(fields)
    training = fields, mean, normalisation.fit(fields, mean)
    space = space_of(*training)
    stepped = Stepped(space, ConditionalVAE(space, latent=50, history=1, random=1), "rk4", scale=0.01).eval()
    forecaster = EnsembleForecaster(stepped, FieldCodec.of(*training), fields, ["2001-01-31T00:00:00"], 10, 0)
    with tempfile.TemporaryDirectory() as folder:
        store = ZarrDataset(filepath=f"{folder}/forecasts.zarr", append="lead")
        for piece in forecast(forecaster, cast(InitialTimes, {"leads": steps, "digest": ""}), None, ""):
            store.save(piece.forecasts)


def memory(steps: int) -> float:
    """Peak memory in MB of a process that rolls out so many steps to a store."""
    code = (
        "import torch; from benchmarks.rollout import stored; from fieldcast.encoding.checkpoint import peak_mb; "
        f"stored({steps}); print(peak_mb(torch.device('cpu')))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(child.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    stepped = model(device := parser.parse_args().device)
    for run in (ours, bare):
        run(stepped, 10, 2)
    pairs = [
        (seconds(ours, stepped, 10, STRETCH), seconds(bare, stepped, 10, STRETCH)) for _ in range(STRETCHES)
    ]
    our_time, bare_time = (statistics.median(column) / STRETCH for column in zip(*pairs, strict=True))
    cores = f"{torch.get_num_threads()} cores of a {platform.machine()} processor"
    print(cores if device == "cpu" else torch.cuda.get_device_name())
    print(f"a step, 10 members, RK4: {1000 * our_time:.1f} ms, of the bare loop {1000 * bare_time:.1f} ms")
    print(f"speed against the bare loop: {bare_time / our_time:.2f}")
    for steps in LENGTHS:
        spent = seconds(ours, stepped, 10, steps)
        print(f"{steps:>3} steps: {spent:.1f} s, {10 * steps / spent:.0f} steps of a member a second")
    for members in (1, 10, 100):
        rate = members * STRETCH / seconds(ours, stepped, members, STRETCH)
        print(f"{members:>3} members: {rate:.0f} steps of a member a second")
    peaks = ", ".join(f"{steps} steps {memory(steps):.0f} MB" for steps in STORED)
    print(f"peak memory, each step stored: {peaks}")


if __name__ == "__main__":
    main()
