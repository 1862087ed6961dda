"""Streamed training data: the states of the record, in an order that depends on seed and step alone."""

from dataclasses import replace

import pytest
import torch

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import BatchOrder
from fieldcast.training.task import OnFields

FIT = Fit(steps=24, batch=4, report_every=4, save_every=0.0, validation=8, tuning=8)
SHARD = 64  # states


@pytest.fixture
def split(world):
    return world.split("train")


@pytest.fixture
def in_memory(world, split):
    return OnFields().states(split, world.codec, world.space, Fit())


@pytest.fixture
def small_shards(world, monkeypatch):
    monkeypatch.setattr("fieldcast.training.state_source.SHARD_BYTES", SHARD * 4 * int(world.space.size))


@pytest.fixture
def streamed(world, split, small_shards):
    """A record of 17 shards, for windows of one past state and up to three steps."""
    return OnFields().states(split, world.codec, world.space, Fit(data="stream"), reach=(0, 3))


def test_any_states_are_those_in_memory(streamed, in_memory):
    assert len(streamed.shards) == 17 and streamed.shards[-1].stop == len(in_memory)
    index = torch.tensor([[3, 900], [5, 4], [6, 63]])
    for hold in ([], [0], [0, 14]):
        streamed.hold(hold, [3])
        assert torch.equal(streamed[index], in_memory[index])
    assert torch.equal(streamed[60:70], in_memory[60:70])


def test_one_pass_reads_each_state_once(streamed, in_memory, world):
    reads = []
    counted = replace(
        streamed,
        encode=lambda part, out=None: reads.append(part.sizes["time"]) or world.codec.encode(part, out),
    )
    windows = ForecastWindows(replace(counted, reach=(0, 1)), world.space, 1)
    x = torch.cat([batch.x for batch in windows.states()])
    assert torch.equal(x, in_memory[1:])
    assert (
        sum(reads) == 1 + len(in_memory) + 16
    )  # the shape, each state, and the first of each following shard


@pytest.fixture
def order(streamed, world):
    return lambda: BatchOrder(ForecastWindows(streamed, world.space, 1, 3), None, 7, 4)


def test_the_batch_of_a_step_does_not_depend_on_where_training_began(order):
    whole = order()
    batches = [whole.data(step) for step in range(700)]
    for step in (699, 3, 260, 261):
        assert torch.equal(order().data(step), batches[step])


def test_a_pass_visits_every_window_of_every_shard_and_trains_on_held_states(order, streamed):
    whole = order()
    assert whole.windows == 9
    passes = [
        [shard for window in range(9 * n, 9 * n + 9) for shard in whole.shards(window)] for n in range(3)
    ]
    assert all(sorted(shards) == list(range(17)) for shards in passes) and passes[0] != passes[1]
    for step in range(0, 9 * whole.steps, 7):
        data = whole.data(step)
        assert data.unique().numel() == 4
        last = whole.batches.last[data]
        assert (streamed._current[1].position[last[:, None] + torch.arange(4)] >= 0).all()


def recipe(problem, fit=FIT, **model):
    return Recipe(problem, {"type": "vae.ConditionalVAE", "latent": 4, **model}, fit, 0, Limits(), "cpu")


def weights(saved):
    tensors, _ = unpack_bytes(saved.checkpoint, "")
    return {name: value for name, value in tensors.items() if name.startswith("model.")}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


CASES = {
    "reconstruct": recipe(Reconstruction(Sparsification(noise=0.1))),
    "forecast": recipe(Forecasting(), history=1),
}


@pytest.mark.parametrize("case", CASES)
def test_a_record_of_one_window_is_trained_on_as_in_memory(world, case):
    memory, stream = (
        list(train(replace(CASES[case], fit=replace(FIT, data=data)), world.data, None))[-1]
        for data in ("memory", "stream")
    )
    assert equal(weights(memory), weights(stream))


def test_a_training_over_many_windows_is_resumed_to_the_same_weights(world, small_shards):
    streaming = replace(CASES["forecast"], fit=replace(FIT, data="stream", steps=160, report_every=20))
    whole = list(train(streaming, world.data, None))
    assert unpack_bytes(whole[-1].state, "")[1]["lineage"]["windows"] == 9
    resumed = list(train(streaming, world.data, whole[5].state))
    assert len(resumed) < len(whole) and equal(weights(resumed[-1]), weights(whole[-1]))


def test_states_in_memory_are_one_shard(in_memory):
    assert isinstance(in_memory, InMemory) and in_memory.shards == (range(len(in_memory)),)
