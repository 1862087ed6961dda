"""Rollout: repeated steps of a model, each from the draws of the last one.

The members of all starts form one batch. The noise of a member is a function of (seed, start, member, step), whatever
else is in the batch, so a rollout may be cut into pieces of starts, or resume at any step, without changing a number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import draw

Feedback = Literal["members", "mean"]


def rollout(
    model: Model,
    context: Context,
    draws: RandomStreams,
    steps: int,
    feedback: Feedback = "members",
    first: int = 1,
) -> Iterator[tuple[Float[Tensor, "batch members variable y x"], Context]]:
    """Yield the states of steps first .. first + steps - 1, each with the context that the next step starts from.

    Parameters
    ----------
    model
        The model of the next state.
    context
        Context of all members of all starts, with the members of a start next to each other (`Context.repeat`); its day
        is the day of the first state.
    draws
        Random streams with a datum for each start and the number of members.
    steps
        Number of steps. Nothing is kept: memory does not grow with it.
    feedback
        State from which the next step starts: the "members", or the "mean" over the members of each start.
    first
        Number of the first step, from 1.
    """
    for number in range(first, first + steps):
        of_lead = draws.at_lead(number)
        noise = of_lead.per_row()
        x = draw(model, context, noise)[:, 0].unflatten(0, (len(draws.datum), draws.members))
        fed_back = x if feedback == "members" else x.mean(dim=1, keepdim=True).expand_as(x)
        context = context.advance(fed_back.flatten(0, 1), model.space.step_years)
        yield model.calibrated(x, of_lead), context
