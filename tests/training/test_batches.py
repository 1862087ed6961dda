from dataclasses import replace

import pytest
import torch

from fieldcast.encoding.options import Sparsification
from fieldcast.errors import InputError
from fieldcast.models.random_streams import RandomStreams
from fieldcast.training.batches import ForecastWindows, ReconstructionBatches
from fieldcast.training.state_source import InMemory, States


@pytest.fixture
def forecast(world):
    """States whose number stands in every cell, in segments of 0..9, 10..12 and 13..29."""
    x = torch.arange(30.0)[:, None, None, None].expand(-1, *world.space.state_shape)
    segment = torch.tensor([0] * 10 + [1] * 3 + [2] * 17)
    return lambda history, steps: ForecastWindows(
        InMemory(x, torch.arange(30.0) / 365, segment), world.space, history, steps
    )


def numbers(x):
    return x.flatten(start_dim=x.ndim - 3)[..., 0].tolist()


def test_windows_never_cross_the_border_of_a_segment(forecast):
    task = forecast(2, 3)
    assert task.last.tolist() == [1, 2, 3, 4, 5, 6, *range(14, 27)]
    batch = task.batch(torch.arange(len(task)), RandomStreams(0, torch.arange(len(task))), steps=3)
    assert numbers(batch.context.past)[6:8] == [[13, 14], [14, 15]]
    assert numbers(batch.x)[6] == [15, 16, 17]
    assert torch.allclose(batch.context.day * 365, batch.x[:, 0, 0, 0, 0])


def test_windows_are_counted_once_and_not_at_each_batch(forecast):
    task = forecast(2, 3)
    task.batch(torch.arange(2), RandomStreams(0, torch.arange(2)))
    assert task.last is task.last


def test_a_window_of_one_step_is_a_state_and_its_past(forecast):
    batch = forecast(1, 4).batch(torch.tensor([0]), RandomStreams(0, torch.tensor([0])))
    assert numbers(batch.x) == [1] and numbers(batch.context.past) == [[0]] and batch.index.tolist() == [1]


def test_all_windows_of_one_step_are_what_a_closed_form_sees(forecast):
    images = [
        pair
        for b in forecast(1, 4).states()
        for pair in zip(numbers(b.context.past), numbers(b.x), strict=True)
    ]
    assert len(images) == 9 + 2 + 16
    assert all(x == past[0] + 1 for past, x in images)


def test_a_model_of_no_history_has_no_past(forecast):
    batch = next(forecast(0, 1).states())
    assert batch.context.past is None and len(batch.x) == 27


def test_trials_of_a_reconstruction_share_a_mask_a_fraction(world):
    split = world.split("validation")
    segment = torch.from_numpy(split["segment"].values)
    states = InMemory(world.codec.encode(split), world.codec.days(split["time"]), segment)
    task = ReconstructionBatches(states, world.space, Sparsification())
    trials = task.trials(16, 0)
    assert [round(float(b.context.mask.float().mean()), 2) for b, _ in trials] == pytest.approx(
        [0.02, 0.05, 0.1, 0.2], abs=0.01
    )
    assert all(len(b.x) == 4 and b.context.mask.unique(dim=0).shape[0] == 1 for b, _ in trials)


def test_trials_of_a_forecast_come_in_pieces_of_few_starts_each_from_the_whole_record(forecast, monkeypatch):
    whole = forecast(2, 1).trials(14, 0)
    monkeypatch.setattr("fieldcast.training.batches.STARTS", 5)
    pieces = forecast(2, 1).trials(14, 0)
    assert [len(batch.x) for batch, _ in whole] == [14]
    assert [len(batch.x) for batch, _ in pieces] == [5, 5, 4]
    (together, drawn), tuning = whole[0], {}
    for batch, draws in pieces:
        assert int(batch.index[0]) < 10 and int(batch.index[-1]) > 20
        tuning |= dict(zip(batch.index.tolist(), draws.normal(1), strict=True))
    assert all(
        torch.equal(tuning[i], single)
        for i, single in zip(together.index.tolist(), drawn.normal(1), strict=True)
    )


def test_tuning_needs_validation_data(forecast):
    """Validation split in which no forecast of five steps fits: in segments too short, or altogether."""
    assert len(forecast(2, 1).trials(8, 0)[0][0].x) == 8
    whole = forecast(2, 1)
    short = replace(whole.data, segment=torch.arange(30) // 5)
    none = InMemory(short.values[:4], short.days[:4], short.segment[:4])
    for task in (replace(whole, data=short), replace(whole, data=none)):
        with pytest.raises(InputError, match="tuned on forecasts over 5 steps from 2 states"):
            task.trials(8, 0)
    assert len(replace(whole, data=none, steps=6)) == 0


class Counted:
    """States that are read one after the other, as from a file: only what the protocol asks for."""

    def __init__(self, states):
        self.states, self.days, self.segment, self.read = states, states.days, states.segment, 0
        self.observed, self.shards, self.hold = None, states.shards, states.hold

    def __len__(self):
        return len(self.states)

    def __getitem__(self, index):
        x = self.states[index]
        self.read += x.shape[:-3].numel()
        return x


def test_batches_read_only_the_states_that_they_hold(forecast, world):
    whole = forecast(2, 3)
    states = Counted(whole.data)
    assert isinstance(states, States) and isinstance(whole.data, States)
    index = torch.tensor([3, 9])
    read = replace(whole, data=states).batch(index, RandomStreams(0, index), steps=3)
    assert states.read == 2 * (2 + 3)
    assert torch.equal(read.x, whole.batch(index, RandomStreams(0, index), steps=3).x)
    states.read = 0
    ReconstructionBatches(states, world.space, Sparsification()).batch(index, RandomStreams(0, index))
    assert states.read == 2


def test_states_without_dates_are_one_stretch():
    states = InMemory.undated(torch.ones(3, 1, 2, 2))
    assert len(states) == 3 and states.days.isnan().all() and states.segment.tolist() == [0, 0, 0]
    assert states[torch.tensor([[0, 1]])].shape == (1, 2, 1, 2, 2) and states[:].shape == (3, 1, 2, 2)
