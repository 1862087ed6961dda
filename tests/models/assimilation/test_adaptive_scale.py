"""The adaptive scale of a background covariance, from innovations of known variance."""

import pytest
import torch

from fieldcast.models.assimilation.filter import SCALES, rescale, unscaled

ERROR, EXPECTED = 0.3, 0.5


def innovations(scale: float, count: int, seed: int) -> torch.Tensor:
    normal = torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (scale * EXPECTED + ERROR) ** 0.5 * normal


def parts(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    ones = torch.ones(count, dtype=torch.float64)
    return ERROR * ones, EXPECTED * ones


def test_the_scale_of_innovations_is_recovered() -> None:
    memory = unscaled(1, torch.device("cpu"))
    for step in range(200):
        scale = rescale(memory, 0, innovations(1.7, 400, step), *parts(400))
    assert scale == pytest.approx(1.7, rel=0.05)


def test_gross_errors_do_not_count() -> None:
    memory, without = unscaled(1, torch.device("cpu")), unscaled(1, torch.device("cpu"))
    for step in range(60):
        d = innovations(1.7, 400, step)
        right = torch.ones(400, dtype=torch.bool)
        right[::20] = False  # 5 %
        scale = rescale(without, 0, d[right], *parts(380))
        wrong = d.where(right, 12.0 * (-1.0) ** torch.arange(400))
        assert rescale(memory, 0, wrong, *parts(400)) == pytest.approx(scale)
    assert scale == pytest.approx(1.7, rel=0.1)


def test_innovations_larger_than_the_last_scale_explains_raise_it() -> None:
    memory = unscaled(1, torch.device("cpu"))
    memory["scale"][0] = SCALES[0]
    assert rescale(memory, 0, innovations(3.0, 400, 0), *parts(400)) == pytest.approx(3, rel=0.2)


def test_exact_observations_of_cells_without_variance_leave_the_scale() -> None:
    memory = unscaled(1, torch.device("cpu"))
    zero = torch.zeros(5, dtype=torch.float64)
    assert rescale(memory, 0, zero, zero, zero) == 1.0
    assert rescale(memory, 0, innovations(1.0, 400, 0), *parts(400)) == pytest.approx(1, abs=0.5)
