import pytest
import torch

from fieldcast.models.configuration import build
from fieldcast.models.core import Context


def make(space, kind, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build({"type": f"decoders.{kind}", "latent": 5, **keywords}, space).eval()


def codes(count=2, members=3):
    return torch.randn(count, members, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["DenseDecoder", "ConvolutionDecoder", "TransposedDecoder"])
@pytest.mark.parametrize("shape", [(9, 16), (17, 33), (8, 8), (7, 5)])
def test_any_size_of_state_and_each_code_alone(sized, kind, shape):
    decoder, z = make(sized(2, *shape), kind), codes()
    x = decoder(z, Context(2))
    assert x.shape == (2, 3, 2, *shape)
    assert torch.allclose(decoder(z[1:, 2:], Context(1)), x[1:, 2:], atol=1e-5)
    assert not torch.allclose(x[0, 0], x[0, 1])


def test_the_reports_decoder_on_images_of_28(sized):
    """100 -> 128 (7 x 7) -> 64 (4 x 4, stride 2, padding 1) -> 1, then Linear(784 -> 784)."""
    with torch.random.fork_rng():
        decoder = build({"type": "decoders.TransposedDecoder"}, sized(1, 28, 28, wraps=False))
    sizes, x = [], torch.zeros(2, 100, 1, 1)
    for layer in decoder.convolutions:
        x = layer(x)
        sizes.append((type(layer).__name__, *x.shape[1:]))
    assert sizes == [
        ("ConvTranspose2d", 128, 7, 7), ("BatchNorm", 128, 7, 7), ("ReLU", 128, 7, 7),
        ("ConvTranspose2d", 64, 14, 14), ("BatchNorm", 64, 14, 14), ("ReLU", 64, 14, 14),
        ("ConvTranspose2d", 1, 28, 28), ("Sigmoid", 1, 28, 28),
    ]  # fmt: skip
    assert decoder.linear.weight.shape == (784, 784)


def test_where_a_linear_layer_does_not_fit_each_cell_has_a_scale_and_a_shift(space):
    small = make(space, "TransposedDecoder", largest=100)
    assert small.linear is None
    with torch.no_grad():
        small.shift += 2
        before = small(codes(), Context(2))
        small.scale *= 0
    assert torch.equal(small(codes(), Context(2)), torch.full_like(before, 2))
