"""Likelihood, codes and reconstructions of states; the latent space, for the report: prior, decoded grids, chains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.states import ImageCodec, StateCodec
from fieldcast.errors import InputError
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.inference.samples.sets import DRAWS_AT_ONCE, physical_states
from fieldcast.kinds import SAMPLE, class_names, state_dimension
from fieldcast.models import image_transforms
from fieldcast.models.capabilities import HasDensity, HasLatents, HasTrajectory
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.diffusion import SNAPSHOTS
from fieldcast.models.distributions import Point, Posterior, Prior
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.priors import Mixed
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space, evenly
from fieldcast.runtime import Progress
from fieldcast.scores.distances import limits_of, most_active

DRAW_PURPOSE = "pictures"  # key of the random streams of this module
GRID_SIDE = 10  # number of states along an edge of the decoded grid
GRID_HALF_WIDTH = 2.5  # half width of the decoded grid, in standard deviations of the prior of a component
DENSITY_SIDE = 101  # number of points along an edge of the map of the density of two latents
RECONSTRUCTIONS = 10  # number of states shown beside their reconstructions
PAIRS = 2  # number of pairs of states between which codes are interpolated
INTERPOLATION_STEPS = 10  # number of states from one end of an interpolation to the other
TRAINING_CODES = 1000  # number of codes of a latent table that its t-SNE shows
SNAPSHOT_DRAWS = 4  # number of draws whose diffusion chains are shown
# data in the aggregate posterior times components: 20 000 posteriors of two components
MIXTURE_NUMBERS = 40_000
DENSITY_DRAWS = 4000  # number of draws at which prior and aggregate posterior are compared
PAIRS_AT_ONCE = 2**24  # numbers in memory when every draw meets every posterior
DECODED_AT_ONCE = 512  # states decoded in one batch, which bounds the memory

Values = Mapping[str, Float[np.ndarray, " datum"]]


@torch.no_grad()
def latents(
    model: Model, examined: LikelihoodExamination, split: Split, seed: int, training: Split | None = None
) -> xr.Dataset:
    """Variables mean and drawn (datum, latent), prior (draw, latent) and, for two components, log_density (v, u).

    With `training` data, whose posteriors form the aggregate posterior, those of `prior_fit` as well.
    """
    if not isinstance(model, HasLatents) or examined.mean is None or examined.drawn is None:
        return xr.Dataset()
    prior = model.latent_prior(Context(len(examined.mean)))
    device, count = model.space.area.device, len(examined.mean)
    drawn = prior.draw(RandomStreams(seed_for(DRAW_PURPOSE, seed), torch.arange(count, device=device)))[
        :, 0
    ].cpu()
    codes = xr.Dataset(
        {
            "mean": (("datum", "latent"), examined.mean.numpy()),
            "drawn": (("datum", "latent"), examined.drawn.numpy()),
            "prior": (("draw", "latent"), drawn.numpy()),
        }
    )
    if split.classes is not None:
        codes = codes.assign_coords(label=("datum", split.classes))
    if drawn.shape[1] == 2:
        ends = limits_of(examined.drawn.numpy()).T.tolist()
        across, up = (torch.linspace(*pair, DENSITY_SIDE, device=device) for pair in ends)
        v, u = torch.meshgrid(up, across, indexing="ij")
        log_p = prior.log_prob(torch.stack([u, v], dim=-1).flatten(0, 1)[None])[0].reshape(v.shape)
        coordinates = {"v": up.cpu().numpy(), "u": across.cpu().numpy()}
        codes = codes.assign_coords(coordinates).assign(log_density=(("v", "u"), log_p.cpu().numpy()))
    if training is None:
        return codes
    learnt = replace(training.batch, index=training.datum.to(device))  # a table looks its codes up
    q = model.posterior(learnt, RandomStreams(seed_for(DRAW_PURPOSE, seed), learnt.index))
    return (
        codes if isinstance(q, Point) else codes.assign(prior_fit(prior, q, examined.drawn.to(device), seed))
    )


def prior_fit(prior: Prior, q: Posterior, codes: Float[Tensor, "datum latent"], seed: int) -> xr.Dataset:
    """Log densities of a prior p beside those of the aggregate posterior, the mixture 1/N sum_i q(z | x_i).

    Variables prior_density (prior_draw) and code_density (datum), log p at draws of the prior and at `codes` of other
    data; prior_ratio (prior_draw) and aggregate_ratio (aggregate_draw), log of aggregate / p at draws of either. They
    do not depend on the scale of z (Rosca et al. 2018, arXiv:1802.06847, on the divergence of the two).
    """
    aggregate = Mixed(q, q.mean.new_zeros(len(q.mean)))
    index = torch.arange(DENSITY_DRAWS, device=codes.device)
    at_prior, at_aggregate = (
        source.draw(RandomStreams(seed_for(purpose, seed), index))
        for purpose, source in (("prior", prior), ("aggregate posterior", aggregate))
    )

    def log_ratio(z: Float[Tensor, "draw 1 latent"]) -> Float[Tensor, " draw"]:
        pieces = z.split(max(1, PAIRS_AT_ONCE // q.mean.numel()))
        return torch.cat([(aggregate.log_prob(piece) - prior.log_prob(piece))[:, 0] for piece in pieces])

    values = {
        "prior_density": ("prior_draw", prior.log_prob(at_prior)[:, 0]),
        "code_density": ("datum", prior.log_prob(codes[:, None])[:, 0]),
        "prior_ratio": ("prior_draw", log_ratio(at_prior)),
        "aggregate_ratio": ("aggregate_draw", log_ratio(at_aggregate)),
    }
    return xr.Dataset({name: (dim, value.double().cpu().numpy()) for name, (dim, value) in values.items()})


@torch.no_grad()
def training_codes(model: Model, split: Split) -> xr.Dataset:
    """Variable training_mean (training, latent): codes that a latent table learnt; empty for other encoders.

    A table fits codes of other data anew (`mean` of `latents`); an encoder treats training data like any other.
    """
    if not isinstance(getattr(model, "encoder", None), LatentTable):
        return xr.Dataset()
    position = evenly(len(split.datum), TRAINING_CODES)
    batch = split.batch
    row = split.datum.to(batch.x.device)[position]
    learnt = model.encoder(replace(batch[position], index=row)).mean.cpu().numpy()
    codes = xr.Dataset({"training_mean": (("training", "latent"), learnt)})
    if split.classes is None:
        return codes
    return codes.assign_coords(training_label=("training", np.asarray(split.classes)[position.numpy()]))


@torch.no_grad()
def pictures(
    model: Model, codec: StateCodec, split: Split, codes: xr.Dataset, seed: int,
    grid: tuple[int, int] | None = None,
) -> xr.Dataset:  # fmt: skip
    """States to show, (picture, ...), with the coordinates kind, number and chain_time.

    `codes` is the result of `latents`, `grid` the two components of `decoded_grid`.
    """
    datasets = []
    if isinstance(model, HasLatents):
        datasets = [decoded_grid(model, codec, codes, grid), *reconstructions(model, codec, split, seed)]
        if isinstance(codec, ImageCodec):
            datasets.append(interpolations(model, codec, codes))
    elif isinstance(model, HasTrajectory):
        datasets = [snapshots(model, codec, seed)]
    return xr.concat(datasets, "picture", combine_attrs="drop_conflicts") if datasets else xr.Dataset()


def decoded_grid(
    model: HasLatents, codec: StateCodec, codes: xr.Dataset, pair: tuple[int, int] | None = None
) -> xr.Dataset:
    """States x(z): component i of z increases along a row, component j decreases from row to row, the others are 0.

    `pair` is (i, j), stored as attrs["grid_components"]; by default the two components whose posterior means vary most,
    because others may be inactive.
    """
    device = model.space.area.device
    axis = torch.linspace(-GRID_HALF_WIDTH, GRID_HALF_WIDTH, GRID_SIDE, device=device)
    v, u = torch.meshgrid(axis.flip(0), axis, indexing="ij")
    latent = codes.sizes["latent"]
    if pair and max(pair) >= latent:
        raise InputError(
            f"options.grid is {list(pair)}, but the latent has the components 0 to {latent - 1}: choose two of these."
        )
    components = list(pair or most_active(codes)) if latent > 1 else [0]
    z = torch.zeros(GRID_SIDE * GRID_SIDE, 1, latent, device=device)
    z[:, 0, components] = torch.stack([u.flatten(), v.flatten()], dim=1)[:, : len(components)]
    streams = RandomStreams(seed_for(DRAW_PURPOSE), torch.arange(len(z), device=device))
    x = model.restore(z, Context(len(z)), streams)[:, 0]
    return labelled_states(model.space, codec, x, "grid").assign_attrs(grid_components=components)


def reconstructions(model: HasLatents, codec: StateCodec, split: Split, seed: int) -> list[xr.Dataset]:
    """Some data, and their reconstructions from the posterior means."""
    batch = split.batch
    datum = torch.arange(min(RECONSTRUCTIONS, len(batch.x)), device=batch.x.device)
    selected = batch[datum]
    streams = RandomStreams(seed_for(DRAW_PURPOSE, seed), datum)
    q = model.posterior(selected, streams)
    reconstruction = model.restore(q.mean[:, None], selected.context, streams)[:, 0]
    return [
        labelled_states(model.space, codec, selected.x, "truth"),
        labelled_states(model.space, codec, reconstruction, "reconstruction"),
    ]


def interpolations(model: HasLatents, codec: StateCodec, codes: xr.Dataset) -> xr.Dataset:
    """States x((1 - s) z_a + s z_b) with s from 0 to 1, for pairs (a, b) of successive test data, one pair a row."""
    device = model.space.area.device
    ends = torch.from_numpy(codes["mean"].values[: 2 * PAIRS]).float().to(device)
    ends = ends[: 2 * (len(ends) // 2)].unflatten(0, (-1, 2))  # (pair, end, latent)
    s = torch.linspace(0, 1, INTERPOLATION_STEPS, device=device)[:, None]
    z = torch.lerp(ends[:, :1], ends[:, 1:], s).flatten(0, 1)
    streams = RandomStreams(seed_for(DRAW_PURPOSE), torch.arange(len(z), device=device))
    x = model.restore(z[:, None], Context(len(z)), streams)[:, 0]
    return labelled_states(model.space, codec, x, "interpolation").assign_attrs(way=INTERPOLATION_STEPS)


def snapshots(model: HasTrajectory, codec: StateCodec, seed: int) -> xr.Dataset:
    """States x_t of some draws at several times of the diffusion chain."""
    index = torch.arange(SNAPSHOT_DRAWS, device=model.space.area.device)
    chains = model.snapshots(
        Context(len(index)), RandomStreams(seed_for(DRAW_PURPOSE, seed), index), SNAPSHOTS
    )
    datasets = [
        labelled_states(model.space, codec, x[:, 0], "snapshot", t)
        for t, x in sorted(chains.items(), reverse=True)
    ]
    return xr.concat(datasets, "picture")


def labelled_states(space: Space, codec: StateCodec, x: Tensor, kind: str, t: int = -1) -> xr.Dataset:
    """States in physical units, labelled with their kind and their time in a diffusion chain."""
    data = physical_states(space, codec, x).drop_vars(SAMPLE).rename({SAMPLE: "picture"})
    numbers = np.arange(len(x))
    return data.assign_coords(
        kind=("picture", np.full(len(x), kind)),
        number=("picture", numbers),
        chain_time=("picture", np.full(len(x), t)),
    )


class Split(NamedTuple):
    """Evenly spaced data of a split, encoded for a model of states."""

    batch: Batch  # without an index, because these data are not trained on
    datum: Int[Tensor, " datum"]  # positions in the split
    time: list[str]  # empty strings for images
    classes: np.ndarray | None = None  # names of the labels


def split_of(
    fields: xr.Dataset, splits: SplitRanges, name: str, count: int, codec: StateCodec, model: Model
) -> Split:
    """Evenly spaced data of a split, at most `count` of them."""
    fields = select(fields, splits, name)
    dim = state_dimension(fields)
    datum = evenly(fields.sizes[dim], count)
    selected = fields.isel({dim: datum.numpy()})
    device = model.space.area.device
    label = torch.from_numpy(selected["label"].values).to(device) if "label" in selected.coords else None
    # binarisation is keyed by the position in the split, so it does not depend on the number of data
    values = codec.encode(selected).to(device)
    x = codec.apply_treatment(values, image_transforms.fixed_streams(RandomStreams(0, datum.to(device))))
    times = list(calendars.iso(selected["time"])) if dim == "time" else [""] * len(datum)
    classes = class_names(selected["label"]) if "label" in selected.coords else None
    return Split(Batch(x, Context(len(x)), label=label), datum, times, classes)


class LikelihoodExamination(NamedTuple):
    """Statistics of some data, and their codes."""

    values: Values  # statistics by name
    members: int = 0  # number K of draws behind each statistic that needs draws
    mean: Float[Tensor, "datum latent"] | None = None  # posterior means
    drawn: Float[Tensor, "datum latent"] | None = None  # a draw from each posterior


@torch.no_grad()
def examine(model: Model, split: Split, members: int, codec: StateCodec, seed: int) -> LikelihoodExamination:
    """Likelihood, reconstruction and code of each datum.

    A model with codes gives elbo = reconstruction - kl and iwae (K = `members`) [nats], and loss, the mean square error
    per cell of the decoded posterior mean; deterministic codes give the loss alone. Other models with a density give
    elbo, which is log p itself or its bound from `members` draws, and bits_per_dim. All others give nothing.
    """
    device, count = model.space.area.device, len(split.datum)
    pieces = []
    for index in Progress(torch.arange(count, device=device).split(DRAWS_AT_ONCE), unit="part"):
        batch = split.batch[index]
        streams = RandomStreams(seed_for("likelihood", seed), split.datum.to(device)[index], members)
        if isinstance(model, HasLatents):
            pieces.append(examine_codes(model, batch, streams))
        elif isinstance(model, HasDensity):
            pieces.append(examine_density(model, batch, streams, codec))
        else:
            pieces.append(LikelihoodExamination({}))
    values = {name: np.concatenate([piece.values[name] for piece in pieces]) for name in pieces[0].values}
    codes = [
        torch.cat(parts) if parts[0] is not None else None
        for parts in zip(*(piece[2:] for piece in pieces), strict=True)
    ]
    return LikelihoodExamination(values, pieces[0].members, *codes)


def examine_codes(model: HasLatents, batch: Batch, streams: RandomStreams) -> LikelihoodExamination:
    """Statistics of a batch under a model with codes."""
    single = streams.alone()
    q = model.posterior(batch, single.fork(0))
    decoded = model.restore(q.mean[:, None], batch.context, single.fork(1))[:, 0]
    loss = ((decoded - batch.x) ** 2 * model.space.exists).flatten(1).sum(dim=1) / model.space.size
    statistics = {"loss": loss}
    if not isinstance(q, Point):
        log_parts = [
            model.log_parts(batch, piece, q)
            for piece in in_pieces(streams, max(1, DECODED_AT_ONCE // len(batch.x)))
        ]
        likelihood, ratio = (torch.cat(part, dim=1).double() for part in zip(*log_parts, strict=True))
        weights = likelihood + ratio
        statistics |= {
            "elbo": weights.mean(dim=1),
            "reconstruction": likelihood.mean(dim=1),
            "kl": -ratio.mean(dim=1),
            "iwae": torch.logsumexp(weights, dim=1) - np.log(weights.shape[1]),
        }
    drawn = q.draw(single.fork(2))[:, 0].cpu()
    return LikelihoodExamination(as_arrays(statistics), streams.members, q.mean.cpu(), drawn)


def examine_density(
    model: HasDensity, batch: Batch, streams: RandomStreams, codec: StateCodec
) -> LikelihoodExamination:
    """Statistics of a batch under a model with a density, exact or bounded."""
    streams = streams.alone() if model.density == "exact" else streams
    pieces = torch.arange(len(batch.x), device=batch.x.device).split(
        max(1, DECODED_AT_ONCE // streams.members)
    )
    weights = [model.log_weights(batch[piece], streams.of_data(piece)) for piece in pieces]
    log_p = torch.cat(weights).double().mean(dim=1)
    bits = codec.bits_per_dim(log_p, int(model.space.size))
    return LikelihoodExamination(as_arrays({"elbo": log_p, "bits_per_dim": bits}), streams.members)


def in_pieces(streams: RandomStreams, size: int) -> Iterator[RandomStreams]:
    """Yield the members of some draws, `size` at a time."""
    for first in range(0, streams.members, size):
        yield streams.of_members(slice(first, first + size))


def as_arrays(statistics: Mapping[str, Tensor]) -> Values:
    """The statistics as arrays in double precision."""
    return {name: value.double().cpu().numpy() for name, value in statistics.items()}


def density_table(parts: Mapping[str, tuple[Split, LikelihoodExamination]]) -> pd.DataFrame:
    """Table of split, datum, time, statistic, members (K if the statistic depends on it, else 0) and value."""
    frames = [
        pd.DataFrame(
            {
                "split": name, "datum": split.datum.numpy(), "time": split.time, "statistic": statistic,
                "members": 0 if statistic == "loss" else examined.members, "value": values,
            }
        )
        for name, (split, examined) in parts.items()
        for statistic, values in examined.values.items()
    ]  # fmt: skip
    columns = ["split", "datum", "time", "statistic", "members", "value"]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)
