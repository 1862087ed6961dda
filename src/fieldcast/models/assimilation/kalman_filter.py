"""The Kalman filter of the linear inverse model, with the mean and covariance of a state of modes, and no ensemble.

    u_t = (a_t, b_t, a_{t-1}),    x_t = E (a_t, b_t),    u_{t+1} = T u_t + e,  e ~ N(0, s N),    y = H x + eps,
    m <- m + K (y - H E m),    P <- (I - K H E) P,    K = P E^T H^T (H E P E^T H^T + R / s)^-1.

y: observations, H the operator from a state to them, R the variances of their errors eps; m, P: mean and covariance of
u, E = (E, 0) its operator to a state, K the gain.

a: coefficients of the leading modes, with the dynamics G and the noise Q of `linear_inverse_model` (a_{t-1} where it
reads two states); b: those of its patterns of the residual, each red noise of persistence p and variance 1. Together
they are the whole model, so the residual persists, is corrected by observations, and is part of the spread. New states
have variance beyond all stored modes, too, which no training state shows: U, a share of the local variance.

The model's noise and the covariance at the start are scaled by one factor s, which innovations give (`adaptive_scale`):
s P is the covariance of the errors, so P has R / s in place of R. Scaling P itself at each step would compound, and
inflate without bound what is never observed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.innovations import MAX_INNOVATION
from fieldcast.models.assimilation.filter import CycleState, Filter, Members, Memory, Step, rescale, unscaled
from fieldcast.models.core import Context, Derived
from fieldcast.models.gaussian.conditioning import observed_data
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.gaussian.kalman_gain import cholesky
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class LinearDynamics(NamedTuple):
    """The linear inverse model as a system of first order; symbols as in the module, in double precision."""

    E: Float[Tensor, "current value"]  # E^T, at the points of the grid
    G: Float[Tensor, "mode past_mode"]
    p: float
    N: Float[Tensor, "state state"]
    start: Float[Tensor, "state state"]  # the covariance of the climatology
    variance: Float[Tensor, " value"]  # variance of the climatology

    def ahead(self, u: Float[Tensor, "*batch state"]) -> Float[Tensor, "*batch state"]:
        """The state a step later, T u."""
        modes, current = len(self.G), len(self.E)
        a, b, before = u.split([modes, current - modes, u.shape[-1] - current], dim=-1)
        last = a if before.shape[-1] else before
        return torch.cat([torch.cat([a, before], dim=-1) @ self.G.T, self.p * b, last], dim=-1)


class KalmanFilter(Derived, Filter):
    """The Kalman filter of a linear inverse model; see the module for the equations.

    It makes its own forecasts, of its mean and covariance. Its members are independent draws of the Gaussian. An
    observation whose innovation exceeds `MAX_INNOVATION` standard deviations, sqrt(s HPH^T + R), is rejected.

    Tuned: `unresolved`, the share of the local variance that new states have beyond the modes. It joins R, as an error
    of representativeness, and the spread, as noise that is independent between cells and times.

    Parameters
    ----------
    space
        Grid of the states.
    base
        The linear inverse model, solved and tuned.
    adaptive
        Whether innovations set s; otherwise it is 1.
    """

    accepts_points = True
    needs_forecast = False
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {"unresolved": (0.0, 0.03, 0.06, 0.1, 0.15, 0.2)}
    )

    def __init__(self, space: Space, base: LinearInverseModel, adaptive: bool = True):
        super().__init__(space)
        self.base, self.adaptive, self.grid = base, adaptive, GridPoints(space)
        self.register_buffer("unresolved", torch.tensor(0.1))

    def begin(self, count: int) -> dict[str, Tensor]:
        """Mean and covariance of the climatology."""
        start = self.dynamics().start
        mean = start.new_zeros(count, len(start))
        return {"mean": mean, "covariance": start.repeat(count, 1, 1), **unscaled(count, start.device)}

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        system, memory = self.dynamics(), state.memory
        mean = system.ahead(memory["mean"])
        covariance = system.ahead(system.ahead(memory["covariance"]).mT) + system.N
        ahead = {**memory, "mean": mean, "covariance": covariance}
        return self.draw_members(ahead, streams), ahead

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        system, after = self.dynamics(), {name: value.clone() for name, value in memory.items()}
        for observed in observed_data(c, self.grid, range(len(self.space.variables))):
            e = observed.h(system.E)  # (H E)^T
            error = observed.error + observed.h(self.unresolved * system.variance)
            for i, y in zip(observed.datum.tolist(), observed.y, strict=True):
                self._assimilate(after, i, e, y, error)
        return self.draw_members(after, streams), after

    def _assimilate(
        self, memory: dict[str, Tensor], i: int, e: Float[Tensor, "current observed"],
        y: Float[Tensor, " observed"], error: Float[Tensor, " observed"],
    ) -> None:  # fmt: skip
        """Update the mean and the covariance of a cycle in place."""
        m, p = memory["mean"][i], memory["covariance"][i]
        d, pe = y - m[: len(e)] @ e, p[:, : len(e)] @ e
        expected = (e * pe[: len(e)]).sum(0)
        limit = MAX_INNOVATION**2 * (memory["scale"][i] * expected + error)
        accepted = (d.square() <= limit).nonzero()[:, 0]
        if not len(accepted):
            return
        d, error, expected = d[accepted], error[accepted], expected[accepted]
        pe, e = pe[:, accepted], e[:, accepted]
        s = rescale(memory, i, d, error, expected) if self.adaptive else 1.0
        factor = cholesky(e.T @ pe[: len(e)] + torch.diag(error / s))
        z = torch.linalg.solve_triangular(factor, torch.cat([pe.T, d[:, None]], dim=1), upper=False)
        m += z[:, -1] @ z[:, :-1]
        p -= z[:, :-1].T @ z[:, :-1]

    def draw_members(self, memory: Memory, streams: RandomStreams) -> Members:
        """Draws of N(E m, s E P E^T + U) as fields, U the unresolved variance."""
        system = self.dynamics()
        current = len(system.E)
        roots = torch.stack([cholesky(p[:current, :current].clone()) for p in memory["covariance"]])
        u = streams.normal(current).double() @ roots.mT * memory["scale"].sqrt()[:, None, None]
        x = (memory["mean"][:, None, :current] + u) @ system.E
        x = x.float() + streams.normal(x.shape[-1]) * (self.unresolved * system.variance).sqrt().float()
        return self.grid.scatter(x.unflatten(-1, (len(self.space.variables), len(self.grid))))

    def dynamics(self) -> LinearDynamics:
        """The system of the base, cached for each choice of its values."""
        key = tuple(self.base.tuned_values().values())
        return self.derived(key, self._dynamics, self.base.features)

    def _dynamics(self) -> LinearDynamics:
        base, operators = self.base, self.base.operators()
        k, p, states = len(operators.L), float(base.persistence), int(base.states)
        f = base.features.flatten(1).double()
        patterns = torch.cat([f[:k], operators.scale * f[k:]]).unflatten(1, self.space.state_shape)
        e = self.grid.gather(patterns).flatten(1)
        c0, c1 = operators.C[:2]
        residual = torch.eye(len(f) - k, dtype=torch.double, device=f.device)
        noise = torch.block_diag(operators.Q, (1 - p**2) * residual, *(0 * c0 for _ in range(states - 1)))
        start = torch.block_diag(c0, residual, *(c0 for _ in range(states - 1)))
        if states > 1:
            start[:k, len(f) :], start[len(f) :, :k] = c1, c1.T
        return LinearDynamics(
            e, operators.G.double(), p, noise, start, self.grid.gather(base.variance).flatten().double()
        )
