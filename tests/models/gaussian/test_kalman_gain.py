import numpy as np
import pytest
import torch

from fieldcast.models.gaussian import covariance_terms as module
from fieldcast.models.gaussian.covariance_terms import (
    DiagonalCovariance,
    Kernel,
    Parametric,
    SecondMoment,
    Tapered,
    chord,
    gaspari_cohn,
    matern32,
)
from fieldcast.models.gaussian.kalman_gain import Gain, cholesky

PLACES, VARIABLES, DAYS = 30, 2, 50


@pytest.fixture
def terms(monkeypatch):
    """The terms of a covariance, and the same as one matrix, written out."""
    monkeypatch.setattr(module, "OBSERVATIONS_PER_CHUNK", 7)
    monkeypatch.setattr(module, "COLUMNS_PER_BLOCK", 16)
    rng = np.random.default_rng(0)
    points = rng.normal(size=(PLACES, 3))
    points = torch.from_numpy(points / np.linalg.norm(points, axis=1, keepdims=True))
    mixing = rng.normal(size=(VARIABLES * PLACES, VARIABLES * PLACES))
    a = torch.from_numpy(rng.normal(size=(DAYS, VARIABLES * PLACES)) @ mixing)
    share = torch.from_numpy(rng.random(DAYS) < 0.7).double() / DAYS
    between = torch.tensor([[1, 0.4], [0.4, 1]], dtype=torch.float64)
    deviation = torch.from_numpy(rng.random(VARIABLES * PLACES) + 0.5)
    taper, rho = Kernel(gaspari_cohn, 9000.0, points), Kernel(matern32, 3000.0, points)
    distance = chord(points, points)
    ones = torch.ones(VARIABLES, VARIABLES, dtype=torch.float64)
    whole = 0.7 * torch.kron(ones, gaspari_cohn(distance, 9000.0)) * (a.T @ torch.diag(share) @ a)
    whole += 0.3 * torch.kron(between, matern32(distance, 3000.0)) * torch.outer(deviation, deviation)
    moments = SecondMoment(a, share)
    return moments, [Tapered(0.7, moments, taper, PLACES), Parametric(0.3, deviation, between, rho)], whole


def test_second_moments_are_the_same_formed_or_not(terms):
    moments = terms[0]
    expected = moments.anomalies.T @ torch.diag(moments.share) @ moments.anomalies
    index, other = torch.tensor([40, 3, 3, 17]), torch.tensor([5, 59])
    for form in (moments, moments.densified()):
        assert torch.allclose(form.moments_of(index), expected[index])
        assert torch.allclose(form.block(index, other), expected[index][:, other])


def test_days_with_zero_weight_are_never_drawn(terms):
    moments = terms[0]
    changed = moments.anomalies.clone()
    changed[moments.share == 0] = 1e6
    assert torch.equal(SecondMoment(changed, moments.share).densified().dense, moments.densified().dense)


@pytest.mark.parametrize("dense", [True, False])
def test_the_gain_is_that_of_the_whole_matrix(terms, dense):
    moments, (tapered, parametric), whole = terms
    if dense:
        tapered = Tapered(tapered.weight, moments.densified(), tapered.taper, PLACES)
    index = torch.from_numpy(np.random.default_rng(1).permutation(VARIABLES * PLACES)[:25])
    variance = torch.linspace(0.1, 0.5, 25, dtype=torch.float64)
    gain = Gain([tapered, parametric], index, variance, whole, len(whole))
    expected = whole[:, index] @ torch.linalg.inv(whole[index][:, index] + torch.diag(variance))
    assert torch.allclose(gain(torch.eye(25, dtype=torch.float64)).T, expected, atol=1e-10)
    assert torch.equal(gain.variance, variance)


def test_nothing_observed_moves_nothing(terms):
    none = torch.zeros(0, dtype=torch.long)
    gain = Gain(terms[1], none, torch.zeros(0, dtype=torch.float64), terms[2], len(terms[2]))
    assert torch.equal(gain(torch.zeros(3, 0)), torch.zeros(3, len(terms[2]), dtype=torch.float64))


