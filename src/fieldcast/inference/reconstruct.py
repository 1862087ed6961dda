"""Reconstructions: draws of the fields given observations, as data sets.

The draws of a case of observations are saved with a state, so that an interrupted run resumes after the last complete
case with the same draws.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.observations import points_in
from fieldcast.encoding.tensor_file import pack_state, resume
from fieldcast.errors import MAX_LISTED, InputError, listed
from fieldcast.fields.conventions import SUSPECT
from fieldcast.fields.observation_error import Given, error_variance, separate_errors
from fieldcast.geometry import GRID
from fieldcast.inference.stations.observations import check_accepts_points
from fieldcast.innovations import MAX_INNOVATION
from fieldcast.kinds import CASE
from fieldcast.lineage import Lineage
from fieldcast.models import replicas
from fieldcast.models.capabilities import ChecksObservations
from fieldcast.models.core import Context, Model
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.runtime import Progress

LOG = logging.getLogger(__name__)
SAME = 1e-5  # relative difference of variances below which errors are equal
DATA_AT_ONCE = 8  # number of data in one batch on a device, which bounds the memory


def context_of(data: xr.Dataset, codec: FieldCodec, space: Space, noise: float) -> Context:
    """The context of observations (time, latitude, longitude), with NaN where nothing was observed."""
    y = codec.encode(data)
    mask = torch.isfinite(y) & space.exists.cpu()
    device = space.area.device
    day = codec.days(data["time"]).to(device)
    observed = torch.where(mask, y, 0.0)
    return Context(len(y), observed=observed.to(device), mask=mask.to(device), day=day, noise=noise)


def observed_with_errors(
    data: xr.Dataset, codec: FieldCodec, model: Model, noise: Given
) -> tuple[xr.Dataset, Context]:
    """Observations less their bias, and their context with the errors that an option gives.

    The option is that of `fields.observation_error`. Where errors differ, the observations become points, each with an
    error of its own, which the model must accept.
    """
    data, c, variance = observations_and_errors(data, codec, model.space, noise)
    return data, c if variance is None else as_points(c, variance, model)


def observations_and_errors(
    data: xr.Dataset, codec: FieldCodec, space: Space, noise: Given
) -> tuple[xr.Dataset, Context, Float[Tensor, "time variable y x"] | None]:
    """Observations less their bias, their context, and the variance of each error; None if one holds for all.

    Where errors differ, `noise` of the context is their median.
    """
    data, errors = separate_errors(data, noise, keep=codec.names)
    own = [(name, codec.quantities.get(name), codec.parts(name)) for name in codec.names]
    if isinstance(noise, int | float):
        return data, context_of(data, codec, space, noise), None
    variance = torch.from_numpy(error_variance(data, errors, own, codec.deviation, codec.conversions))
    c = context_of(data, codec, space, 0.0)
    y, mask = c.observations()
    variance = variance.to(y)
    of_observed = variance[mask]
    if not len(of_observed) or float(of_observed.max() - of_observed.min()) <= SAME * float(
        of_observed.max()
    ):
        return data, replace(c, noise=float(of_observed.mean().sqrt()) if len(of_observed) else 0.0), None
    return (
        data,
        replace(c, noise=float(of_observed.double().median().sqrt())),
        variance,
    )


def as_points(c: Context, variance: Float[Tensor, "time variable y x"], model: Model) -> Context:
    """The observations of a context as points, each with the variance of its error."""
    if not model.accepts_points:
        raise InputError(
            f"noise gives observations different errors, and a model of type {type(model).__name__} takes one error "
            "for all: give a number of anomaly standard deviations, or choose a model such as optimal interpolation."
        )
    y, mask = c.observations()
    datum, variable, row, column = mask.nonzero(as_tuple=True)
    cells = (row * mask.shape[-1] + column)[:, None].expand(-1, 4)
    first = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=torch.float64).to(cells.device).expand(len(cells), -1)
    points = Points(datum, variable, cells, first, y[mask].double(), variance[mask].double())
    return replace(c, observed=torch.zeros_like(y), mask=torch.zeros_like(mask), points=points)


@torch.no_grad()
def draw(
    model: Model, c: Context, members: int, seed: int, step: int = 0, order: np.ndarray | None = None
) -> Float[Tensor, "time members variable y x"]:
    """M draws for each datum; an `order` with equal masks next to each other lets data share factorisations.

    The draws depend neither on the order nor on the number of data in a batch. Cells that do not exist are NaN.
    """
    members = 1 if model.deterministic else members
    positions = torch.from_numpy(np.arange(c.count) if order is None else order).to(model.space.area.device)
    x = torch.empty(c.count, members, *model.space.state_shape)
    for index in Progress(positions.split(DATA_AT_ONCE * (1 + len(model.replicas))), unit="part"):
        drawn = replicas.draw(model, c[index], RandomStreams(seed, index, members, step))
        x[index.cpu()] = drawn.float().cpu()
    return x.masked_fill(~model.space.exists.cpu(), torch.nan)


def lineage_of(model_digest: str, observations: xr.Dataset, members: int, seed: int) -> dict[str, Any]:
    """Everything that reconstructions depend on; `members` is the requested number, also for deterministic models."""
    digest = observations.attrs["digest"]
    return {"observations": digest, "model": model_digest, "members": members, "seed": seed}


class ReconstructedCase(NamedTuple):
    """One case, the state from which an interrupted run resumes after it, and the mean milliseconds of one draw."""

    fields: xr.Dataset
    state: bytes
    sample_ms: float


def reconstruct(
    model: Model, codec: FieldCodec, observations: xr.Dataset, lineage: Lineage, previous: bytes | None = None,
    stored_pieces: int = 0,
) -> Iterator[ReconstructedCase]:  # fmt: skip
    """Reconstructions of one lineage, case by case.

    `previous` is the state of an interrupted run, and `stored_pieces` the number of its stored cases: one more than in
    the state if the interruption fell between the two saves. The state after the last case is empty.
    """
    members, seed = lineage["members"], lineage["seed"]
    order = np.argsort(observations["mask"].values, kind="stable")
    noise, cases = float(observations.attrs["noise"]), observations.sizes[CASE]
    times = list(resume(previous, lineage, "reconstructions", stored_pieces).header.get("milliseconds", []))
    for number in Progress(range(len(times), cases), unit="case", initial=len(times), total=cases):
        case = observations.isel({CASE: number})
        begin = time.perf_counter()
        c = replace(
            context_of(case, codec, model.space, noise), points=points_in(case, codec, model.space, noise)
        )
        if c.points is not None:
            check_accepts_points(model, "this experiment")
        x = draw(model, c, members, seed, number, order)
        times.append(1000 * (time.perf_counter() - begin) / (x.shape[0] * x.shape[1]))
        name = f"observations {case['pattern'].item()}, {case['k'].item():.3g}"
        for sentence in suspect_messages(suspects(model, c, case, codec), case):
            LOG.warning("%s: %s", name, sentence)
        result = codec.decode(x[None], observations["time"], "reconstructions", (CASE,))
        result = result.assign_coords(
            mask=observations["mask"], **{c: observations[c][[number]] for c in ("pattern", "k")}
        )
        result.attrs = {**lineage, "piece": number, "pieces": cases}
        state = pack_state({}, lineage, number + 1, milliseconds=times) if number < cases - 1 else b""
        yield ReconstructedCase(result, state, sum(times) / len(times))


# Observations that a model doubts: where they are, and the sentences that report them.


@torch.no_grad()
def suspects(model: Model, c: Context, data: xr.Dataset, codec: FieldCodec) -> xr.Dataset:
    """v_suspect (time, latitude, longitude) of each variable v: 1 where an observation was down-weighted, else 0.

    Empty for a model that does not check its observations.
    """
    if not isinstance(model, ChecksObservations):
        return xr.Dataset()
    flags = model.suspects(c).cpu().numpy()
    attrs = {"flag_values": np.array([0, 1], np.int8), "flag_meanings": "accepted down_weighted"}
    dims = ("time", *GRID)
    return xr.Dataset(
        {
            v + SUSPECT: (
                dims,
                flags[:, codec.parts(v)].any(1).astype(np.int8),
                {**attrs, "long_name": f"quality flag of observed {v}"},
            )
            for v in codec.names
        },
        {name: data[name] for name in dims},
    )


def suspect_messages(flags: xr.Dataset, data: xr.Dataset) -> Iterator[str]:
    """One sentence for each variable with suspects: their number and share, and the first of them."""
    for name, flag in flags.data_vars.items():
        v = str(name).removesuffix(SUSPECT)
        indices = np.argwhere(flag.values > 0)
        if not len(indices):
            continue
        observed = data[v].transpose("time", *GRID)
        texts = [
            f"{float(value):.4g} at {calendars.date(value['time'])}, latitude {float(value['latitude']):g}, "
            f"longitude {float(value['longitude']):g}"
            for value in (observed[tuple(index)] for index in indices[:MAX_LISTED])
        ]
        yield (
            f"{len(indices)} of {int(observed.notnull().sum())} observed values of {v} are more than "
            f"{MAX_INNOVATION:g} standard deviations from the value that training data and neighbours predict, and "
            f"were given less weight: {listed(texts, len(indices))}; check them."
        )
