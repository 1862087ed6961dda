"""Complete training records for a model that needs them: data augmentation (Tanner and Wong 1987).

The missing values of each training state are drawn given its observed ones: at first from a low-rank Gaussian fitted by
expectation-maximisation, then, unless a time has too many observed values, from the model that was fitted to the record
so completed (stochastic EM: Celeux and Diebolt 1985). Draws, unlike means, keep the variance, and with it the
covariance of the record.

Two measures keep errors of one round from growing in the next.

1. The second moment of drawn values carries their errors into the next draws, and the more weight it has there, the
   more these errors grow. Its weight beside the parametric correlation is chosen before the first of these rounds by
   the squared error at observed values that are held out in the shape of other times' gaps and predicted from the times
   outside their fold: the smallest within one standard error of the best (Breiman et al. 1984, section 3.4.3).
2. The deviations of draws d from their mean m are in-sample errors of the covariance, and too small or too large. They
   are multiplied by one factor c, so that m + c (d - m) has the variance of the observed values:

       sum (m + c (d - m))^2 = sum s^2    over the missing values.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Context
from fieldcast.models.gaps.expectation_maximisation import RANKS, fit_best_rank
from fieldcast.models.gaps.held_out import nearest_in_gap
from fieldcast.models.gaps.record import deviations
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.random_streams import RandomStreams, generator_for, seed_for
from fieldcast.models.space import evenly

LOG = logging.getLogger(__name__)
ROUNDS = 2  # rounds in which the missing values are drawn from the model itself
# floating-point operations of the factorisations in a round, or in all trials: some minutes
MAX_OPERATIONS = 1e12
TIMES_PER_BATCH = 64  # times that are drawn together
TRIAL_TIMES = 32  # largest number of times at which values are held out to choose the weight
TRIAL_WEIGHTS = 0.2, 0.5, 0.8, 0.95  # weights of the second moment that are tried, in ascending order


@runtime_checkable
class Completing(Protocol):
    """A model of training days with a tuned covariance, such as optimal interpolation."""

    if TYPE_CHECKING:  # Python 3.12 and newer would not find buffers and submodules of a module
        anomalies: Tensor
        days: Tensor
        number: Tensor
        grid: GridPoints

    def choose(self, **values: float) -> None: ...
    def tuned_values(self) -> dict[str, float]: ...
    def folds(self) -> Int[Tensor, " training"]: ...
    def season(self, c: Context, streams: RandomStreams, fold: int | None = None) -> Tensor: ...
    def analyse(
        self,
        c: Context,
        streams: RandomStreams,
        background: Tensor,
        errors: Tensor,
        *,
        fold: int | None = None,
    ) -> tuple[Any, ...]: ...


@torch.no_grad()
def complete(model: Completing, observed: Bool[Tensor, "training variable p"]) -> None:
    """Replace the missing values of the training days of a model by draws given the observed ones."""
    x, o = model.anomalies.flatten(1), observed.flatten(1)
    variance, times, initial = deviations(x, o).square(), affordable_times(o), model.tuned_values()
    model.anomalies = first_draw(x, o).view_as(observed)
    if not len(times):
        if (o.any(1) & ~o.all(1)).any():
            LOG.info(
                "The missing values of training data stay draws of a low-rank Gaussian: a time has too many observed "
                "values, about %d, to draw them from the model that is fitted.", int(o.sum(1).double().mean()),
            )  # fmt: skip
        return
    choose_weight(model, x, o)
    for turn in range(ROUNDS):
        mean, drawn = torch.empty_like(x[times]), torch.empty_like(x[times])
        for some in torch.arange(len(times), device=times.device).split(TIMES_PER_BATCH):
            mean[some], drawn[some] = update(model, x, o, times[some], streams(times[some], turn + 1))
        renewed, missing = model.anomalies.flatten(1).clone(), ~o[times]
        renewed[times] = torch.where(missing, restored_variance(mean, drawn, missing, variance), x[times])
        model.anomalies = renewed.view_as(observed)
    model.choose(**initial)


def update(
    model: Completing, x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"],
    times: Int[Tensor, " some"], streams: RandomStreams, fold: int | None = None,
) -> tuple[Float[Tensor, "some value"], Float[Tensor, "some value"]]:  # fmt: skip
    """Mean and one draw of some times given their observed values."""
    shape, grid = model.anomalies.shape[1:], model.grid
    mask = grid.scatter(observed[times].float().unflatten(1, shape)) > 0
    y, day = grid.scatter(x[times].unflatten(1, shape)), model.days[model.number[times]]
    c = Context(len(times), observed=y * mask, mask=mask, day=None if day.isnan().any() else day)
    mean, _, drawn = model.analyse(c, streams, torch.zeros_like(y), model.season(c, streams, fold), fold=fold)
    return grid.gather(mean).flatten(1), grid.gather(drawn[:, 0]).flatten(1)


def choose_weight(
    model: Completing, x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"]
) -> None:
    """Choose the smallest of `TRIAL_WEIGHTS` within one standard error of the best at held-out values."""
    times = trial_times(observed)
    generator = generator_for("hidden in training")
    others = torch.randint(len(x), (len(times),), generator=generator).tolist()
    points = model.grid.points.repeat(model.anomalies.shape[1], 1)  # the same points for each variable
    held_out = torch.zeros_like(observed)
    for time, other in zip(times.tolist(), others, strict=True):
        held_out[time] = nearest_in_gap(observed[time], observed[other], points, generator)
    fold = model.folds()[model.number[times]]
    error = torch.zeros(len(TRIAL_WEIGHTS), len(times), dtype=torch.float64, device=x.device)
    for row, weight in zip(error, TRIAL_WEIGHTS, strict=True):
        model.choose(weight=weight)
        for number in fold.unique().tolist():
            some = times[fold == number]
            mean, _ = update(model, x, observed & ~held_out, some, streams(some), number)
            row[fold == number] = (mean - x[some]).double().square().mul(held_out[some]).sum(1)
    excess = error - error[error.sum(1).argmin()]
    near = excess.mean(1) <= excess.std(1, correction=0) / math.sqrt(len(times))
    model.choose(weight=TRIAL_WEIGHTS[int(near.nonzero()[0, 0])])


def restored_variance(
    mean: Float[Tensor, "time value"], drawn: Float[Tensor, "time value"], missing: Bool[Tensor, "time value"],
    variance: Float[Tensor, " value"],
) -> Float[Tensor, "time value"]:  # fmt: skip
    """m + c (d - m), see the module.

    c is 0 where m alone has more variance than the observed values, if m and d - m are uncorrelated.
    """
    m, e = (part[missing].double() for part in (mean, drawn - mean))
    a, b = float(e.square().sum()), float((m * e).sum())
    excess = float(m.square().sum()) - float(variance.expand_as(missing)[missing].double().sum())
    c = (-b + math.sqrt(max(b * b - a * excess, 0.0))) / a if a > 0 else 0.0
    return mean + max(c, 0.0) * (drawn - mean)


def first_draw(
    x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"]
) -> Float[Tensor, "time value"]:
    """Draw the missing values from probabilistic PCA of values scaled by their standard deviations."""
    deviation = deviations(x, observed)
    scaled = x / deviation
    model = fit_best_rank(scaled, observed, RANKS)
    return model.draw(scaled, observed, streams(torch.arange(len(x), device=x.device)))[:, 0] * deviation


def streams(times: Int[Tensor, " time"], turn: int = 0) -> RandomStreams:
    """Random numbers of the draws at some times."""
    return RandomStreams(seed_for("augmentation"), times, step=turn)


def trial_times(observed: Bool[Tensor, "time value"]) -> Int[Tensor, " some"]:
    """Times, evenly spread, whose factorisations for all weights take about `MAX_OPERATIONS`; at least one time."""
    times = observed.any(1).nonzero()[:, 0]
    operations = len(TRIAL_WEIGHTS) * float((observed[times].sum(1).double() ** 3 / 3).mean())
    affordable = max(1, int(min(TRIAL_TIMES, MAX_OPERATIONS / operations)))
    return times[evenly(len(times), affordable).to(times.device)]


def affordable_times(observed: Bool[Tensor, "time value"]) -> Int[Tensor, " some"]:
    """Times whose factorisations take at most `MAX_OPERATIONS` together, spread evenly over those with gaps."""
    count = observed.sum(1).double()
    some = ((count > 0) & (count < observed.shape[1])).nonzero()[:, 0]
    total = float((count[some] ** 3 / 3).sum())
    share = min(1.0, MAX_OPERATIONS / total) if total else 1.0
    return some[torch.linspace(0, len(some) - 1, int(share * len(some)), device=some.device).round().long()]
