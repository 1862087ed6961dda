"""The guide explains each score and term of the tasks of a page, once."""

from __future__ import annotations

import pytest

from fieldcast.report.assimilate import Assimilate
from fieldcast.report.forecast import Forecast
from fieldcast.report.glossary import Glossary, Term, explanation, explanations
from fieldcast.report.reconstruct import Reconstruct
from fieldcast.report.sample import Sample
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS
from fieldcast.scores.score_info import ScoreInfo

EVERYTHING = [*METRICS.values(), *EVENT_METRICS.values(), *SAMPLE_METRICS.values()]


@pytest.mark.parametrize(
    ("better", "ending"),
    [("lower", "Lower is better."), ("higher", "Higher is better."), (0.5, "0.5 is best.")],
)
def test_an_explanation_ends_with_the_better_values(better, ending) -> None:
    score = ScoreInfo(title="share <s>", explanation="what it is.", better=better)
    assert explanation(score) == ("Share <s>", f"what it is. {ending}")


def test_a_score_that_does_not_rank_has_no_better_values() -> None:
    assert explanation(ScoreInfo(title="aNOTHER", explanation="text.", better=None)) == ("ANOTHER", "text.")


@pytest.mark.parametrize(
    ("tasks", "terms", "absent"),
    [
        ([Sample], {"FID", "Very near samples"}, {"Fair CRPS", "Brier score", "Intervals", "Blew up"}),
        ([Reconstruct], {"SSIM", "Unobserved cells"}, {"Brier score", "FID", "Skill", "Blew up"}),
        ([Forecast], {"Skill", "Brier score", "Blew up"}, {"FID", "SSIM", "Unobserved cells"}),
        ([Assimilate], {"Mean innovation", "Brier score"}, {"FID", "SSIM", "Skill", "Blew up"}),
        ([Forecast, Sample], {"Skill", "FID", "Intervals", "Intervals for samples"}, {"SSIM"}),
        ([Reconstruct, Forecast, Assimilate], {"SSIM", "Skill", "Mean innovation", "Intervals"}, {"FID"}),
    ],
)
def test_a_page_explains_what_its_tasks_use(tasks, terms, absent) -> None:
    names = [name for name, _ in explanations(task.guide for task in tasks)]
    assert terms <= set(names) and not absent & set(names)
    assert len(names) == len(set(names))


def test_every_score_is_explained_by_a_task() -> None:
    entries = explanations(task.guide for task in (Reconstruct, Forecast, Assimilate, Sample))
    assert {explanation(score) for score in EVERYTHING} <= set(entries)


def test_scores_come_before_other_terms() -> None:
    score, term = ScoreInfo(title="A", explanation="a.", better=None), Term("Z", "z.")
    guides = Glossary(tuple, (term,)), Glossary(lambda: (score,), (term,))
    assert explanations(guides) == [("A", "a."), ("Z", "z.")]
    assert explanations([]) == []
