"""Trials and the variance of errors: closed forms and numpy as oracles."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldcast.models.gaps.error_variance import ErrorPredictors, error_variance
from fieldcast.models.gaps.held_out import HeldOut, hold_out_values
from fieldcast.models.gaps.in_time import linear_in_time, neighbours_in_time
from fieldcast.models.gaps.reach import Columns, nearest_observation
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.gaps.trial import FOLDS, error_statistics, run_trial, with_fitted_spread
from fieldcast.models.layers.crps import fair_crps, normal_crps
from fieldcast.models.random_streams import RandomStreams

TIMES, CELLS = 400, 30


@pytest.fixture(scope="module")
def record(columns: Columns) -> Record:
    """White noise; 40 % of each time in stretches of cells, and ten whole times, are missing."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(0, CELLS, (TIMES, 1), generator=generator)
    observed = (torch.arange(CELLS) - start) % CELLS >= int(0.4 * CELLS)
    observed[20:30] = False
    x = torch.randn(TIMES, CELLS, generator=generator)
    return Record(torch.where(observed, x, 0.0), observed, torch.zeros(TIMES, dtype=torch.long), columns)


@pytest.fixture(scope="module")
def columns() -> Columns:
    """Cells on the equator."""
    angle = torch.linspace(0, 2, CELLS)
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], 1).numpy()
    return Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.linspace(0.5, 1.5, CELLS))


@pytest.fixture(scope="module")
def held_out(record: Record) -> HeldOut:
    return hold_out_values(record, 0)


