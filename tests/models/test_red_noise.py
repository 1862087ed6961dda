import math

import pytest
import torch
from scipy import stats

from fieldcast.models.draws import Draws
from fieldcast.models.red_noise import red_noise


@pytest.mark.parametrize("memory", [1.0, 10.0])
def test_it_is_normal_and_its_autocovariance_falls_off_exponentially(memory):
    draws, leads = Draws(0, torch.arange(200), 100), (0, 1, 3, 10, 30)
    z = torch.stack([red_noise(draws.at(lead), 2, memory).flatten() for lead in leads]).double()
    assert min(stats.kstest(one.numpy(), "norm").pvalue for one in z) > 1e-3
    for i, s in enumerate(leads):
        for j, t in enumerate(leads[:i]):
            expected = math.exp(-abs(s - t) / memory)
            assert float((z[i] * z[j]).mean()) == pytest.approx(expected, abs=4 * math.sqrt(2 / z.shape[1]))


def test_members_numbers_and_data_are_independent_and_none_is_possible():
    z = red_noise(Draws(0, torch.arange(3000), 2).at(5), 2, 10.0).flatten(1).double()
    assert (torch.corrcoef(z.T) - torch.eye(4)).abs().max() < 4 / math.sqrt(3000)
    assert red_noise(Draws(0, torch.arange(3), 2), 0, 10.0).shape == (3, 2, 0)


def test_a_number_that_turns_fast_still_does_not_depend_on_what_else_is_drawn():
    """1e6 members: some frequencies are beyond 1e5, and float32 would lose the phase."""
    draws = Draws(0, torch.zeros(1, dtype=torch.long), 1_000_000).at(500)
    z = red_noise(draws, 1, 10.0)[0, :, 0]
    piece = red_noise(Draws(0, torch.zeros(1, dtype=torch.long), 3, first=999_000).at(500), 1, 10.0)[0, :, 0]
    assert torch.equal(z[999_000:999_003], piece)
    assert float(z.var()) == pytest.approx(1, abs=0.01)
