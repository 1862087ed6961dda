import pytest
import torch

from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Context, Trained
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.run import initial_model


class Walk(Trained):
    """x = last state + e, e ~ N(0, 1) the same in every cell."""

    history = 1

    def loss(self, batch, draws):
        pytest.fail("a walk is not trained")

    def sample(self, c, draws):
        return c.base()[:, None] + draws.normal(1, 1, 1)


class Biased(Walk):
    """x = last state + e, e ~ N(0, 1) the same in every cell and at every lead."""

    def sample(self, c, draws):
        return c.base()[:, None] + draws.persistent().normal(1, 1, 1)


def start(space, rows=3, history=1):
    generator = torch.Generator().manual_seed(0)
    past = torch.randn(rows, history, *space.state_shape, generator=generator)
    return Context(rows, past=past, day=torch.linspace(0, 0.9, rows))


def run(model, c, members, steps, starts=None, **options):
    starts = torch.arange(c.count) if starts is None else starts
    streams = RandomStreams(7, starts, members)
    return [x for x, _ in rollout(model, c.repeat(members), streams, steps, **options)]


def test_a_random_walk_is_the_sum_of_its_steps(world):
    model, c = Walk(world.space), start(world.space)
    x = run(model, c, 4, 5)
    noise = sum(RandomStreams(7, torch.arange(3), 4).at_lead(t).normal(1, 1, 1) for t in range(1, 6))
    assert torch.allclose(x[-1], c.base()[:, None] + noise, atol=1e-5)


def test_persistent_numbers_are_equal_at_every_step_of_a_rollout(world):
    model, c = Biased(world.space), start(world.space)
    x = run(model, c, 4, 5)
    assert torch.allclose(
        x[-1],
        c.base()[:, None] + 5 * RandomStreams(7, torch.arange(3), 4).persistent().normal(1, 1, 1),
        atol=1e-5,
    )


def test_members_do_not_depend_on_what_else_is_in_the_batch(world):
    model = initial_model(
        {"type": "vae.ConditionalVAE", "history": 1, "latent": 5, "random": 1}, world.space, 0
    ).eval()
    with torch.no_grad():
        c = start(world.space)
        together, alone = run(model, c, 4, 1), run(model, c[torch.tensor([2])], 4, 1, torch.tensor([2]))
        fewer = run(model, c, 2, 1)
    assert torch.allclose(together[0][2:], alone[0], atol=1e-5)
    assert torch.allclose(together[0][:, :2], fewer[0], atol=1e-5)


def test_a_rollout_resumes_from_any_step_to_the_same_numbers(world):
    c, draws = start(world.space), RandomStreams(7, torch.arange(3), 4)
    for model in (Walk(world.space), Biased(world.space)):
        whole = list(rollout(model, c.repeat(4), draws, 6))
        later = list(rollout(model, whole[2][1], draws, 3, first=4))
        assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[3:], later, strict=True))


def test_the_mean_fed_on_keeps_members_within_one_step_of_each_other(world):
    model, c = Walk(world.space), start(world.space)
    fed, free = run(model, c, 100, 30, feedback="mean"), run(model, c, 100, 30)
    assert float(fed[-1].std(dim=1).mean()) == pytest.approx(1, abs=0.2)
    assert float(free[-1].std(dim=1).mean()) == pytest.approx(30**0.5, rel=0.2)


def test_the_day_moves_on_and_the_year_begins_again(world):
    model, c = Walk(world.space.replace(step=24.0)), start(world.space)
    *_, (_, records) = rollout(model, c.repeat(2), RandomStreams(0, torch.arange(3), 2), 365 + 73)
    away = (records.day - c.repeat(2).day - 0.2 + 0.5) % 1 - 0.5
    assert away.abs().max() < 1e-4 and records.day.max() < 1
