import math

import pytest
import torch

from fieldcast.models.shapiro import Shapiro


@pytest.mark.parametrize("order", [1, 8, 16])
@pytest.mark.parametrize("wave", [0, 3, 11, 16])
def test_a_wave_round_the_globe_is_multiplied_by_the_response_of_the_filter(order, wave):
    """1 - sin(pi / L)^(2n), L = 32 / wave."""
    longitude = 2 * math.pi * torch.arange(32) / 32
    field = torch.cos(wave * longitude).expand(3, 2, 6, 32)
    response = 1 - math.sin(math.pi * wave / 32) ** (2 * order)
    assert torch.allclose(Shapiro((6, 32), order, wraps=True)(field), response * field, atol=1e-5)


def test_no_axis_that_ends_is_smoothed_across_its_ends():
    """Cosines of half a wave and its multiples are the waves of an axis with both borders."""
    place = (torch.arange(12) + 0.5) * math.pi / 12
    for half in (1, 5, 11):
        response = 1 - math.sin(half * math.pi / 24) ** 8
        field = torch.cos(half * place)
        across = Shapiro((5, 12), 4, wraps=False)(field.expand(5, 12))
        along = Shapiro((12, 5), 4, wraps=True)(field[:, None].expand(12, 5))
        assert torch.allclose(across, response * field.expand(5, 12), atol=1e-5)
        assert torch.allclose(along, response * field[:, None].expand(12, 5), atol=1e-5)
