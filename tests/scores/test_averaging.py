from __future__ import annotations

import numpy as np
import xarray as xr
from scores.continuous import mse

from fieldcast.scores.averaging import cell_weights, weighted_mean


def test_mean_is_that_of_scores_with_area_weights() -> None:
    rng = np.random.default_rng(0)
    latitude = np.linspace(-80, 80, 9)
    area = np.cos(np.deg2rad(latitude))[:, None] * np.ones((9, 14))
    x, y = rng.standard_normal((2, 4, 9, 14))
    chosen = rng.random((4, 9, 14)) < 0.4
    everywhere = np.ones((9, 14), bool)
    found = weighted_mean(((x - y) ** 2)[None], cell_weights(area, chosen)[None], everywhere)
    dims = ("time", "latitude", "longitude")
    fields = [xr.DataArray(np.where(chosen, values, np.nan), dims=dims) for values in (x, y)]
    expected = mse(*fields, weights=xr.DataArray(area, dims=dims[1:]), preserve_dims="time")
    np.testing.assert_allclose(found[0, 0], expected)


def test_cells_that_do_not_exist_count_for_nothing() -> None:
    exists = np.array([[True, False, True]])
    values = np.array([[[[1.0, np.nan, 4.0]]]])
    weights = cell_weights(np.array([[1.0, 5.0, 2.0]]), exists[None])
    np.testing.assert_allclose(weighted_mean(values, weights[None], exists), [[[3.0]]])


def test_no_chosen_cell_is_no_mean() -> None:
    weights = cell_weights(np.ones((2, 2)), np.zeros((1, 2, 2), bool))
    found = weighted_mean(np.ones((1, 1, 2, 2)), weights[None], np.ones((2, 2), bool))
    assert np.isnan(found).all()
