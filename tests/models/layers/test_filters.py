import math

import pytest
import torch

from fieldcast.models.stepped import Shapiro


def everywhere(latitudes: int, columns: int) -> torch.Tensor:
    return torch.ones(latitudes, columns, dtype=torch.bool)


@pytest.mark.parametrize("order", [1, 8, 16])
@pytest.mark.parametrize("wave", [0, 3, 11, 16])
def test_a_wave_round_the_globe_is_multiplied_by_the_response_of_the_filter(order, wave):
    """1 - sin(pi / L)^(2n), L = 32 / wave."""
    longitude = 2 * math.pi * torch.arange(32) / 32
    field = torch.cos(wave * longitude).expand(3, 2, 6, 32)
    response = 1 - math.sin(math.pi * wave / 32) ** (2 * order)
    assert torch.allclose(Shapiro(everywhere(6, 32), True, order)(field), response * field, atol=1e-5)


def test_no_axis_that_ends_is_smoothed_across_its_ends():
    """Cosines of half a wave and its multiples are the waves of an axis with both borders."""
    place = (torch.arange(12) + 0.5) * math.pi / 12
    for half in (1, 5, 11):
        response = 1 - math.sin(half * math.pi / 24) ** 8
        field = torch.cos(half * place)
        across = Shapiro(everywhere(5, 12), False, 4)(field.expand(5, 12))
        along = Shapiro(everywhere(12, 5), True, 4)(field[:, None].expand(12, 5))
        assert torch.allclose(across, response * field.expand(5, 12), atol=1e-5)
        assert torch.allclose(along, response * field[:, None].expand(12, 5), atol=1e-5)


def test_values_on_land_do_not_reach_the_sea():
    sea = everywhere(9, 16)
    sea[3:6, 4:9] = False
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    smooth = Shapiro(sea, True, 4)
    assert torch.equal(smooth(x)[sea], smooth(torch.where(sea, x, 100.0))[sea])
    assert torch.allclose(smooth(torch.where(sea, 2.0, 100.0))[sea], torch.tensor(2.0), atol=1e-5)


def test_a_state_keeps_its_digits_under_autocast():
    x = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    smooth = Shapiro(everywhere(9, 16), True, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(smooth(x), smooth(x.clone())) and smooth(x).dtype == torch.float32
        half = smooth(x)
    assert torch.equal(half, smooth(x))
