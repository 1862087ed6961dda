"""Copies of a filter for several fractions of observed cells: each cycle is that of its copy alone."""

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.assimilation.baselines import FreeRun
from fieldcast.models.assimilation.by_fraction import COPY, ByFraction
from fieldcast.models.assimilation.filter import CycleState, CycleStep, Filter, cycle
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams

MEMBERS, DAYS = 6, 4
SHARES = {0: 0.4, 1: 0.02}  # observed by each cycle


def forecast(c: Context, streams: RandomStreams) -> torch.Tensor:
    return 0.9 * c.past[:, -1:] + 0.1 * streams.normal(*c.past.shape[2:])


def contexts(space, rows: list[int]) -> list[Context]:
    """Observations of 40 % of the cells in the first cycle, of 2 % in the second."""
    generator = torch.Generator().manual_seed(0)
    days = []
    for _ in range(DAYS):
        u, y = (torch.rand(2, *space.state_shape, generator=generator) for _ in range(2))
        mask = u < torch.tensor(list(SHARES.values()))[:, None, None, None]
        c = Context(2, observed=y * mask, mask=mask, day=torch.full((2,), 0.5), noise=0.1)
        days.append(c[torch.tensor(rows)])
    return days


def filled(filter: Hybrid, scale: float) -> Hybrid:
    generator = torch.Generator().manual_seed(1)
    filter.fill_pool(scale * torch.randn(30, *filter.space.state_shape, generator=generator))
    return filter


@pytest.fixture
def filter(space) -> ByFraction:
    filter = ByFraction(space, Hybrid(space), [0.02, 0.4])
    for copy, scale in zip(filter.calibrated_at(0.1).values(), (2.0, 0.5), strict=True):
        filled(copy, scale)
    return filter


def run(filter, space, rows: list[int]) -> list[CycleStep]:
    past = torch.zeros(len(rows), MEMBERS, 1, *space.state_shape)
    streams = RandomStreams(3, torch.tensor(rows), MEMBERS)
    state = CycleState(past, filter.begin(len(rows)))
    if COPY in state.memory:
        state.memory[COPY].copy_(torch.tensor([1 - row for row in rows]))
    return list(cycle(filter, forecast, contexts(space, rows), state, streams))


def test_each_cycle_is_that_of_the_copy_for_its_network(space, filter: ByFraction) -> None:
    together = run(filter, space, [0, 1])
    for row, copy in ((0, 1), (1, 0)):
        alone = run(filter.copies[copy], space, [row])
        for both, single in zip(together, alone, strict=True):
            torch.testing.assert_close(both.background[[row]], single.background, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(both.analysis[[row]], single.analysis, rtol=1e-5, atol=1e-5)
    assert (together[-1].analysis[0] - together[-1].analysis[1]).abs().max() > 0.1


def test_the_first_observations_choose_the_copy_and_a_day_without_any_keeps_it(space, filter) -> None:
    memory = filter.begin(2)
    assert memory[COPY].tolist() == [1, 1]
    first = contexts(space, [0, 1])[0]
    assert filter.nearest(first).tolist() == [1, 0]
    day = next(iter(cycle(filter, forecast, [first], CycleState(torch.zeros(2, MEMBERS, 1, *space.state_shape), memory),
                          RandomStreams(3, torch.arange(2), MEMBERS))))  # fmt: skip
    assert day.state.memory[COPY].tolist() == [1, 0]
    nothing = Context(2, observed=0 * first.observed, mask=first.mask & False, day=first.day, noise=0.1)
    last = list(cycle(filter, forecast, [nothing], day.state, RandomStreams(3, torch.arange(2), MEMBERS)))[-1]
    assert last.state.memory[COPY].tolist() == [1, 0]


def test_the_weights_of_all_copies_are_stored(space, filter: ByFraction) -> None:
    other = ByFraction(space, Hybrid(space), [0.02, 0.4])
    other.load_state_dict(filter.state_dict())
    for copy, stored in zip(filter.copies, other.copies, strict=True):
        assert torch.equal(copy.errors, stored.errors)


@pytest.mark.parametrize("kind", [FreeRun, Hybrid, LETKF])
def test_copies_ask_of_a_cycle_what_the_filter_asks(space, kind: type[Filter]) -> None:
    alone = kind(space)
    copies = ByFraction(space, alone, [0.02, 0.4])
    for name, value in vars(Filter).items():
        if isinstance(value, bool) or name == "ensemble_size":
            assert getattr(copies, name) == getattr(alone, name), name
    assert copies.accepts_points == alone.accepts_points
    assert copies.deterministic == alone.deterministic


@pytest.mark.parametrize("fractions", [[], [0.4, 0.02], [0.0, 0.1], [0.1, 0.1]])
def test_fractions_that_do_not_ascend_are_refused(space, fractions: list[float]) -> None:
    with pytest.raises(InputError, match="should ascend between 0 and 1"):
        ByFraction(space, Hybrid(space), fractions)
