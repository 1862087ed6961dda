"""Oracles: white noise, whose denoiser is that of a network of zeros; the posterior of white noise; the same draws."""

import pytest
import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.edm import EDM, GuidedEDM
from fieldcast.models.points import Points
from fieldcast.models.posterior_samplers import MMPS, Heun, RePaint, Target, noise_levels
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.stepped import Stepped
from tests.models.networks import disturbed

SMALL = {"channels": (8, 8), "patch": 1}


def build(kind, space, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(space, **{**SMALL, **options}).eval()


def context(space, count=3):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(count, *space.state_shape, generator=generator)
    mask = torch.rand(count, *space.state_shape, generator=generator) < 0.2
    return Context(count, observed=x * mask, mask=mask, day=torch.linspace(0, 1, count), noise=0.5)


def streams(count=3, members=4):
    return RandomStreams(0, torch.arange(count), members)


def test_a_network_of_zeros_denoises_white_noise(space):
    model, c = build(EDM, space), context(space)
    x, s = torch.randn(3, *space.state_shape), torch.tensor([1e-4, 1.0, 80.0])
    d = model.denoise(x, s, c.channels(space))
    assert torch.allclose(d, x / (1 + s**2).view(-1, 1, 1, 1), atol=1e-6)


def test_a_network_of_zeros_has_a_loss_of_1_on_white_noise(space):
    """The loss is the mean square error of F, whose target has variance 1 at every level of noise."""
    model, c = build(EDM, space), context(space, 40)
    white = torch.randn(40, *space.state_shape, generator=torch.Generator().manual_seed(3))
    assert float(model.loss(Batch(white, c), streams(40)).total.detach()) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("sampler", [MMPS(), RePaint(repeats=2)])
def test_guided_draws_equal_the_bare_sampler(space, sampler):
    """White noise: E[x | x_s] = x_s / (1 + s^2); the observations and their error are those of the context."""
    model, c, noise = build(GuidedEDM, space, sampler=sampler, levels=6), context(space), streams().per_row()
    rows = c.repeat(4)
    white = Target(
        lambda x, s: x / (1 + s**2),
        lambda: noise.normal(*space.state_shape)[:, 0],
        rows.observed,
        rows.mask,
        0.25,
    )
    *_, expected = sampler.trajectory(noise_levels(6), white)
    assert torch.allclose(model.sample(c, streams()).flatten(0, 1), expected, atol=1e-4)


def test_points_in_cells_guide_as_observations_of_these_cells(space):
    """Half of the observed cells as points, the others as cells: the same draws."""
    model, c = disturbed(build(GuidedEDM, space, levels=6)), context(space)
    datum, variable, y, x = c.mask.nonzero().unbind(1)
    chosen = torch.arange(len(datum)) % 2 == 0
    cells = (y * space.shape[1] + x)[chosen, None].expand(-1, 4)
    weights = torch.tensor([[0.25, 0.25, 0.25, 0.25]]).expand(len(cells), -1)
    values = c.observed[c.mask][chosen]
    points = Points(datum[chosen], variable[chosen], cells, weights, values, torch.full_like(values, 0.25))
    mask = c.mask.clone()
    mask[datum[chosen], variable[chosen], y[chosen], x[chosen]] = False
    mixed = Context(3, observed=c.observed * mask, mask=mask, day=c.day, noise=c.noise, points=points)
    assert model.accepts_points and not build(GuidedEDM, space, sampler=RePaint()).accepts_points
    assert torch.allclose(model.sample(mixed, streams()), model.sample(c, streams()), atol=1e-3)


@pytest.mark.parametrize("kind", [EDM, GuidedEDM])
def test_draws_of_the_prior_are_white_noise_for_a_network_of_zeros(space, kind):
    x = build(kind, space, levels=16).sample(
        Context(3, day=context(space).day) if kind is GuidedEDM else context(space), streams()
    )
    assert float(x.mean()) == pytest.approx(0, abs=0.05) and float(x.std()) == pytest.approx(1, abs=0.08)


def test_a_guided_diffusion_learns_no_mask(space):
    model, c = disturbed(build(GuidedEDM, space)), context(space)
    x = torch.randn(3, *space.state_shape)
    with_mask = model.loss(Batch(x, c), streams()).total
    assert torch.equal(with_mask, model.loss(Batch(x, Context(3, day=c.day)), streams()).total)
    with_mask.backward()
    assert all(weight.grad is not None for weight in model.parameters())
    assert model.evaluations == 35 * 4 and build(EDM, space).evaluations == 35


@pytest.mark.parametrize("kind", [EDM, GuidedEDM])
def test_a_draw_depends_on_its_datum_and_member_alone(space, kind):
    model, c = disturbed(build(kind, space, levels=4)), context(space)
    x = model.sample(c, streams())
    alone = model.sample(c[torch.tensor([2])], RandomStreams(0, torch.tensor([2]), 4))
    assert torch.allclose(x[2:], alone, atol=1e-4)
    assert not torch.allclose(x[:, 0], x[:, 1])


def test_missing_cells_stay_at_the_climatology(space):
    holes = torch.rand(space.shape, generator=torch.Generator().manual_seed(0)) < 0.2
    model = disturbed(build(EDM, space.replace(exists=~holes), levels=4))
    assert (model.sample(context(space), streams())[..., holes] == 0).all()


def test_a_forecast_is_drawn_step_by_step(space):
    inner = disturbed(build(EDM, space, history=2, levels=4, sampler=Heun()))
    model = Stepped(space, inner)
    past = torch.randn(3, 2, *space.state_shape)
    c = Context(3, past=past, day=torch.zeros(3))
    model.loss(Batch(torch.randn(3, *space.state_shape), c), streams()).total.backward()
    x = model.sample(c, streams())
    expected = past[:, None, -1] + model.scale * inner.sample(c, streams())
    assert torch.allclose(x, expected, atol=1e-4) and model.evaluations == 7
