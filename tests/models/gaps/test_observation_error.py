"""Observations with errors: smoothed values against kriging in closed form, and known values and variances."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldcast.models.gaps.error_variance import ErrorPredictors, error_variance
from fieldcast.models.gaps.held_out import hold_out_values
from fieldcast.models.gaps.local_kriging import CellSeries, Correlation, KrigingModel, predict
from fieldcast.models.gaps.observation_error import with_smoothed_values, with_spread_of_observed
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.random_streams import RandomStreams

CORRELATION = Correlation(0.5, 3.0, 0.1, 1.5)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def points(cells: int, width: float = 1.0) -> torch.Tensor:
    angle = torch.linspace(0, width, cells).double()
    return torch.stack([angle.cos(), angle.sin(), 0 * angle], 1)


def kriged(series: CellSeries, requested: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean, spread = torch.zeros_like(series.x), torch.zeros_like(series.x)
    predict(series, KrigingModel(CORRELATION), requested, None, mean, spread, mean[:, None][:, :0])
    return mean, spread


def few_observations() -> tuple[CellSeries, torch.Tensor]:
    """So few observations that each is a neighbour of all others; also the covariance of all values."""
    observed = torch.zeros(3, 7, dtype=torch.bool)
    observed[0, :6], observed[1, 2:], observed[2, 1] = True, True, True
    step = torch.arange(3).double()
    series = CellSeries(normal(3, 7), observed, step, points(7), 0.2 + normal(3, 7, seed=1).square())
    time, cell = (
        index.flatten() for index in torch.meshgrid(torch.arange(3), torch.arange(7), indexing="ij")
    )
    place = series.coordinates(time, cell)
    covariance = CORRELATION(place, place) + CORRELATION.nugget * torch.eye(21).double()
    return series, covariance


def test_smoothed_values_are_those_of_kriging_in_closed_form() -> None:
    series, covariance = few_observations()
    o = series.observed.flatten()
    assert series.noise is not None
    noisy = covariance[o][:, o] + torch.diag(series.noise.flatten()[o])
    gain = torch.linalg.solve(noisy, covariance[o]).T  # to all values
    mean = (gain @ series.x.flatten()[o]).reshape(3, 7)
    variance = (1 - (gain * covariance[:, o]).sum(1)).reshape(3, 7)
    smoothed, spread = kriged(series, torch.ones_like(series.observed))
    torch.testing.assert_close(smoothed, mean, atol=2e-5, rtol=0)
    torch.testing.assert_close(spread.square(), variance, atol=2e-5, rtol=0)
    assert float((smoothed - series.x)[series.observed].abs().max()) > 0.1


def test_kriging_from_smoothed_values_is_kriging_from_the_observations() -> None:
    series, _ = few_observations()
    everything = torch.ones_like(series.observed)
    from_observations = kriged(series, everything)[0]
    exact = series._replace(x=from_observations.where(series.observed, 0.0), noise=None)
    from_smoothed = kriged(exact, ~series.observed)[0]
    missing = ~series.observed
    torch.testing.assert_close(from_smoothed[missing], from_observations[missing], atol=1e-4, rtol=0)


def noisy_record(times: int = 250, cells: int = 24) -> tuple[Record, torch.Tensor]:
    """Red noise of three waves, observed for two thirds with errors of two sizes; also the true values."""
    phase, truth = normal(3, seed=4)[:, None], torch.zeros(times, cells, dtype=torch.float64)
    shapes = torch.cos(torch.arange(1, 4)[:, None] * 2 * torch.linspace(0, 1, cells) + phase)
    size = torch.zeros(3, dtype=torch.float64)
    for t in range(times):
        size = 0.9 * size + 0.44 * normal(3, seed=10 + t)
        truth[t] = size @ shapes
    error = torch.where(normal(times, cells, seed=2) > 0, 0.2, 1.0).double()
    observed = normal(times, cells, seed=3) < 0.43
    y = (truth + error * normal(times, cells, seed=5)).float()
    columns = Columns(points(cells).numpy(), torch.zeros(cells, dtype=torch.long), torch.ones(cells))
    segment = torch.zeros(times, dtype=torch.long)
    x = y.masked_fill(~observed, 0.0)
    return Record(x, observed, segment, columns, noise=error.square().float()), truth


def test_smoothing_recovers_known_values_and_says_how_well() -> None:
    record, truth = noisy_record()
    smoothed, observed = with_smoothed_values(record), record.observed
    assert record.noise is not None and smoothed.noise is not None
    torch.testing.assert_close(smoothed.x[~observed], record.x[~observed])
    torch.testing.assert_close(smoothed.noise[~observed], record.noise[~observed])
    for large in (False, True):
        of_size = observed & ((record.noise > 0.5) == large)
        before, after = ((x - truth)[of_size].square().mean().sqrt() for x in (record.x, smoothed.x))
        promised = smoothed.noise[of_size].mean().sqrt()
        assert float(after / before) < (0.4 if large else 0.95)
        assert 0.85 < float(promised / after) < 1.15
    assert (smoothed.noise <= record.noise + 1e-6).all()


def test_a_record_without_errors_is_not_smoothed() -> None:
    record = replace(noisy_record(20)[0], noise=None)
    assert with_smoothed_values(record) is record
    exact = with_smoothed_values(replace(record, noise=torch.zeros_like(record.x)))
    torch.testing.assert_close(exact.x, record.x, atol=1e-4, rtol=0)


def test_the_members_of_observed_values_have_their_spread() -> None:
    record = noisy_record(60)[0]
    assert record.noise is not None
    zeros = torch.zeros_like(record.x)
    filling = Filling(record.x, zeros, record.x[:, None].repeat(1, 40, 1))
    streams = RandomStreams(0, torch.arange(60), 40)
    result = with_spread_of_observed(filling, record, streams)
    torch.testing.assert_close(result.spread, record.noise.sqrt().masked_fill(~record.observed, 0.0))
    ratio = result.members.std(1)[record.observed] / result.spread[record.observed]
    assert float(ratio.square().mean()) == pytest.approx(1, abs=0.03)
    assert float(result.members.std(1)[~record.observed].max()) == 0


def test_the_variance_of_predictions_is_that_of_errors_less_that_of_the_observations() -> None:
    number = 8000
    ones = torch.ones(number, dtype=torch.float64)
    noise = 0.5 + normal(number).square()
    error = (0.3 + noise).sqrt() * normal(number, seed=1)
    predictors = ErrorPredictors(0.5 * ones, ones, ones, 0.1 * ones, 50 * ones)
    fitted = error_variance(error, predictors, ones, noise=noise)(predictors)
    assert float(fitted[0]) == pytest.approx(0.3, abs=0.06)
    assert float(error_variance(error, predictors, ones)(predictors)[0]) > 1.5


def test_held_out_values_keep_their_errors() -> None:
    record = noisy_record(60)[0]
    held_out = hold_out_values(record, 0)
    assert record.noise is not None and held_out.noise is not None
    np.testing.assert_allclose(held_out.noise, record.noise[held_out.mask])
