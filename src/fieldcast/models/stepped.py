"""Stepped models: x = base + M(c), and, with M read as dx/dt, one step of an integrator over unit time.

The base is the last state of a forecast, or the sparse field of a reconstruction.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Model, Space, Terms, Trained
from fieldcast.models.draws import Draws


class Stepped(Trained):
    """x = base + step(scale * model), stepped by Euler's method or by the classical Runge-Kutta method of order four.

    Euler:  x = base + f(base),    RK4:  x = base + (k1 + 2 k2 + 2 k3 + k4) / 6,
    k1 = f(base), k2 = f(base + k1 / 2), k3 = f(base + k2 / 2), k4 = f(base + k3),    f(x) = scale * model(c at x).

    The network is trained on one-step differences, (x - base) / scale, whatever the scheme that draws. Its weights
    are then those of an Euler step: a network that is exact in it, drawn from by RK4, integrates another flow. A draw
    of a stochastic model is held over the four evaluations of a step.

    scale: "tendency" (the standard deviation of one-step differences) or a number.
    """

    def __init__(
        self, space: Space, model: Trained, scheme: str = "euler", scale: str | float | int = "tendency"
    ):
        super().__init__(space)
        if scheme not in ("euler", "rk4"):
            raise TypeError(f"scheme is 'euler' or 'rk4', not '{scheme}'")
        self.model, self.scheme, self.history = model, scheme, model.history
        value = space.tendency if scale == "tendency" else torch.full_like(space.tendency, float(scale))
        self.register_buffer("scale", value[:, None, None], persistent=False)

    def loss(self, batch: Batch, draws: Draws) -> Terms:
        difference = (batch.x - batch.context.base()) / self.scale
        return self.model.loss(replace(batch, x=difference), draws)

    def sample(self, c: Context, draws: Draws) -> Float[Tensor, "batch members variable y x"]:
        rows, noise = c.repeat(draws.members), draws.per_row().held()
        x = step(self.model, rows, noise, self.scale, self.scheme)
        return x.unflatten(0, (c.rows, draws.members))


def step(
    model: Model, c: Context, draws: Draws, scale: Tensor, scheme: str
) -> Float[Tensor, "rows variable y x"]:
    """One step from c.base(), a row a member."""
    base = c.base()

    def f(x: Tensor) -> Tensor:
        return scale * model.sample(c.at(x), draws)[:, 0]

    k1 = f(base)
    if scheme == "euler":
        return base + k1
    k2 = f(base + k1 / 2)
    k3 = f(base + k2 / 2)
    k4 = f(base + k3)
    return base + (k1 + 2 * (k2 + k3) + k4) / 6
