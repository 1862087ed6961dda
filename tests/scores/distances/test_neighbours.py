from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from fieldcast.scores import distances as module
from fieldcast.scores.distances import neighbours


def test_distances_equal_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 7)
    rng = np.random.default_rng(0)
    states, training = rng.standard_normal((23, 40)), rng.standard_normal((50, 40))
    distance, index = NearestNeighbors(n_neighbors=1).fit(training).kneighbors(states)
    near = neighbours(states.astype("f4"), training.astype("f4"))
    np.testing.assert_array_equal(near.index, index[:, 0])
    np.testing.assert_allclose(near.distance, distance[:, 0] / np.sqrt(40), rtol=1e-5)


def test_a_copy_has_distance_zero() -> None:
    training = 5 + np.random.default_rng(1).standard_normal((30, 2000)).astype("f4")
    near = neighbours(training[[4, 17]], training)
    assert near.index.tolist() == [4, 17]
    assert near.distance.tolist() == [0.0, 0.0]


def test_a_state_that_is_not_finite_has_none() -> None:
    training = np.eye(3, dtype="f4")
    near = neighbours(np.array([[np.nan, 0, 0], [0, 1, 0]], dtype="f4"), training)
    assert near.index.tolist() == [-1, 1]
    assert near.distance.tolist() == [np.inf, 0.0]
