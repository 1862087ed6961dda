"""The adaptive scale of a background covariance, from innovations of known variance."""

import pytest
import torch

from fieldcast.models.assimilation.adaptive_scale import LARGEST_DEPARTURE, rescale, unscaled

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


def test_a_gross_error_counts_as_five_deviations() -> None:
    limit = LARGEST_DEPARTURE * (EXPECTED + ERROR) ** 0.5
    scales = []
    for gross in (limit, 1000.0):
        memory = unscaled(1, torch.device("cpu"))
        d = innovations(1.0, 400, 0)
        d[7] = gross
        scales.append(rescale(memory, 0, d, *parts(400)))
    assert scales[0] == pytest.approx(scales[1])


def test_exact_observations_of_cells_without_variance_leave_the_scale() -> None:
    memory = unscaled(1, torch.device("cpu"))
    zero = torch.zeros(5, dtype=torch.float64)
    assert rescale(memory, 0, zero, zero, zero) == 1.0
    assert rescale(memory, 0, innovations(1.0, 400, 0), *parts(400)) == pytest.approx(1, abs=0.5)
