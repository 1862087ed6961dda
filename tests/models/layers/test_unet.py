import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.layers.unet import Mixing, UNet, whole_blocks


@pytest.mark.parametrize("shape", [(8, 16), (9, 13), (17, 33), (7, 4)])
def test_a_unet_takes_any_size_of_grid(shape):
    net = UNet(3, 2, shape, False, channels=(8, 16, 16), noise=4)
    assert net(torch.randn(2, 3, *shape), torch.randn(2, 4)).shape == (2, 2, *shape)


@pytest.mark.parametrize(("shape", "wraps"), [((28, 28), False), ((5, 7), True)])
def test_a_padded_unet_halves_every_level_exactly(shape, wraps, randomise):
    """The output equals that of the U-Net of the larger grid, given the extended input and cut to the grid."""
    net = randomise(UNet(3, 2, shape, wraps, channels=(8, 8, 8, 8, 8), noise=4, patch=1, padded=True))
    whole = tuple(-(-size // 16) * 16 for size in shape)
    assert net.coarsest == tuple(size // 16 for size in whole) and net.position.shape[1:] == whole
    plain = UNet(3, 2, whole, wraps, channels=(8, 8, 8, 8, 8), noise=4, patch=1)
    plain.load_state_dict(net.state_dict())
    x, noise = torch.randn(2, 3, *shape), torch.randn(2, 4)
    expected = plain(whole_blocks(x, 16, wraps), noise)[..., : shape[0], : shape[1]]
    assert torch.equal(net(x, noise), expected) and expected.abs().max() > 0.01


def test_a_unet_starts_as_no_correction_and_learns():
    net, x = UNet(3, 2, (8, 16), True, channels=(8, 16)), torch.randn(4, 3, 8, 16)
    assert not net(x).any()
    (net(x) - 1).square().mean().backward()
    assert net.last.convolution.weight.grad.abs().sum() > 0


def test_noise_changes_what_a_unet_gives(randomise):
    net, x = randomise(UNet(3, 2, (8, 16), True, channels=(8, 16), noise=4)), torch.randn(2, 3, 8, 16)
    assert not torch.allclose(net(x, torch.zeros(2, 4)), net(x, torch.ones(2, 4)), atol=1e-4)


@pytest.mark.parametrize("shape", [(8, 96), (7, 97)])
def test_a_field_of_noise_acts_where_it_is(shape, randomise):
    """Two blocks at the coarsest level reach four of its cells of 4 x 4, those above six cells more; what is farther
    sees the noise by the mean and variance of a normalisation alone."""
    net, x = randomise(UNet(3, 2, shape, False, channels=(8, 16), fields=4)), torch.randn(1, 3, *shape)
    torch.nn.init.zeros_(net.mixing.dense.weight)
    fields = torch.randn(1, 4, *net.coarsest)
    other = fields.clone()
    other[..., -1] += 1
    change = (net(x, fields=fields) - net(x, fields=other)).detach().abs().amax(dim=(0, 1, 2))
    assert change[-4:].max() > 20 * change[:-28].max()


def test_mixing_joins_the_farthest_cells(randomise):
    mixing = randomise(Mixing(8, 12))
    x = torch.randn(1, 8, 3, 4, requires_grad=True)
    mixing(x)[0, 0, 0, 0].backward()
    assert (x.grad[0, 0].abs() > 0).all()


def test_patches_of_an_odd_grid_go_on_round_the_globe_where_it_wraps() -> None:
    x = torch.arange(15.0).reshape(1, 1, 3, 5)
    around, inside = (whole_blocks(x, 4, wraps)[0, 0] for wraps in (True, False))
    assert around.shape == inside.shape == (4, 8)
    assert torch.equal(around[:3, 5:], x[0, 0, :, :3]) and torch.equal(around[3], around[2])
    assert torch.equal(inside[:3, 5:], x[0, 0, :, 4:].expand(3, 3)) and torch.equal(inside[3], inside[2])
    assert torch.equal(around[:3, :5], x[0, 0]) and torch.equal(inside[:3, :5], x[0, 0])


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"channels": (8, 20)}, r"model.channels = \[8, 20\] should be multiples of 8"),
        ({"channels": ()}, r"model.channels = \[\] should be"),
        ({"patch": 0}, "model.patch = 0 should be 1 to 4"),
        ({"patch": 5}, "model.patch = 5 should be 1 to 4"),
    ],
)
def test_a_unet_that_cannot_be_built_is_refused(options: dict, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        UNet(3, 2, (4, 16), True, **options)
