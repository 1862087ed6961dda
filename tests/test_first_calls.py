"""Wrong shapes are seen in the first calls of a function in each test."""

import beartype
import first_calls
import jaxtyping
import numpy as np
import pytest
from first_calls import CALLS
from jaxtyping import Float

from fieldcast.models.gaussian.grid_points import GridPoints


def total(x: Float[np.ndarray, "row 3"], y: Float[np.ndarray, " row"]) -> float:
    return float(x.sum() + y.sum())


def test_wrong_shapes_are_refused_in_the_first_calls_of_each_test(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = first_calls.jaxtyped(typechecker=beartype.beartype)(total)
    x, y = np.ones((2, 3)), np.ones(2)
    for _ in range(2):
        with pytest.raises(jaxtyping.TypeCheckError, match="total"):
            checked(x, np.ones(4))
        assert [checked(x, y) for _ in range(CALLS)] == [8.0] * CALLS
        assert checked(x, np.ones(4)) == 10.0
        monkeypatch.setattr(first_calls, "TESTS", [first_calls.TESTS[0] + 1])


def test_the_functions_of_the_package_are_checked() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="GridPoints"):
        GridPoints("no points")  # type: ignore[arg-type]
