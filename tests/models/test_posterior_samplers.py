"""Oracles: a Gaussian prior, whose denoiser and posterior are known exactly; direct solutions of linear systems."""

import pytest
import torch

from fieldcast.models.points import Points
from fieldcast.models.posterior_samplers import (
    DPS,
    MMPS,
    Ancestral,
    DiffPIR,
    Heun,
    PiGDM,
    PointTarget,
    RePaint,
    Target,
    gmres,
    noise_levels,
    with_jacobian,
)

STATE = 1, 4, 6
CELLS, SEEN, ERROR = 24, (2, 7, 11, 16, 21), 0.2
SAMPLERS = {"heun": Heun(), "ancestral": Ancestral(), "mmps": MMPS(), "pigdm": PiGDM(), "dps": DPS()}
SAMPLERS |= {"diffpir": DiffPIR(), "repaint": RePaint()}


@pytest.fixture(scope="module")
def covariance():
    place = torch.arange(CELLS).double()
    return torch.exp(-((place[:, None] - place).abs() / 4)).float()


@pytest.fixture
def denoise(covariance):
    def mean(x, s):
        gain = torch.linalg.solve(covariance + s**2 * torch.eye(CELLS), covariance)
        return (x.flatten(1) @ gain).unflatten(1, STATE)

    return mean


@pytest.fixture
def truth(covariance):
    torch.manual_seed(1)
    return torch.linalg.cholesky(covariance) @ torch.randn(CELLS)


def observed(truth, rows):
    torch.manual_seed(2)
    m = torch.zeros(CELLS, dtype=torch.bool)
    m[list(SEEN)] = True
    y = (truth + ERROR * torch.randn(CELLS)) * m
    return tuple(field.expand(rows, -1).unflatten(1, STATE) for field in (y, m))


def posterior(covariance, recorded):
    """Mean and covariance of optimal interpolation."""
    h = torch.eye(CELLS)[list(SEEN)]
    gain = covariance @ h.T @ torch.linalg.inv(h @ covariance @ h.T + ERROR**2 * torch.eye(len(SEEN)))
    return gain @ h @ recorded[0][0].flatten(), covariance - gain @ h @ covariance


def target(denoise, recorded, noise, rows):
    """The posterior of what is observed, or the prior."""
    nothing = torch.zeros(rows, *STATE)
    y, m = recorded or (nothing, nothing.bool())
    return Target(denoise, noise, y, m, ERROR**2)


def drawn(sampler, denoise, recorded, rows=1000, levels=18):
    generator = torch.Generator().manual_seed(0)
    *_, x = sampler.trajectory(
        noise_levels(levels),
        target(denoise, recorded, lambda: torch.randn(rows, *STATE, generator=generator), rows),
    )
    return x.flatten(1)


def moments(sampler, denoise, recorded, levels, highest=80.0):
    """Mean and covariance of the draws, b and A A', where they are linear in the initial noise, x = A n + b."""
    noise = torch.cat([torch.zeros(1, CELLS), torch.eye(CELLS)]).unflatten(1, STATE)
    *_, x = sampler.trajectory(
        noise_levels(levels, highest), target(denoise, recorded, lambda: noise, CELLS + 1)
    )
    mean, a = x[0].flatten(), (x[1:] - x[0]).flatten(1).T
    return mean, a @ a.T


def test_noise_levels_equal_karras():
    levels = noise_levels(18)
    assert levels[0] == pytest.approx(80) and levels[-2] == pytest.approx(0.01) and levels[-1] == 0
    roots = torch.tensor(levels[:-1]) ** (1 / 7)
    assert torch.allclose(roots.diff(), roots.diff()[:1].expand(17), atol=1e-5)


@pytest.mark.parametrize(("levels", "share"), [(18, 0.07), (36, 0.02), (150, 0.002)])
def test_without_observations_draws_have_the_covariance_of_the_prior(covariance, denoise, levels, share):
    """Heun's method is of second order; its draws have somewhat too much variance."""
    mean, drawn_covariance = moments(Heun(), denoise, None, levels)
    assert torch.equal(mean, torch.zeros(CELLS))
    assert (drawn_covariance - covariance).norm() < share * covariance.norm()


