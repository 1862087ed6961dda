"""Red noise between observations: the Gaussian posterior of the whole cell as oracle."""

import numpy as np
import pytest
import torch

from fieldcast.models.gaps.in_time import MAX_RHO, linear_in_time, persistence, red_noise

TIMES, CELLS = 60, 200


@pytest.fixture(scope="module")
def record() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """AR(1) processes with rho 0.8, half missing, in two segments; one cell is never observed."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(TIMES, CELLS, generator=generator)
    for t in range(1, TIMES):
        x[t] = 0.8 * x[t - 1] + 0.6 * x[t] if t != 40 else x[t]
    observed = torch.rand(TIMES, CELLS, generator=generator) < 0.5
    observed[:, 3] = False
    return x, observed, (torch.arange(TIMES) >= 40).long()


def test_red_noise_is_the_posterior_given_the_whole_cell(
    record: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
) -> None:
    x, observed, segment = record
    rho = persistence(x, observed, segment)
    assert rho == pytest.approx(0.8, abs=0.03)
    mean, spread = red_noise(x, observed, segment)
    apart = abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))
    covariance = rho**apart * np.equal.outer(segment.numpy(), segment.numpy())
    for cell in (0, 3, 100):
        o = observed[:, cell].numpy()
        gain = covariance[:, o] @ np.linalg.inv(covariance[np.ix_(o, o)]) if o.any() else np.zeros((TIMES, 0))
        np.testing.assert_allclose(mean[:, cell], gain @ x[:, cell].numpy()[o], atol=1e-5)
        variance = 1 - np.einsum("ij,ij->i", gain, covariance[:, o])
        np.testing.assert_allclose(spread[:, cell] ** 2, variance, atol=1e-5)


def test_persistent_noise_is_interpolated_linearly() -> None:
    t = torch.arange(9.0)
    x, observed = torch.sin(t / 9)[:, None].expand(9, 20), torch.ones(9, 20, dtype=torch.bool)
    observed = observed & (t[:, None] != 4) & (t[:, None] != 5)
    mean, _ = red_noise(x, observed, torch.zeros(9, dtype=torch.long))
    linear = linear_in_time(x, observed, t.double())
    assert float((mean - linear).abs().max()) < 2e-3


def test_the_correlation_of_every_other_time_has_its_root() -> None:
    x = torch.randn(400, 50, generator=torch.Generator().manual_seed(1))
    for t in range(1, 400):
        x[t] = 0.9 * x[t - 1] + 0.19**0.5 * x[t]
    observed = (torch.arange(400) % 2 == 0)[:, None].expand_as(x)
    assert persistence(x, observed, torch.zeros(400, dtype=torch.long)) == pytest.approx(0.9, abs=0.02)
    assert persistence(x, torch.zeros_like(observed), torch.zeros(400, dtype=torch.long)) == 0


def test_the_most_persistent_noise_does_not_reach_the_next_segment() -> None:
    """An hourly cycle of a year has the largest correlation that is allowed."""
    x = torch.sin(torch.arange(9000, dtype=torch.double) * (2 * torch.pi / 8766))[:, None].expand(-1, 2)
    observed, segment = torch.ones_like(x, dtype=torch.bool), (torch.arange(9000) >= 4000).long()
    observed[4000:, 0] = False
    assert persistence(x, observed, segment) == MAX_RHO
    mean, spread = red_noise(x, observed, segment)
    assert not mean[4000:, 0].any() and (spread[4000:, 0] == 1).all()
