"""What a model of states has inside, to be looked at: its codes, its prior, decoded grids, a diffusion on its way."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from fieldcast.encoding.states import StateCodec
from fieldcast.inference.sampling import Examined, Split, physical
from fieldcast.models.capabilities import HasLatents, HasTrajectory
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space
from fieldcast.scores.latent_codes import limits_of, most_active

LOOK = "pictures"  # the purpose of draws that are looked at
SIDE = 10  # of the decoded grid
REACH = 2.5  # its edge, in standard deviations of a standard normal
DENSITY_SIDE = 101
RESTORED = 10  # data shown beside their reconstructions
SNAPSHOTS = 200, 100, 50, 20, 10, 0
SNAPPED = 4  # draws shown on their way


@torch.no_grad()
def latents(model: Model, examined: Examined, split: Split, seed: int) -> xr.Dataset:
    """mean, drawn (datum, latent), prior (draw, latent); of two components log_density (v, u) where these are."""
    if not isinstance(model, HasLatents) or examined.mean is None or examined.drawn is None:
        return xr.Dataset()
    prior = model.codes()
    device, count = model.space.area.device, len(examined.mean)
    drawn = prior.draw(RandomStreams(seed_for(LOOK, seed), torch.arange(count, device=device)))[:, 0].cpu()
    found = xr.Dataset(
        {
            "mean": (("datum", "latent"), examined.mean.numpy()),
            "drawn": (("datum", "latent"), examined.drawn.numpy()),
            "prior": (("draw", "latent"), drawn.numpy()),
        }
    )
    if split.batch.label is not None:
        found = found.assign_coords(label=("datum", split.batch.label.cpu().numpy()))
    if drawn.shape[1] == 2:
        ends = limits_of(examined.drawn.numpy(), drawn.numpy()).T.tolist()
        across, up = (torch.linspace(*pair, DENSITY_SIDE, device=device) for pair in ends)
        v, u = torch.meshgrid(up, across, indexing="ij")
        log_p = prior.log_prob(torch.stack([u, v], dim=-1).flatten(0, 1)[None])[0].reshape(v.shape)
        places = {"v": up.cpu().numpy(), "u": across.cpu().numpy()}
        found = found.assign_coords(places).assign(log_density=(("v", "u"), log_p.cpu().numpy()))
    return found


@torch.no_grad()
def pictures(model: Model, codec: StateCodec, split: Split, inside: xr.Dataset, seed: int) -> xr.Dataset:
    """States to look at, (picture, ...), with the coordinates kind, number and chain_time; `inside` are its latents."""
    parts = []
    if isinstance(model, HasLatents):
        parts = [decoded_grid(model, codec, inside), *restored(model, codec, split, seed)]
    elif isinstance(model, HasTrajectory):
        parts = [snapshots(model, codec, seed)]
    return xr.concat(parts, "picture") if parts else xr.Dataset()


def decoded_grid(model: HasLatents, codec: StateCodec, inside: xr.Dataset) -> xr.Dataset:
    """x of one component of z rising along a row and another falling from row to row, the others 0.

    They are the two whose posterior means vary most, in attrs["grid_components"]: of many some may say nothing.
    """
    device = model.space.area.device
    axis = torch.linspace(-REACH, REACH, SIDE, device=device)
    v, u = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    latent = inside.sizes["latent"]
    chosen = list(most_active(inside)) if latent > 1 else [0]
    z = torch.zeros(SIDE * SIDE, 1, latent, device=device)
    z[:, 0, chosen] = torch.stack([u.flatten(), v.flatten()], dim=1)[:, : len(chosen)]
    draws = RandomStreams(seed_for(LOOK), torch.arange(len(z), device=device))
    x = model.restore(z, Context(len(z)), draws)[:, 0]
    return of_kind(model.space, codec, x, "grid").assign_attrs(grid_components=chosen)


def restored(model: HasLatents, codec: StateCodec, split: Split, seed: int) -> list[xr.Dataset]:
    """Some data, and what decoding the means of their posteriors gives."""
    batch = split.batch
    few = torch.arange(min(RESTORED, len(batch.x)), device=batch.x.device)
    some = Batch(batch.x[few], batch.context[few])
    one = RandomStreams(seed_for(LOOK, seed), few)
    q = model.posterior(some, one)
    back = model.restore(q.mean[:, None], some.context, one)[:, 0]
    return [of_kind(model.space, codec, some.x, "truth"), of_kind(model.space, codec, back, "reconstruction")]


def snapshots(model: HasTrajectory, codec: StateCodec, seed: int) -> xr.Dataset:
    """x_t of some draws on their way from noise."""
    rows = torch.arange(SNAPPED, device=model.space.area.device)
    found = model.snapshots(Context(len(rows)), RandomStreams(seed_for(LOOK, seed), rows), SNAPSHOTS)
    parts = [
        of_kind(model.space, codec, x[:, 0], "snapshot", t) for t, x in sorted(found.items(), reverse=True)
    ]
    return xr.concat(parts, "picture")


def of_kind(space: Space, codec: StateCodec, x: Tensor, kind: str, t: int = -1) -> xr.Dataset:
    """States to look at that say what they are."""
    data = physical(space, codec, x).drop_vars("sample").rename(sample="picture")
    numbers = np.arange(len(x))
    return data.assign_coords(
        kind=("picture", np.full(len(x), kind)),
        number=("picture", numbers),
        chain_time=("picture", np.full(len(x), t)),
    )
