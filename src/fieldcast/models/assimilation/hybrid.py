"""A filter with a background-error sample: the covariance of optimal interpolation around a forecast.

    x_b,j = f_bar + sqrt(s) e_j,    x_a,j = x_b,j + K (y + eps_j - H x_b,j),    K = B H^T (H B H^T + R)^-1,
    e_j = sqrt(1 - w) p_j + sqrt(w M / (M - 1)) (f_j - f_bar),    B = s (1 - w) T o S + s w T' o S',

y the observations, H the operator from a state to them, R the variances of their errors eps_j; x_b,j the members of the
background and x_a,j those of the analysis, K the gain; f_j the forecasts from the M members of the last analysis, f_bar
their mean, p_j drawn from the background-error sample, S the second moment of this sample, S' that of f_j about f_bar,
T and T' tapers, o the elementwise product, w the weight of the ensemble (Hamill and Snyder 2000, "A hybrid ensemble
Kalman filter-3D variational analysis scheme", equation 6). The ensemble mean is the better background; the deviations
of a few members of a learned model, whose errors grow too slowly, are a poor covariance on their own. Innovations d = y
- H f_bar give the scale s:

    s = <d^2 - R> / <diag(H ((1 - w) T o S + w T' o S') H^T)>    (see `adaptive_scale`).

The covariance of sqrt(s) e_j is B but for the tapers, so members of the analysis are draws of p(x | y_1 .. y_t), and
the cycle needs no inflation. Their mean differs from the mean of this distribution, x_a = f_bar + K (y - H f_bar), by
the sampling error of M draws. The next forecasts start from x_a,j + x_a - mean_j x_a,j, so that this error is not
carried on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.assimilation.filter import (
    REMEMBERED,
    CycleState,
    CycleStep,
    Filter,
    Members,
    Memory,
    Step,
    members_ahead,
    rescale,
    unscaled,
)
from fieldcast.models.core import Context, Derived
from fieldcast.models.gaussian.conditioning import (
    Conditioning,
    ObservedData,
    at_points,
    conditioned,
    observed_data,
)
from fieldcast.models.gaussian.covariance_terms import (
    CovarianceTerm,
    Kernel,
    SecondMoment,
    Tapered,
    gaspari_cohn,
)
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.kalman_gain import PointGain
from fieldcast.models.gaussian.robustness import observation_error
from fieldcast.models.gaussian.training_series import CovarianceComponents, training_statistics
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

FORECAST, ERRORS, ANALYSIS = range(3)  # streams of a step
MEAN = "analysis_mean"  # in the memory: x_a, the mean of the distribution that the members of the analysis sample


class Hybrid(Derived, Filter):
    """A forecast ensemble's mean with a background-error sample; see the module for the equations.

    Tuned: `taper`, the chord in km from which T is zero (0: no taper); `ensemble_taper`, that of T'; `weight` w of the
    ensemble's covariance; `floor`, the standard deviation of the error of representativeness, in standard deviations of
    the variable.

    Parameters
    ----------
    space
        Grid of the states.
    adaptive
        Whether innovations set s; otherwise it is 1.
    feedback
        What the forecasts start from: the "members" of the analysis, or their "mean", for a forecast that is
        deterministic but for the noise of the model.
    """

    accepts_points = True
    learns_errors = True
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {
            "taper": (20000.0, 12000.0, 8000.0, 6000.0),
            "ensemble_taper": (9000.0, 6000.0, 4500.0),
            "weight": (0.2, 0.4, 0.6, 0.8),
            "floor": (0.0, 0.1),
        }
    )

    def __init__(self, space: Space, adaptive: bool = True, feedback: Literal["members", "mean"] = "members"):
        super().__init__(space)
        self.adaptive, self.feedback = adaptive, feedback
        self.grid = GridPoints(space)
        self.register_buffer("errors", torch.empty(0, len(space.variables), len(self.grid)))
        for name, value in {"taper": 12000.0, "ensemble_taper": 6000.0, "weight": 0.2, "floor": 0.1}.items():
            self.register_buffer(name, torch.tensor(value))

    def fill_pool(self, errors: Float[Tensor, "pool variable y x"]) -> None:
        """Take background errors, minus their mean, as the sample; their sign does not matter."""
        self.errors = self.grid.gather(errors - errors.mean(dim=0)).float()

    def begin(self, count: int) -> dict[str, Tensor]:
        return unscaled(count, self.errors.device)

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        if self.feedback == "mean":
            state = replace(state, past=state.past.mean(dim=1, keepdim=True).expand_as(state.past))
        state = centred(state)
        ahead = members_ahead(state, day, forecast, streams.fork(FORECAST))
        mean = ahead.mean(dim=1)
        number = streams.fork(ERRORS).integers(len(self.errors), 1)[..., 0]
        scale = state.memory["scale"].to(mean)[:, None, None, None, None]
        deviations, w = ahead - mean[:, None], float(self.weight)
        pooled, of_ensemble = self.grid.scatter(self.errors[number]), deviations * unbiased(ahead.shape[1])
        members = mean[:, None] + scale.sqrt() * ((1 - w) ** 0.5 * pooled + w**0.5 * of_ensemble)
        return members, {**state.memory, "mean": mean, "deviations": deviations}

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        b, e = self._flat(memory["mean"]), self._flat(background - memory["mean"][:, None])
        deviations, no_deviations = self._flat(memory["deviations"]), b.new_zeros(0, b.shape[-1])
        kept = {name: memory[name].clone() for name in REMEMBERED}
        x, mean, variables = e.clone(), b.clone(), range(len(self.space.variables))
        for i in range(c.count):
            here = slice(i, i + 1)
            variance = self._variance(deviations[i])
            groups = [group for group in observed_data(c[here], self.grid, variables) if len(group.error)]
            if self.adaptive and groups:
                of_groups = [
                    ((group.y - group.h(b[i]))[0], self._error(group, variance), group.h(variance))
                    for group in groups
                ]
                rescale(kept, i, *(torch.cat(values) for values in zip(*of_groups, strict=True)))
            s = float(kept["scale"][i])
            terms, errors = self._terms(s, deviations[i]), e[here] * (s / float(memory["scale"][i])) ** 0.5
            updates = self._updates(groups, terms, s * variance, b[here])
            stream = streams.fork(ANALYSIS).of_data(here)
            if groups:
                mean[here], _, x[here] = conditioned(updates, b[here], errors, no_deviations, stream)
            else:
                x[i] = b[i] + errors[0]
        return self._state(x), {**kept, MEAN: self._state(mean)}

    def background_mean(self, step: CycleStep) -> Float[Tensor, "batch variable y x"]:
        return step.update_memory["mean"]

    def static_mean(self, c: Context) -> Float[Tensor, "batch variable y x"]:
        """x_a for a background of 0 and B = T o S, without a check of the observations.

        The gain is computed once for all data that share a mask.
        """
        mean = self._flat(torch.zeros_like(c.base()))
        variance, terms = self._statistics().deviation.square(), [self._static_term(1.0)]
        for observed in observed_data(c, self.grid, range(len(self.space.variables))):
            if len(observed.error):
                gain = PointGain(terms, observed.h, self._error(observed, variance), mean[0])
                mean[observed.datum] = gain(observed.y, torch.ones_like(observed.error, dtype=torch.bool))
        return self._state(mean)

    def _updates(
        self, groups: Sequence[ObservedData], terms: list[CovarianceTerm], variance: Float[Tensor, " values"],
        b: Float[Tensor, "1 values"],
    ) -> Iterator[Conditioning]:  # fmt: skip
        for observed in groups:
            yield from at_points(observed, terms, self._error(observed, variance), b)

    def _error(
        self, observed: ObservedData, variance: Float[Tensor, " values"]
    ) -> Float[Tensor, " observed"]:
        """Variance of the errors of observations, the diagonal of R."""
        return observation_error(observed.error, observed.h(variance), 0.0, float(self.floor), variance.dtype)

    def _variance(self, deviations: Float[Tensor, "members values"]) -> Float[Tensor, " values"]:
        """The diagonal of B for s = 1."""
        w = float(self.weight)
        pool = self._statistics().deviation.square()
        return (1 - w) * pool + w * deviations.square().sum(0) / max(len(deviations) - 1, 1)

    def _terms(self, s: float, deviations: Float[Tensor, "members values"]) -> list[CovarianceTerm]:
        """The terms of B."""
        w, points = float(self.weight), len(self.grid)
        terms: list[CovarianceTerm] = [self._static_term(s * (1 - w))]
        if w > 0:
            share = deviations.new_full((len(deviations),), 1 / max(len(deviations) - 1, 1))
            terms.append(
                Tapered(
                    s * w, SecondMoment(deviations, share), self._kernel(float(self.ensemble_taper)), points
                )
            )
        return terms

    def _static_term(self, weight: float) -> CovarianceTerm:
        """T o S, times a weight."""
        taper = self._kernel(float(self.taper)) if self.taper > 0 else None
        return Tapered(weight, self._statistics().moments, taper, len(self.grid))

    def _statistics(self) -> CovarianceComponents:
        whole_sample = torch.ones(len(self.errors), dtype=torch.bool, device=self.errors.device)
        return self.derived(
            "statistics",
            lambda: training_statistics(self.errors, whole_sample, self.grid.area, folds=1),
            self.errors,
        )

    def _kernel(self, chord: float) -> Kernel:
        return self.derived(
            chord, lambda: Kernel(gaspari_cohn, chord, self.grid.points.to(self.errors)), self.errors
        )

    def _flat(self, x: Tensor) -> Tensor:
        return self.grid.gather(x).flatten(-2)

    def _state(self, x: Float[Tensor, "*batch values"]) -> Float[Tensor, "*batch variable y x"]:
        return self.grid.scatter(x.float().unflatten(-1, self.errors.shape[1:]))


def centred(state: CycleState) -> CycleState:
    """The state with its last analyses shifted so that their mean is x_a, which is known after the first step."""
    if MEAN not in state.memory:
        return state
    past = state.past.clone()
    past[:, :, -1] += (state.memory[MEAN] - past[:, :, -1].mean(dim=1))[:, None]
    return replace(state, past=past)


def unbiased(members: int) -> float:
    """Factor by which deviations from the mean of a few members have the variance of the members."""
    return (members / max(members - 1, 1)) ** 0.5


class EnsembleOptimalInterpolation(Hybrid):
    """The covariance of the background-error sample alone around a forecast from the mean of the analysis.

    Its analysis is that of 3D-Var with the same covariance (Evensen 2003, section 5; Oke et al. 2002).

    Parameters
    ----------
    space
        Grid of the states.
    adaptive
        Whether innovations set s; otherwise it is 1.
    """

    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {name: values for name, values in Hybrid.choices.items() if name in ("taper", "floor")}
    )

    def __init__(self, space: Space, adaptive: bool = True):
        super().__init__(space, adaptive=adaptive, feedback="mean")
        self.choose(weight=0.0)
