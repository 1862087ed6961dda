"""The network that corrects optimal interpolation of a record, trained on values held out in the shape of its gaps."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.corrected import Corrected
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Record, cells, state
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.training import fill_gaps
from fieldcast.training.fill_gaps import GapCorrection, moments

TIMES = 60


@pytest.fixture(scope="module")
def space(world: Any) -> Space:
    space: Space = world.space
    return space.replace(variables=("t",), tendency=space.tendency[:1])


@pytest.fixture(scope="module")
def record(space: Space) -> Record:
    """Smooth states whose spread depends on their sign, with bands of columns missing."""
    generator = torch.Generator().manual_seed(0)
    rows, columns = space.shape
    longitude = torch.arange(columns) * (2 * torch.pi / columns)
    wave = torch.stack([longitude.cos(), longitude.sin(), torch.ones(columns)])
    size = torch.randn(TIMES, rows, 3, generator=generator).cumsum(1) / 2
    x = (size @ wave).exp() - 1 + 0.1 * torch.randn(TIMES, rows, columns, generator=generator)
    start = torch.randint(0, columns, (TIMES, 1), generator=generator)
    observed = ((torch.arange(columns) - start) % columns >= 4)[:, None].expand(-1, rows, -1).flatten(1)
    segment, count = torch.zeros(TIMES, dtype=torch.long), observed.shape[1]
    columns = Columns(
        space.points.flatten(0, 1).numpy(), torch.zeros(count, dtype=torch.long), torch.ones(count)
    )
    return Record(torch.where(observed, cells(space, x[:, None]), 0.0), observed, segment, columns)


@pytest.fixture(scope="module")
def correction(space: Space) -> GapCorrection:
    method = GapCorrection(space, torch.arange(TIMES) / 365 % 1)
    return replace(method, fit=replace(method.fit, steps=60))


@pytest.fixture(scope="module")
def fitted(correction: GapCorrection, record: Record) -> Corrected:
    return correction.fit_model(record)


def test_observed_values_are_kept_and_moments_follow_the_members(
    correction: GapCorrection, record: Record, fitted: Corrected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GapCorrection, "fit_model", lambda self, record: fitted)
    filled = correction(record, RandomStreams(0, torch.arange(TIMES), 100))
    assert torch.equal(filled.mean[record.observed], record.x[record.observed])
    assert not filled.spread[record.observed].any()
    missing = ~record.observed
    assert (filled.spread[missing] > 0).all()
    drawn = filled.members.var(1)[missing].mean().sqrt()
    assert float(drawn / filled.spread[missing].square().mean().sqrt()) == pytest.approx(1, abs=0.1)
    assert torch.equal(correction(record, None).mean, filled.mean)


def test_the_loss_scores_held_out_values_alone(
    correction: GapCorrection, record: Record, fitted: Corrected
) -> None:
    """Other observed values may be anything in the truth, and missing ones too."""
    times = torch.arange(0, TIMES, 4)
    batch = correction.hold_out_in_gaps(record, times, "test")
    assert batch.observed.any() and not (batch.observed & batch.context.mask).any()
    observed = state(correction.space, record.observed[times].float()) > 0
    assert not (batch.observed & ~observed).any()
    drawn = moments(fitted, batch.context, times, RandomStreams(0, times, 4))
    loss = fitted.terms(batch, *drawn).total
    elsewhere = replace(batch, x=torch.where(batch.observed, batch.x, 9.0))
    assert torch.equal(fitted.terms(elsewhere, *drawn).total, loss)


def test_training_lowers_the_score_of_held_out_values(
    correction: GapCorrection, record: Record, fitted: Corrected
) -> None:
    times = torch.arange(TIMES)
    batch = correction.hold_out_in_gaps(record, times, "training")
    drawn = moments(fitted, batch.context, times, RandomStreams(5, times, 8))
    assert float(fitted.terms(batch, *drawn).parts["gain"]) > 0.01


def test_a_time_does_not_predict_itself(correction: GapCorrection, record: Record, fitted: Corrected) -> None:
    """Another state at some time leaves the moments of that time as they are, given its observations."""
    times = torch.tensor([7])
    context = correction.batch(record, times).context
    before = moments(fitted, context, times, RandomStreams(0, times))
    kept = fitted.base.anomalies
    fitted.base.anomalies = kept.clone()
    fitted.base.anomalies[7] += 3.0
    after = moments(fitted, context, times, RandomStreams(0, times))
    fitted.base.anomalies = kept
    assert all(torch.equal(a, b) for a, b in zip(before[:2], after[:2], strict=True))


def test_the_estimate_counts_updates_and_steps_of_all_fits(
    correction: GapCorrection, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill_gaps, "time_call", lambda work: 0.5)
    completed, trials, contexts = 2 * TIMES + 32 * 4, 21, TIMES
    updates = completed + fill_gaps.TUNING_TIMES * trials + contexts + TIMES
    assert correction.estimated_minutes(record) == pytest.approx(
        5 * (updates + correction.fit.steps) * 0.5 / 60
    )


def test_values_are_held_out_although_few_times_have_gaps(correction: GapCorrection, record: Record) -> None:
    """Two gappy times of sixty, which one drawn at random is not; without any gap there is one sentence."""
    observed = torch.ones_like(record.observed)
    observed[[20, 40]] = record.observed[[20, 40]]
    few = replace(record, observed=observed)
    times = torch.arange(0, TIMES, 5)
    batch = correction.hold_out_in_gaps(few, times, "tuning")
    gaps = ~(observed[20] & observed[40])
    held_out = cells(correction.space, batch.observed)
    assert held_out[(times != 20) & (times != 40)].any(1).all()
    assert not (held_out & ~gaps).any()
    with pytest.raises(InputError, match=r"learned: .* set learned=false and max_minutes=0"):
        correction.hold_out_in_gaps(replace(record, observed=torch.ones_like(observed)), times, "tuning")
