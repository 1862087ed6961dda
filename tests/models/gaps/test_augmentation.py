"""Completed records: the variance of drawn values, whatever the variance of the draws."""

import logging

import pytest
import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.gaps import augmentation
from fieldcast.models.gaps.augmentation import TRIAL_TIMES, TRIAL_WEIGHTS, restored_variance, trial_times
from fieldcast.models.gaussian.training_series import rounded
from fieldcast.models.optimal_interpolation import OptimalInterpolation


@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_drawn_values_have_the_variance_of_observed_ones(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 0.5 * torch.randn(80, 20, generator=generator)
    drawn = mean + size * torch.randn(80, 20, generator=generator)
    missing, variance = torch.rand(80, 20, generator=generator) < 0.6, torch.linspace(0.5, 2.0, 20)
    values = restored_variance(mean, drawn, missing, variance)
    expected = variance.expand_as(missing)[missing].sum()
    assert float(values[missing].square().sum()) == pytest.approx(float(expected), rel=1e-4)
    ratio = (values - mean) / (drawn - mean)
    assert float(ratio.std()) < 1e-3  # one factor for all


def test_means_of_more_than_the_observed_variance_are_not_scaled() -> None:
    mean = torch.full((4, 2), 2.0)
    drawn = mean + torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    everything = torch.ones(4, 2, dtype=torch.bool)
    assert torch.equal(restored_variance(mean, drawn, everything, torch.ones(2)), mean)
    assert torch.equal(restored_variance(mean, mean, everything, torch.ones(2)), mean)


def test_trials_take_the_operations_of_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    observed = torch.arange(200)[:, None] % 5 > torch.zeros(60)  # 60 values at four of five times
    assert len(trial_times(observed)) == TRIAL_TIMES
    each = len(TRIAL_WEIGHTS) * 60**3 / 3
    for budget, number in ((7.5 * each, 7), (0.5 * each, 1)):
        monkeypatch.setattr(augmentation, "MAX_OPERATIONS", budget)
        some = trial_times(observed)
        assert len(some) == number and observed[some].all()


def test_states_of_too_many_values_keep_their_first_draw(
    space, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No covariance of observed values is factorised when a round can afford no time."""
    monkeypatch.setattr(augmentation, "MAX_OPERATIONS", 1.0)
    monkeypatch.setattr(augmentation, "update", None)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, *space.state_shape, generator=generator)
    observed = torch.rand(x.shape, generator=generator) < 0.7
    c = Context(40, day=torch.zeros(40))
    model = OptimalInterpolation(space)
    with caplog.at_level(logging.INFO):
        model.solve([Batch(torch.where(observed, x, 0.0), c, index=torch.arange(40), observed=observed)])
    assert "draws of a low-rank Gaussian" in caplog.text
    completed = model.grid.scatter(model.anomalies)
    exists = space.exists.expand_as(x)
    assert torch.equal(completed[observed & exists], rounded(x[observed & exists]))
    assert float(completed[~observed & exists].std()) == pytest.approx(1, abs=0.2)
