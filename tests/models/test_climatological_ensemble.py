"""The climatological ensemble: states of the season, each as likely, and nothing of the past."""

import torch

from fieldcast.models.climatological_ensemble import ClimatologicalEnsemble
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory


def tiny(year: int = 365) -> Space:
    points = torch.nn.functional.normalize(torch.arange(6.0).reshape(1, 2, 3), dim=-1)
    ones = torch.ones(1, 2)
    static, tendency = torch.zeros(0, 1, 2), torch.ones(1)
    return Space(("a",), True, ones, ones.bool(), points, static, tendency, days_per_year=year)


def solved(days: int, first: int = 0, year: int = 365) -> ClimatologicalEnsemble:
    """Daily states that hold their own number."""
    space, number = tiny(year), torch.arange(days)
    x = number.float()[:, None, None, None].expand(-1, *space.state_shape)
    day = (number + first) % year / year
    model = ClimatologicalEnsemble(space)
    model.solve(ForecastWindows(InMemory(x, day, torch.zeros(days, dtype=torch.long)), space, 0).states())
    return model


def members(model, c, count=2000):
    return model.sample(c, RandomStreams(0, torch.arange(c.count), members=count))[:, :, 0, 0, 0]


def test_members_are_all_the_states_within_15_days_equally_often():
    model = solved(3 * 365, first=100)
    x = members(model, Context(2, day=torch.tensor([5 / 365, 0.5])))
    expected = {y * 365 + d for y in range(4) for d in range(-100 + 5 - 15, -100 + 5 + 16)} & set(
        range(1, 1095)
    )
    assert set(x[0].long().tolist()) == expected
    counts = torch.bincount(x[0].long())[sorted(expected)].double()
    mean = 2000 / len(expected)
    chi_square = ((counts - mean).square() / mean).sum()
    freedom = len(expected) - 1
    assert abs(chi_square - freedom) < 4 * (2 * freedom) ** 0.5


def test_15_days_are_days_of_the_calendar():
    for year in (360, 365):
        x = members(solved(3 * year, year=year), Context(1, day=torch.tensor([100 / year])))
        assert {int(number) % year for number in x[0]} == set(range(85, 116))


def test_under_two_years_any_state_is_a_member():
    x = members(solved(600), Context(1, day=torch.tensor([0.5])), 20000)
    assert len(x.unique()) == 599
    both = members(solved(730), Context(1, day=torch.tensor([0.5])), 20000)
    assert len(both.unique()) == 60  # two whole years are enough


def test_depends_neither_on_the_past_nor_on_the_batch():
    model, day = solved(800), torch.tensor([0.1, 0.5, 0.9])
    past = torch.full((3, 1, *model.space.state_shape), 1e6)
    assert model.history == 0 and not model.deterministic
    whole = members(model, Context(3, past=past, day=day))
    assert torch.equal(whole, members(model, Context(3, day=day)))
    alone = model.sample(Context(1, day=day[1:2]), RandomStreams(0, torch.tensor([1]), members=2000))[
        :, :, 0, 0, 0
    ]
    assert torch.equal(alone[0], whole[1])


def test_a_fresh_model_takes_the_state_of_a_solved_one():
    model, fresh = solved(800), ClimatologicalEnsemble(tiny())
    fresh.load_state_dict(model.state_dict(), strict=True)
    c = Context(1, day=torch.tensor([0.3]))
    assert torch.equal(members(fresh, c), members(model, c))
