"""Every score over times as one record: statistics, the function of their means, and how people read it.

Statistics are averaged over cells and times first, so roots and ratios come last. Leaderboard, summary, figures,
report and guide read `METRICS` in its order: a new score is a record here, and a new mean over cells a formula in
`statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

Means = Float[np.ndarray, "..."]
Role = Literal["reference", "climatology"]
Better = Literal["lower", "higher"] | float | None


@dataclass(frozen=True, kw_only=True)
class Legend:
    """How people read a score.

    Parameters
    ----------
    title
        Name in tables and figures.
    explanation
        What the score measures, in one or two sentences that follow the title.
    better
        "lower", "higher", or the ideal value; None where values do not rank experiments.
    summary
        Place among the scores that a run prints at its end, from 1; 0 leaves it out.
    """

    title: str
    explanation: str
    better: Better = "lower"
    summary: int = 0

    @property
    def direction(self) -> str:
        """ "lower is better", "higher is better" or "1 is best"; empty where values do not rank experiments."""
        if self.better is None:
            return ""
        return f"{self.better} is better" if isinstance(self.better, str) else f"{self.better:g} is best"

    def best(self, values: Iterable[float]) -> float:
        """Best of some values; NaN where values do not rank experiments."""
        if self.better is None:
            return float("nan")
        if isinstance(self.better, str):
            return min(values) if self.better == "lower" else max(values)
        ideal = self.better
        return min(values, key=lambda value: abs(value - ideal))


@dataclass(frozen=True)
class Metric(Legend):
    """A score computed from means of statistics.

    Parameters
    ----------
    statistics
        Names of the statistics that it needs (`statistics.POWER`).
    function
        The score as a function of their means, in this order.
    power
        The score has the unit of the field to this power; 0 for ratios.
    tasks
        Tasks whose leaderboards hold it.
    """

    statistics: tuple[str, ...]
    function: Callable[..., Means]
    power: int = 1
    tasks: tuple[str, ...] = ("reconstruct", "forecast")


@dataclass(frozen=True)
class Comparison(Metric):
    """A score of an experiment relative to another one, at the times that both have.

    Its one statistic is averaged twice: `function` takes the mean of the experiment and that of the reference.

    Parameters
    ----------
    role
        Role of the experiment that the others are compared with (`about.role` in its YAML).
    includes_reference
        Whether the reference is compared with itself too.
    """

    role: Role = "reference"
    includes_reference: bool = False


def in_summary(scores: Mapping[str, Legend]) -> list[str]:
    """Names of the scores that a run prints at its end, in order."""
    return sorted((name for name in scores if scores[name].summary), key=lambda name: scores[name].summary)


def unchanged(mean: Means) -> Means:
    """The mean itself."""
    return mean


def difference(score: Means, reference: Means) -> Means:
    """Mean of an experiment minus that of the reference."""
    with np.errstate(invalid="ignore"):  # both blew up
        return score - reference


def skill(score: Means, reference: Means) -> Means:
    """1 - score/reference of a score that is 0 at best: 1 is perfect, 0 is the reference, below is worse."""
    with np.errstate(invalid="ignore"):
        return 1 - score / np.where(reference > 0, reference, np.nan)


def unbiased_spread_skill_ratio(variance: Means, debiased_squared_error: Means) -> Means:
    """√(⟨s²⟩ / ⟨(x̄ - y)² - s²/M⟩): 1 for a calibrated ensemble of any size; NaN where the denominator is
    not positive.

    The name is WeatherBench-X's (`UnbiasedSpreadSkillRatio`).
    """
    denominator = np.where(debiased_squared_error > 0, debiased_squared_error, np.nan)
    with np.errstate(invalid="ignore"):  # a model that blew up: infinity over infinity
        return np.sqrt(variance / denominator)


RECONSTRUCT, FORECAST = ("reconstruct",), ("forecast",)

METRICS: dict[str, Metric] = {
    "rmse": Metric(
        ("squared_error",),
        np.sqrt,
        title="RMSE of the ensemble mean",
        explanation="the root mean squared error of the mean over members.",
        summary=2,
    ),
    "mae": Metric(
        ("absolute_error",),
        unchanged,
        title="MAE of the ensemble mean",
        explanation="the mean absolute error of the mean over members.",
    ),
    "acc": Metric(
        ("acc",),
        unchanged,
        title="anomaly correlation",
        explanation="the correlation of the anomalies of the ensemble mean with those of the truth: 1 for the same "
        "pattern, 0 for no common pattern; 0.6 is an old rule of thumb for a useful forecast.",
        better="higher",
        power=0,
        tasks=FORECAST,
    ),
    "bias": Metric(
        ("error",),
        unchanged,
        title="bias",
        explanation="the mean error of the ensemble mean; above 0 it is too large.",
        better=0.0,
    ),
    "ssim": Metric(
        ("ssim",),
        unchanged,
        title="SSIM",
        explanation="the structural similarity of the maps of the ensemble mean and of the truth; 1 for equal maps.",
        better="higher",
        power=0,
        tasks=RECONSTRUCT,
    ),
    "crps": Metric(
        ("crps",),
        unchanged,
        title="fair CRPS",
        explanation="the distance between the distribution of the members and the truth. It rewards an ensemble that "
        "is accurate and whose spread matches its error, and does not depend on the number of members. For a single "
        "estimate it is the mean absolute error.",
        summary=1,
    ),
    "crps_minus_reference": Comparison(
        ("crps",),
        difference,
        title="CRPS minus that of the reference",
        explanation="the difference of the two scores at the same times; below 0 the experiment is better.",
        summary=5,
    ),
    "ssr": Metric(
        ("variance", "debiased_squared_error"),
        unbiased_spread_skill_ratio,
        title="spread-skill ratio",
        explanation="the spread of the members over the error of their mean, corrected for the number of members. "
        "Below 1 the ensemble is overconfident.",
        better=1.0,
        power=0,
        summary=3,
    ),
    "coverage50": Metric(
        ("coverage50",),
        unchanged,
        title="coverage of the 50 % interval",
        explanation="how often the truth lies between two of the ordered members. With 19 members the 5th to the 15th "
        "hold exactly 50 % of truths, if the ensemble is calibrated.",
        better=0.5,
        power=0,
        tasks=RECONSTRUCT,
    ),
    "coverage90": Metric(
        ("coverage90",),
        unchanged,
        title="coverage of the 90 % interval",
        explanation="the same for 90 %: with 19 members the 1st to the 19th.",
        better=0.9,
        power=0,
        tasks=RECONSTRUCT,
    ),
    "energy": Metric(
        ("energy",),
        unchanged,
        title="energy score",
        explanation="the fair CRPS of whole maps: distances are between maps, so a member must be right in all cells "
        "and variables at once.",
        summary=4,
        tasks=FORECAST,
    ),
    "skill": Comparison(
        ("crps",),
        skill,
        title="skill",
        explanation="1 − CRPS / CRPS of the climatological ensemble: 1 is perfect; at 0 and below, random days of the "
        "same season do as well. The skill horizon is the lead time at which it crosses 0.",
        better="higher",
        power=0,
        tasks=FORECAST,
        role="climatology",
        includes_reference=True,
    ),
    "consistency": Metric(
        ("observed_squared_error",),
        np.sqrt,
        title="RMSE at observed cells",
        explanation="the root mean squared difference of each member from the observed values, whose noise it "
        "contains: for members that agree with the observations it is the observation error.",
        better=None,
        tasks=RECONSTRUCT,
    ),
}
