"""Lorenz-96: the values that DAPPER publishes for Sakov's setting, 4000 cycles each."""

import pytest
import torch
from lorenz96 import circle, cycled, observed, rmse, truth

from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian.covariance_terms import EARTH_RADIUS_KM
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams

CYCLES, RUNS, SPIN_UP = 4000, 25, 30


@pytest.fixture(scope="module")
def states():
    return truth(RUNS, 1 + SPIN_UP + CYCLES // RUNS)


def test_letkf(states):
    filter = LETKF(circle(), rotation=True)
    filter.choose(localisation=2.2 * EARTH_RADIUS_KM, relaxation=0.0, inflation=1.04)
    assert cycled(filter, 7, states, SPIN_UP) == pytest.approx(0.22, abs=0.02)


def test_stochastic_ensemble_kalman_filter(states):
    filter = LETKF(circle(), perturbed=True)
    filter.choose(localisation=0.0, relaxation=0.0, inflation=1.06)
    assert cycled(filter, 40, states, SPIN_UP) == pytest.approx(0.22, abs=0.02)


def test_climatology_and_optimal_interpolation(states):
    """Optimal interpolation analyses each time alone: background 0, errors from the climatology."""
    training = truth(RUNS, 400, seed=7).flatten(0, 1)
    mean = training.mean()
    filter = OptimalInterpolation(circle())
    filter.solve([Batch(training - mean, Context(len(training)))])
    filter.choose(weight=1.0, taper=0.0)
    y = next(observed(states.flatten(0, 1)[None]))
    zero, draws = torch.zeros_like(y.base()), RandomStreams(0, torch.arange(y.count))
    anomalies = Context(y.count, observed=y.base() - mean, mask=y.mask, noise=y.noise)
    analyses = mean + filter.analyse(anomalies, draws, zero, zero[:, None])[0]

    assert rmse((mean.expand(x.shape) for x in states), states) == pytest.approx(3.6, abs=0.1)
    assert rmse(iter(analyses.view_as(states)), states) == pytest.approx(0.95, abs=0.02)
