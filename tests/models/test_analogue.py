"""Analogues: the neighbours of a library, and members that are stretches of history."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from fieldcast.errors import InputError
from fieldcast.models.analogue import STRETCH_LENGTH, Analogue
from fieldcast.models.core import Context
from fieldcast.models.gaussian import training_series
from fieldcast.models.gaussian.training_series import kept_indices, rounded
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory

YEAR = 365


def history(space, count, seed=0):
    """A smooth walk, so that days next to each other are alike."""
    x = RandomStreams(seed, torch.arange(count)).normal(*space.state_shape)[:, 0]
    for t in range(1, count):
        x[t] = 0.9 * x[t - 1] + 0.19**0.5 * x[t]
    return rounded(x)  # the values that a model keeps


def solved(space, x, segment=None, neighbours=5.0):
    segment = torch.zeros(len(x), dtype=torch.long) if segment is None else segment
    model = Analogue(space)
    model.solve(
        ForecastWindows(
            InMemory(x, torch.arange(len(x)) % YEAR / YEAR, segment), space, model.history
        ).states()
    )
    model.choose(neighbours=neighbours)
    return model


def numbers(drawn, x):
    """Indices of the drawn training states."""
    same = (drawn.flatten(0, 1).flatten(1)[:, None] == x.flatten(1)).all(-1)
    assert (same.sum(1) == 1).all()
    return same.long().argmax(1).reshape(drawn.shape[:2])


def test_members_follow_the_neighbours_that_a_library_finds(space):
    x = history(space, 200)
    model = solved(space, x)
    now = history(space, 6, seed=1)
    drawn = model.sample(Context(6, past=now[:, None]), RandomStreams(0, torch.arange(6), members=300))
    followed = numbers(drawn, x) - 1
    weight = (space.area / space.area.sum() / 2).sqrt().expand(space.state_shape).flatten()
    search = NearestNeighbors(n_neighbors=5).fit((x[:-1].flatten(1) * weight).numpy())
    distance, nearest = search.kneighbors((now.flatten(1) * weight).numpy())
    for row, expected in zip(followed, nearest, strict=True):
        counts = torch.bincount(row, minlength=200)[expected]
        assert counts.sum() == 300
        assert counts.min() > 30  # among 60
    ours = model.distance(now).gather(1, torch.from_numpy(nearest))
    assert np.allclose(ours.numpy(), distance**2, rtol=1e-4)


def test_the_successor_is_of_the_season_sought(space):
    x = history(space, 3 * YEAR)
    model = solved(space, x, neighbours=100.0)
    sought = torch.tensor([0.02, 0.6])
    c = Context(2, past=history(space, 2, seed=1)[:, None], day=sought)
    days = numbers(model.sample(c, RandomStreams(0, torch.arange(2), members=100)), x) % YEAR / YEAR
    away = (days - sought[:, None] + 0.5) % 1 - 0.5
    assert away.abs().max() <= 45 / YEAR + 1e-6
    assert away.abs().max() > 30 / YEAR


def test_in_a_rollout_a_member_is_a_stretch_of_history(space):
    """States that a file has rounded are recognised; at the end of a stretch the member continues on another."""
    x, segment = history(space, 120), (torch.arange(120) >= 60).long()
    model = solved(space, x, segment)
    c = Context(2, past=history(space, 2, seed=1)[:, None]).repeat(4)
    places = []
    for step in range(1, 80):
        drawn = model.sample(c, RandomStreams(0, torch.arange(2), members=4, step=step).per_row())[:, 0]
        places.append(numbers(drawn[:, None], x)[:, 0])
        c = c.advance(drawn * (1 + 1e-4), 1 / YEAR)
    path = torch.stack(places)  # (step, member)
    ended = (path[:-1] == 59) | (path[:-1] == 119)
    assert ended.any()
    assert torch.equal((path.diff(dim=0) == 1) | ended, torch.ones_like(ended))
    assert not (path == 0).any() and not (path == 60).any()  # no state before a stretch leads into it


def test_a_long_record_leaves_stretches(space, monkeypatch):
    """Members are successors of states that are kept, and are kept themselves."""
    monkeypatch.setattr(training_series, "MAX_STATES", 256)
    x = history(space, 1000)
    model = solved(space, x, neighbours=100.0)
    kept = kept_indices(torch.arange(1000), STRETCH_LENGTH)
    assert torch.equal(model.states, x[kept])
    drawn = model.sample(
        Context(6, past=history(space, 6, seed=1)[:, None]), RandomStreams(0, torch.arange(6), members=200)
    )
    followed = numbers(drawn, x)
    assert torch.isin(followed, kept).all()
    assert torch.isin(followed - 1, kept).all()
    assert len(model.candidates) >= 256 - 256 // STRETCH_LENGTH - 1


def test_fewer_states_than_neighbours_are_enough(space):
    x = history(space, 12)
    model = solved(space, x, neighbours=200.0)
    c = Context(1, past=history(space, 1, seed=1)[:, None], day=torch.tensor([0.01]))
    drawn = numbers(model.sample(c, RandomStreams(0, torch.arange(1), members=500)), x)
    assert set(drawn[0].tolist()) == set(range(1, 12))


def test_draws_depend_neither_on_the_batch_nor_on_missing_cells(space):
    exists = space.exists.clone()
    exists[4:] = False
    space = space.replace(exists=exists)
    x = history(space, 100)
    model = solved(space, x.masked_fill(~exists, torch.nan))
    past = history(space, 3, seed=1)[:, None]
    whole = model.sample(Context(3, past=past), RandomStreams(0, torch.arange(3), members=4))
    hidden = past.masked_fill(~exists, torch.nan)
    alone = model.sample(Context(1, past=hidden[1:2]), RandomStreams(0, torch.tensor([1]), members=4))
    assert torch.equal(alone[0], whole[1])
    assert not whole[..., ~exists].any()


def test_a_fresh_model_takes_the_state_of_a_solved_one(space):
    x = history(space, 50)
    model, fresh = solved(space, x, neighbours=10.0), Analogue(space)
    fresh.load_state_dict(model.state_dict(), strict=True)
    assert fresh.tuned_values() == {"neighbours": 10.0}
    c = Context(2, past=history(space, 2, seed=1)[:, None], day=torch.tensor([0.1, 0.2]))
    streams = RandomStreams(0, torch.arange(2), members=4)
    assert torch.equal(fresh.sample(c, streams.again()), model.sample(c, streams.again()))
    with pytest.raises(InputError, match="reads past states, and the task has none"):
        model.sample(Context(1), streams)


def test_a_near_state_is_not_taken_for_a_training_state(space):
    """Hourly states of a small region hardly change: 1 % apart, they are different states."""
    x = history(space, 200)
    x = rounded(x[:1] + 0.01 * x)
    model = solved(space, x, neighbours=10.0)
    c = Context(2, past=x[[20, 60]][:, None] + 0.002)
    near = model.distance(c.past[:, 0]).min(dim=1).values
    assert (near < 1e-4).all()
    followed = numbers(model.sample(c, RandomStreams(0, torch.arange(2), members=40)), x)
    assert all(len(row.unique()) > 5 for row in followed)
    exact = model.sample(Context(2, past=x[[20, 60]][:, None]), RandomStreams(0, torch.arange(2), members=40))
    assert numbers(exact, x).tolist() == [[21] * 40, [61] * 40]
