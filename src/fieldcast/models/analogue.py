"""Analogue forecasts: the successors of the most similar training states.

    x = s_{j+1},    j one of the nearest training states to x_t,    |x_t - s_j|^2 = mean over variables and area,

Lorenz (1969), "Atmospheric predictability as revealed by naturally occurring analogues". A record of a few
years holds no close analogue of a whole planet, so scores lie between those of the climatology and the linear models;
but every member is an observed state at every lead.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.gaussian.seasonal_selection import within_season
from fieldcast.models.gaussian.training_series import kept_series
from fieldcast.models.persistence import last
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

STRETCH_LENGTH = 64  # number of successive states in each stretch that is kept of a long record
# mean square difference, as a share of the mean square, up to which two states are equal up to rounding: half precision
# has a relative error of up to 2^-11, and files add a little
MAX_ROUNDING_SHARE = 2**-21


class Analogue(Solved):
    """Each member follows the successor of one of the `neighbours` (tuned) nearest training states of the season.

    In a rollout a member soon becomes a training state itself. It then continues with that state's successor, without
    another draw, so that a member is a stretch of history; at the end of a stretch it switches to a neighbour. An
    initial state from the training data is continued in the same way by all members: analogues are no test of their own
    training data. Only states with a successor in their stretch are neighbours; their successors lie within 45 days of
    the day of the year of the target. A record of more than `retained.MAX_STATES` states leaves stretches of 64.
    """

    history = 1
    half_precision = ("states",)
    states: Tensor
    norms: Tensor
    candidates: Tensor
    days: Tensor
    neighbours: Tensor
    choices = MappingProxyType({"neighbours": (5.0, 10.0, 20.0, 50.0, 100.0, 200.0)})

    def __init__(self, space: Space):
        super().__init__(space)
        self.register_buffer("states", torch.empty(0, *space.state_shape))
        self.register_buffer("norms", torch.empty(0))
        self.register_buffer("candidates", torch.empty(0, dtype=torch.long))  # states with a successor
        self.register_buffer("days", torch.empty(0))  # days of the year of the successors
        self.register_buffer("neighbours", torch.tensor(50.0))

    def solve(self, training: Iterable[Batch]) -> None:
        """Keep training states, and the index and day of those with a successor."""
        record = kept_series(training, self.space.exists, STRETCH_LENGTH)
        self.states = record.states
        self.norms = torch.cat(
            [(part.square() * self._weight()).sum((1, 2, 3)) for part in record.states.split(256)]
        )
        self.candidates = record.followed().nonzero()[:, 0]
        self.days = record.days[self.candidates + 1]

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        now = last(c)
        distance = self.distance(now)[:, self.candidates]
        nearest = distance.argmin(dim=1, keepdim=True)
        near = torch.ones_like(distance, dtype=torch.bool)
        if c.day is not None:
            near = within_season(self.days, c.day, near)
        count = near.sum(1, keepdim=True).clamp(max=int(self.neighbours))  # (B, 1)
        ranked = distance.masked_fill(~near, torch.inf).topk(int(count.max()), largest=False).indices
        analogue = ranked.gather(1, (streams.uniform(1)[..., 0] * count).long())  # (B, M)
        analogue = torch.where(self._same_state(now, self.candidates[nearest]), nearest, analogue)
        return self.states[self.candidates[analogue] + 1]

    def distance(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, "batch time"]:
        """Mean square difference from each training state: |x|^2 - 2 x s + |s|^2."""
        x = torch.where(self.space.exists, x, 0.0)
        weighted = (x * self._weight()).flatten(1)
        square = (weighted * x.flatten(1)).sum(1, keepdim=True)
        return square - 2 * weighted @ self.states.flatten(1).T + self.norms

    def _same_state(
        self, x: Float[Tensor, "batch variable y x"], index: Int[Tensor, "batch one"]
    ) -> Bool[Tensor, "batch one"]:
        """Whether each state is a training state up to rounding; without the cancellation in `distance`."""
        difference = torch.where(self.space.exists, x - self.states[index[:, 0]], 0.0)
        square = (difference.square() * self._weight()).sum((1, 2, 3))
        return (square <= MAX_ROUNDING_SHARE * self.norms[index[:, 0]])[:, None]

    def _weight(self) -> Float[Tensor, "y x"]:
        """Area weights that sum to 1 over all variables."""
        area = self.space.existing_area
        return area / (area.sum() * len(self.space.variables))
