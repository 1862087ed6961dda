import numpy as np
import pytest
import torch
import xarray as xr
from scores.probability import crps_for_ensemble

from fieldcast.models.layers.crps import fair_crps


@pytest.mark.parametrize("members", [1, 2, 3, 10])
def test_the_crps_equals_an_independent_librarys(members):
    generator = torch.Generator().manual_seed(members)
    draws, truth = torch.randn(5, members, 4, generator=generator), torch.randn(5, 4, generator=generator)
    ours = fair_crps(draws, truth)
    if members == 1:
        expected = (draws[:, 0] - truth).abs().numpy()
    else:
        reference = crps_for_ensemble(
            xr.DataArray(draws.numpy(), dims=("b", "m", "x")), xr.DataArray(truth.numpy(), dims=("b", "x")),
            "m", method="fair", preserve_dims="all",
        )  # fmt: skip
        expected = reference.values
    np.testing.assert_allclose(ours.numpy(), expected, atol=2e-6)


def test_its_expectation_does_not_depend_on_the_number_of_members():
    """Expectation for x, y ~ N(0, 1): it is E|x - y| - E|x - x'| / 2 = 1 / sqrt(pi), fair for any M."""
    generator = torch.Generator().manual_seed(0)
    for members in (2, 5):
        draws, truth = (
            torch.randn(100_000, members, generator=generator),
            torch.randn(100_000, generator=generator),
        )
        assert float(fair_crps(draws, truth).mean()) == pytest.approx(np.pi**-0.5, abs=0.006)


def test_gradients_match_the_definition():
    draws = torch.randn(
        3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True
    )
    assert torch.autograd.gradcheck(lambda d: fair_crps(d, torch.zeros(3, 2, dtype=torch.float64)), draws)
