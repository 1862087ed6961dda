"""Series: windows of two stretches give their states back."""

import pytest
import torch

from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian.training_series import series
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.state_source import InMemory

STRETCHES = torch.tensor([0] * 7 + [1] * 5)


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("history", [1, 2, 3])
def test_windows_in_any_batches_give_each_state_once(space, history, size):
    x = RandomStreams(0, torch.arange(12)).normal(*space.state_shape)[:, 0]
    day = torch.arange(12) / 365
    (windows,) = ForecastWindows(InMemory(x, day, STRETCHES), space, history).states()
    parts = torch.arange(len(windows.x)).split(size)
    batches = [Batch(windows.x[part], windows.context[part], index=windows.index[part]) for part in parts]
    record = series(batches, space.exists)
    assert torch.equal(record.states, x)
    assert torch.equal(record.stretch.diff(), STRETCHES.diff())
    sought = torch.cat([torch.arange(history, 7), torch.arange(7 + history, 12)])
    assert torch.equal(record.days[sought], day[sought])
    assert record.days.isnan().sum() == 2 * history


def test_states_are_followed_within_their_stretch(space):
    x = torch.zeros(12, *space.state_shape)
    record = series(
        ForecastWindows(InMemory(x, torch.arange(12) / 365, STRETCHES), space, 1).states(), space.exists
    )
    assert record.followed(0).all()
    assert (~record.followed()).nonzero()[:, 0].tolist() == [6, 11]
    assert (~record.followed(2)).nonzero()[:, 0].tolist() == [5, 6, 10, 11]
    assert not record.followed(20).any()


def test_states_alone_are_a_series_too(space):
    """Series without a past, as for climatologies; missing cells, NaN, become 0."""
    exists = space.exists.clone()
    exists[2] = False
    x = torch.ones(4, *space.state_shape).masked_fill(~exists, torch.nan)
    record = series([Batch(x, Context(4), index=torch.arange(4))], exists)
    assert torch.equal(record.states[0, 0], exists.float())
    assert record.days.isnan().all()
    with pytest.raises(ValueError, match="no order"):
        series([Batch(x, Context(4))], exists)
