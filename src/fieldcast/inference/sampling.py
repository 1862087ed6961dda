"""Draws of states, and what a model of states says of data: their codes, their likelihood, how well they come back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from fieldcast.encoding.selection import evenly
from fieldcast.encoding.states import StateCodec
from fieldcast.fields import calendars
from fieldcast.fields.splits import along, select
from fieldcast.models import image_transforms
from fieldcast.models.capabilities import HasDensity, HasLatents
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.distributions import Point
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import Space

ROWS = 64  # data at once
DECODED = 512  # states decoded at once: bounds the memory

Values = Mapping[str, Float[np.ndarray, " datum"]]


@torch.no_grad()
def draw_states(model: Model, count: int, seed: int) -> Float[Tensor, "draw variable y x"]:
    """So many draws of x; they do not depend on how many are drawn at once."""
    x = torch.empty(count, *model.space.state)
    for rows in tqdm(
        torch.arange(count, device=model.space.area.device).split(ROWS),
        unit="batch",
        disable=None,
        leave=False,
    ):
        x[rows.cpu()] = model.sample(Context(len(rows)), RandomStreams(seed, rows))[:, 0].float().cpu()
    return x


def physical(space: Space, codec: StateCodec, x: Float[Tensor, "draw variable y x"]) -> xr.Dataset:
    """States in physical units or grey values; cells that never exist are NaN."""
    return codec.decode(x.float().cpu().masked_fill(~space.exists.cpu(), torch.nan))


class Split(NamedTuple):
    """Evenly spaced data of a split, as a model sees them that was not trained on them."""

    batch: Batch  # without index
    datum: Int[Tensor, " datum"]  # place in the split
    time: list[str]  # of fields; of images empty texts


def split_of(
    fields: xr.Dataset, splits: Mapping[str, Any], name: str, count: int, codec: StateCodec, model: Model
) -> Split:
    """At most `count` data of a split."""
    part = select(fields, splits, name)
    dim = along(part)
    datum = evenly(part.sizes[dim], count)
    chosen = part.isel({dim: datum.numpy()})
    device = model.space.area.device
    label = torch.from_numpy(chosen["label"].values).to(device) if "label" in chosen.coords else None
    # binarisation is keyed by the place in the split: the same however many data are chosen
    values = codec.encode(chosen).to(device)
    x = codec.seen(values, image_transforms.fixed(RandomStreams(0, datum.to(device))))
    times = list(calendars.iso(chosen["time"])) if dim == "time" else [""] * len(datum)
    return Split(Batch(x, Context(len(x)), label=label), datum, times)


class Examined(NamedTuple):
    """What is known of some data."""

    values: Values  # by statistic
    members: int = 0  # K: draws behind each statistic that needs draws
    mean: Float[Tensor, "datum latent"] | None = None  # of their posteriors
    drawn: Float[Tensor, "datum latent"] | None = None


@torch.no_grad()
def examine(model: Model, split: Split, members: int, codec: StateCodec, seed: int) -> Examined:
    """Likelihood and reconstruction of each datum, and its code.

    Of a model with codes: elbo = reconstruction - kl and iwae (K = `members`) [nats]; loss, the mean square error a
    cell of decoding the mean of the posterior. Points have the loss alone. Of other densities: elbo, which of a flow is
    log p itself and of a diffusion the bound of `members` times, and bits_per_dim. Of another model nothing.
    """
    device, count = model.space.area.device, len(split.datum)
    pieces = []
    for rows in tqdm(torch.arange(count, device=device).split(ROWS), unit="batch", disable=None, leave=False):
        known = split.batch
        batch = Batch(
            known.x[rows], known.context[rows], label=None if known.label is None else known.label[rows]
        )
        draws = RandomStreams(seed_for("likelihood", seed), split.datum.to(device)[rows], members)
        if isinstance(model, HasLatents):
            pieces.append(of_codes(model, batch, draws))
        elif isinstance(model, HasDensity):
            pieces.append(of_density(model, batch, draws, codec))
        else:
            pieces.append(Examined({}))
    values = {name: np.concatenate([one.values[name] for one in pieces]) for name in pieces[0].values}
    codes = [
        torch.cat(parts) if parts[0] is not None else None
        for parts in zip(*(one[2:] for one in pieces), strict=True)
    ]
    return Examined(values, pieces[0].members, *codes)


def of_codes(model: HasLatents, batch: Batch, draws: RandomStreams) -> Examined:
    """What a model with codes knows of a batch."""
    one = draws.alone()
    q = model.posterior(batch, one.fork(0))
    back = model.restore(q.mean[:, None], batch.context, one.fork(1))[:, 0]
    loss = ((back - batch.x) ** 2 * model.space.exists).flatten(1).sum(dim=1) / model.space.size
    found = {"loss": loss}
    if not isinstance(q, Point):
        parts = [
            model.log_parts(batch, some, q) for some in in_pieces(draws, max(1, DECODED // len(batch.x)))
        ]
        likelihood, ratio = (torch.cat(part, dim=1).double() for part in zip(*parts, strict=True))
        weights = likelihood + ratio
        found |= {
            "elbo": weights.mean(dim=1),
            "reconstruction": likelihood.mean(dim=1),
            "kl": -ratio.mean(dim=1),
            "iwae": torch.logsumexp(weights, dim=1) - np.log(weights.shape[1]),
        }
    drawn = q.draw(one.fork(2))[:, 0].cpu()
    return Examined(as_arrays(found), draws.members, q.mean.cpu(), drawn)


def of_density(model: HasDensity, batch: Batch, draws: RandomStreams, codec: StateCodec) -> Examined:
    """What a model with a density, exact or bounded, knows of a batch."""
    asked = draws.alone() if model.density == "exact" else draws
    rows = torch.arange(len(batch.x), device=batch.x.device).split(max(1, DECODED // asked.members))
    weights = [
        model.log_weights(Batch(batch.x[some], batch.context[some]), replace(asked, datum=asked.datum[some]))
        for some in rows
    ]
    log_p = torch.cat(weights).double().mean(dim=1)
    bits = codec.bits_per_dim(log_p, int(model.space.size))
    return Examined(as_arrays({"elbo": log_p, "bits_per_dim": bits}), asked.members)


def in_pieces(draws: RandomStreams, size: int) -> Iterator[RandomStreams]:
    """The members of some draws, so many at once."""
    for first in range(0, draws.members, size):
        yield replace(draws, first=first, members=min(size, draws.members - first))


def as_arrays(found: Mapping[str, Tensor]) -> Values:
    return {name: value.double().cpu().numpy() for name, value in found.items()}


def density_table(parts: Mapping[str, tuple[Split, Examined]]) -> pd.DataFrame:
    """split, datum, time, statistic, members (K, of what depends on it, else 0), value."""
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
