"""Oracles: the linear inverse model, where the network is zero; a known distribution; the same seed twice."""

import pytest
import torch

from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Batch, Context
from fieldcast.models.corrected_dynamics import CorrectedDynamics
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.stepped import Stepped
from tests.models.networks import disturbed

MEMBERS = 3


def weather(space, count=300):
    """A red series of smooth waves: what the linear model is fitted to."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.randn(12, *space.state_shape, generator=generator)
    a, states = torch.zeros(12), []
    for _ in range(count):
        a = 0.8 * a + 0.6 * torch.randn(12, generator=generator)
        states.append((a[:, None, None, None] * patterns).sum(0) / 12**0.5)
    return torch.stack(states)


@pytest.fixture
def base(space):
    x = weather(space)
    past = torch.stack([x[:-2], x[1:-1]], dim=1)
    c = Context(len(past), past=past, day=torch.zeros(len(past)))
    model = LinearInverseModel(space)
    model.solve([Batch(x[2:], c, index=torch.arange(2, len(x)))])
    model.choose(truncation=8.0, states=2.0)  # leaves a residual, which is drawn too
    return model


def build(space, base):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CorrectedDynamics(space, base, noise=4, channels=(8, 16))


def context(space, count=3):
    x = weather(space)
    return Context(
        count, past=torch.stack([x[:count], x[1 : count + 1]], dim=1), day=torch.linspace(0, 1, count)
    )


def streams(count=3, seed=0):
    return RandomStreams(seed, torch.arange(count), MEMBERS)


def test_the_mean_of_the_linear_model_is_its_deterministic_forecast(space, base):
    c = context(space)
    mean = base.mean(c)
    base.deterministic = True
    assert torch.equal(base.sample(c, streams())[:, 1], mean)
    base.deterministic = False
    many = RandomStreams(0, torch.arange(3), 4000)
    assert torch.allclose(base.sample(c, many).mean(dim=1), mean, atol=0.15)


def test_a_zero_network_gives_the_linear_inverse_model(space, base):
    """Draws over a rollout, and so their mean, are those of the base from the same numbers."""
    model, c = Stepped(space, build(space, base)), context(space)
    x = model.sample(c, streams())
    records = c.repeat(MEMBERS)
    expected = base.sample(records, streams().per_row().fork(0))[:, 0].unflatten(0, (3, MEMBERS))
    assert torch.allclose(x, expected, atol=1e-5)
    assert x.std(dim=1).min() > 0


def test_the_gain_scales_deviations_and_the_shift_moves_the_mean(space, base):
    """x = m + (d - m) e^g + s M for constant g and M, by hand; a g beyond 1 counts as 1."""
    model, c = build(space, base), context(space)
    variables, patch = len(space.variables), model.network.patch**2
    for g, used in ((-0.5, -0.5), (3.0, 1.0)):
        bias = torch.cat([torch.full((variables * patch,), g), torch.full((variables * patch,), 0.25)])
        model.network.last.convolution.bias.data = bias
        x = c.base()[:, None] + model.scale * model.sample(c, streams())
        m, d = base.mean(c)[:, None], base.sample(c, streams().fork(0))
        expected = m + (d - m) * torch.tensor(used).exp() + 0.25 * space.tendency[:, None, None]
        assert torch.allclose(x, expected, atol=1e-5)


def test_only_the_network_is_trained_and_by_the_fair_crps_of_its_draws(space, base):
    model, c = disturbed(build(space, base)), context(space)
    truth = weather(space)[2:5]
    drawn = model.sample(c, streams())
    total = model.loss(Batch(truth, c), streams()).total
    expected = (fair_crps(drawn, truth) * space.area).mean()
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    total.backward()
    assert {name.split(".")[0] for name, _ in model.named_parameters()} == {"network"}
    assert all(weight.grad is not None for weight in model.parameters())


def test_a_rollout_is_trained_through_and_resumes_bit_for_bit(space, base):
    """Four leads at once equal two leads, and two more from the states that these left."""
    model, c = Stepped(space, disturbed(build(space, base)), filter_order=4), context(space).repeat(MEMBERS)
    truth = torch.stack([weather(space)[start + 2 : start + 5] for start in range(3)])
    model.loss(Batch(truth, context(space), pushforward=1), streams()).total.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    with torch.no_grad():
        whole = [x for x, _ in rollout(model, c, streams(), 4)]
        first = list(rollout(model, c, streams(), 2))
        rest = [x for x, _ in rollout(model, first[-1][1], streams(), 2, first=3)]
    assert all(torch.equal(x, y) for x, y in zip(whole, [x for x, _ in first] + rest, strict=True))


def test_a_draw_depends_on_its_datum_and_member_alone(space, base):
    model, c = disturbed(build(space, base)), context(space)
    x = model.sample(c, streams())
    alone = model.sample(c[torch.tensor([2])], RandomStreams(0, torch.tensor([2]), MEMBERS))
    assert torch.allclose(x[2:], alone, atol=1e-5)
    assert not torch.allclose(x[:, 0], x[:, 1])


def test_half_precision_is_for_the_network_alone(space, base):
    """The operators of the base, which are computed once, stay in single precision."""
    x = weather(space, count=4)
    c = Context(2, past=torch.stack([x[:2], x[1:3]], dim=1), day=torch.zeros(2))
    with torch.autocast("cpu", torch.bfloat16):
        build(space, base).loss(Batch(x[2:], c), RandomStreams(0, torch.arange(2), MEMBERS))
    assert base.operators().L.dtype == torch.float32
