import pytest
import torch

from fieldcast.models.layers.encoder_decoder import ConvDecoder, ConvEncoder
from fieldcast.models.layers.grid_convolutions import GridConv, GridNearest, GridTranspose, halved, pad
from fieldcast.models.layers.unet import Mixing, UNet


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def randomise(module):
    """Layers that start at zero would make tests of them empty."""
    for p in module.parameters():
        torch.nn.init.normal_(p, std=0.1)
    return module


def test_padding_goes_round_the_globe_and_stops_at_the_edge_of_a_region():
    x = torch.arange(6.0).view(1, 1, 2, 3)
    assert pad(x, 1, True)[0, 0, 1].tolist() == [2, 0, 1, 2, 0]
    assert pad(x, 1, False)[0, 0, 1].tolist() == [0, 0, 1, 2, 2]
    assert torch.equal(pad(x, 1, True)[0, 0, 0], pad(x, 1, True)[0, 0, 1])


def test_convolutions_commute_with_rotation_where_longitude_wraps_and_only_there():
    x = torch.randn(1, 2, 5, 8)
    wrapped, cut = randomise(GridConv(2, 3, True)), randomise(GridConv(2, 3, False))
    assert torch.allclose(wrapped(x.roll(3, -1)), wrapped(x).roll(3, -1), atol=1e-6)
    assert not torch.allclose(cut(x.roll(3, -1)), cut(x).roll(3, -1), atol=1e-3)


@pytest.mark.parametrize("refine", [GridTranspose, GridNearest])
def test_refining_commutes_with_rotation_where_longitude_wraps_and_only_there(refine):
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


def test_the_nearest_value_of_an_even_field_leaves_no_checkerboard():
    """Odena et al. (2016): whatever the weights, a constant stays one; transposed convolutions make a pattern of it."""
    x = torch.ones(16, 2, 12, 12) * torch.randn(16, 2, 1, 1)
    assert chequer(randomise(GridNearest(2, 3, False))(x)) < 1e-9
    assert chequer(randomise(GridTranspose(2, 3, False))(x)) > 0.01


@pytest.mark.parametrize("shape", [(8, 16), (9, 13), (17, 33), (7, 4)])
def test_any_size_of_grid(shape):
    features = ConvEncoder(3, shape, True)(torch.randn(2, 3, *shape))
    y, x = halved(shape, 2)
    assert features.shape == (2, 64 * y * x)
    for upsample in ("transposed", "nearest"):
        decoder = ConvDecoder(5, 2, shape, wraps=True, upsample=upsample)
        assert decoder(torch.randn(2, 5)).shape == (2, 2, *shape)
    assert UNet(3, 2, shape, False, channels=(8, 16, 16), noise=4)(
        torch.randn(2, 3, *shape), torch.randn(2, 4)
    ).shape == (2, 2, *shape)


def test_the_reports_sizes():
    """32 and 64 channels, stride 2; a latent of 200 on 64 x 32 cells of four variables."""
    encoder = ConvEncoder(8, (32, 64), True)
    assert [layer.convolution.out_channels for layer in encoder.layers] == [32, 64]
    assert encoder.features == 64 * 8 * 16


def test_a_unet_starts_as_no_correction_and_learns():
    net, x = UNet(3, 2, (8, 16), True, channels=(8, 16)), torch.randn(4, 3, 8, 16)
    assert not net(x).any()
    (net(x) - 1).square().mean().backward()
    assert net.last.convolution.weight.grad.abs().sum() > 0


def test_noise_changes_what_a_unet_gives():
    net, x = randomise(UNet(3, 2, (8, 16), True, channels=(8, 16), noise=4)), torch.randn(2, 3, 8, 16)
    assert not torch.allclose(net(x, torch.zeros(2, 4)), net(x, torch.ones(2, 4)), atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 96), (7, 97)])
def test_a_field_of_noise_acts_where_it_is(shape):
    """Two blocks at the coarsest level reach four of its cells of 4 x 4, those above six cells more; what is farther
    sees the noise by the mean and variance of a normalisation alone."""
    net, x = randomise(UNet(3, 2, shape, False, channels=(8, 16), fields=4)), torch.randn(1, 3, *shape)
    torch.nn.init.zeros_(net.mixing.dense.weight)
    fields = torch.randn(1, 4, *net.coarsest)
    other = fields.clone()
    other[..., -1] += 1
    change = (net(x, fields=fields) - net(x, fields=other)).detach().abs().amax(dim=(0, 1, 2))
    assert change[-4:].max() > 20 * change[:-28].max()


def test_mixing_joins_the_farthest_cells():
    mixing = randomise(Mixing(8, 12))
    x = torch.randn(1, 8, 3, 4, requires_grad=True)
    mixing(x)[0, 0, 0, 0].backward()
    assert (x.grad[0, 0].abs() > 0).all()
