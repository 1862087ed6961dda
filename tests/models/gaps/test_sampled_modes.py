"""Modes drawn from their posterior: beside exact conditioning with the true parameters, and beside a fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from fieldcast.models.gaps.censored import with_latent_values
from fieldcast.models.gaps.fillers import modal_smoother
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Bounds, Filling, Record
from fieldcast.models.gaps.sampled_modes import Chain, SampledModes
from fieldcast.models.random_streams import RandomStreams, generator_for

TIMES, CELLS, MODES, PERSISTENCE, NOISE = 90, 24, 3, 0.8, 0.1


def simulated(seed: int, bound: float = -np.inf) -> tuple[Record, np.ndarray, np.ndarray]:
    """A record of modes with gaps, cut at a bound; the values without gaps, and the weights."""
    rng = np.random.default_rng(seed)
    w, z = rng.normal(size=(MODES, CELLS)), np.zeros((TIMES, MODES))
    z[0] = rng.normal(size=MODES)
    for t in range(1, TIMES):
        z[t] = PERSISTENCE * z[t - 1] + (1 - PERSISTENCE**2) ** 0.5 * rng.normal(size=MODES)
    y = z @ w + NOISE * rng.normal(size=(TIMES, CELLS))
    start = rng.integers(0, CELLS, (TIMES, 1))
    observed = torch.from_numpy((np.arange(CELLS) - start) % CELLS >= CELLS // 3)
    x = torch.from_numpy(np.maximum(y, bound)).float().where(observed, 0.0)
    angle = np.arange(CELLS) * 2 * np.pi / CELLS
    points = np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    columns = Columns(points, torch.zeros(CELLS, dtype=torch.long), torch.ones(CELLS))
    limits = None
    if np.isfinite(bound):
        limits = Bounds(torch.full_like(x, bound), torch.full_like(x, torch.inf))
    return Record(x, observed, torch.zeros(TIMES, dtype=torch.long), columns, bounds=limits), y, w


def conditioned(record: Record, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of every value given the observed ones, by the covariance of the true modes."""
    lag = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    covariance = np.kron(PERSISTENCE**lag, w.T @ w) + NOISE**2 * np.eye(TIMES * CELLS)
    o = record.observed.numpy().ravel()
    gain = np.linalg.solve(covariance[np.ix_(o, o)], covariance[o]).T
    mean = gain @ record.x.numpy().ravel()[o].astype(float)
    variance = covariance.diagonal() - (gain * covariance[:, o]).sum(1)
    return mean.reshape(TIMES, CELLS), np.sqrt(np.maximum(variance, 0)).reshape(TIMES, CELLS)


def test_missing_values_are_nearly_those_of_the_true_modes_and_the_spread_is_the_error() -> None:
    record, y, w = simulated(0)
    missing = ~record.observed.numpy()
    filled = SampledModes(0)(record, None)
    exact, spread = conditioned(record, w)
    error = (filled.mean.numpy() - y)[missing]
    best = np.sqrt(np.mean((exact - y)[missing] ** 2))
    assert 0.95 * best < np.sqrt(np.mean(error**2)) < 1.25 * best
    promised = filled.spread.numpy()[missing]
    assert np.sqrt(np.mean(promised**2)) == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.15)
    # the true modes leave no more uncertain
    assert 0.97 < np.mean(promised / spread[missing]) < 1.5


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_values_at_a_bound_leave_as_much_uncertain_as_the_errors_are(seed: int, sign: int) -> None:
    record, y, _ = simulated(seed, 1.5)
    missing, record = ~record.observed.numpy(), with_latent_values(record)
    if sign < 0:  # the same record below an upper bound
        assert record.bounds is not None
        record = replace(record, x=-record.x, bounds=Bounds(-record.bounds.high, -record.bounds.low))
    filled, fit = (filler(record, None) for filler in (SampledModes(0), modal_smoother))

    def errors(of: Filling) -> tuple[float, float]:
        """RMSE of what is above the bound, and the mean square error in spreads where such values are."""
        mean, spread, above = sign * of.mean.numpy()[missing], of.spread.numpy()[missing], y[missing] > 1.5
        error = np.maximum(mean, 1.5) - np.maximum(y[missing], 1.5)
        return float(np.sqrt(np.mean(error**2))), float(np.mean(((mean - y[missing]) / spread)[above] ** 2))

    assert errors(filled)[0] < errors(fit)[0]
    assert 0.5 < errors(filled)[1] < 2 and errors(fit)[1] > 10  # a fit is overconfident


def test_members_are_draws_about_the_same_mean_and_observed_values_stay() -> None:
    record = replace(simulated(3, 0.5)[0], segment=torch.arange(TIMES) // 30)
    members = 200
    drawn = SampledModes(4)(record, RandomStreams(4, torch.arange(TIMES), members))
    alone, again = SampledModes(4)(record, None), SampledModes(4)(record, None)
    assert torch.equal(alone.mean, again.mean) and torch.equal(alone.spread, again.spread)
    missing = ~record.observed
    assert torch.equal(drawn.mean[~missing], record.x[~missing])
    assert torch.equal(drawn.mean, alone.mean) and torch.equal(drawn.spread, alone.spread)
    assert (drawn.members == record.x[:, None])[(~missing)[:, None].expand(-1, members, -1)].all()
    far = (drawn.members.mean(1) - alone.mean)[missing] / alone.spread[missing]
    assert far.square().mean().sqrt() < 0.25
    ratio = drawn.members.std(1)[missing] / alone.spread[missing]
    assert float(ratio.median()) == pytest.approx(1, abs=0.1)


def test_numbers_below_a_limit_are_those_of_a_truncated_gaussian() -> None:
    record = simulated(0)[0].scaled()
    chain = Chain(*record, generator_for("test"))
    for limit in (-25.0, -8.01, -7.99, -1.0, 0.0, 3.0):
        drawn = chain.below_limit(torch.full((20_000,), limit, dtype=torch.float64)).numpy()
        truth = stats.truncnorm(-np.inf, limit)
        assert drawn.max() <= limit
        assert drawn.mean() == pytest.approx(truth.mean(), abs=5 * truth.std() / 20_000**0.5)
        assert drawn.std() == pytest.approx(truth.std(), rel=0.05)
        assert chain.gamma(20.0, torch.full((20_000,), 4.0)).mean().item() == pytest.approx(5, rel=0.02)
