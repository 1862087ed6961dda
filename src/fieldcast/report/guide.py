"""Every score in plain words, and the terms that the report uses besides."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from fieldcast.scores.legend import Legend
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

TASKS = ("reconstruct", "forecast")
SAMPLE = ("sample",)

TERMS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Anomaly standard deviations",
        "errors of all variables are made comparable by dividing each by the standard deviation of its "
        "departure from the climatology. The row “climatology” is the answer of knowing nothing but the day "
        "of the year: its RMSE is about 1, and whatever is above it is worse than no observation at all.",
        TASKS,
    ),
    (
        "Intervals",
        "95 %, from resampling blocks of at least ten days of the scored times: how much a score would vary "
        "with other weather, not with another training seed. Differences are paired: both experiments face "
        "the same times and masks, so a small difference can be certain though both scores vary much.",
        TASKS,
    ),
    (
        "Unobserved cells",
        "scores are of cells that the method did not see, unless a table says all cells. The truth is free "
        "of the noise that was added to the observations. k is the fraction of cells that were observed.",
        ("reconstruct",),
    ),
    (
        "Effective resolution",
        "the smallest wavelength at which the error of the mean has less than half the power of the truth.",
        ("reconstruct",),
    ),
    (
        "Real data and noise",
        "FID and KID of two other sets in the place of samples. Real data: as many training states, of fields, where "
        "possible, from years that the features were not fitted on; no model can be expected to do better. Noise: "
        "every cell right by itself, unrelated to its neighbours.",
        SAMPLE,
    ),
    (
        "Intervals of sampling",
        "95 %: of likelihoods and errors, how much they would vary with other test data; of KID, with other samples "
        "and test data; of the classifier, with as many other states. FID has none: the range of real data says how "
        "far it wanders.",
        SAMPLE,
    ),
    (
        "Very near samples",
        "the share of samples that are nearer to a training state than 95 % of test data are. Far above 5 %, with "
        "pictures that look alike, they are copies; blurred samples are near to many states and copies of none.",
        SAMPLE,
    ),
    (
        "Wasserstein distance",
        "how far the values of samples in one cell must be moved, on average, to be distributed as those of real "
        "states; in standard deviations of that cell.",
        SAMPLE,
    ),
    (
        "Blew up",
        "a member was no longer a finite number. Such a start counts as infinitely wrong from that lead on, so a "
        "mean over starts is infinite too; nobody else is affected.",
        ("forecast",),
    ),
)


def guide(tasks: Collection[str]) -> list[tuple[str, str]]:
    """Names and explanations of the scores and terms of these tasks; without any task, of all."""
    terms = [(name, words) for name, words, of in TERMS if not tasks or set(of) & set(tasks)]
    return [*map(explained, scores(tasks)), *terms]


def scores(tasks: Collection[str]) -> Iterator[Legend]:
    """The scores of these tasks, or of all."""
    yield from (metric for metric in METRICS.values() if not tasks or set(metric.tasks) & set(tasks))
    if not tasks or "sample" in tasks:
        yield from SAMPLE_METRICS.values()


def explained(score: Legend) -> tuple[str, str]:
    """Title and explanation, with which values are better."""
    direction = f" {score.direction.capitalize()}." if score.direction else ""
    return score.title[0].upper() + score.title[1:], score.explanation + direction
