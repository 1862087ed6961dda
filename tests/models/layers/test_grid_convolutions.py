import pytest
import torch
import torch.nn.functional as F

from fieldcast.models.layers.grid_convolutions import GridConv, GridNearest, GridTranspose, pad


@pytest.mark.parametrize("wraps", [False, True])
@pytest.mark.parametrize("shape", [(7, 6), (1, 2)])
def test_padding_and_its_gradient_are_those_of_torch(wraps, shape):
    x = torch.randn(2, 3, *shape, requires_grad=True, generator=torch.Generator().manual_seed(0))
    mode = "circular" if wraps else "replicate"
    expected = F.pad(F.pad(x, (1, 1, 0, 0), mode=mode), (0, 0, 1, 1), mode="replicate")
    assert torch.equal(pad(x, 1, wraps), expected)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    ours, theirs = (torch.autograd.grad(y, x, weight)[0] for y in (pad(x, 1, wraps), expected))
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours, theirs) or shape == (1, 2)  # where three terms are summed in another order


def test_padding_goes_round_the_globe_and_stops_at_the_edge_of_a_region():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert pad(x, 1, True)[0, 0, 1].tolist() == [2, 0, 1, 2, 0]
    assert pad(x, 1, False)[0, 0, 1].tolist() == [0, 0, 1, 2, 2]
    assert torch.equal(pad(x, 1, True)[0, 0, 0], pad(x, 1, True)[0, 0, 1])


def test_convolutions_commute_with_rotation_where_longitude_wraps_and_only_there(randomise):
    x = torch.randn(1, 2, 5, 8)
    wrapped, cut = randomise(GridConv(2, 3, True)), randomise(GridConv(2, 3, False))
    assert torch.allclose(wrapped(x.roll(3, -1)), wrapped(x).roll(3, -1), atol=1e-6)
    assert not torch.allclose(cut(x.roll(3, -1)), cut(x).roll(3, -1), atol=1e-3)


@pytest.mark.parametrize("refine", [GridTranspose, GridNearest])
def test_refining_commutes_with_rotation_where_longitude_wraps_and_only_there(refine, randomise):
    x = torch.randn(1, 2, 5, 8)
    wrapped, cut = randomise(refine(2, 3, True)), randomise(refine(2, 3, False))
    cut.load_state_dict(wrapped.state_dict())
    assert torch.allclose(wrapped(x.roll(3, -1)), wrapped(x).roll(6, -1), atol=1e-6)
    assert not torch.allclose(cut(x.roll(3, -1)), cut(x).roll(6, -1), atol=1e-3)
    assert torch.allclose(
        wrapped(x)[..., 1:-1], cut(x)[..., 1:-1], atol=1e-6
    )  # they differ at the seam alone


def chequer(x):
    """Share of the variance of inner cells that is their sign along both diagonals of every 2 x 2 block."""
    x = x[..., 4:-4, 4:-4]
    sign = (-1.0) ** (torch.arange(x.shape[-2])[:, None] + torch.arange(x.shape[-1]))
    return ((x * sign).mean((-2, -1)) ** 2 / x.square().mean((-2, -1))).mean()


def test_the_nearest_value_of_an_even_field_leaves_no_checkerboard(randomise):
    """Odena et al. (2016): whatever the weights, a constant stays one; transposed convolutions make a pattern of it."""
    x = torch.ones(16, 2, 12, 12) * torch.randn(16, 2, 1, 1)
    assert chequer(randomise(GridNearest(2, 3, False))(x)) < 1e-9
    assert chequer(randomise(GridTranspose(2, 3, False))(x)) > 0.01
