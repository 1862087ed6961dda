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

# greatest distance from the target day, in days: slightly over 15, so that rounding does not exclude the last one
SEASON_HALF_WIDTH = 15.01
MIN_YEARS = 2  # years of a record below which all its states are eligible: it has too few of one season


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
        """Keep training states, at most `retained.MAX_STATES`, and their days."""
        record = kept_series(training, self.space.exists)
        self.anomalies, self.days = record.states, record.days

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        allowed = torch.ones(c.count, len(self.days), dtype=torch.bool, device=self.days.device)
        if c.day is not None:
            window = SEASON_HALF_WIDTH / self.space.days_per_year
            allowed = within_season(self.days, c.day, allowed, window, MIN_YEARS)
        return self.anomalies[pick(allowed, streams.uniform(1)[..., 0])]
