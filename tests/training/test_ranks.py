"""Two ranks train as one process does: the same batches and draws, so the same weights but for rounding."""

import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.errors import InputError
from fieldcast.inference.options import StateOptions
from fieldcast.models.random_streams import RandomStreams
from fieldcast.runtime import CONTEXT
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.tasks.sample import StateSampling
from fieldcast.training import rank_processes
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.loop import Saved
from fieldcast.training.options import Fit
from fieldcast.training.ranks import Ranks, number_of_ranks
from fieldcast.training.run import Recipe, train
from fieldcast.training.state_source import InMemory

pytestmark = pytest.mark.proof

VAE = {"type": "vae.ConditionalVAE", "latent": 4}
NETWORK = {"type": "ensemble.Ensemble", "history": 2, "noise": 4, "channels": [8, 8]}
TABLE = {
    "type": "vae.VAE",
    "latent": 4,
    "encoder": {"type": "latent_table.LatentTable", "family": "point", "steps": 3},
    "decoder": {"type": "decoders.TransposedDecoder", "channels": [8, 4]},  # with batch normalisation
}
CORRECTED = {"type": "corrected.Corrected", "base": {"type": "optimal_interpolation.OptimalInterpolation"}}
# steps are small, because AdamW makes a rounded gradient near zero a part of a whole step
OPTIONS = Fit(steps=24, batch=5, report_every=6, save_every=0.0, validation=12, tuning=4, learning_rate=1e-3)
RECONSTRUCT = Reconstruction(Sparsification(noise=0.1))


def recipe(model: Any = VAE, problem: Any = RECONSTRUCT, **options: Any) -> Recipe:
    return Recipe(problem, model, replace(OPTIONS, **options), 0, Limits(), "cpu")


def weights(saved: Saved) -> dict[str, torch.Tensor]:
    tensors = unpack_bytes(saved.checkpoint, "")[0]
    return {name: tensor for name, tensor in tensors.items() if name.startswith("model.")}


@pytest.fixture
def trained(world: Any) -> Callable[..., Saved]:
    def last(requested: Recipe, previous: bytes | None = None) -> Saved:
        *_, saved = train(requested, world.data, previous)
        assert not multiprocessing.active_children()
        return saved

    return last


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (VAE, RECONSTRUCT),
        ({"type": "stepped.Stepped", "model": NETWORK, "noise": 0.05, "filter_order": 4}, Forecasting()),
        (TABLE, StateSampling(StateOptions())),
        (CORRECTED, RECONSTRUCT),
    ],
    ids=["VAE", "members over rollouts", "batch normalisation", "common mask and fold"],
)
def test_two_ranks_have_the_loss_curve_and_the_weights_of_one_process(trained, model, problem):
    rollout = 2 if isinstance(problem, Forecasting) else 1
    single, two = (trained(recipe(model, problem, ranks=ranks, rollout=rollout)) for ranks in (1, 2))
    first, second = (saved.history[["loss", "validation"]].dropna().to_numpy() for saved in (single, two))
    assert len(first) == 4
    assert second[0] == pytest.approx(first[0], rel=1e-5)
    assert second == pytest.approx(first, rel=1e-4)
    expected = weights(single)
    for name, tensor in weights(two).items():
        # AdamW makes a rounded gradient near zero a part of a whole step, whose size is learning_rate
        assert torch.allclose(tensor, expected[name], rtol=1e-3, atol=OPTIONS.learning_rate / 5), name


def test_interrupted_with_two_ranks_and_resumed_with_one_and_the_other_way_round(trained, world):
    whole = trained(recipe())
    for before, after in ((2, 1), (1, 2)):
        interrupted = train(recipe(ranks=before), world.data, None)
        state = list(itertools.islice(interrupted, 2))[-1].state
        interrupted.close()
        assert not multiprocessing.active_children()
        resumed = trained(recipe(ranks=after), state)
        columns = ["step", "loss", "validation"]
        assert resumed.history[columns].to_numpy() == pytest.approx(
            whole.history[columns].to_numpy(), rel=1e-4
        )


