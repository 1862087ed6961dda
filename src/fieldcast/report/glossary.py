"""Explanations of scores and of other terms in the report; each task lists those that it uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from fieldcast.scores.score_info import ScoreInfo


class Term(NamedTuple):
    """A term and its explanation, which follows it and a colon."""

    name: str
    text: str


class Glossary(NamedTuple):
    """The scores and the other terms that a part of the page uses; scores that are added later count."""

    scores: Callable[[], Iterable[ScoreInfo]]
    terms: tuple[Term, ...] = ()


def explanations(guides: Iterable[Glossary]) -> list[tuple[str, str]]:
    """Names and explanations of scores, then of terms, each once."""
    guides = list(guides)
    scores = [explanation(score) for guide in guides for score in guide.scores()]
    return list(dict.fromkeys([*scores, *(term for guide in guides for term in guide.terms)]))


def explanation(score: ScoreInfo) -> Term:
    """Title and explanation of a score, with its direction."""
    direction = f" {score.direction.capitalize()}." if score.direction else ""
    return Term(score.title[0].upper() + score.title[1:], score.explanation + direction)


ANOMALY_DEVIATIONS = Term(
    "Anomaly standard deviations",
    "errors of all variables are made comparable by dividing each by the standard deviation of its "
    "anomaly, the difference from the climatology. The row “climatology” is the prediction from the day of the "
    "year alone: its RMSE is about 1, and a larger RMSE is worse than a prediction without any observation.",
)
INTERVALS = Term(
    "Intervals",
    "95 % intervals from a bootstrap over blocks of at least ten days, or half a year of monthly data: how much "
    "a score would vary with other weather, not with another training seed. Differences are paired: both "
    "experiments face the same times and masks, so a small difference can be significant even if both scores "
    "vary widely.",
)
UNOBSERVED_CELLS = Term(
    "Unobserved cells",
    "scores refer to cells that the method did not observe, unless a table says all cells. The truth is free "
    "of the noise that was added to the observations. k is the fraction of cells that were observed.",
)
EFFECTIVE_RESOLUTION = Term(
    "Effective resolution",
    "the smallest wavelength at which the error of the mean has less than half the power of the truth's "
    "anomalies.",
)
REAL_AND_NOISE = Term(
    "Real data and noise",
    "FID and KID with samples replaced by two other sets. Real data: equally many training states, for fields if "
    "possible from years that the features were not fitted on; no model can be expected to do better. Noise: "
    "each cell has the correct marginal distribution but is independent of its neighbours.",
)
SAMPLING_INTERVALS = Term(
    "Intervals for samples",
    "95 % intervals. For likelihoods and errors they show the variation with other test data; for KID with other "
    "samples and test data; for the classifier with equally many other states. FID has none: the range for real "
    "data shows its sampling variability.",
)
VERY_NEAR = Term(
    "Very near samples",
    "the share of samples that are nearer to a training state than 95 % of test data are. If it is far above 5 % "
    "and the pictures look alike, the samples are copies; blurred samples are near many states and copy none.",
)
WASSERSTEIN = Term(
    "Wasserstein distance",
    "the mean distance by which values of samples in one cell must move to have the distribution of real states; "
    "in standard deviations of that cell.",
)
BLEW_UP = Term(
    "Blew up",
    "a member became non-finite. From that lead time on, the forecast has an infinite error, and so has any mean "
    "over initial times; other experiments are unaffected.",
)
