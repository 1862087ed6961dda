"""Chi-squared of a whole cycle, against values by hand."""

import numpy as np
import pytest

from fieldcast.inference.cycle.quality import ratio_of_means


def test_a_time_without_an_expected_innovation_does_not_count() -> None:
    assert ratio_of_means(np.array([100.0, 2.0, 4.0]), np.array([np.nan, 1.0, 2.0])) == pytest.approx(2)


def test_a_time_without_observations_does_not_count() -> None:
    assert ratio_of_means(np.array([np.nan, 6.0]), np.array([np.nan, 3.0])) == pytest.approx(2)