def test_ancestral_draws_have_the_covariance_of_the_prior(covariance, denoise):
    x = drawn(Ancestral(), denoise, None, rows=2000, levels=150)
    assert (x.T.cov() - covariance).norm() < 0.12 * covariance.norm()
    assert float(x.var(dim=0).mean()) == pytest.approx(1, abs=0.08)


def test_mmps_draws_from_the_exact_posterior_of_a_gaussian(covariance, denoise, truth):
    """The highest level hides the mean of the posterior, which a start from 80 n misses by 1 / 80."""
    recorded = observed(truth, CELLS + 1)
    mean, exact = posterior(covariance, recorded)
    drawn_mean, drawn_covariance = moments(MMPS(len(SEEN)), denoise, recorded, levels=60, highest=2000.0)
    assert torch.allclose(drawn_mean, mean, atol=0.01)
    assert (drawn_covariance - exact).norm() < 0.02 * exact.norm()


def test_two_iterations_are_nearly_exact(covariance, denoise, truth):
    recorded = observed(truth, 1000)
    mean, exact = posterior(covariance, recorded)
    x = drawn(MMPS(), denoise, recorded)
    assert (x.mean(dim=0) - mean).norm() < 0.1 * mean.norm()
    assert (x.T.cov().diagonal() / exact.diagonal()).sqrt()[
        ~recorded[1][0].flatten()
    ].mean() == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("name", ["mmps", "pigdm", "dps", "diffpir", "repaint"])
def test_every_guided_sampler_moves_draws_towards_the_posterior(covariance, denoise, truth, name):
    recorded = observed(truth, 100)
    mean, _ = posterior(covariance, recorded)
    x = drawn(SAMPLERS[name], denoise, recorded, rows=100, levels=50)
    assert x.isfinite().all()
    assert (x.mean(dim=0) - mean).norm() < 0.6 * mean.norm()


def between_cells(truth, rows):
    """Five observations of each row between pairs of neighbouring cells, in a random order, and their H."""
    torch.manual_seed(3)
    cells = torch.tensor(SEEN)
    share = torch.rand(len(SEEN))
    h = torch.zeros(len(SEEN), CELLS)
    h[torch.arange(len(SEEN)), cells], h[torch.arange(len(SEEN)), cells + 1] = 1 - share, share
    y = h @ truth + ERROR * torch.randn(len(SEEN))
    order = torch.randperm(rows * len(SEEN))
    place = torch.arange(len(SEEN)).repeat(rows)[order]
    weights = torch.stack([1 - share, share, 0 * share, 0 * share], 1)[place]
    neighbours = torch.stack([cells, cells + 1, 0 * cells, 0 * cells], 1)[place]
    datum = torch.arange(rows).repeat_interleave(len(SEEN))[order]
    return Points(datum, 0 * datum, neighbours, weights, y[place], torch.full((len(datum),), ERROR**2)), h, y


@pytest.mark.parametrize("name", ["mmps", "pigdm", "dps", "diffpir"])
def test_draws_are_guided_by_observations_between_cells(covariance, denoise, truth, name):
    """MMPS draws from the exact posterior of a Gaussian; the others move towards it."""
    exact = name == "mmps"
    rows = CELLS + 1 if exact else 100
    points, h, y = between_cells(truth, rows)
    gain = covariance @ h.T @ torch.linalg.inv(h @ covariance @ h.T + ERROR**2 * torch.eye(len(SEEN)))
    mean, posterior_covariance = gain @ y, covariance - gain @ h @ covariance
    generator = torch.Generator().manual_seed(0)
    linear = torch.cat([torch.zeros(1, CELLS), torch.eye(CELLS)]).unflatten(1, STATE)
    noise = (lambda: linear) if exact else (lambda: torch.randn(rows, *STATE, generator=generator))
    guided = PointTarget.of(denoise, noise, points, rows, STATE)
    levels = noise_levels(60, 2000.0) if exact else noise_levels(50)
    *_, x = (MMPS(len(SEEN)) if exact else SAMPLERS[name]).trajectory(levels, guided)
    if not exact:
        assert (x.flatten(1).mean(0) - mean).norm() < 0.6 * mean.norm()
        return
    a = (x[1:] - x[0]).flatten(1).T
    assert torch.allclose(x[0].flatten(), mean, atol=0.01)
    assert (a @ a.T - posterior_covariance).norm() < 0.025 * posterior_covariance.norm()