def test_crps_of_a_gaussian_is_the_limit_of_the_fair_crps() -> None:
    draws = torch.randn(1, 4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for error, spread in ((0.0, 1.0), (0.7, 2.0), (-3.0, 0.5)):
        sampled = fair_crps(error + spread * draws, torch.zeros(1, 1, dtype=torch.float64))
        exact = normal_crps(torch.tensor(error).double(), torch.tensor(spread).double())
        assert float(exact) == pytest.approx(float(sampled), rel=0.03)


def predictors_at_random(count: int) -> ErrorPredictors:
    generator = torch.Generator().manual_seed(3)
    u = torch.rand(5, count, generator=generator, dtype=torch.float64)
    steps, few = (60 * u[2] ** 2).round() + 1, (200 * u[4] ** 2).round() + 5
    return ErrorPredictors(0.6 * u[0] + 0.2, 0.5 + u[1], steps, 0.4 * u[3], few)


@pytest.mark.parametrize(
    "variance",
    [
        lambda c: 0.3 * c.climatological**2 + 2 * c.spread**2,
        lambda c: c.spread**2 * (0.5 + 3 * (1 - torch.exp(-c.steps / 10))),
        lambda c: c.climatological**2 * (0.1 + 8 / c.count),
        lambda c: 0.05 + 0.8 * c.climatological**2 * (1 - torch.exp(-((c.distance / 0.3) ** 2))),
    ],
)
def test_error_variance_is_recovered_from_errors(variance: Callable[[ErrorPredictors], torch.Tensor]) -> None:
    predictors = predictors_at_random(20_000)
    true = variance(predictors)
    normal = torch.randn(20_000, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    fitted = error_variance(true.sqrt() * normal, predictors, torch.ones_like(true))(predictors)
    assert float(((fitted / true).log() ** 2).mean().sqrt()) < 0.1
    assert float(((true.mean() / true).log() ** 2).mean().sqrt()) > 0.2  # a constant would not do


def test_error_variance_never_falls_far_from_observations() -> None:
    predictors = predictors_at_random(500)
    error = (
        torch.randn(500, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / predictors.steps
    )
    fitted = error_variance(error, predictors, torch.ones_like(error))
    for farther in (
        predictors._replace(spread=2 * predictors.spread),
        predictors._replace(steps=predictors.steps + 5),
        predictors._replace(distance=torch.full_like(predictors.distance, torch.inf)),
    ):
        assert (fitted(farther) >= fitted(predictors) - 1e-12).all()


def test_linear_interpolation_equals_numpy(record: Record) -> None:
    hours = torch.arange(TIMES, dtype=torch.float64) ** 1.1
    filled = linear_in_time(record.x, record.observed, hours)
    for cell in range(0, CELLS, 7):
        o = record.observed[:, cell].numpy()
        expected = np.interp(hours, hours.numpy()[o], record.x[:, cell].numpy()[o])
        assert np.allclose(filled[:, cell], expected, atol=1e-5)
    before, after = neighbours_in_time(record.observed)
    assert (after - before - 1)[25].min() >= 10


def overconfident(record: Record, streams: RandomStreams | None) -> Filling:
    """The climatology, which reports a third of its error in gaps, and a tenth at times without observations."""
    reported = torch.where(record.observed.any(1)[:, None], 1 / 3, 0.1).expand_as(record.x)
    spread = reported.masked_fill(record.observed, 0.0)
    mean = torch.where(record.observed, record.x, 0.0)
    members = mean[:, None] + spread[:, None] * streams.normal(CELLS) if streams else mean[:, None]
    return Filling(mean, spread, members)


def test_spreads_are_scaled_to_the_errors_of_the_trial(
    record: Record, columns: Columns, held_out: HeldOut
) -> None:
    left = replace(record, observed=record.observed & ~held_out.mask)
    trial = run_trial("overconfident", overconfident, left, held_out)
    assert trial.crps == pytest.approx(1 / np.sqrt(np.pi), rel=0.2)  # a Gaussian's, for its own draws
    streams = RandomStreams(0, torch.arange(TIMES), 50)
    filled = with_fitted_spread(
        overconfident(record, streams),
        error_statistics([trial], [held_out]).variances,
        record,
        nearest_observation(record.observed, columns, ~record.observed),
    )
    assert torch.equal(filled.mean[record.observed], record.x[record.observed])
    assert torch.equal(filled.members[:, 7][record.observed], record.x[record.observed])
    assert not filled.spread[record.observed].any()
    for times in (slice(0, 20), slice(20, 30)):
        missing = ~record.observed[times]
        assert float(filled.spread[times][missing].mean()) == pytest.approx(1, abs=0.15)
        assert float(filled.members[times].std(1)[missing].mean()) == pytest.approx(1, abs=0.2)


def test_a_spread_of_all_unknowns_is_left_as_it_is(
    record: Record, columns: Columns, held_out: HeldOut
) -> None:
    left = replace(record, observed=record.observed & ~held_out.mask)

    def of_all(record: Record, streams: RandomStreams | None) -> Filling:
        return replace(overconfident(record, streams), of_all=True)

    trial = run_trial("of all", of_all, left, held_out)
    reported = of_all(left, None)
    torch.testing.assert_close(trial.spread, held_out.at(reported.spread))
    assert trial.crps > run_trial("fitted", overconfident, left, held_out).crps
    statistics = error_statistics([trial], [held_out])
    assert torch.equal(statistics.spread, trial.spread)
    before, after = (of_all(record, RandomStreams(0, torch.arange(TIMES), 5)) for _ in range(2))
    distance = nearest_observation(record.observed, columns, ~record.observed)
    after = with_fitted_spread(after, statistics.variances, record, distance)
    torch.testing.assert_close(after.spread, before.spread)
    torch.testing.assert_close(after.members, before.members)


def test_the_spread_of_a_held_out_value_does_not_know_its_own_error(
    record: Record, columns: Columns, held_out: HeldOut
) -> None:
    """A filler with huge errors in the gaps of one fold: its spreads there are those of the other folds."""
    left = replace(record, observed=record.observed & ~held_out.mask)
    fold = held_out.group % FOLDS
    worse = torch.zeros_like(held_out.mask)
    worse[held_out.time[fold == 0], held_out.cell[fold == 0]] = True

    def wrong(record: Record, streams: RandomStreams | None) -> Filling:
        filled = overconfident(record, streams)
        return replace(filled, mean=filled.mean + 100 * worse)

    right = run_trial("right", overconfident, left, held_out)
    trial = run_trial("wrong", wrong, left, held_out)
    assert torch.equal(trial.spread[fold == 0], right.spread[fold == 0])
    assert float(trial.spread[fold == 1].mean()) > 3 * float(right.spread[fold == 1].mean())


def test_errors_of_a_single_held_out_run_are_scored_by_those_in_gaps(
    record: Record, columns: Columns, held_out: HeldOut
) -> None:
    run = int(held_out.group.max())
    kept = (~held_out.whole) | (held_out.group == run)
    names = ("time", "cell", "truth", "whole", "group", "area", "weight")
    single = replace(held_out, **{name: getattr(held_out, name)[kept] for name in names})
    left = replace(record, observed=record.observed & ~single.mask)

    def wrong(record: Record, streams: RandomStreams | None) -> Filling:
        filled = overconfident(record, streams)
        return replace(filled, mean=filled.mean + 100.0 * ~record.observed.any(1)[:, None])

    trial = run_trial("wrong", wrong, left, single)
    assert float(trial.spread[single.whole].max()) < 20
    assert trial.crps > 100 * 0.5 * float(single.weight[single.whole].sum())


def test_variances_are_those_of_the_errors_at_all_selections(record: Record, columns: Columns) -> None:
    """A filler that errs twice as much at the values of one of two selections: the mean of the two variances."""
    trials, selections = [], []
    for seed, factor in ((0, 1.0), (1, 2.0)):
        selection = hold_out_values(record, seed)
        left = replace(record, observed=record.observed & ~selection.mask)
        selection = replace(selection, truth=factor * selection.truth)
        trials.append(run_trial("overconfident", overconfident, left, selection))
        selections.append(selection)
    pooled = error_statistics(trials, selections)
    for whole in (False, True):
        here = pooled.held_out.whole == whole
        weight = pooled.held_out.weight[here]
        predictors = ErrorPredictors.concatenate([trial.predictors for trial in trials]).at(here)
        fitted = (weight * pooled.variances(predictors, pooled.held_out.whole[here])).sum()
        errors = (weight * pooled.error[here] ** 2).sum()
        assert float(fitted / errors) == pytest.approx(1, abs=0.05)
        assert float(fitted / weight.sum()) == pytest.approx((1 + 4) / 2, rel=0.25)
    assert float(pooled.held_out.weight.sum()) == pytest.approx(1)
    groups = [set(selection.group.abs().tolist()) for selection in selections]
    assert len(set(pooled.held_out.group.abs().tolist())) == sum(len(group) for group in groups)
