"""Stepped models: x = base + M(c), or, with M as dx/dt, a step of an integrator over unit time.

The base is the last state of a forecast, or the sparse field of a reconstruction.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Model, Terms, Trained
from fieldcast.models.options import Count, NonNegative, Number, Positive
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

INPUT_NOISE, MODEL = range(2)  # streams of a training step
EVALUATIONS = {"euler": 1, "rk4": 4}  # evaluations of the right-hand side in a step


class Stepped(Trained):
    """x = F(base + step(scale * model)), by Euler's method or by the classical Runge-Kutta method of order four.

    Euler:  x = base + f(base),    RK4:  x = base + (k1 + 2 k2 + 2 k3 + k4) / 6,
    k1 = f(base), k2 = f(base + k1 / 2), k3 = f(base + k2 / 2), k4 = f(base + k3),    f(x) = scale * model(c at x).

    The network is trained on one-step differences, (x - base) / scale, whatever the scheme used for sampling. Its
    weights are then those of an Euler step: a network that is exact for Euler integrates another flow with RK4. With
    `train_through_step`, and whenever there is a filter F, it is trained through the whole step. The noise of a
    stochastic model is held over the four evaluations of a step.

    A batch with x (B, T, V, Y, X) is a rollout: its loss is the mean over its steps but the first `Batch.pushforward`,
    each from the previous draws.

    Parameters
    ----------
    space
        Grid of the states.
    model
        The right-hand side M.
    scheme
        "euler" or "rk4".
    scale
        "tendency" (the standard deviation of one-step differences) or a number.
    train_through_step
        Whether the network is trained through the scheme.
    noise
        Training perturbs the last states by noise * (b + w / 2), with b ~ N(0, 1) for each variable and w ~ N(0, 1) for
        each cell, and leaves the target unchanged (Sanchez-Gonzalez et al. 2020, section 4.3), so that the model learns
        to correct the errors of its rollouts.
    averaged_draws
        Number of draws of the model whose mean is the right-hand side, at each evaluation.
    filter_order
        Order of the Shapiro filter F, 0 for none: without it, structures below the scales of the training data would
        grow from step to step.
    """

    conditional = True

    def __init__(
        self, space: Space, model: Trained, scheme: Literal["euler", "rk4"] = "euler",
        scale: Literal["tendency"] | Positive = "tendency", train_through_step: bool = False, noise: NonNegative = 0.0,
        filter_order: Number = 0, averaged_draws: Count = 1,
    ):  # fmt: skip
        super().__init__(space)
        self.model, self.scheme, self.train_through_step, self.noise = (
            model,
            scheme,
            train_through_step,
            noise,
        )
        self.averaged_draws = averaged_draws
        self.filter = Shapiro(space.exists, space.wraps, filter_order) if filter_order else None
        if (train_through_step or filter_order) and not model.compares_draws:
            raise InputError(
                "train_through_step and filter_order train through the step, which "
                f"{type(model).__name__} does not support (its compares_draws is False)."
            )
        if noise and not model.history:
            raise InputError(
                "model.noise perturbs the past states of a forecast, and a reconstruction has none: set it to 0."
            )
        self.history, self.ensemble = model.history, model.ensemble
        self.omits_noise = model.omits_noise
        self.trains_over_rollouts = model.compares_draws
        self.evaluations = EVALUATIONS[scheme] * model.evaluations * averaged_draws
        value = space.tendency if scale == "tendency" else torch.full_like(space.tendency, float(scale))
        self.register_buffer("scale", value[:, None, None], persistent=False)

    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        if self.training and self.noise:
            batch = replace(batch, context=self.perturb(batch.context, streams.fork(INPUT_NOISE)))
        streams = streams.fork(MODEL)
        if batch.x.ndim == 5:
            return self.rollout_loss(batch.x, batch.context, streams, batch.pushforward)
        if self.train_through_step or self.filter is not None:
            return self.rollout_loss(batch.x[:, None], batch.context, streams)
        return self.model.loss(self.difference(batch), streams)

    def prepare(self, training: Iterable[Batch], streams: RandomStreams) -> None:
        """Prepare the wrapped model for the differences that it learns."""
        self.model.prepare((self.difference(batch) for batch in training), streams)

    def difference(self, batch: Batch) -> Batch:
        """The batch with (x - base) / scale for x; the base is 0 without past states or observations."""
        c = batch.context
        base = 0.0 if c.past is None and c.observed is None else c.base()
        return replace(batch, x=(batch.x - base) / self.scale)

    def perturb(self, c: Context, streams: RandomStreams) -> Context:
        """Add noise to the last states of the context."""
        past, shared = c.states(), streams.alone()
        level = shared.normal(len(self.space.variables), 1, 1)  # shared by all states of a datum
        cells = shared.normal(*past.shape[1:])[:, 0]
        return replace(c, past=past + self.noise * (level + cells / 2) * self.space.exists)

    def rollout_loss(
        self,
        x: Float[Tensor, "batch time variable y x"],
        c: Context,
        streams: RandomStreams,
        pushforward: int = 0,
    ) -> Terms:
        """1 / (T - w) sum of the model's loss over steps t > w, in units of `scale`, from the previous states.

        The first w = `pushforward` steps have neither loss nor gradient (the pushforward of Brandstetter, Worrall and
        Welling 2022, section 3.1): the model learns from states that it produced itself, at the cost of a few steps.
        """
        streams = streams if self.ensemble else streams.alone()
        repeated, terms = c.repeat(streams.members), []
        for t, truth in enumerate(x.unbind(1)):
            lead = streams.at_lead(t)
            with torch.set_grad_enabled(torch.is_grad_enabled() and t >= pushforward):
                drawn = self.filtered_step(repeated, lead.per_row())
            if t >= pushforward:
                members = drawn.unflatten(0, (c.count, streams.members))
                terms.append(self.model.compare(truth / self.scale, members / self.scale, repeated, lead))
            repeated = repeated.advance(drawn, self.space.step_years)
        total = torch.stack([term.total for term in terms]).mean()
        parts = {name: torch.stack([term.parts[name] for term in terms]).mean() for name in terms[0].parts}
        return Terms(total, parts)

    def filtered_step(self, c: Context, streams: RandomStreams) -> Float[Tensor, "rows variable y x"]:
        """A step followed by the filter."""
        x = step(self.model, c, streams, self.scale, self.scheme, self.averaged_draws)
        return x if self.filter is None else self.filter(x)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        repeated, row_streams = c.repeat(streams.members), streams.per_row()
        x = self.filtered_step(repeated, row_streams)
        return x.unflatten(0, (c.count, streams.members))


def step(
    model: Model, c: Context, streams: RandomStreams, scale: Tensor, scheme: str, averaged_draws: int = 1
) -> Float[Tensor, "rows variable y x"]:
    """A step from c.base(), with a row for each member; all evaluations share the draws.

    The right-hand side is the mean of `averaged_draws` draws of the model.
    """
    base = c.base()
    streams = streams.divided(averaged_draws)

    def f(x: Tensor) -> Tensor:
        drawn = model.sample(c.at(x).repeat(averaged_draws), streams.again())[:, 0]
        return scale * drawn.unflatten(0, (c.count, averaged_draws)).mean(dim=1)

    if scheme == "euler":
        return base + f(base)
    k1 = f(base)
    k2 = f(base + k1 / 2)
    k3 = f(base + k2 / 2)
    k4 = f(base + k3)
    return base + (k1 + 2 * (k2 + k3) + k4) / 6


# The Shapiro filter, which removes barely resolved waves and hardly affects any others.
#
#     x - D^n x,    D = -(second difference) / 4 along an axis,
#
# multiplies a wave of length L grid spacings by 1 - sin(pi / L)^(2n). The shortest wave, L = 2, vanishes in one step;
# for n = 16 a wave with L = 3 keeps 0.99, and one with L = 4 keeps 1 - 2^-16. The filter acts along longitude, then
# latitude. Beyond a border or a coast the field is extended by its last value, so that cells that do not exist do not
# matter.
#
# R. Shapiro (1970), Smoothing, filtering, and boundary effects, Reviews of Geophysics 8, 359-387.


def smoothing(linked: Bool[Tensor, "line cell"], order: int) -> Float[Tensor, "line cell cell"]:
    """I - D^n for each line of cells, as symmetric matrices.

    `linked` is true where a cell and the next one both exist; the first cell follows the last.
    """
    eye = torch.eye(linked.shape[1], dtype=torch.float64)
    links = linked.double()[..., None] * eye.roll(1, 1)
    links = links + links.mT
    return (eye - torch.linalg.matrix_power((torch.diag_embed(links.sum(-1)) - links) / 4, order)).float()


class Shapiro(nn.Module):
    """Shapiro filter of order n, on a grid where some cells may not exist."""

    def __init__(self, exists: Bool[Tensor, "y x"], wraps: bool, order: int):
        super().__init__()
        along_x, along_y = exists & exists.roll(-1, 1), (exists & exists.roll(-1, 0)).T.clone()
        along_y[:, -1] = False
        if not wraps:
            along_x[:, -1] = False
        self.register_buffer("x", smoothing(along_x.cpu(), order), persistent=False)
        self.register_buffer("y", smoothing(along_y.cpu(), order), persistent=False)

    def forward(self, field: Float[Tensor, "*lead y x"]) -> Float[Tensor, "*lead y x"]:
        # the filter acts on states, for which bfloat16 is too coarse
        with torch.autocast(field.device.type, enabled=False):
            along_x = torch.einsum("...yx,yxz->...yz", field.float(), self.x)
            return torch.einsum("...yx,xyz->...zx", along_x, self.y)
