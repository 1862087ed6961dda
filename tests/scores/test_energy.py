from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.forecast import energy_score, squared_distances
from fieldcast.scores.statistics import fair_crps


def slowly(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> float:
    def norm(a: np.ndarray) -> float:
        return float(np.sqrt((w * a**2).sum()))

    members = len(x)
    skill = sum(norm(a - y) for a in x) / members
    pairs = sum(norm(a - b) for a in x for b in x)
    return skill - pairs / (2 * members * (members - 1))


def test_the_energy_score_equals_the_double_loop() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3, 4, 6)), rng.normal(size=(3, 4, 6))
    w = rng.dirichlet(np.ones(24), 2).reshape(2, 4, 6)
    w[1, :2] = 0
    scores = energy_score(squared_distances(x - y, w))
    expected = [[slowly(x[:, time], y[time], w[region]) for time in range(3)] for region in range(2)]
    np.testing.assert_allclose(scores, expected, rtol=1e-9)


def test_on_one_cell_the_energy_score_is_the_fair_crps() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 20, 1, 1)), rng.normal(size=(20, 1, 1))
    scores = energy_score(squared_distances(x - y, np.ones((1, 1, 1))))
    np.testing.assert_allclose(scores[0], fair_crps(x, y)[:, 0, 0], rtol=1e-6, atol=1e-9)


def test_one_member_has_its_distance_and_no_cell_no_score() -> None:
    d = np.full((1, 2, 3, 4), 2.0)
    w = np.stack([np.full((3, 4), 1 / 12), np.full((3, 4), np.nan)])
    scores = energy_score(squared_distances(d, w))
    assert scores[0] == pytest.approx([2.0, 2.0])
    assert np.isnan(scores[1]).all()
