"""Rollout: any model again and again, each step from the draws of the one before.

Members are rows of one batch. The noise of a member is a function of (seed, start, member, step), whatever else is in
the batch, so a rollout may be cut into pieces of starts, or go on from any step, and the numbers stay.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams

Feed = Literal["members", "mean"]


def rollout(
    model: Model, rows: Context, draws: RandomStreams, steps: int, feed: Feed = "members", first: int = 1
) -> Iterator[tuple[Float[Tensor, "batch members variable y x"], Context]]:
    """The states of steps first .. first + steps - 1, and the context that the next one starts from.

    `rows` is the context of every member of every start, members of a start next to each other (`Context.repeat`); its
    day is that of the first state sought. `draws` has a datum for each start and as many members. With feed "mean" all
    members go on from the mean of their start's. Nothing is kept: memory does not grow with the number of steps.
    """
    for number in range(first, first + steps):
        noise = draws.at_lead(number).per_row()
        x = model.sample(rows, noise)[:, 0].unflatten(0, (len(draws.datum), draws.members))
        on = x if feed == "members" else x.mean(dim=1, keepdim=True).expand_as(x)
        rows = rows.advance(on.flatten(0, 1), model.space.step_years)
        yield x, rows