def test_a_rank_that_is_killed_ends_the_training_which_resumes_to_the_same_weights(trained, world):
    training = train(recipe(ranks=2), world.data, None)
    state = next(training).state
    victim = next(process for process in multiprocessing.active_children() if process.name == "rank 1")
    os.kill(victim.pid, signal.SIGKILL)
    with pytest.raises(InputError, match=r"^rank 1 of the 2 ranks .* was killed \(exit code -9\), .*resume"):
        for saved in training:  # a save that was on its way arrives
            state = saved.state
    assert not multiprocessing.active_children()
    resumed, whole = weights(trained(recipe(ranks=2), state)), weights(trained(recipe(ranks=2)))
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_error_of_a_rank_arrives_as_its_sentence_and_its_warning_in_the_log(trained, caplog):
    with pytest.raises(InputError, match=r"^the training diverged before its first validation: lower"):
        trained(recipe(ranks=2, learning_rate=1e30))
    assert not multiprocessing.active_children()
    trained(recipe(ranks=2, max_minutes=1e-9))
    assert "minutes ended the training at step 1 of 24" in caplog.text


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupt_leaves_no_process_behind(world):
    training = train(recipe(ranks=2, steps=100_000, report_every=50), world.data, None)
    next(training)
    threading.Timer(0.2, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in training:
            pass
    assert not multiprocessing.active_children()


def test_one_rank_is_this_process(trained, monkeypatch):
    monkeypatch.setattr(CONTEXT, "Process", lambda *_, **__: pytest.fail("a process was started"))
    trained(recipe(steps=1))
    trained(recipe(steps=1, ranks=1))


def test_streamed_states_train_as_those_in_memory_and_each_rank_reads_for_itself(trained, monkeypatch):
    single, two = (trained(recipe(ranks=ranks, data=data)) for ranks, data in ((1, "memory"), (2, "stream")))
    assert two.history["loss"].to_numpy() == pytest.approx(single.history["loss"].to_numpy(), rel=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_shares_of_the_ranks_are_the_batch_with_its_masks_and_draws(world, count):
    states = InMemory.undated(world.codec.encode(world.fields.isel(time=slice(40))))
    batches = ReconstructionBatches(states, world.space, Sparsification(noise=0.1))

    def content(index: torch.Tensor) -> Iterator[torch.Tensor]:
        streams = RandomStreams(3, index, 2, 5)
        batch = batches.batch(index, streams)
        yield from (batch.x, batch.context.mask, batch.context.observed, streams.normal(6))

    index = torch.tensor([31, 4, 15, 9, 26])
    shares = [Ranks(number, count).share(index) for number in range(count)]
    assert sum(weight for _, weight in shares) == pytest.approx(1)
    parts = [content(places) for places, weight in shares if weight]
    for whole, pieces in zip(content(index), zip(*parts, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(pieces))


def test_more_ranks_than_a_batch_or_the_devices_hold_are_refused(monkeypatch):
    with pytest.raises(InputError, match=r"fit.ranks is 6, but a batch holds only 5 items"):
        number_of_ranks(replace(OPTIONS, ranks=6), "cpu", 100)
    with pytest.raises(InputError, match=r"a batch holds only 3 items"):
        number_of_ranks(replace(OPTIONS, ranks=4), "cpu", 3)
    assert number_of_ranks(OPTIONS, "cpu", 100) == 1
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert number_of_ranks(OPTIONS, "auto", 100) == 4
    assert number_of_ranks(OPTIONS, "auto", 3) == 3
    with pytest.raises(InputError, match=r"fit.ranks is 5, but device: auto provides only 4"):
        number_of_ranks(replace(OPTIONS, ranks=5), "auto", 100)


def test_states_that_do_not_fit_into_shared_memory_are_refused(trained, monkeypatch):
    monkeypatch.setattr(
        rank_processes.shutil, "disk_usage", lambda _: rank_processes.shutil._ntuple_diskusage(1, 1, 0)
    )
    with pytest.raises(InputError, match=r"0.0 GB are free in .*: set fit.data to stream"):
        trained(recipe(ranks=2))
