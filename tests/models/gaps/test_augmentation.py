"""Completed records: the variance of drawn values, whatever the variance of the draws."""

import pytest
import torch

from fieldcast.models.gaps.augmentation import restored_variance


@pytest.mark.parametrize("size", [0.3, 1.0, 2.0])
def test_drawn_values_have_the_variance_of_observed_ones(size: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mean = 0.5 * torch.randn(80, 20, generator=generator)
    drawn = mean + size * torch.randn(80, 20, generator=generator)
    missing, variance = torch.rand(80, 20, generator=generator) < 0.6, torch.linspace(0.5, 2.0, 20)
    values = restored_variance(mean, drawn, missing, variance)
    expected = variance.expand_as(missing)[missing].sum()
    assert float(values[missing].square().sum()) == pytest.approx(float(expected), rel=1e-4)
    ratio = (values - mean) / (drawn - mean)
    assert float(ratio.std()) < 1e-3  # one factor for all


def test_means_of_more_than_the_observed_variance_are_not_scaled() -> None:
    mean = torch.full((4, 2), 2.0)
    drawn = mean + torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    everything = torch.ones(4, 2, dtype=torch.bool)
    assert torch.equal(restored_variance(mean, drawn, everything, torch.ones(2)), mean)
    assert torch.equal(restored_variance(mean, mean, everything, torch.ones(2)), mean)