def test_the_operator_and_its_adjoint_agree(denoise, truth):
    """<H x, z> = <x, H' z>, and (R + v H H') gain(z) = z."""
    points, _, _ = between_cells(truth, 3)
    few = points[torch.arange(len(points)) != int((points.datum == 1).nonzero()[0])]  # one row has fewer
    guided = PointTarget.of(denoise, lambda: torch.zeros(3, *STATE), few, 3, STATE)
    x, z = torch.randn(3, *STATE), torch.randn(3, 1, 1, len(SEEN)) * guided.m
    assert torch.allclose(
        (guided.forward(x) * z).sum((1, 2, 3)), (x * guided.adjoint(z)).sum((1, 2, 3)), atol=1e-5
    )
    solved = guided.gain(z, 0.7)
    again = guided.r * solved + 0.7 * guided.forward(guided.adjoint(solved))
    assert torch.allclose(again, z, atol=1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_evaluations_are_the_calls_of_the_network_and_products_with_its_jacobian(denoise, truth, name):
    count = 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, s):
            nonlocal count
            count, ctx.s = count + 1, s
            return denoise(x, s)

        @staticmethod
        def backward(ctx, v):
            nonlocal count
            count += 1
            return denoise(v, ctx.s), None

    drawn(SAMPLERS[name], Counted.apply, observed(truth, 3), rows=3, levels=6)
    assert count == SAMPLERS[name].evaluations(6)


def test_the_jacobian_is_that_of_the_denoiser():
    torch.manual_seed(0)
    matrix, x, v = torch.randn(CELLS, CELLS), torch.randn(2, *STATE), torch.randn(2, *STATE)

    def denoise(x, s):
        return torch.tanh(x.flatten(1) @ matrix.T / s).unflatten(1, STATE)

    d, product = with_jacobian(denoise, x, 2.0)
    full = torch.autograd.functional.jacobian(lambda z: denoise(z, 2.0), x)
    assert torch.allclose(d, denoise(x, 2.0)) and not d.requires_grad
    expected = torch.stack(
        [full[i, :, :, :, i].flatten(3).flatten(0, 2).T @ v[i].flatten() for i in range(2)]
    )
    assert torch.allclose(product(v).flatten(1), expected, atol=1e-5)


@pytest.mark.parametrize("iterations", [1, 2, 4, CELLS])
def test_gmres_has_the_smallest_residual_of_its_krylov_space(iterations):
    torch.manual_seed(0)
    matrix = (torch.eye(CELLS) + 0.3 * torch.randn(CELLS, CELLS) / CELLS**0.5).double()
    b = torch.randn(3, *STATE).double()
    z = gmres(lambda v: (v.flatten(1) @ matrix.T).unflatten(1, STATE), b, iterations).flatten(1)
    for row, right in zip(z, b.flatten(1), strict=True):
        space = [right]
        for _ in range(iterations - 1):
            space.append(matrix @ space[-1])
        krylov = torch.linalg.qr(torch.stack(space, dim=1))[0]
        best = krylov @ torch.linalg.lstsq(matrix @ krylov, right[:, None]).solution[:, 0]
        assert torch.allclose(matrix @ row, matrix @ best, atol=1e-6)
    assert gmres(lambda v: v, 0 * b, 2).abs().max() == 0
