"""Closed forms: PPCA of complete data, a dense Gaussian for any mask; the likelihood never falls."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from fieldcast.errors import InputError
from fieldcast.models.gaps import expectation_maximisation
from fieldcast.models.gaps.expectation_maximisation import best_rank, fit, fit_best_rank, fit_thinned
from fieldcast.models.gaps.low_rank_gaussian import LowRank
from studies.gap_records import blobs, waves
from tests.models.gaps.low_rank_data import low_rank, sampled


def test_complete_data_give_probabilistic_pca() -> None:
    """Tipping and Bishop (1999), equations 7 and 8."""
    x, _ = sampled(low_rank(12, 3), 400, 0.0)
    model, _ = fit(x, torch.ones_like(x, dtype=torch.bool), 3, iterations=3000, tolerance=1e-14)
    variance, axes = np.linalg.eigh(np.cov(x.numpy().T, bias=True))
    noise = variance[:-3].mean()
    weights = axes[:, -3:] * np.sqrt(variance[-3:] - noise)
    assert torch.allclose(model.mean, x.mean(0), atol=1e-6)
    assert float(model.variance) == pytest.approx(noise, rel=1e-6)
    assert np.allclose((model.weights.T @ model.weights).numpy(), weights @ weights.T, atol=1e-5)


@pytest.mark.parametrize("missing", [0.2, 0.6, 0.9])
def test_the_likelihood_never_falls_and_is_exact(missing: float) -> None:
    x, observed = sampled(low_rank(20, 3), 60, missing)
    observed[7] = False
    model, history = fit(x, observed, 2, iterations=40, tolerance=-1.0)
    assert len(history) == 40 and np.diff(history).min() > -1e-10
    covariance = (
        model.weights.T @ model.weights + model.variance * torch.eye(20, dtype=torch.float64)
    ).numpy()
    log_prob = model.posterior(x, observed)[2]
    for t in range(0, 60, 7):
        o = observed[t].numpy()
        dense = multivariate_normal.logpdf(
            x[t].numpy()[o], model.mean.numpy()[o], covariance[np.ix_(o, o)]
        ) if o.any() else 0.0  # fmt: skip
        assert float(log_prob[t]) == pytest.approx(float(dense), abs=1e-8)


def test_the_covariance_of_gappy_data_approaches_the_true_one() -> None:
    truth = low_rank(30, 3)
    model, _ = fit(*sampled(truth, 3000, 0.7), 3, iterations=200)
    expected, ours = (m.weights.T @ m.weights for m in (truth, model))
    assert float((ours - expected).norm() / expected.norm()) < 0.1
    assert float(model.variance) == pytest.approx(0.1, rel=0.1)


def test_a_prior_on_the_axes_keeps_cells_with_few_values_from_being_fitted_to_noise() -> None:
    truth = low_rank(60, 3, noise=1.0)
    x, observed = sampled(truth, 100, 0.6)
    new, there = sampled(truth, 300, 0.5, seed=2)
    error = {}
    for shrink in (False, True):
        model, _ = fit(x, observed, 8, shrink=shrink)
        error[shrink] = float((model.expected(new, there) - new)[~there].square().mean())
    assert error[True] < 0.9 * error[False]


def test_a_smaller_fit_is_a_warm_start() -> None:
    x, observed = sampled(low_rank(40, 5), 200, 0.4)
    small, _ = fit(x, observed, 3)
    _, warm = fit(x, observed, 5, start=small)
    _, cold = fit(x, observed, 5)
    assert warm[-1] == pytest.approx(cold[-1], abs=0.02) and warm[0] > cold[0]


def test_more_modes_than_data_determine_are_refused() -> None:
    x, observed = sampled(low_rank(20, 2), 30, 0.9)
    with pytest.raises(
        InputError, match=r"observed values at \d+ times are too few for 30 modes: ask for fewer"
    ):
        fit(x, observed, 30)
    with pytest.raises(InputError, match="0 observed values at 0 times"):
        fit(x, torch.zeros_like(observed), 1)


def test_a_cell_never_observed_is_the_mean_with_the_spread_of_the_noise() -> None:
    x, observed = sampled(low_rank(10, 2), 80, 0.3)
    observed[:, 4] = False
    model, _ = fit(x, observed, 2)
    assert float(model.mean[4]) == 0 and not model.weights[:, 4].any()


def test_the_rank_is_chosen_at_held_out_values_and_left_out_where_undetermined() -> None:
    x, observed = sampled(low_rank(60, 4), 300, 0.5)
    model = fit_best_rank(x, observed, (1, 2, 4, 8, 16))
    assert model.rank in (4, 8)
    assert fit_best_rank(x[:6], observed[:6], (1, 2, 8)).rank <= 2


def test_data_without_noise_are_fitted() -> None:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(80, 4, generator=generator) @ torch.randn(4, 60, generator=generator)
    observed = torch.rand(x.shape, generator=generator) > 0.6
    model = fit_best_rank(x, observed, (4, 10, 40))
    error = (model.expected(x, observed) - x)[~observed]
    assert float(error.square().mean().sqrt()) < 0.1 * float(x.std())


@pytest.mark.parametrize("cells", [1, 4, 8])
def test_there_are_fewer_modes_than_cells(cells: int) -> None:
    x, observed = sampled(low_rank(cells, 1), 60, 0.3)
    model = fit_best_rank(x, observed, (5, 10, 20))
    assert 1 <= model.rank <= max(1, cells - 1)
    assert torch.isfinite(model.expected(x, observed)).all()


@pytest.mark.parametrize("waves", [4, 8])
def test_smooth_fields_in_single_precision_are_fitted(waves: int) -> None:
    """Sines in time and space, without noise: the normal equations are nearly singular."""
    time, space = torch.arange(120.0)[:, None], torch.linspace(0, 1, 168)
    k = torch.arange(1.0, waves + 1)
    x = torch.sin(0.07 * time * k) @ (torch.cos(torch.pi * k[:, None] * space + k[:, None]) / k[:, None])
    for share in (0.15, 0.4, 0.9):
        observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)) < share
        model = fit_best_rank(x / x.std(), observed, (5, 10, 20, 40))
        error = (model.expected(x / x.std(), observed) - x / x.std())[~observed]
        assert float(error.square().mean().sqrt()) < 0.3, share


def test_the_rank_of_a_large_record_is_chosen_on_some_of_its_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit to all cells predicts missing values as well as that whose rank all cells decide."""
    monkeypatch.setattr(expectation_maximisation, "MIN_SEARCHED", 1)
    x, observed = sampled(low_rank(600, 4), 300, 0.4)
    searched = []

    def search(*record: Any, best_rank: Any = best_rank) -> LowRank:
        searched.append(record[0].shape[1])
        return best_rank(*record)

    monkeypatch.setattr(expectation_maximisation, "best_rank", search)
    models = [fit_of(x, observed, (2, 4, 8)) for fit_of in (fit_thinned, fit_best_rank)]
    assert searched == [pytest.approx(20 * 8 / 0.6, abs=2), 600]
    errors = [float((model.expected(x, observed) - x)[~observed].square().mean()) for model in models]
    assert [model.rank for model in models] == [4, 4] and errors[0] == pytest.approx(errors[1], rel=1e-3)
    monkeypatch.setattr(expectation_maximisation, "MIN_SEARCHED", x.numel())
    fit_thinned(x, observed, (2,))
    assert searched[2] == 600


def test_as_many_modes_are_best_for_some_cells_as_for_all() -> None:
    """Twenty modes seem better than forty on half as many cells as are searched."""
    rng = np.random.default_rng(1)
    truth = torch.from_numpy(waves(150, 48, 48, rng)).flatten(1)
    x, observed = truth / truth.std(), torch.from_numpy(~blobs(150, 48, 48, rng)).flatten(1)
    models = [fit_of(x, observed, (5, 10, 20, 40)) for fit_of in (fit_thinned, fit_best_rank)]
    assert [model.rank for model in models] == [40, 40]
    errors = [float((model.expected(x, observed) - x)[~observed].square().mean()) for model in models]
    assert errors[0] == pytest.approx(errors[1], rel=0.05)
