import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from fieldcast.models.contrasts import DISTANCES, LATITUDE, LONGITUDE, contrast, contrast_crps
from fieldcast.models.crps import fair_crps


def test_a_contrast_goes_round_the_globe_where_longitude_wraps():
    x = torch.arange(12.0).reshape(2, 6)
    assert contrast(x, 4, LONGITUDE, wraps=False).tolist() == [[4, 4], [4, 4]]
    assert contrast(x, 4, LONGITUDE, wraps=True).tolist() == [[4, 4, -2, -2, -2, -2]] * 2
    for wraps in (False, True):
        assert contrast(x, 1, LATITUDE, wraps).tolist() == [[6] * 6]
        assert contrast(x, 2, LATITUDE, wraps).numel() == 0


@pytest.mark.parametrize("wraps", [False, True])
def test_it_is_the_fair_crps_of_differences_with_what_never_exists_left_out(sized, wraps):
    space = sized(variables=2, rows=5, columns=10)
    exists = torch.ones(5, 10, dtype=torch.bool)
    exists[1, 3] = exists[4, 0] = False
    space = replace(space, exists=exists, wraps=wraps)
    draws, truth = torch.randn(3, 4, *space.state), torch.randn(3, *space.state)
    dims = ("batch", "member", "v", "y", "x")
    x, y = (xr.DataArray(a.numpy(), dims=d) for a, d in ((draws, dims), (truth, ("batch", "v", "y", "x"))))
    area = xr.DataArray(space.area.numpy(), dims=("y", "x"))
    known = xr.DataArray(exists.numpy(), dims=("y", "x"))
    expected = []
    for dim in ("x", "y"):
        for distance in DISTANCES:
            shift = {dim: -distance}
            moved = (
                (lambda a, s=shift: a.roll(s)) if wraps and dim == "x" else (lambda a, s=shift: a.shift(s))
            )
            weight = (((area + moved(area)) / 2) * (known & (moved(known.astype(float)) == 1))).fillna(0)
            if weight.any():
                score = crps_for_ensemble(
                    moved(x) - x, moved(y) - y, "member", method="fair", preserve_dims="all"
                )
                expected.append(float(score.weighted(weight).mean()))
    found = contrast_crps(draws, truth, space)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)
    holed = torch.where(exists, draws, torch.full_like(draws, 1e6))
    assert contrast_crps(holed, truth, space) == found


def test_members_right_cell_by_cell_are_told_from_members_right_as_fields(sized):
    """Truth: independent N(0, 1) in every cell. E CRPS of N(0, s^2) where N(0, t^2) is true: Gneiting and Raftery
    (2007), eq. 21, sqrt(2 (s^2 + t^2) / pi) - s / sqrt(pi)."""
    space = sized(variables=1, rows=8, columns=16)
    torch.manual_seed(0)
    truth, weather = torch.randn(500, *space.state), torch.randn(500, 8, *space.state)
    offsets = torch.randn(500, 8, 1, 1, 1).expand_as(weather)

    def expected(s, t):
        return math.sqrt(2 * (s**2 + t**2) / math.pi) - s / math.sqrt(math.pi)

    for members, s in ((weather, math.sqrt(2)), (offsets, 0)):
        assert float(fair_crps(members, truth).mean()) == pytest.approx(expected(1, 1), abs=0.02)
        assert float(contrast_crps(members, truth, space)) == pytest.approx(
            expected(s, math.sqrt(2)), abs=0.02
        )
