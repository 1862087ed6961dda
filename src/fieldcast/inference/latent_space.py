"""The latent space of a model of states, for the report: codes, prior, decoded grids, a diffusion chain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from fieldcast.encoding.states import ImageCodec, StateCodec
from fieldcast.errors import InputError
from fieldcast.inference.likelihood import Examined, Split
from fieldcast.inference.sample import physical_states
from fieldcast.models.capabilities import HasLatents, HasTrajectory
from fieldcast.models.core import Context, Model
from fieldcast.models.diffusion import SNAPSHOTS
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.selection import evenly
from fieldcast.models.space import Space
from fieldcast.scores.latent_codes import limits_of, most_active

DRAW_PURPOSE = "pictures"  # purpose of the draws of this module
SIDE = 10  # cells along an edge of the decoded grid
REACH = 2.5  # its half width, in standard deviations of a standard normal
DENSITY_SIDE = 101
RESTORED = 10  # data shown beside their reconstructions
PAIRS = 2  # pairs of data between whose codes is interpolated
INTERPOLATION_STEPS = 10  # pictures from one datum of a pair to the other
TRAINING_CODES = 1000  # of a table, for its t-SNE
SNAPSHOT_DRAWS = 4  # draws whose chains are shown


@torch.no_grad()
def latents(model: Model, examined: Examined, split: Split, seed: int) -> xr.Dataset:
    """mean, drawn (datum, latent) and prior (draw, latent); for two components also log_density (v, u)."""
    if not isinstance(model, HasLatents) or examined.mean is None or examined.drawn is None:
        return xr.Dataset()
    prior = model.latent_prior()
    device, count = model.space.area.device, len(examined.mean)
    drawn = prior.draw(RandomStreams(seed_for(DRAW_PURPOSE, seed), torch.arange(count, device=device)))[
        :, 0
    ].cpu()
    inside = xr.Dataset(
        {
            "mean": (("datum", "latent"), examined.mean.numpy()),
            "drawn": (("datum", "latent"), examined.drawn.numpy()),
            "prior": (("draw", "latent"), drawn.numpy()),
        }
    )
    if split.classes is not None:
        inside = inside.assign_coords(label=("datum", split.classes))
    if drawn.shape[1] == 2:
        ends = limits_of(examined.drawn.numpy(), drawn.numpy()).T.tolist()
        across, up = (torch.linspace(*pair, DENSITY_SIDE, device=device) for pair in ends)
        v, u = torch.meshgrid(up, across, indexing="ij")
        log_p = prior.log_prob(torch.stack([u, v], dim=-1).flatten(0, 1)[None])[0].reshape(v.shape)
        places = {"v": up.cpu().numpy(), "u": across.cpu().numpy()}
        inside = inside.assign_coords(places).assign(log_density=(("v", "u"), log_p.cpu().numpy()))
    return inside


@torch.no_grad()
def training_codes(model: Model, split: Split) -> xr.Dataset:
    """training_mean (training, latent): codes of training data as a table learnt them; empty without a table.

    Codes of other data, `mean` of `latents`, are fitted afresh. An encoder treats both alike.
    """
    if not isinstance(getattr(model, "encoder", None), LatentTable):
        return xr.Dataset()
    place = evenly(len(split.datum), TRAINING_CODES)
    batch = split.batch
    row = split.datum.to(batch.x.device)[place]
    learnt = model.encoder(replace(batch[place], index=row)).mean.cpu().numpy()
    codes = xr.Dataset({"training_mean": (("training", "latent"), learnt)})
    if split.classes is None:
        return codes
    return codes.assign_coords(training_label=("training", np.asarray(split.classes)[place.numpy()]))


@torch.no_grad()
def pictures(
    model: Model, codec: StateCodec, split: Split, inside: xr.Dataset, seed: int,
    grid: tuple[int, int] | None = None,
) -> xr.Dataset:  # fmt: skip
    """States to show, (picture, ...), with the coordinates kind, number and chain_time.

    `inside` are the latents, `grid` the two components of `decoded_grid`.
    """
    parts = []
    if isinstance(model, HasLatents):
        parts = [decoded_grid(model, codec, inside, grid), *reconstructions(model, codec, split, seed)]
        if isinstance(codec, ImageCodec):
            parts.append(interpolated(model, codec, inside))
    elif isinstance(model, HasTrajectory):
        parts = [snapshots(model, codec, seed)]
    return xr.concat(parts, "picture", combine_attrs="drop_conflicts") if parts else xr.Dataset()


def decoded_grid(
    model: HasLatents, codec: StateCodec, inside: xr.Dataset, pair: tuple[int, int] | None = None
) -> xr.Dataset:
    """x for component i of z rising along a row and component j falling from row to row, the others 0.

    `pair` is (i, j), in attrs["grid_components"]; by default the two whose posterior means vary most, because others
    may be inactive.

    Raises
    ------
    InputError
        For a component that z does not have.
    """
    device = model.space.area.device
    axis = torch.linspace(-REACH, REACH, SIDE, device=device)
    v, u = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    latent = inside.sizes["latent"]
    if pair and max(pair) >= latent:
        raise InputError(
            f"options.grid is {list(pair)}, but the latent has the components 0 to {latent - 1}: choose two of these."
        )
    components = list(pair or most_active(inside)) if latent > 1 else [0]
    z = torch.zeros(SIDE * SIDE, 1, latent, device=device)
    z[:, 0, components] = torch.stack([u.flatten(), v.flatten()], dim=1)[:, : len(components)]
    draws = RandomStreams(seed_for(DRAW_PURPOSE), torch.arange(len(z), device=device))
    x = model.restore(z, Context(len(z)), draws)[:, 0]
    return decoded_as(model.space, codec, x, "grid").assign_attrs(grid_components=components)


def reconstructions(model: HasLatents, codec: StateCodec, split: Split, seed: int) -> list[xr.Dataset]:
    """Some data, and their reconstructions from the posterior means."""
    batch = split.batch
    few = torch.arange(min(RESTORED, len(batch.x)), device=batch.x.device)
    some = batch[few]
    draws = RandomStreams(seed_for(DRAW_PURPOSE, seed), few)
    q = model.posterior(some, draws)
    back = model.restore(q.mean[:, None], some.context, draws)[:, 0]
    return [
        decoded_as(model.space, codec, some.x, "truth"),
        decoded_as(model.space, codec, back, "reconstruction"),
    ]


def interpolated(model: HasLatents, codec: StateCodec, inside: xr.Dataset) -> xr.Dataset:
    """x for (1 - s) z_a + s z_b, s from 0 to 1, with a and b two test data after each other; row by row of a pair."""
    device = model.space.area.device
    ends = torch.from_numpy(inside["mean"].values[: 2 * PAIRS]).float().to(device)
    ends = ends[: 2 * (len(ends) // 2)].unflatten(0, (-1, 2))  # (pair, end, latent)
    s = torch.linspace(0, 1, INTERPOLATION_STEPS, device=device)[:, None]
    z = torch.lerp(ends[:, :1], ends[:, 1:], s).flatten(0, 1)
    draws = RandomStreams(seed_for(DRAW_PURPOSE), torch.arange(len(z), device=device))
    x = model.restore(z[:, None], Context(len(z)), draws)[:, 0]
    return decoded_as(model.space, codec, x, "interpolation").assign_attrs(way=INTERPOLATION_STEPS)


def snapshots(model: HasTrajectory, codec: StateCodec, seed: int) -> xr.Dataset:
    """x_t of some draws on their way from noise to data."""
    index = torch.arange(SNAPSHOT_DRAWS, device=model.space.area.device)
    chains = model.snapshots(
        Context(len(index)), RandomStreams(seed_for(DRAW_PURPOSE, seed), index), SNAPSHOTS
    )
    parts = [
        decoded_as(model.space, codec, x[:, 0], "snapshot", t)
        for t, x in sorted(chains.items(), reverse=True)
    ]
    return xr.concat(parts, "picture")


def decoded_as(space: Space, codec: StateCodec, x: Tensor, kind: str, t: int = -1) -> xr.Dataset:
    """States to show, labelled by kind."""
    data = physical_states(space, codec, x).drop_vars("sample").rename(sample="picture")
    numbers = np.arange(len(x))
    return data.assign_coords(
        kind=("picture", np.full(len(x), kind)),
        number=("picture", numbers),
        chain_time=("picture", np.full(len(x), t)),
    )
