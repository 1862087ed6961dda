from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from fieldcast.scores import distances
from fieldcast.scores.distances import cell_wasserstein


@pytest.mark.parametrize(("n", "m"), [(7, 7), (7, 5), (4, 12), (1, 9)])
def test_the_distance_equals_scipys_in_every_cell(n: int, m: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "CELLS_IN_MEMORY", 5)
    rng = np.random.default_rng([n, m])
    x, y = rng.standard_normal((n, 2, 3, 4)), 2 * rng.standard_normal((m, 2, 3, 4)) + 1
    distance = cell_wasserstein(x.astype("f4"), y)
    expected = [
        wasserstein_distance(a, b) for a, b in zip(x.reshape(n, -1).T, y.reshape(m, -1).T, strict=True)
    ]
    np.testing.assert_allclose(distance.ravel(), expected, rtol=1e-5)
    assert distance.shape == (2, 3, 4)


def test_a_shift_is_as_far_as_it_shifts_and_a_missing_cell_is_nan() -> None:
    x = np.random.default_rng(0).standard_normal((50, 3))
    y = x[::-1] + np.array([0.0, -2.0, np.nan])
    np.testing.assert_allclose(cell_wasserstein(x, y), [0, 2, np.nan], atol=1e-12)
