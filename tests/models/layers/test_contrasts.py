import math

import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from fieldcast.models.ensemble import DISTANCES, LATITUDE, LONGITUDE, Pairs, contrast_crps, pairs_of
from fieldcast.models.layers.crps import fair_crps


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_a_contrast_goes_round_the_globe_where_longitude_wraps():
    x = torch.arange(12.0).reshape(2, 6)
    assert Pairs(2, LONGITUDE, wraps=False).contrast(x).tolist() == [[2, 2, 2, 2]] * 2
    assert Pairs(2, LONGITUDE, wraps=True).contrast(x).tolist() == [[2, 2, 2, 2, -4, -4]] * 2
    assert Pairs(1, LATITUDE, wraps=False).contrast(x).tolist() == [[6] * 6]


def test_a_grid_has_only_pairs_of_two_cells_and_none_twice(sized):
    space = sized(variables=1, latitudes=5, columns=10)
    assert [pairs[:2] for pairs in pairs_of(space.replace(wraps=True))] == [
        *((d, LONGITUDE) for d in (1, 2, 4)),  # eight cells apart are two
        *((d, LATITUDE) for d in (1, 2, 4)),
    ]
    assert [p.distance for p in pairs_of(space.replace(wraps=False)) if p.axis == LONGITUDE] == [1, 2, 4, 8]


@pytest.mark.parametrize("wraps", [False, True])
def test_the_loss_is_the_fair_crps_of_differences_between_existing_cells(sized, wraps, generator):
    space = sized(variables=2, latitudes=5, columns=16)
    exists = torch.ones(5, 16, dtype=torch.bool)
    exists[1, 3] = exists[4, 0] = False
    space = space.replace(exists=exists, wraps=wraps)
    draws = torch.randn(3, 4, *space.state_shape, generator=generator)
    truth = torch.randn(3, *space.state_shape, generator=generator)
    dims = ("batch", "member", "v", "y", "x")
    x, y = (xr.DataArray(a.numpy(), dims=d) for a, d in ((draws, dims), (truth, ("batch", "v", "y", "x"))))
    area = xr.DataArray(space.area.numpy(), dims=("y", "x"))
    present = xr.DataArray(exists.numpy().astype(float), dims=("y", "x"))
    expected = []
    for dim in ("x", "y"):
        move = "roll" if wraps and dim == "x" else "shift"
        for distance in (d for d in DISTANCES if d < space.area.shape[("y", "x").index(dim)]):
            x2, y2, area2, known2 = (getattr(a, move)({dim: -distance}) for a in (x, y, area, present))
            weight = ((area + area2) / 2 * present * known2).fillna(0)
            score = crps_for_ensemble(x2 - x, y2 - y, "member", method="fair", preserve_dims="all")
            expected.append(float(score.weighted(weight).mean()))
    pairs = pairs_of(space)
    assert len(pairs) == len(expected) == 7
    computed = contrast_crps(draws, truth, space, pairs)
    assert float(computed) == pytest.approx(np.mean(expected), rel=1e-5)
    holed = [torch.where(exists, a, torch.full_like(a, 1e6)) for a in (draws, truth)]
    assert contrast_crps(*holed, space, pairs) == computed


def test_the_energy_score_separates_members_right_by_cell_from_members_right_as_fields(sized, generator):
    """Truth: independent N(0, 1) in every cell. E CRPS of N(0, s^2) where N(0, t^2) is true: Gneiting and Raftery
    (2007), eq. 21, sqrt(2 (s^2 + t^2) / pi) - s / sqrt(pi)."""
    space = sized(variables=1, latitudes=8, columns=16)
    truth = torch.randn(500, *space.state_shape, generator=generator)
    weather = torch.randn(500, 8, *space.state_shape, generator=generator)
    offsets = torch.randn(500, 8, 1, 1, 1, generator=generator).expand_as(weather)

    def expected(s, t):
        return math.sqrt(2 * (s**2 + t**2) / math.pi) - s / math.sqrt(math.pi)

    for members, s in ((weather, math.sqrt(2)), (offsets, 0)):
        assert float(fair_crps(members, truth).mean()) == pytest.approx(expected(1, 1), abs=0.02)
        computed = contrast_crps(members, truth, space, pairs_of(space))
        assert float(computed) == pytest.approx(expected(s, math.sqrt(2)), abs=0.02)
