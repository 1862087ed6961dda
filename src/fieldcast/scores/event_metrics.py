"""Scores of events as records: functions of the mean contingency table (`event_tables`), and their legends.

Letters: M members, p_i = i / M the probability that i of them forecast; n_i the share of cells and times with i
members, y_i the share with i members where the event happened; o = Σ y_i its frequency; c its climatological
probability.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from fieldcast.scores.score_info import ScoreInfo

Table = Float[np.ndarray, "*batch outcome number"]
ByNumber = Float[np.ndarray, "*batch number"]
Rates = Float[np.ndarray, "*batch warning"]
Score = Float[np.ndarray, "*batch"]


class Contingency:
    """The table of one or many events, and the quantities that several scores share, computed once.

    Parameters
    ----------
    shares
        n_i - y_i and y_i, along `outcome`.
    c
        Climatological probability of each event.
    """

    def __init__(self, shares: Table, c: float | Float[np.ndarray, "..."]) -> None:
        self.c = c
        self.y: ByNumber = shares[..., 1, :]
        self.n: ByNumber = shares[..., 0, :] + self.y
        self.p = np.linspace(0.0, 1.0, shares.shape[-1], dtype=shares.dtype)
        self.o: Score = self.y.sum(axis=-1)

    @cached_property
    def frequency(self) -> ByNumber:
        """Frequency y_i / n_i of the event where i members forecast it; NaN where that never happens."""
        return self.y / np.where(self.n > 0, self.n, np.nan)

    @cached_property
    def hit_rate(self) -> Rates:
        """H: share of the events that at least i members forecast, for i = M + 1 (never) down to 0 (always)."""
        return warning_rates(self.y)

    @cached_property
    def false_alarm_rate(self) -> Rates:
        """F: share of the non-events that at least i members forecast, as for `hit_rate`."""
        return warning_rates(self.n - self.y)


def warning_rates(shares: ByNumber) -> Rates:
    """Cumulative sums from the largest number down over their total, after a 0; NaN where the total is 0."""
    never = np.zeros_like(shares[..., :1])
    falling = np.concatenate([never, shares[..., ::-1]], axis=-1).cumsum(axis=-1)
    total = falling[..., -1:]
    return falling / np.where(total > 0, total, np.nan)


def brier(table: Contingency) -> Score:
    """Fair Brier score Σ y_i (1 - p_i)^2 + (n_i - y_i) p_i^2 - n_i p_i (1 - p_i) / (M - 1) (Ferro 2014, section 2).

    Its mean over ensembles is that of infinitely many members. A single member has no correction.
    """
    p = table.p
    correction = p * (1 - p) / max(len(p) - 2, 1)
    return table.y @ (1 - 2 * p) + table.n @ (p**2 - correction)


def brier_skill(table: Contingency) -> Score:
    """1 - BS / BS_c, with BS_c = o (1 - c)^2 + (1 - o) c^2 of the climatological probability c as the forecast."""
    c, o = table.c, table.o
    return 1 - brier(table) / (o * (1 - c) ** 2 + (1 - o) * c**2)


def reliability(table: Contingency) -> Score:
    """Σ n_i (p_i - y_i / n_i)^2 (Murphy 1973, equation 8); lower is better."""
    return np.where(table.n == 0, 0.0, table.n * (table.p - table.frequency) ** 2).sum(axis=-1)


def resolution(table: Contingency) -> Score:
    """Σ n_i (y_i / n_i - o)^2 (Murphy 1973, equation 8); higher is better."""
    return np.where(table.n == 0, 0.0, table.n * (table.frequency - table.o[..., None]) ** 2).sum(axis=-1)


def roc_area(table: Contingency) -> Score:
    """Area under the polygon (F, H) (Mason 1982): the probability that an event has more members than a non-event."""
    hit, false = table.hit_rate, table.false_alarm_rate
    return ((hit[..., 1:] + hit[..., :-1]) * np.diff(false, axis=-1)).sum(axis=-1) / 2


def highest_value(table: Contingency) -> Score:
    """max_i H_i - F_i: the economic value of the user whose cost-loss ratio is the frequency of the event.

    No other user gains as much (Richardson 2000, section 3).
    """
    return (table.hit_rate - table.false_alarm_rate).max(axis=-1)


def event_frequency(table: Contingency) -> Score:
    """The frequency o of the event."""
    return table.o


@dataclass(frozen=True)
class EventMetric(ScoreInfo):
    """A score of an event.

    Parameters
    ----------
    function
        The score as a function of the mean contingency table; None for the mean threshold-weighted CRPS.
    power
        The score has the unit of the field to this power.
    """

    function: Callable[[Contingency], Score] | None
    power: int = 0


EVENT_METRICS: dict[str, EventMetric] = {
    "brier_skill": EventMetric(
        brier_skill,
        title="Brier skill score",
        explanation="1 − Brier score / Brier score of always forecasting the climatological probability: 1 is perfect, "
        "0 no better than the climatology.",
        better="higher",
    ),
    "brier": EventMetric(
        brier,
        title="Brier score",
        explanation="mean squared difference between the forecast probability of an event and 1 if it happened or 0 if "
        "not; fair, that is corrected for the number of members (Ferro 2014).",
    ),
    "brier_reliability": EventMetric(
        reliability,
        title="reliability (part of the Brier score)",
        explanation="mean squared difference between a forecast probability and the frequency with which the event "
        "then happened; 0 if probabilities mean what they say, and more for few members, whose share is partly "
        "chance. With the resolution r and the frequency o of the event, the uncorrected Brier score is reliability − "
        "r + o (1 − o).",
    ),
    "brier_resolution": EventMetric(
        resolution,
        title="resolution (part of the Brier score)",
        explanation="how far the frequency of the event, given the forecast probability, varies about its mean: 0 if "
        "forecasts do not distinguish events from non-events.",
        better="higher",
    ),
    "roc_area": EventMetric(
        roc_area,
        title="ROC area",
        explanation="area under the curve of hit rate against false-alarm rate: 1 if every event had a higher forecast "
        "probability than every non-event, 0.5 for forecasts without information. Biases do not change it.",
        better="higher",
    ),
    "highest_value": EventMetric(
        highest_value,
        title="highest economic value",
        explanation="the saving of a user who acts on the forecast, on a scale from 0 for the climatology to 1 for "
        "perfect forecasts; for the user who gains most, whose cost-loss ratio equals the frequency of the event and "
        "who acts above the best probability threshold.",
        better="higher",
    ),
    "tail_crps": EventMetric(
        None,
        title="threshold-weighted CRPS",
        explanation="fair CRPS of the values beyond the threshold alone: it rewards forecasts of how extreme an event "
        "will be, not only of whether it happens.",
        power=1,
    ),
    "frequency": EventMetric(
        event_frequency,
        title="frequency of the event",
        explanation="how often the event happened. It differs from the climatological probability where the scored "
        "period differs from the training years.",
        better=None,
    ),
}
