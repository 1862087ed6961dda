"""Replicas draw what the model draws alone; several on one processor stand for several GPUs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.inference.reconstruct import draw as reconstructions
from fieldcast.inference.samples.sets import draw_states
from fieldcast.models.assimilation import filter as filters
from fieldcast.models.assimilation.baselines import EachStep
from fieldcast.models.assimilation.by_fraction import ByFraction
from fieldcast.models.assimilation.filter import CycleState, Filter, cycle
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context, Solved
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.replicas import draw, replicate
from fieldcast.training.run import initial_model

CPU = torch.device("cpu")
VAE = {"type": "vae.ConditionalVAE", "history": 1, "latent": 5, "random": 1}


class Walk(Solved):
    """x = last state + e + the sum of the observations between cells, e ~ N(0, 1) in every cell."""

    history = 1
    shares: ClassVar[list[tuple[int, bool]]] = []  # number of contexts, and whether gradients are kept
    # meeting point of shares that are drawn at the same time
    meeting: ClassVar[threading.Barrier | None] = None

    def solve(self, training: Any) -> None:
        """Fit nothing."""

    def sample(self, c: Context, streams: RandomStreams) -> Tensor:
        self.shares.append((c.count, torch.is_grad_enabled()))
        if self.meeting:
            self.meeting.wait(timeout=10)
        noise = streams.normal(*self.space.state_shape) + streams.fork(3).normal(1, 1, 1)
        x = c.base()[:, None] + noise
        if c.points is not None:
            x = x + torch.zeros(c.count).index_add(0, c.points.datum, c.points.y)[:, None, None, None, None]
        return x


@pytest.fixture
def shares(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    monkeypatch.setattr(Walk, "shares", [])
    return Walk.shares


def context(space: Any, rows: int = 7) -> Context:
    past = torch.randn(rows, 1, *space.state_shape, generator=torch.Generator().manual_seed(0))
    datum = torch.tensor([0, 3, 3, 6])
    points = Points(
        datum, 0 * datum, torch.zeros(4, 4, dtype=torch.long), torch.full((4, 4), 0.25),
        torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.zeros(4),
    )  # fmt: skip
    return Context(rows, past=past, day=torch.linspace(0, 0.9, rows), points=points)


def test_shares_are_drawn_at_the_same_time_and_have_the_same_bits(
    space: Any, shares: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, c, streams = Walk(space), context(space), RandomStreams(7, torch.arange(7), 4)
    with torch.no_grad():
        alone = draw(model, c, streams)
        monkeypatch.setattr(Walk, "meeting", threading.Barrier(3))
        shared = RandomStreams(7, torch.arange(7), 4)
        assert torch.equal(draw(replicate(model, [CPU] * 3), c, shared), alone)
    assert shared.call == streams.call == 1  # what is drawn next does not depend on it either
    assert sorted(shares[1:]) == [(2, False), (2, False), (3, False)]
    monkeypatch.setattr(Walk, "meeting", threading.Barrier(2))
    assert torch.equal(draw(model, c[slice(0, 2)], RandomStreams(7, torch.arange(2), 4)), alone[:2])


def test_rollouts_and_reconstructions_do_not_depend_on_the_number_of_devices(space: Any, shares: Any) -> None:
    c = context(space)
    filled, rolled = [], []
    for devices in ([CPU], [CPU, CPU]):
        model = replicate(Walk(space), devices)
        filled.append(reconstructions(model, c, 3, seed=1))
        starts = RandomStreams(7, torch.arange(7), 2)
        steps = list(rollout(model, Context(7, past=c.past, day=c.day).repeat(2), starts, 4))
        rolled.append(torch.stack([x for x, _ in steps]))
    assert torch.equal(*filled) and torch.equal(*rolled)
    assert sorted(count for count, _ in shares if count < 7) == [3, 4]


def hybrid(space: Any) -> Hybrid:
    filter = Hybrid(space)
    filter.fill_pool(torch.randn(20, *space.state_shape, generator=torch.Generator().manual_seed(1)))
    return filter


@pytest.mark.parametrize("kind", [hybrid, lambda space: ByFraction(space, hybrid(space), [0.1, 0.4]), LETKF])
def test_cycles_do_not_depend_on_the_number_of_devices(
    space: Any, kind: Callable[[Any], Filter], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven cycles, each with masks of its own; a replica updates two or three of them."""
    shares: list[int] = []
    monkeypatch.setattr(filters, "move_to", lambda c, _: shares.append(getattr(c, "count", 0)) or c)
    mask = torch.rand(3, 7, *space.state_shape, generator=torch.Generator().manual_seed(2)) < 0.2
    contexts = [Context(7, observed=m * 1.0, mask=m, day=torch.linspace(0, 0.9, 7), noise=0.3) for m in mask]
    past = torch.randn(7, 6, 1, *space.state_shape, generator=torch.Generator().manual_seed(3))

    def decay(c: Context, streams: RandomStreams) -> Tensor:
        return 0.8 * c.states()

    def analyses(filter: Filter) -> Tensor:
        state, draws = CycleState(past, filter.begin(7)), RandomStreams(5, torch.arange(7), 6)
        return torch.stack([step.analysis for step in cycle(filter, decay, contexts, state, draws)])

    alone, together = (analyses(replicate(kind(space), devices)) for devices in ([CPU], [CPU] * 3))
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert sorted(count for count in shares if count) == [2] * 6 + [3] * 3


def test_analyses_of_each_time_by_itself_are_drawn_on_all_devices(space: Any, shares: Any) -> None:
    filter, c = EachStep(replicate(Walk(space), [CPU] * 2)), context(space)
    filter.update(torch.zeros(7, 3, *space.state_shape), c, {}, RandomStreams(7, torch.arange(7), 3))
    assert sorted(count for count, _ in shares) == [3, 4]


def test_networks_agree_up_to_rounding(world: Any) -> None:
    model = initial_model(VAE, world.space, 0).eval()
    c = Context(5, past=torch.randn(5, 1, *world.space.state_shape), day=torch.linspace(0, 0.9, 5))
    with torch.no_grad():
        alone, together = (
            draw(replicate(model, devices), c, RandomStreams(0, torch.arange(5), 2))
            for devices in ([CPU], [CPU, CPU])
        )
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_replicas_take_no_part_in_what_a_model_is(world: Any) -> None:
    model = initial_model(VAE, world.space, 0)
    names, facts = list(model.state_dict()), model.facts
    model = replicate(replicate(model, [CPU] * 3), [CPU] * 2)
    assert len(model.replicas) == 1 and not model.replicas[0].replicas
    assert list(model.state_dict()) == names and model.facts == facts
    assert draw_states(replicate(Constant(world.space), [CPU] * 2), 5, 0).shape[0] == 5


class Constant(Walk):
    """x = 0, or with a wrong shape."""

    history = 0

    def sample(self, c: Context, streams: RandomStreams) -> Tensor:
        return torch.zeros(c.count, streams.members + streams.seed, *self.space.state_shape)


def test_an_error_of_a_replica_is_raised_as_it_is(space: Any) -> None:
    with pytest.raises(InputError, match=r"Constant.sample returns a tensor \(2, 3,"):
        draw(replicate(Constant(space), [CPU] * 2), Context(4), RandomStreams(2, torch.arange(4)))
