"""Evenly spaced indices."""

import numpy as np

from fieldcast.geometry import evenly_spaced_indices
from fieldcast.models.space import evenly


def test_at_most_so_many_indices_evenly() -> None:
    np.testing.assert_array_equal(evenly_spaced_indices(5, 3), [0, 2, 4])
    np.testing.assert_array_equal(evenly_spaced_indices(2, 3), [0, 1])
    assert len(evenly_spaced_indices(0, 3)) == 0
    assert evenly(10, 4).tolist() == [0, 3, 6, 9]