def test_a_singular_matrix_is_factorised_and_an_indefinite_one_refused():
    ones = torch.ones(4, 4, dtype=torch.float64)
    factor = cholesky(ones.clone())
    assert torch.allclose(factor @ factor.T, ones, atol=1e-6)
    with pytest.raises(torch.linalg.LinAlgError):
        cholesky(torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64))


def system(terms, count: int = 25):
    """The gain of some observations, C_oo + R, and C as a matrix, with a variance of some values' own in it."""
    independent = torch.zeros(VARIABLES * PLACES, dtype=torch.float64)
    independent[::3] = 0.8
    whole = terms[2] + torch.diag(independent)
    index = torch.from_numpy(np.random.default_rng(1).permutation(VARIABLES * PLACES)[:count])
    variance = torch.linspace(0.1, 0.5, count, dtype=torch.float64)
    gain = Gain([*terms[1], DiagonalCovariance(independent)], index, variance, whole, len(whole))
    return gain, whole[index][:, index] + torch.diag(variance), whole


def test_independent_variance_is_a_diagonal(terms):
    gain, s, whole = system(terms)
    unit = torch.eye(len(s), dtype=torch.float64)
    assert torch.allclose(gain(unit).T, whole[:, gain.index] @ torch.linalg.inv(s), atol=1e-10)
    assert torch.allclose(gain.expected, s.diagonal())


def test_a_grown_error_variance_is_that_of_another_matrix(terms):
    gain, s, whole = system(terms)
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(4, len(s), generator=generator, dtype=torch.float64)
    excess = torch.zeros(len(s), dtype=torch.float64)
    excess[[0, 4, 9]] = torch.tensor([0.3, 50.0, 1e4], dtype=torch.float64)
    expected = y @ torch.linalg.inv(s + torch.diag(excess)) @ whole[gain.index]
    assert torch.allclose(gain(y, excess), expected, atol=1e-10)


def test_rows_that_pass_go_together_and_each_other_by_itself(terms):
    gain, s, _ = system(terms)
    d = torch.zeros(4, len(s), dtype=torch.float64)
    d[1, 3] = d[3, 8] = 100.0
    groups = list(gain.checked(d))
    assert [data.tolist() for data, _ in groups] == [[0, 2], [1], [3]]
    assert [excess.nonzero().flatten().tolist() for _, excess in groups] == [[], [3], [8]]


def test_an_observation_fails_against_both_the_background_and_the_others(terms):
    """Against matrices: the departure from the prediction by all other observations, and its variance."""
    gain, s, _ = system(terms)
    d = torch.linalg.cholesky(s) @ torch.randn(len(s), generator=torch.Generator().manual_seed(2)).double()
    assert not gain.excess(d[None]).any()
    d[7] = 9 * s[7, 7].sqrt()
    others = torch.arange(len(s)) != 7
    w = torch.linalg.solve(s[others][:, others], s[others, 7])
    departure, variance = d[7] - w @ d[others], s[7, 7] - w @ s[others, 7]
    excess = gain.excess(d[None])[0]
    assert excess.nonzero().flatten().tolist() == [7]
    expected = min(d[7] ** 2 / 25 - s[7, 7], departure**2 / 25 - variance)
    assert float(excess[7]) == pytest.approx(float(expected))


def test_an_extreme_that_its_neighbours_confirm_passes():
    """Eight standard deviations everywhere along a short line; at one point of it alone they are doubted."""
    along = torch.linspace(0, 0.1, 20, dtype=torch.float64)
    points = torch.stack([along.cos(), along.sin(), torch.zeros_like(along)], dim=1)
    whole = torch.ones(20, dtype=torch.float64)
    part = Parametric(1.0, whole, torch.ones(1, 1, dtype=torch.float64), Kernel(matern32, 3000.0, points))
    gain = Gain([part], torch.arange(20), 0.01 * whole, whole, 20)
    alone = torch.zeros_like(whole)
    alone[9] = 8
    assert not gain.excess(8 * whole[None]).any()
    assert gain.excess(alone[None])[0].nonzero().flatten().tolist() == [9]
