import math
from typing import get_args

import pytest
import torch

from fieldcast.models.image_transforms import (
    bits_per_dim,
    fixed_streams,
    grey_values,
    log_jacobian,
    treat,
)
from fieldcast.models.options import Treatment
from fieldcast.models.random_streams import RandomStreams


def images(count=4, levels=256):
    return torch.randint(levels, (count, 1, 5, 6), generator=torch.Generator().manual_seed(0)).float()


def test_dynamic_binarisation_is_new_at_each_step_and_right_on_average():
    v = images(3)
    drawn = torch.stack(
        [treat(v, "bernoulli", 256, RandomStreams(0, torch.arange(3), step=s)) for s in range(2000)]
    )
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.allclose(drawn.mean(0), v / 255, atol=0.06)


def test_scored_data_are_binarised_once():
    v = images()
    first, second = (
        treat(v, "bernoulli", 256, fixed_streams(RandomStreams(seed, torch.arange(4), step=seed)))
        for seed in (1, 2)
    )
    assert torch.equal(first, second)
    alone = treat(v[2:3], "bernoulli", 256, fixed_streams(RandomStreams(5, torch.tensor([2]))))
    assert torch.equal(alone, first[2:3])


def test_a_threshold_of_one_half():
    v = torch.tensor([0.0, 127, 128, 255]).view(1, 1, 2, 2)
    assert treat(v, "threshold", 256, RandomStreams(0, torch.zeros(1).long())).flatten().tolist() == [
        0,
        0,
        1,
        1,
    ]


@pytest.mark.parametrize("treatment", get_args(Treatment))
def test_grey_values_come_back(treatment):
    v = images(levels=17)
    x = treat(v, treatment, 17, RandomStreams(0, torch.arange(4)))
    low = -1 if treatment == "symmetric" else 0
    assert low <= x.min() <= x.max() <= 1
    if treatment not in ("threshold", "bernoulli"):
        assert (grey_values(x, treatment, 17) - v).abs().max() <= 0.5


@pytest.mark.parametrize("treatment", ["dequantised", "symmetric"])
def test_data_that_are_uniform_cost_eight_bits(treatment):
    """The density of x is one over the width of its interval: every v has probability 1 / 256."""
    width = {"dequantised": 1, "symmetric": 2}[treatment]
    log_prob = torch.tensor(-30 * math.log(width))
    assert float(bits_per_dim(log_prob, 30, treatment, 256)) == pytest.approx(8)


def test_the_jacobian_is_that_of_autograd():
    for treatment in ("grey", "dequantised", "symmetric"):
        v = images()[:1].requires_grad_()
        x = treat(v, treatment, 256, RandomStreams(0, torch.zeros(1).long()))
        (slope,) = torch.autograd.grad(x.sum(), v)
        assert torch.allclose(slope.log(), torch.tensor(log_jacobian(treatment, 256)))
