"""Red noise between observations: the Gaussian posterior of the whole cell as oracle."""

import numpy as np
import pytest
import torch

from fieldcast.models.gaps import fillers
from fieldcast.models.gaps.in_time import MAX_RHO, linear_in_time, persistence, red_noise
from fieldcast.models.gaps.reach import Columns, steps_to_observation
from fieldcast.models.gaps.record import Record, Statistics

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


def test_a_masked_time_separates_a_cell_as_a_new_segment_does() -> None:
    """Red noise and linear interpolation of a cell with a masked stretch are those of its two parts by themselves."""
    generator = torch.Generator().manual_seed(2)
    x, observed = torch.randn(30, 3, generator=generator), torch.rand(30, 3, generator=generator) < 0.4
    masked = torch.zeros(30, 3, dtype=torch.bool)
    masked[12:17, 1] = True
    observed &= ~masked
    segment, hours = torch.zeros(30, dtype=torch.long), torch.arange(30.0, dtype=torch.float64)
    mean, spread = red_noise(x, observed, segment, 0.8, masked)
    linear = linear_in_time(x, observed, hours, masked)
    steps = steps_to_observation(observed, segment, masked)
    for part in (slice(12), slice(17, None)):
        parts = x[part], observed[part]
        alone = red_noise(*parts, segment[part], 0.8)
        torch.testing.assert_close(mean[part, 1], alone[0][:, 1])
        torch.testing.assert_close(spread[part, 1], alone[1][:, 1])
        torch.testing.assert_close(linear[part, 1], linear_in_time(*parts, hours[part])[:, 1], equal_nan=True)
        assert torch.equal(steps[part, 1], steps_to_observation(observed[part], segment[part])[:, 1])
    for cell in (0, 2):
        torch.testing.assert_close(mean[:, cell], red_noise(x, observed, segment, 0.8)[0][:, cell])
        torch.testing.assert_close(
            linear[:, cell], linear_in_time(x, observed, hours)[:, cell], equal_nan=True
        )


def test_between_masked_times_without_an_observation_there_is_no_neighbour() -> None:
    observed = torch.tensor([True, False, False, False, True])[:, None]
    masked = torch.tensor([False, True, False, True, False])[:, None]
    x, segment = torch.ones(5, 1), torch.zeros(5, dtype=torch.long)
    mean, spread = red_noise(x, observed, segment, 0.9, masked)
    assert float(mean[2]) == 0 and float(spread[2]) == 1
    assert linear_in_time(x, observed, torch.arange(5.0).double(), masked)[2].isnan()


def test_the_method_of_red_noise_knows_the_mask_of_its_record() -> None:
    generator = torch.Generator().manual_seed(3)
    x, observed = torch.randn(20, 2, generator=generator), torch.rand(20, 2, generator=generator) < 0.5
    masked = torch.zeros(20, 2, dtype=torch.bool)
    masked[8:11] = True
    observed &= ~masked
    columns = Columns(np.eye(3)[:2], torch.zeros(2, dtype=torch.long), torch.ones(2))
    statistics = Statistics(torch.ones(2), observed.sum(0), 20)
    segment = torch.zeros(20, dtype=torch.long)
    record = Record(x, observed, segment, columns, fitted=statistics, masked=masked)
    filling = fillers.red_noise(record, None, {"rho": torch.tensor(0.8, dtype=torch.float64)})
    mean, spread = red_noise(x, observed, segment, 0.8, masked)
    torch.testing.assert_close(filling.mean, mean)
    torch.testing.assert_close(filling.spread, spread)
    assert not torch.allclose(mean, red_noise(x, observed, segment, 0.8)[0])
