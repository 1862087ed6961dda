"""Reconstruction with a borrowed prior: `python -m studies.borrowed_prior DATA_ROOT [SAMPLE_ROOT] [TIMES]`.

DATA_ROOT is that of a run with reconstruct.optimal_interpolation and reconstruct.guided_diffusion, SAMPLE_ROOT that of
a run with sample.ddpm on the same data. Times of the test split, evenly spaced, have a tenth of their cells observed at
random, with an error of 0.1 standard deviations. `ddpm` is guided to them by the sampler of `guided_diffusion`, MMPS:

    D(x, s) = x0(x / sqrt(1 + s^2), t),    abar_t nearest to 1 / (1 + s^2),

with x0 its expected data. It knows no day of the year, and its states are not anomalies.

Columns: fair CRPS at unobserved cells, mean over variables in anomaly standard deviations; its ratio to optimal
interpolation, with a 95 % interval from resampling the times; the spread-skill ratio.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from fieldcast.encoding.checkpoint import Checkpoint, unpack
from fieldcast.encoding.states import AnyDayCodec
from fieldcast.fields.splits import select
from fieldcast.models.core import Context
from fieldcast.models.diffusion import Diffusion
from fieldcast.models.edm import GuidedEDM
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.posterior_samplers import Target, noise_levels
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import evenly
from studies import finished

OBSERVED, ERROR, MEMBERS, RESAMPLES = 0.1, 0.1, 10, 2000
TIMES_AT_ONCE = 4  # times whose members are drawn together
REFERENCE = "optimal_interpolation"


def trained(root: Path, address: str) -> Checkpoint:
    """The checkpoint of an experiment."""
    folder = root / "06_models" / address.replace(".", "/")
    return unpack((folder / "checkpoint.safetensors").read_bytes())


def borrowed(
    ddpm: Checkpoint, guided: Checkpoint, x: Tensor, mask: Tensor, days: xr.DataArray, streams: RandomStreams
) -> Tensor:
    """Draws (time, member, variable, y, x) of `ddpm` guided to noisy anomalies x where `mask`, as anomalies."""
    model, prior, codec = guided.model, ddpm.model, ddpm.state_codec
    assert isinstance(model, GuidedEDM) and isinstance(prior, Diffusion) and isinstance(codec, AnyDayCodec)
    mean, deviation = (torch.from_numpy(part)[:, None, None] for part in (codec.mean, codec.deviation))
    scale = torch.from_numpy(guided.field_codec.deviation)[:, None, None] / deviation
    shift = (torch.from_numpy(guided.field_codec.climatology_at(days)).float() - mean) / deviation
    y, m = ((shift + scale * x) * mask).repeat_interleave(MEMBERS, 0), mask.repeat_interleave(MEMBERS, 0)
    context, abar = Context(len(y)), prior.schedule.abar_by_step
    row_streams = streams.per_row()

    def denoise(z: Tensor, s: float) -> Tensor:
        t = int((abar - 1 / (1 + s**2)).abs().argmin())
        return prior.denoise(z * float(abar[t]) ** 0.5, torch.full((len(z),), t), context)

    def noise() -> Tensor:
        return row_streams.normal(*prior.space.state_shape)[:, 0]

    target = Target(denoise, noise, y, m, (ERROR * scale) ** 2)  # r of each variable
    *_, z = model.sampler.trajectory(noise_levels(model.levels), target)
    return (z.unflatten(0, (-1, MEMBERS)) - shift[:, None]) / scale


@torch.no_grad()
def compare(root: Path, sample_root: Path | None, count: int) -> None:
    names = REFERENCE, "guided_diffusion"
    models = {name: trained(root, f"reconstruct.{name}") for name in names}
    codec, space = models[REFERENCE].field_codec, models[REFERENCE].model.space
    fields = xr.open_zarr(root / "03_primary" / "fields.zarr")
    test = select(fields, {"test": models[REFERENCE].header["splits"]["test"]}, "test")
    test = test.isel(time=evenly(test.sizes["time"], count).numpy()).load()
    x, generator = codec.encode(test), torch.Generator().manual_seed(0)
    mask = (torch.rand(len(x), 1, *space.shape, generator=generator) < OBSERVED).expand_as(x)
    noisy = x + ERROR * torch.randn(x.shape, generator=generator)
    context = Context(len(x), observed=noisy * mask, mask=mask, day=codec.days(test["time"]), noise=ERROR)
    draws, crps = RandomStreams(0, torch.arange(len(x)), MEMBERS), {}
    for name in (*names, "ddpm"):
        if name == "ddpm":
            prior = trained(sample_root or root, "sample.ddpm")
            guided, days, parts = models["guided_diffusion"], test["time"], []
            for i in torch.arange(len(x)).split(TIMES_AT_ONCE):
                part = borrowed(prior, guided, noisy[i], mask[i], days[i.numpy()], draws.of_data(i))
                parts.append(part)
            drawn = torch.cat(parts)
        else:
            drawn = models[name].model.sample(context, draws)
        weight = space.area * ~mask
        crps[name] = (fair_crps(drawn, x) * weight).sum((1, 2, 3)) / weight.sum((1, 2, 3))
        ratio = crps[name] / crps[REFERENCE].mean(), crps[REFERENCE] / crps[REFERENCE].mean()
        low, high = interval(*(each.double().numpy() for each in ratio))
        square = ((drawn.mean(1) - x) ** 2 * weight).sum() * MEMBERS / (MEMBERS + 1)
        spread = float(((drawn.var(1) * weight).sum() / square).sqrt())
        text = f"{crps[name].mean():.3f}   {ratio[0].mean():.2f} ({low:.2f} to {high:.2f})   {spread:.2f}"
        print(f"{name:24}{text}", flush=True)


def interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """95 % interval of the ratio of means of paired scores."""
    index = np.random.default_rng(0).integers(len(a), size=(RESAMPLES, len(a)))
    low, high = np.quantile(a[index].mean(1) / b[index].mean(1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Read the arguments, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=finished, metavar="DATA_ROOT")
    parser.add_argument("sample_root", nargs="?", type=finished, metavar="SAMPLE_ROOT")
    parser.add_argument("count", nargs="?", type=int, default=16, metavar="TIMES")
    compare(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
