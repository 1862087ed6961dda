"""Simple kriging of a record from the nearest observations in space and time.

With the chord D between two places on the unit sphere and the lag h [steps], anomalies in units of their standard
deviation have the correlation

    (1 - n) rho(r) + n [same value],    r^2 = (D / L)^2 + (h / tau)^2,

with a nugget n, which a value shares with no other (n / k if it is the mean of k readings), and the Matern function rho
of smoothness nu, a correlation in any number of dimensions (Rasmussen and Williams 2006, equation 4.17):

    exp(-s),    (1 + s) exp(-s),    (1 + s + s^2 / 3) exp(-s),    s = r sqrt(2 nu),    nu = 1/2, 3/2, 5/2.

Given the K observations y that are nearest by r, with correlations C among them and k with a value,

    E x = k^T C^-1 y,    var x = (y^T C^-1 y / K)^a (1 - k^T C^-1 k)

(Chiles and Delfiner 2012, section 3.3; nearest-neighbour conditioning as in Vecchia 1988). The factor is the variance
of these observations relative to what C expects: weather varies more in some places and weeks than in others. Kriging
has a = 0, and a Student process of few degrees of freedom a = 1 (Shah, Wilson and Ghahramani 2014, equation 6); here a
is limited to 1/2, as K observations alone estimate the factor poorly. L, tau, n, nu and a maximise the mean of
log p(x | y), of a normal distribution, over observed values that are held out for the purpose in gaps like those of the
record, drawn in proportion to their weights: the likelihood of what they are used for. The search starts from the
e-folding lengths of the observed values (`reach`), with which it ends where hardly any value is held out; see
`local_kriging_fit`.

Members are E x + g (z - w^T z_y), with w = C^-1 k, the root g of the factor, and an unconditional field z of the same
correlation (conditioning by kriging: Chiles and Delfiner 2012, section 7.3.1), a sum of waves whose frequencies follow
the spectrum of rho, a Student distribution of 2 nu degrees of freedom. Neighbouring values share the field z, so that
members are approximately joint draws in space and time: each value has K observations of its own. The members share one
set of frequencies, so that their spread at one place has a sampling error of some 5 %, however many they are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from multiprocessing.pool import ThreadPool
from operator import call
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from torch import Tensor

from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.in_time import TABLES, pieces
from fieldcast.models.gaps.record import one_thread
from fieldcast.models.gaussian.covariance_terms import matern32, matern52
from fieldcast.models.random_streams import RandomStreams, generator_for
from fieldcast.runtime import Progress

NEIGHBOURS = 24  # K
MATERN = {0.5: lambda r, length: torch.exp(-r / length), 1.5: matern32, 2.5: matern52}  # rho for each nu
SMOOTHNESS = tuple(MATERN)
REACH_IN_TAU = 4.0  # range of the search for observations before and after a window of times, in units of tau
MIN_NUGGET = 1e-3  # lower limit of n
MISFIT_LIMITS = 0.05, 50.0  # lower and upper limit of y^T C^-1 y / K
TARGETS_PER_BLOCK = 2**9  # values that a thread predicts together
FITTED_PER_BLOCK = 2**8  # values whose likelihood is computed together
VALUE = "value"  # unit of the progress of the prediction
WAVES = 500  # number of waves in an unconditional field


class Correlation(NamedTuple):
    """The correlation of values at two places in space and time, (point on the unit sphere, step)."""

    space: float | Float[Tensor, ""]  # L; tensors while they are fitted
    time: float | Float[Tensor, ""]  # tau
    nugget: float | Float[Tensor, ""]  # n
    smoothness: float  # nu

    def __call__(self, a: Float[Tensor, "*n j 4"], b: Float[Tensor, "*n k 4"]) -> Float[Tensor, "*n j k"]:
        """Correlation of the values at each place of a with those of b, without the nugget at r = 0."""
        r = torch.cdist(self.scaled(a), self.scaled(b), compute_mode="donot_use_mm_for_euclid_dist")
        smooth = MATERN[self.smoothness](r, 1.0)
        return (1 - self.nugget) * smooth

    def scaled(self, place: Float[Tensor, "*n 4"]) -> Float[Tensor, "*n 4"]:
        """Coordinates in which r is the distance."""
        space, time = (torch.as_tensor(scale).to(place) for scale in (self.space, self.time))
        return place / torch.stack([space, space, space, time])


class KrigingModel(NamedTuple):
    """Parameters of the distribution of a value given the nearest observations."""

    correlation: Correlation
    power: float | Float[Tensor, ""] = 0.0  # a

    @classmethod
    def of(cls, theta: Float[Tensor, "4"], smoothness: float) -> KrigingModel:
        """The model with the given logarithms of L, tau, n and a."""
        space, time, nugget, power = theta.exp().unbind()
        return cls(Correlation(space, time, nugget, smoothness), power)

    @classmethod
    def unpacked(cls, parameters: Float[Tensor, "5"]) -> KrigingModel:
        """The model with the given L, tau, n, a and nu."""
        space, time, nugget, power, smoothness = parameters.unbind()
        return cls(Correlation(space, time, nugget, float(smoothness)), power)

    def packed(self) -> Float[Tensor, "5"]:
        """L, tau, n, a and nu."""
        space, time, nugget, smoothness = self.correlation
        numbers = [float(each) for each in (space, time, nugget, self.power, smoothness)]
        return torch.tensor(numbers, dtype=torch.float64)


class Conditional(NamedTuple):
    """The normal distributions of some values given their nearest observations."""

    weights: Float[Tensor, "target k"]  # w
    mean: Float[Tensor, " target"]
    variance: Float[Tensor, " target"]
    inflation: Float[Tensor, " target"]  # factor of the variance, from the misfit of the observations


class CellSeries(NamedTuple):
    """Fields of one variable, in units of the standard deviation of each cell."""

    x: Float[Tensor, "time cell"]
    observed: Bool[Tensor, "time cell"]
    step: Float[Tensor, " time"]  # steps since the first time, with large intervals between segments
    point: Float[Tensor, "cell 3"]
    noise: Float[Tensor, "time cell"] | None = None  # variance of the errors of observed values; None: 0
    readings: Float[Tensor, "time cell"] | None = None  # readings of which each value is the mean; None: 1

    def on(self, device: str) -> CellSeries:
        """The series on a device."""
        return CellSeries(*(None if part is None else part.to(device) for part in self))

    def own_variance(
        self, nugget: float | Float[Tensor, ""], time: Int[Tensor, "*n"], cell: Int[Tensor, "*n"]
    ) -> Float[Tensor, "*n"] | float:
        """Variance of some values: 1 for a reading, 1 - n + n / k for the mean of k."""
        if self.readings is None:
            return 1.0
        return 1 - nugget + nugget / self.readings[time, cell]

    def coordinates(self, time: Int[Tensor, "*n"], cell: Int[Tensor, "*n"]) -> Float[Tensor, "*n 4"]:
        """Coordinates (point, step) of some values."""
        return torch.cat([self.point[cell], self.step[time][..., None]], dim=-1)


class Targets(NamedTuple):
    """Some values and the observations nearest to each."""

    time: Int[Tensor, " target"]
    cell: Int[Tensor, " target"]
    near_time: Int[Tensor, "target k"]
    near_cell: Int[Tensor, "target k"]
    exists: Bool[Tensor, "target k"]  # false for the rest if fewer than K observations are within reach

    def conditional(
        self, series: CellSeries, model: KrigingModel, dtype: torch.dtype = torch.float64
    ) -> Conditional:
        """The distributions of the values given these observations."""
        c, target = model.correlation, series.coordinates(self.time, self.cell)[:, None]
        near = (series.coordinates(self.near_time, self.near_cell) - target).to(dtype)
        target = torch.zeros_like(near[:, :1])
        among, k = c(near, near), c(target, near)[:, 0]
        if not self.exists.all():
            among = among * (self.exists[:, :, None] & self.exists[:, None])
        own = torch.as_tensor(series.own_variance(c.nugget, self.near_time, self.near_cell)).to(near)
        among.diagonal(dim1=1, dim2=2).copy_(torch.where(self.exists, own, 1.0))
        if series.noise is not None:
            among = among + torch.diag_embed(series.noise[self.near_time, self.near_cell].to(near))
            itself = (self.near_time == self.time[:, None]) & (self.near_cell == self.cell[:, None])
            k = torch.where(itself, 1.0, k)  # the nugget belongs to the value
        k = k * self.exists
        y = torch.where(self.exists, series.x[self.near_time, self.near_cell], 0.0).to(near)
        solved = torch.cholesky_solve(torch.stack([k, y], -1), torch.linalg.cholesky(among))
        w, u = solved.unbind(-1)
        count = self.exists.sum(1)
        misfit = torch.where(count > 0, (u * y).sum(1) / count.clamp(min=1), 1.0)
        inflation = misfit.clamp(*MISFIT_LIMITS) ** model.power
        prior = series.own_variance(c.nugget, self.time, self.cell)
        variance = inflation * (prior - (w * k).sum(1)).clamp(min=MIN_NUGGET)
        return Conditional(w, (w * y).sum(1), variance, inflation)


def windows(step: Float[Tensor, " time"], c: Correlation) -> Iterator[tuple[slice, slice]]:
    """Windows of successive times, each with the times within reach of it, as in the record that these continue."""
    reach = REACH_IN_TAU * float(c.time)
    length = max(1, int(reach))
    for begin in range(-(int(step[0]) % length), len(step), length):
        first, last = max(begin, 0), min(begin + length, len(step))
        low = torch.searchsorted(step, step[first] - reach)
        high = torch.searchsorted(step, step[last - 1] + reach, right=True)
        yield slice(first, last), slice(int(low), int(high))


def targets(
    series: CellSeries, c: Correlation, requested: Shaped[Tensor, "time cell"], times: slice, reached: slice
) -> Iterator[Callable[[], Targets]]:
    """The requested values of some times, in blocks, each a function that looks up their nearest observations.

    Those that are not 0 in `requested`, a mask or counts.
    """
    cells, of_requested = requested.shape[1], requested[times].flatten().nonzero()[:, 0].cpu()
    observations = series.observed[reached].flatten().nonzero()[:, 0].cpu()
    of_requested, observations = of_requested + times.start * cells, observations + reached.start * cells
    if not len(of_requested):
        return
    count, device, coordinates = len(observations), series.x.device, series.on("cpu").coordinates
    if count == 0:  # any value can stand for the missing observations
        observations = of_requested[:1]
    places = np.empty((len(observations), 4))
    for some in pieces(len(observations), TABLES):
        places[some] = c.scaled(coordinates(observations[some] // cells, observations[some] % cells))
    tree = cKDTree(places, balanced_tree=False)  # of cells that are evenly spread, and quicker to search

    def block(numbers: Int[Tensor, " target"]) -> Targets:
        time, cell = numbers // cells, numbers % cells
        places, workers = c.scaled(coordinates(time, cell)).numpy(), 1 if device.type == "cpu" else -1
        near = torch.from_numpy(tree.query(places, NEIGHBOURS, workers=workers)[1])
        # the tree gives `count` where there are fewer than K
        exists, near = near < count, observations[near.clamp(max=len(observations) - 1)]
        return Targets(*(index.to(device) for index in (time, cell, near // cells, near % cells, exists)))

    yield from (partial(block, numbers) for numbers in of_requested.split(TARGETS_PER_BLOCK))


def join_blocks(blocks: Iterable[Targets]) -> list[Targets]:
    """Regroup values into full blocks: most windows have few values, and each block has a fixed cost."""
    joined = [torch.cat(tensors) for tensors in zip(*blocks, strict=True)]
    split = (tensor.split(FITTED_PER_BLOCK) for tensor in joined)
    return [Targets(*tensors) for tensors in zip(*split, strict=True)]


class UnconditionalField(NamedTuple):
    """Draws of a field with the correlation c, without any observation: sums of waves, and noise for the nugget."""

    nugget: float
    frequency: Float[Tensor, "wave 4"]  # angular frequency in (point, step)
    amplitude: Float[Tensor, "members 2 wave"]  # amplitudes of the cosines and sines
    streams: RandomStreams

    @classmethod
    def of(cls, c: Correlation, series: CellSeries, streams: RandomStreams) -> UnconditionalField:
        """Draw the waves: all members share the frequencies, and each has its own amplitudes."""
        generator = generator_for("waves", streams.seed)
        normal = torch.randn(WAVES, 4, generator=generator, dtype=torch.float64)
        freedom = round(2 * c.smoothness)
        square = torch.randn(WAVES, freedom, generator=generator, dtype=torch.float64).square().sum(1)
        frequency = c.scaled(normal * (freedom / square)[:, None].sqrt())
        first = streams.of_data(slice(0, 1))
        first = replace(
            first, datum=torch.zeros_like(first.datum)
        )  # as in the record that this one continues
        amplitude = first.fork(0).normal(2, WAVES)[0] / math.sqrt(WAVES)
        return cls(float(c.nugget), frequency.to(series.point), amplitude, streams.fork(1))

    def __call__(self, series: CellSeries, times: slice) -> Float[Tensor, "time members cell"]:
        """The field at some times."""
        space = series.point @ self.frequency[:, :3].T
        time = (series.step[times, None] * self.frequency[:, 3])[:, None]
        a, b = self.amplitude.unbind(1)
        cosine, sine = time.cos().to(a), time.sin().to(a)
        smooth = (a * cosine + b * sine) @ space.cos().to(a).T + (b * cosine - a * sine) @ space.sin().to(a).T
        noise = self.streams.of_data(times).normal(series.x.shape[1])
        return math.sqrt(1 - self.nugget) * smooth + math.sqrt(self.nugget) * noise


def predict(
    series: CellSeries, model: KrigingModel, requested: Bool[Tensor, "time cell"], streams: RandomStreams | None,
    mean: Float[Tensor, "time cell"], spread: Float[Tensor, "time cell"],
    members: Float[Tensor, "time members cell"],
) -> None:  # fmt: skip
    """Set the requested values of `mean`, `spread` and `members`, a block in each thread."""
    c = model.correlation
    field = None if streams is None else UnconditionalField.of(c, series, streams)

    def fill(
        z: Float[Tensor, "time members cell"] | None, first: int, of_block: Callable[[], Targets]
    ) -> tuple[int, float]:
        begun, block = time.perf_counter(), of_block()
        conditional = block.conditional(series, model, torch.float32)
        mean[block.time, block.cell] = conditional.mean.to(mean)
        spread[block.time, block.cell] = conditional.variance.sqrt().to(spread)
        if z is not None:
            near = z[block.near_time - first, :, block.near_cell] * block.exists[..., None]
            draw = z[block.time - first, :, block.cell]
            draw = draw - torch.einsum("tk, tkm -> tm", conditional.weights.to(z), near)
            error = conditional.inflation.sqrt()[:, None] * draw
            members[block.time, :, block.cell] = (conditional.mean[:, None] + error).to(members)
        return len(block.time), time.perf_counter() - begun

    progress = Progress(total=int(requested.count_nonzero()), unit=VALUE)
    with progress as bar, blocks_side_by_side(mean.device) as (pool, threads):
        of_values = 0.0

        def wait(results: Iterable[tuple[int, float]]) -> None:
            """Count the values that are predicted; the time of a value has no part of that of the trees.

            These take as long for a few values, and a fit needs such trees, too.
            """
            nonlocal of_values
            for count, seconds in results:
                of_values += seconds / threads
                bar.begun = time.perf_counter() - of_values
                bar.update(count)

        results: Iterable[tuple[int, float]] = ()
        for times, reached in windows(series.step, c):
            z = None if field is None else field(series, reached)
            blocks = [
                *targets(series, c, requested, times, reached)
            ]  # the tree, while those before are predicted
            wait(results)
            results = pool.imap_unordered(partial(fill, z, reached.start), blocks)
        wait(results)


@contextmanager
def blocks_side_by_side(device: torch.device) -> Iterator[tuple[ThreadPool, int]]:
    """Threads that compute a block each, and their number; on a device one, which computes the parts side by side."""
    with one_thread() as given:
        threads = given if device.type == "cpu" else 1
        pool = ThreadPool(threads)
        try:
            yield pool, threads
        finally:  # after an error, too, no thread writes on
            pool.terminate()
            pool.join()


# Parameters of kriging from the nearest observations, by the likelihood of held-out values; see `local_kriging`.


INITIAL_NUGGET_AND_POWER = 0.05, 0.25  # first guess of n and a
# limits of L, tau, n and a, which keep C invertible and the reach short
RANGES = (1e-3, 4.0), (0.1, 100.0), (MIN_NUGGET, 0.9), (1e-2, 0.5)
BOUNDS = np.log(RANGES)
MAX_ITERATIONS = 15  # iterations of L-BFGS-B
DRAWN_TARGETS = 1000  # draws of held-out values that determine the parameters
MIN_TARGETS = 50  # smallest number of held-out values with a weight for which the parameters are fitted


def fit_kriging(
    series: CellSeries, held_out: HeldOut, e_folding_distance: float, e_folding_steps: float,
    bounds: Float[np.ndarray, "4 2"] = BOUNDS, smoothness: Sequence[float] = SMOOTHNESS,
    start: KrigingModel | None = None, draws: int = DRAWN_TARGETS,
) -> KrigingModel:  # fmt: skip
    """The model that maximises the likelihood of held-out values.

    Parameters
    ----------
    series
        The series of all cells, in which the held-out values still count as observed.
    held_out
        The held-out values.
    e_folding_distance, e_folding_steps
        E-folding lengths of the correlation in space and time: the first guess of L and tau.
    bounds
        Limits of the logarithms of L, tau, n and a; those that are equal fix a parameter.
    smoothness
        The nu to choose from, the first guess in the middle.
    start
        The model of a similar series, from which the search begins, with its nu; by default the first guess.
    draws
        Number of draws of held-out values, in proportion to their weights.
    """
    first_guess = [e_folding_distance, e_folding_steps, *INITIAL_NUGGET_AND_POWER]
    if start is not None:
        smoothness = (start.correlation.smoothness,)
        first_guess = [float(each) for each in (*start.correlation[:3], start.power)]
    theta = torch.tensor(first_guess, dtype=torch.float64, device=series.x.device).log()
    low, high = torch.tensor(bounds).to(theta).T
    theta, nu = theta.clamp(low, high), smoothness[len(smoothness) // 2]
    if int(held_out.weight.count_nonzero()) < MIN_TARGETS:
        return KrigingModel(KrigingModel.of(theta, nu).correlation)
    repeats = torch.zeros_like(series.observed, dtype=torch.int16)
    repeats[held_out.time, held_out.cell] = draws_per_value(held_out.weight, draws).to(repeats)
    visible = series._replace(observed=series.observed & ~held_out.mask)
    with blocks_side_by_side(series.x.device) as (pool, _):
        for tried in ((nu,), smoothness)[start is not None :]:  # the neighbours depend on the correlation
            c = KrigingModel.of(theta, smoothness[len(smoothness) // 2]).correlation
            found = (
                pool.map(call, targets(visible, c, repeats, times, reached))
                for times, reached in windows(series.step, c)
            )
            blocks = join_blocks(chain.from_iterable(found))
            fits = [
                (*maximise_likelihood(theta, nu, visible, blocks, repeats, pool, bounds), nu) for nu in tried
            ]
            _, theta, nu = max(fits, key=lambda fit: fit[0])
    return KrigingModel.of(theta, nu)


def draws_per_value(weight: Float[Tensor, " n"], draws: int = DRAWN_TARGETS) -> Int[Tensor, " n"]:
    """Count how often each value is drawn, in proportion to the weights (systematic sampling)."""
    total = weight.cpu().cumsum(0)
    position = (torch.arange(draws, dtype=total.dtype) + 0.5) / draws * total[-1]
    return torch.bincount(torch.searchsorted(total, position, right=True), minlength=len(weight))


def maximise_likelihood(
    theta: Float[Tensor, "4"], smoothness: float, series: CellSeries, blocks: list[Targets],
    repeats: Int[Tensor, "time cell"], pool: ThreadPool, bounds: Float[np.ndarray, "4 2"] = BOUNDS,
) -> tuple[float, Float[Tensor, "4"]]:  # fmt: skip
    """Maximise the mean of log p of some values from a first guess; return it and the logarithms of L, tau, n and a."""
    total = repeats.sum()  # of a table as large as the record

    @torch.enable_grad()
    def of_block(candidate: Float[Tensor, "4"], block: Targets) -> Float[Tensor, "5"]:
        """-log p of a block, and its gradient."""
        candidate = candidate.clone().requires_grad_()
        value = -log_prob(KrigingModel.of(candidate, smoothness), series, block, repeats) / total
        value.backward()
        return torch.cat([value.detach()[None], candidate.grad]).cpu()

    def loss(parameters: Float[np.ndarray, "4"]) -> tuple[float, Float[np.ndarray, "4"]]:
        candidate = torch.from_numpy(parameters).to(theta)
        value, *gradient = sum(pool.map(partial(of_block, candidate), blocks)).tolist()
        return value, np.array(gradient)

    best = minimize(
        loss,
        theta.cpu().numpy(),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": MAX_ITERATIONS},
    )
    return -best.fun, torch.from_numpy(best.x).to(theta)


def log_prob(
    model: KrigingModel, series: CellSeries, block: Targets, repeats: Int[Tensor, "time cell"]
) -> Float[Tensor, ""]:
    """Sum of log p of the values of a block given their neighbours, up to a constant.

    `repeats` is how often each value counts.
    """
    conditional = block.conditional(series, model)
    error = series.x[block.time, block.cell] - conditional.mean
    variance = conditional.variance
    if series.noise is not None:
        variance = variance + series.noise[block.time, block.cell]
    terms = variance.log() + error.square() / variance
    return -(repeats[block.time, block.cell] * terms).sum() / 2
