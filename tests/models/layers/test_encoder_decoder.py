import pytest
import torch

from fieldcast.models.layers.grid_convolutions import ConvDecoder, ConvEncoder, halved_shape


@pytest.mark.parametrize("shape", [(8, 16), (9, 13), (17, 33), (7, 4)])
def test_encoder_and_decoder_take_any_size_of_grid(shape):
    features = ConvEncoder(3, shape, True)(torch.randn(2, 3, *shape))
    y, x = halved_shape(shape, 2)
    assert features.shape == (2, 64 * y * x)
    for upsample in ("transposed", "nearest"):
        decoder = ConvDecoder(5, 2, shape, wraps=True, upsample=upsample)
        assert decoder(torch.randn(2, 5)).shape == (2, 2, *shape)


def test_sizes_are_those_of_the_report():
    """32 and 64 channels, stride 2; a latent of 200 on 64 x 32 cells of four variables."""
    encoder = ConvEncoder(8, (32, 64), True)
    assert [layer.convolution.out_channels for layer in encoder.layers] == [32, 64]
    assert encoder.features == 64 * 8 * 16
