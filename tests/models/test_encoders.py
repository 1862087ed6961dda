import pytest
import torch

from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context
from fieldcast.models.distributions import Laplace, Normal, Point
from fieldcast.models.random_streams import RandomStreams


def make(space, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build({"type": "encoders.Network", "latent": 3, **keywords}, space)


def batch(space, count=4):
    x = torch.randn(count, *space.state_shape, generator=torch.Generator().manual_seed(0))
    return Batch(x, Context(count))


@pytest.mark.parametrize(("family", "kind"), [("normal", Normal), ("laplace", Laplace), ("point", Point)])
@pytest.mark.parametrize("network", ["dense", "convolution"])
def test_both_networks_read_the_state_of_each_datum_alone(space, network, family, kind):
    encoder, data = make(space, kind=network, family=family), batch(space)
    q = encoder(data)
    assert isinstance(q, kind)
    assert q.mean.shape == (4, 3)
    alone = encoder(Batch(data.x[2:3], Context(1)))
    assert torch.allclose(alone.mean, q.mean[2:3], atol=1e-5)
    assert not torch.allclose(q.mean[0], q.mean[1])


def test_two_hidden_layers_of_512_with_relu(space):
    encoder, data = make(space), batch(space)
    first, second = encoder.features.layers
    assert first.out_features == second.out_features == second.in_features == 512
    h = torch.relu(second(torch.relu(first(data.x.flatten(1)))))
    assert torch.allclose(encoder(data).mean, encoder.mean(h))
    assert torch.allclose(encoder(data).deviation, encoder.log_scale(h).exp())


def test_inference_is_the_network(space):
    encoder, data = make(space), batch(space)
    assert torch.equal(encoder.infer(data, None, RandomStreams(0, torch.arange(4))).mean, encoder(data).mean)


def test_another_kind_is_named(space):
    with pytest.raises(ValueError, match="'recurrent' should be 'dense' or 'convolution'"):
        make(space, kind="recurrent")
