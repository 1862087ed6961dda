"""Scores over times as records: the statistics that a score needs, the function of their means, and its legend.

Statistics are averaged over cells and times first, so roots and ratios come last. Leaderboard, summary, figures,
report and guide read `METRICS` in its order. A new score is a new record here; a new mean over cells is a formula in
`statistics`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from fieldcast.innovations import MAX_INNOVATION
from fieldcast.scores.score_info import ScoreInfo

# Scores as functions of means of statistics, or of an experiment's mean and those of others.


Means = Float[np.ndarray, "..."]


def unchanged(mean: Means) -> Means:
    """Return the mean unchanged."""
    return mean


def difference(score: Means, reference: Means) -> Means:
    """Mean of an experiment minus that of the reference."""
    with np.errstate(invalid="ignore"):  # both diverged
        return score - reference


def skill(score: Means, reference: Means) -> Means:
    """Skill 1 - score/reference of a score that is 0 at best: 1 is perfect, 0 equals the reference."""
    with np.errstate(invalid="ignore"):
        return 1 - score / np.where(reference > 0, reference, np.nan)


def ratio(mean: Means, expected: Means) -> Means:
    """Mean over its expected value; NaN where nothing is expected."""
    with np.errstate(invalid="ignore", over="ignore"):
        return mean / np.where(expected > 0, expected, np.nan)


def rmse_skill(mean: Means, reference: Means, bound: Means) -> Means:
    """Skill score (r - x) / (r - b) of the roots x, r, b of three means: of forecasts, a reference and a bound.

    1 equals the bound, 0 the reference; NaN where the bound is not better than the reference.
    """
    x, r, b = (np.sqrt(each) for each in (mean, reference, bound))
    return ratio(r - x, r - b)


def signal_share(product: Means, squared: Means) -> Means:
    """Share 1 - <d_a d_b> / <d_b^2> of an innovation d_b that an analysis follows; d_a is the remainder."""
    return 1 - ratio(product, squared)


def root(mean: Means) -> Means:
    """Root of a mean of products, which may be negative by chance: then NaN."""
    return np.sqrt(np.where(mean >= 0, mean, np.nan))


def unbiased_spread_skill_ratio(variance: Means, debiased_squared_error: Means) -> Means:
    """Spread-skill ratio √(⟨s²⟩ / ⟨(x̄ - y)² - s²/M⟩), 1 for a calibrated ensemble of any size.

    NaN where the denominator is not positive. WeatherBench-X calls it `UnbiasedSpreadSkillRatio`.
    """
    denominator = np.where(debiased_squared_error > 0, debiased_squared_error, np.nan)
    with np.errstate(invalid="ignore"):  # a model that diverged: infinity over infinity
        return np.sqrt(variance / denominator)


Role = Literal["reference", "climatology", "bound"]


@dataclass(frozen=True)
class Metric(ScoreInfo):
    """A score computed from means of statistics.

    Parameters
    ----------
    statistics
        Names of the statistics that the score needs (`statistics.POWER`).
    function
        The score as a function of their means, in this order.
    power
        The score has the unit of the field to this power; 0 for ratios.
    tasks
        Tasks whose leaderboards hold the score.
    """

    statistics: tuple[str, ...]
    function: Callable[..., Means]
    power: int = 1
    tasks: tuple[str, ...] = ("reconstruct", "forecast", "assimilate")


@dataclass(frozen=True)
class RelativeMetric(Metric):
    """A score of an experiment relative to others, at the times that all of them have.

    It has a single statistic; `function` takes its mean for the experiment and its mean for each of the others.

    Parameters
    ----------
    roles
        Roles of the experiments that it is compared with (`about.role` in their YAML files).
    scored_for_roles
        Whether the experiments in these roles have the score, too.
    signed
        Whether tables print its sign and interval, as of a difference.
    """

    roles: tuple[Role, ...] = ("reference",)
    scored_for_roles: bool = False
    signed: bool = True


RECONSTRUCT, FORECAST, ASSIMILATE = ("reconstruct",), ("forecast",), ("assimilate",)
OBSERVED = RECONSTRUCT + ASSIMILATE  # tasks with observations

METRICS: dict[str, Metric] = {
    "rmse": Metric(
        ("squared_error",),
        np.sqrt,
        title="RMSE of the ensemble mean",
        explanation="root-mean-square error of the mean over members.",
        summary=2,
    ),
    "mae": Metric(
        ("absolute_error",),
        unchanged,
        title="MAE of the ensemble mean",
        explanation="mean absolute error of the mean over members.",
    ),
    "acc": Metric(
        ("acc",),
        unchanged,
        title="anomaly correlation",
        explanation="correlation between the anomalies of the ensemble mean and of the truth: 1 for the same "
        "pattern, 0 for unrelated patterns. Forecasts above 0.6 are traditionally considered useful.",
        better="higher",
        power=0,
        tasks=FORECAST,
    ),
    "bias": Metric(
        ("error",),
        unchanged,
        title="bias",
        explanation="mean error of the ensemble mean; positive values mean overestimation.",
        better=0.0,
    ),
    "ssim": Metric(
        ("ssim",),
        unchanged,
        title="SSIM",
        explanation="structural similarity between the maps of the ensemble mean and of the truth; 1 for identical "
        "maps.",
        better="higher",
        power=0,
        tasks=RECONSTRUCT,
    ),
    "crps": Metric(
        ("crps",),
        unchanged,
        title="fair CRPS",
        explanation="continuous ranked probability score, the distance between the distribution of the members and "
        "the truth. It rewards accurate ensembles whose spread matches their error; its expectation does not depend "
        "on the number of members. For a single member it equals the MAE.",
        summary=1,
    ),
    "crps_minus_reference": RelativeMetric(
        ("crps",),
        difference,
        title="CRPS minus that of the reference",
        explanation="mean difference in CRPS at the same times; below 0 the experiment beats the reference.",
        summary=5,
    ),
    "ssr": Metric(
        ("variance", "debiased_squared_error"),
        unbiased_spread_skill_ratio,
        title="spread-skill ratio",
        explanation="spread of the members divided by the RMSE of their mean, corrected for the number of members. "
        "Below 1 the ensemble is overconfident (underdispersive).",
        better=1.0,
        power=0,
        summary=3,
    ),
    "rmse_skill": RelativeMetric(
        ("squared_error",),
        rmse_skill,
        title="RMSE skill score",
        explanation="the reduction of the RMSE from that of the reference, as a share of that of the bound, both on "
        "the same observations: 1 equals the bound, 0 the reference; negative values are worse than the reference.",
        better="higher",
        power=0,
        summary=4,
        tasks=ASSIMILATE,
        roles=("reference", "bound"),
        signed=False,
    ),
    "coverage50": Metric(
        ("coverage50",),
        unchanged,
        title="coverage of the 50 % interval",
        explanation="frequency with which the truth lies inside the central 50 % interval of the ordered members. "
        "With 19 members this interval runs from the 5th to the 15th; a calibrated ensemble covers exactly 50 % of "
        "truths.",
        better=0.5,
        power=0,
        tasks=OBSERVED,
    ),
    "coverage90": Metric(
        ("coverage90",),
        unchanged,
        title="coverage of the 90 % interval",
        explanation="frequency with which the truth lies inside the central 90 % interval of the ordered members, "
        "from the 1st to the 19th of 19.",
        better=0.9,
        power=0,
        tasks=OBSERVED,
    ),
    "energy": Metric(
        ("energy",),
        unchanged,
        title="energy score",
        explanation="fair CRPS generalised to whole maps: a member must be right in all cells and variables at once.",
        summary=4,
        tasks=FORECAST,
    ),
    "skill": RelativeMetric(
        ("crps",),
        skill,
        title="skill",
        explanation="1 − CRPS / CRPS of the climatological ensemble: 1 is perfect; at 0 or below, the forecast is no "
        "better than past days of the season. The skill horizon is the lead time at which skill falls to 0.",
        better="higher",
        power=0,
        tasks=FORECAST,
        roles=("climatology",),
        scored_for_roles=True,
    ),
    "consistency": Metric(
        ("observed_squared_error",),
        np.sqrt,
        title="RMSE at observed cells",
        explanation="root-mean-square difference between single members and the observed values, including their "
        "noise: for members that are consistent with the observations it equals the observation error.",
        better=None,
        tasks=OBSERVED,
    ),
    "innovation": Metric(
        ("innovation",),
        unchanged,
        title="mean innovation",
        explanation="mean difference between observations and the background; 0 for a forecast without bias.",
        better=0.0,
        tasks=ASSIMILATE,
    ),
    "chi_squared": Metric(
        ("innovation_squared", "innovation_expected"),
        ratio,
        title="chi-squared of innovations",
        explanation="mean squared difference between observations and the background, divided by (1 + 1/M) times "
        "the variance of the M background members plus the variance of the assumed observation error: 1 if both "
        "variances are correct. It needs no truth.",
        better=1.0,
        power=0,
        summary=6,
        tasks=ASSIMILATE,
    ),
    "observation_error": Metric(
        ("desroziers",),
        root,
        title="inferred observation error",
        explanation="root of the mean product of the differences between observations and analysis, and observations "
        "and background (Desroziers et al. 2005): equals the true error of the observations if the assumed error "
        "statistics are correct. It needs no truth.",
        better=None,
        summary=7,
        tasks=ASSIMILATE,
    ),
    "signal": Metric(
        ("desroziers", "innovation_squared"),
        signal_share,
        title="degrees of freedom for signal",
        explanation="share of the innovation by which the analysis moves towards an observation, an estimate of "
        "tr(H K) per observation: 1 if the analysis equals the observations, 0 if it ignores them.",
        better=None,
        power=0,
        tasks=ASSIMILATE,
    ),
    "suspect": Metric(
        ("suspect",),
        unchanged,
        title="suspect observations",
        explanation=f"share of observations that lie more than {MAX_INNOVATION:g} expected standard deviations from "
        "the background.",
        better=None,
        power=0,
        tasks=ASSIMILATE,
    ),
}
