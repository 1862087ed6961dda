"""Explanations of all scores and of other terms in the report."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.legend import Legend
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

TASKS = ("reconstruct", "forecast", "assimilate")
OBSERVED = ("reconstruct", "assimilate")
WITH_EVENTS = ("forecast", "assimilate")
SAMPLE = ("sample",)

TERMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Anomaly standard deviations",
        "errors of all variables are made comparable by dividing each by the standard deviation of its "
        "departure from the climatology. The row “climatology” is the prediction from the day of the year "
        "alone: its RMSE is about 1, and a larger RMSE is worse than a prediction without any observation.",
        TASKS,
    ),
    (
        "Intervals",
        "95 % intervals from a bootstrap over blocks of at least ten days, or half a year of monthly data: how much "
        "a score would vary with other weather, not with another training seed. Differences are paired: both "
        "experiments face the same times and masks, so a small difference can be significant even if both scores "
        "vary widely.",
        TASKS,
    ),
    (
        "Unobserved cells",
        "scores refer to cells that the method did not observe, unless a table says all cells. The truth is free "
        "of the noise that was added to the observations. k is the fraction of cells that were observed.",
        OBSERVED,
    ),
    (
        "Effective resolution",
        "the smallest wavelength at which the error of the mean has less than half the power of the truth's "
        "anomalies.",
        OBSERVED,
    ),
    (
        "Real data and noise",
        "FID and KID with samples replaced by two other sets. Real data: equally many training states, for fields if "
        "possible from years that the features were not fitted on; no model can be expected to do better. Noise: "
        "each cell has the correct marginal distribution but is independent of its neighbours.",
        SAMPLE,
    ),
    (
        "Intervals of sampling",
        "95 % intervals. For likelihoods and errors they show the variation with other test data; for KID with other "
        "samples and test data; for the classifier with equally many other states. FID has none: the range for real "
        "data shows its sampling variability.",
        SAMPLE,
    ),
    (
        "Very near samples",
        "the share of samples that are nearer to a training state than 95 % of test data are. If it is far above 5 % "
        "and the pictures look alike, the samples are copies; blurred samples are near many states and copy none.",
        SAMPLE,
    ),
    (
        "Wasserstein distance",
        "the mean distance by which values of samples in one cell must move to have the distribution of real states; "
        "in standard deviations of that cell.",
        SAMPLE,
    ),
    (
        "Blew up",
        "a member became non-finite. From that lead time on, the forecast has an infinite error, and so has any mean "
        "over initial times; other experiments are unaffected.",
        ("forecast",),
    ),
)


def guide(tasks: Collection[str]) -> list[tuple[str, str]]:
    """Names and explanations of the scores and terms of these tasks, or of all tasks if none is given."""
    terms = [(name, text) for name, text, of in TERMS if not tasks or set(of) & set(tasks)]
    return [*map(explained, scores(tasks)), *terms]


def scores(tasks: Collection[str]) -> Iterator[Legend]:
    """The scores of these tasks, or of all."""
    yield from (metric for metric in METRICS.values() if not tasks or set(metric.tasks) & set(tasks))
    if not tasks or set(WITH_EVENTS) & set(tasks):
        yield from EVENT_METRICS.values()
    if not tasks or "sample" in tasks:
        yield from SAMPLE_METRICS.values()


def explained(score: Legend) -> tuple[str, str]:
    """Title and explanation, with which values are better."""
    direction = f" {score.direction.capitalize()}." if score.direction else ""
    return score.title[0].upper() + score.title[1:], score.explanation + direction
