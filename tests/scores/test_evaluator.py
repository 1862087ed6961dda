from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from fieldcast.scores.regions import area_means
from fieldcast.scores.statistics import CellEvaluator, cell_areas


def test_cells_that_do_not_exist_count_for_nothing_whatever_members_hold_there() -> None:
    y = np.array([[[1.0, np.nan, 4.0]]])
    evaluator = CellEvaluator.of(y, np.array([[1.0, 5.0, 2.0]]))
    x = np.array([[[[2.0, np.inf, 7.0]]], [[[2.0, np.nan, 7.0]]]])
    errors = evaluator.errors(x)
    weights = evaluator.weights(np.ones((1, 1, 3), bool))
    assert errors.finite.all()
    means = area_means(np.stack(list(errors.statistics.values())), weights)[0, :, 0]
    assert dict(zip(errors.statistics, means, strict=True)) == pytest.approx(
        {
            "error": 7 / 3,
            "absolute_error": 7 / 3,
            "squared_error": 19 / 3,
            "crps": 7 / 3,
            "variance": 0.0,
            "debiased_squared_error": 19 / 3,
        }
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e20])
def test_a_time_with_an_infinite_member_is_marked(bad: float) -> None:
    y = np.zeros((3, 2, 2), "f4")
    x = np.ones((4, 3, 2, 2), "f4")
    x[1, 2, 0, 1] = bad
    errors = CellEvaluator.of(y, np.ones((2, 2))).errors(x)
    np.testing.assert_array_equal(errors.finite, [True, True, False])
    assert np.isfinite(errors.d).all()


def test_areas_of_rows_are_areas_of_cells() -> None:
    fields = xr.Dataset(coords={"latitude": [0.0, 60.0], "longitude": [0.0, 1.0, 2.0]})
    area = xr.DataArray([2.0, 1.0], {"latitude": [0.0, 60.0]}, ("latitude",))
    np.testing.assert_array_equal(cell_areas(area, fields), [[2.0] * 3, [1.0] * 3])
