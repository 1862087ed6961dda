import math

import numpy as np
import pytest
import torch
from scipy import stats

from fieldcast.models.ensemble import red_noise
from fieldcast.models.random_streams import RandomStreams


def draws(data=3, members=2):
    return RandomStreams(0, torch.arange(data), members)


@pytest.mark.parametrize("memory", [1.0, 10.0])
def test_persistent_noise_is_normal_with_exponential_autocovariance(memory):
    leads = (0, 1, 3, 10, 30)
    z = torch.stack([red_noise(draws(200, 100).at_lead(lead), 2, memory).flatten() for lead in leads])
    assert min(stats.kstest(values.numpy(), "norm").pvalue for values in z) > 1e-3
    for i, s in enumerate(leads):
        for j, t in enumerate(leads[:i]):
            expected = math.exp(-abs(s - t) / memory)
            assert float((z[i] * z[j]).mean()) == pytest.approx(expected, abs=4 * math.sqrt(2 / z.shape[1]))


def test_numbers_of_a_member_and_members_are_independent_and_so_is_how_they_change():
    z, later = (red_noise(draws(3000).at_lead(lead), 2, 10.0).flatten(1) for lead in (0, 5))
    for values in (z, later, z * later):
        assert (torch.corrcoef(values.T) - torch.eye(4)).abs().max() < 4 / math.sqrt(3000)


def test_the_phase_is_kept_where_a_number_turns_fast():
    lead, drawn = 500, draws(200, 100)
    persistent = drawn.persistent()
    a, b = persistent.normal(2, 4).numpy().astype(float).transpose(2, 0, 1, 3)
    omega = np.tan(np.pi * (persistent.uniform(4).numpy().astype(float) - 0.5)) / 10
    expected = a * np.cos(omega * lead) + b * np.sin(omega * lead)
    assert np.abs(omega * lead).max() > 1e5
    assert np.abs(red_noise(drawn.at_lead(lead), 4, 10.0).numpy() - expected).max() < 1e-4


def test_an_empty_list_gives_an_empty_result():
    assert red_noise(draws(), 0, 10.0).shape == (3, 2, 0)
