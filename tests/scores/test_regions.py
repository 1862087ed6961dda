from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scores.continuous import mse

from fieldcast.scores.regions import area_means, cell_weights, regions


@pytest.mark.parametrize("count", [32, 18, 73])
def test_bands_of_the_globe_add_up_to_it(count: int) -> None:
    latitude = np.linspace(-90, 90, count) if count == 73 else -90 + (np.arange(count) + 0.5) * 180 / count
    bands_of = regions(latitude, wraps=True)
    assert list(bands_of) == ["globe", "tropics", "northern_extratropics", "southern_extratropics"]
    globe, *bands = bands_of.values()
    assert globe.all()
    assert (np.sum(bands, axis=0) == 1).all()
    area = np.cos(np.deg2rad(latitude))
    shares = [area[band].sum() / area.sum() for band in bands]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(np.sin(np.deg2rad(20)), abs=0.05)


def test_a_coarse_globe_spans_the_globe_and_has_no_thin_bands() -> None:
    latitude = -90 + (np.arange(8) + 0.5) * 180 / 8  # outermost centres at 78.75
    assert list(regions(latitude, wraps=True)) == ["globe", "northern_extratropics", "southern_extratropics"]


def test_a_grid_that_does_not_span_the_globe_is_a_domain() -> None:
    assert list(regions(np.arange(30.0, 72.5, 2.5), wraps=False)) == ["domain"]
    assert list(regions(np.arange(-88.75, 90, 2.5), wraps=False)) == ["domain"]
    hemisphere = regions(np.arange(1.25, 90, 2.5), wraps=True)
    assert list(hemisphere) == ["domain", "tropics", "northern_extratropics"]
    assert list(regions(np.arange(30.0, 72.5, 2.5), wraps=True)) == ["domain"]  # one band is the whole grid
    assert list(regions(np.array([50.0]), wraps=False)) == ["domain"]


def test_mean_is_that_of_scores_with_area_weights() -> None:
    rng = np.random.default_rng(0)
    latitude = np.linspace(-80, 80, 9)
    area = np.cos(np.deg2rad(latitude))[:, None] * np.ones((9, 14))
    x, y = rng.standard_normal((2, 4, 9, 14))
    selected = rng.random((4, 9, 14)) < 0.4
    means = area_means(((x - y) ** 2)[None], cell_weights(area, selected)[None])
    dims = ("time", "latitude", "longitude")
    fields = [xr.DataArray(np.where(selected, values, np.nan), dims=dims) for values in (x, y)]
    expected = mse(*fields, weights=xr.DataArray(area, dims=dims[1:]), preserve_dims="time")
    np.testing.assert_allclose(means[0, 0], expected)


def test_weights_that_vary_in_time_and_weights_that_do_not_have_the_same_means() -> None:
    rng = np.random.default_rng(1)
    values, weights = (
        rng.standard_normal((2, 4, 9, 14)),
        cell_weights(np.ones((9, 14)), rng.random((3, 9, 14)) < 0.4),
    )
    varying = np.broadcast_to(weights[:, None], (3, 4, 9, 14))
    np.testing.assert_allclose(area_means(values, weights), area_means(values, varying), atol=1e-12)


def test_no_selected_cell_is_no_mean() -> None:
    weights = cell_weights(np.ones((2, 2)), np.zeros((1, 2, 2), bool))
    assert np.isnan(area_means(np.ones((1, 1, 2, 2)), weights)).all()
