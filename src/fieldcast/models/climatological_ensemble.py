"""The climatological ensemble: training states of the same season, as a forecast without any initial state.

Its members are training states, so their spread, their correlations and their extremes are those of the season: the
reference of the skill of every ensemble (Hamill and Juras 2006, "Measuring forecast skill: is it real skill or is it
the varying climatology?").
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.gaussian.seasonal_selection import pick, within_season
from fieldcast.models.gaussian.training_series import kept_series
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

NEAR = 15.01 / 365  # of a year, to either side of the target day: rounding does not exclude the fifteenth day
YEARS = 2  # a shorter record has too few states of a season


class ClimatologicalEnsemble(Solved):
    """Members are training states within 15 days of the target day of the year, drawn independently at each step.

    Any training state is eligible if the record is shorter than two years.
    """

    history = 0
    half_precision = ("anomalies",)
    anomalies: Tensor
    days: Tensor

    def __init__(self, space: Space):
        super().__init__(space)
        self.register_buffer("anomalies", torch.empty(0, *space.state_shape))
        self.register_buffer("days", torch.empty(0))

    def solve(self, training: Iterable[Batch]) -> None:
        """Keep training states, at most `retained.MOST`, and their days."""
        record = kept_series(training, self.space.exists)
        self.anomalies, self.days = record.states, record.days

    def sample(self, c: Context, draws: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        allowed = torch.ones(c.count, len(self.days), dtype=torch.bool, device=self.days.device)
        if c.day is not None:
            allowed = within_season(self.days, c.day, allowed, NEAR, YEARS)
        return self.anomalies[pick(allowed, draws.uniform(1)[..., 0])]
