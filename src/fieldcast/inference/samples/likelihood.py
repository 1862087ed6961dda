"""Likelihood, codes and reconstructions of data under a model of states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.states import StateCodec
from fieldcast.fields.splits import SplitRanges, select
from fieldcast.inference.samples.sets import DRAWS_AT_ONCE
from fieldcast.kinds import class_names, state_dimension
from fieldcast.models import image_transforms
from fieldcast.models.capabilities import HasDensity, HasLatents
from fieldcast.models.core import Batch, Context, Model
from fieldcast.models.distributions import Point
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import evenly
from fieldcast.runtime import Progress

DECODED_AT_ONCE = 512  # states decoded in one batch, which bounds the memory

Values = Mapping[str, Float[np.ndarray, " datum"]]


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
