"""The guide explains each score and term of the tasks of a page, once."""

from __future__ import annotations

import pytest

from fieldcast.report.guide import TERMS, explained, guide, scores
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.legend import Legend
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

EVERYTHING = [*METRICS.values(), *EVENT_METRICS.values(), *SAMPLE_METRICS.values()]


@pytest.mark.parametrize(
    ("better", "ending"),
    [("lower", "Lower is better."), ("higher", "Higher is better."), (0.5, "0.5 is best.")],
)
def test_an_explanation_ends_with_the_better_values(better, ending) -> None:
    score = Legend(title="share <s>", explanation="what it is.", better=better)
    assert explained(score) == ("Share <s>", f"what it is. {ending}")


def test_a_score_that_does_not_rank_has_no_better_values() -> None:
    assert explained(Legend(title="aNOTHER", explanation="text.", better=None)) == ("ANOTHER", "text.")


@pytest.mark.parametrize(
    ("tasks", "terms", "absent"),
    [
        (["sample"], {"FID", "Very near samples"}, {"Fair CRPS", "Brier score", "Intervals", "Blew up"}),
        (["reconstruct"], {"SSIM", "Unobserved cells"}, {"Brier score", "FID", "Skill", "Blew up"}),
        (["forecast"], {"Skill", "Brier score", "Blew up"}, {"FID", "SSIM", "Unobserved cells"}),
        (["assimilate"], {"Mean innovation", "Brier score"}, {"FID", "SSIM", "Skill", "Blew up"}),
        (["forecast", "sample"], {"Skill", "FID", "Intervals", "Intervals of sampling"}, {"SSIM"}),
    ],
)
def test_a_page_explains_what_its_tasks_show(tasks, terms, absent) -> None:
    names = [name for name, _ in guide(tasks)]
    assert terms <= set(names) and not absent & set(names)
    assert len(names) == len(set(names))


def test_without_tasks_everything_is_explained_and_of_another_package_nothing() -> None:
    assert list(scores([])) == EVERYTHING
    assert len(guide([])) == len(EVERYTHING) + len(TERMS)
    assert guide(["acme"]) == []
