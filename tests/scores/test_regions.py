from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.regions import regions


@pytest.mark.parametrize("rows", [32, 18, 73])
def test_bands_of_the_globe_add_up_to_it(rows: int) -> None:
    latitude = np.linspace(-90, 90, rows) if rows == 73 else -90 + (np.arange(rows) + 0.5) * 180 / rows
    found = regions(latitude, wraps=True)
    assert list(found) == ["globe", "tropics", "northern_extratropics", "southern_extratropics"]
    globe, *bands = found.values()
    assert globe.all()
    assert (np.sum(bands, axis=0) == 1).all()
    area = np.cos(np.deg2rad(latitude))
    shares = [area[band].sum() / area.sum() for band in bands]
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(np.sin(np.deg2rad(20)), abs=0.05)


def test_a_coarse_globe_spans_the_globe_and_has_no_thin_bands() -> None:
    latitude = -90 + (np.arange(8) + 0.5) * 180 / 8  # outermost centres at 78.75
    assert list(regions(latitude, wraps=True)) == ["globe", "northern_extratropics", "southern_extratropics"]


def test_what_does_not_span_the_globe_is_a_domain() -> None:
    assert list(regions(np.arange(30.0, 72.5, 2.5), wraps=False)) == ["domain"]
    assert list(regions(np.arange(-88.75, 90, 2.5), wraps=False)) == ["domain"]
    hemisphere = regions(np.arange(1.25, 90, 2.5), wraps=True)
    assert list(hemisphere) == ["domain", "tropics", "northern_extratropics"]
    assert list(regions(np.arange(30.0, 72.5, 2.5), wraps=True)) == ["domain"]  # one band is the whole grid
    assert list(regions(np.array([50.0]), wraps=False)) == ["domain"]
