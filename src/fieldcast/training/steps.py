"""The steps of a training, in one process or as one of several ranks (`training.ranks`)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import torch
from jaxtyping import Int
from torch import Tensor

from fieldcast.encoding import checkpoint
from fieldcast.models.core import Batch, Terms, Trained
from fieldcast.models.random_streams import RandomStreams, batch_index, generator_for, seed_for
from fieldcast.models.replicas import terms_of
from fieldcast.models.space import evenly
from fieldcast.training.batches import Batches, shard_ends
from fieldcast.training.options import Fit
from fieldcast.training.ranks import SINGLE_RANK, Ranks
from fieldcast.training.training_state import Training, weights_of

Loss = Callable[[Batch, RandomStreams], Terms]
# called with the step, and the loss of a validation if there was one
Report = Callable[[int, float | None], None]


@torch.no_grad()
def validation_loss(
    model: Trained, validation: Batches, options: Fit, seed: int, steps: int = 1, ranks: Ranks = SINGLE_RANK
) -> float:
    """The loss on evenly spaced validation states over some steps, with the same masks and draws at each call.

    The ranks take the batches in turn, and losses are added in the order of the batches, so that their sum does not
    depend on the number of ranks.
    """
    index = evenly(len(validation), options.validation).to(model.space.area.device)
    pieces = index.split(options.batch)
    sums = [0.0] * len(pieces)
    for number in range(ranks.number, len(pieces), ranks.count):
        piece = pieces[number]
        streams = RandomStreams(seed_for("validation", seed), piece, options.members, number)
        batch = validation.batch(piece, streams, shared_mask=model.shares_mask, steps=steps)
        batch = replace(batch, index=None)  # these data are not trained on
        sums[number] = float(model.loss(batch, streams).total) * len(piece)
    return sum(ranks.sums(sums)) / len(index)


def train_until_due(
    run: Training, training: Batches, validation: Batches, report: Report, ranks: Ranks = SINGLE_RANK
) -> Iterator[None]:
    """Train, and yield whenever the state is due to be saved: at regular intervals, and at the end."""
    last = time.monotonic()
    for row in train_steps(run, training, validation, ranks):
        report(run.step, run.history[-1]["validation"] if row else None)
        due = time.monotonic() - last >= run.options.save_every and (row or run.options.save_every)
        if run.finished or due:
            yield
            last = time.monotonic()


def train_steps(
    run: Training, training: Batches, validation: Batches, ranks: Ranks = SINGLE_RANK
) -> Iterator[bool]:
    """Train, and yield after each step whether it added a row to the history."""
    model, options, device = run.model, run.options, run.parameters[0].device
    groups, use_bfloat16 = model.groups(), options.precision == "bfloat16"
    # batches are selected on the CPU, so that a step waits for the device at most once, for its masks
    groups = None if groups is None else groups.cpu()
    order = BatchOrder(training, groups, run.seed, options.batch)
    loss = compile_loss(model.loss) if options.compile else model.loss
    while not run.finished:
        begin = time.perf_counter()
        if not model.training:
            model.train()
        share, weight = ranks.share(order.data(run.step))
        group = None if groups is None else int(groups[share[0]])
        index = share.to(device)
        streams = RandomStreams(seed_for("training", run.seed), index, options.members, run.step)
        rollout, pushforward = run.rollout
        batch = training.batch(index, streams, shared_mask=model.shares_mask, steps=pushforward + rollout)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16):
            terms = terms_of(model, loss(replace(batch, pushforward=pushforward, group=group), streams))
        run.update(terms, ranks, weight)
        row = run.step % options.report_every == 0 or run.step >= options.steps
        if options.max_minutes is not None:
            row = row or bool(ranks.gather(float(run.out_of_time(begin)))[0])
        if row:
            checkpoint.wait(device)
        run.stepping += time.perf_counter() - begin
        if row:
            model.eval()
            with weights_of(model, run.average):
                score = validation_loss(model, validation, options, run.seed, run.validation_steps, ranks)
            run.seconds = ranks.gather(run.seconds + time.perf_counter() - begin)[0]
            run.peak_mb = max(run.peak_mb, *ranks.gather(checkpoint.peak_mb(device) or 0.0))
            run.record(score)
        else:
            run.seconds += time.perf_counter() - begin
        yield row


def compile_loss(loss: Loss) -> Loss:
    """Compile a loss with torch; its random numbers are drawn outside of the compiled code.

    Their keys are integers, functions of the step: traced, they would become expressions that take minutes to simplify.
    """
    if not getattr(RandomStreams._words, "_torchdynamo_disable", False):
        RandomStreams._words = torch.compiler.disable(RandomStreams._words)  # type: ignore[method-assign]
    return torch.compile(loss)


# The order in which training visits its data: shards are shuffled, and data are drawn within a window of shards.
#
# Each pass over the record takes the shards in a random order and divides them into windows of two; a window lasts
# for as many steps as its share of the record needs. The batch of a step is drawn without replacement from its
# window. All this is a function of seed and step, so that a resumed training visits the same batches. A record of up
# to two shards is one window: its batches do not depend on whether it is streamed.


SHARDS_PER_WINDOW = 2  # number of shards in a window; more take too much memory on large grids


@dataclass(eq=False)
class BatchOrder:
    """The data of each step, as a function of seed and step.

    Parameters
    ----------
    batches
        The training data; `batches.data` holds the states that a step needs.
    groups
        Group of each datum, if a batch must come from a single group.
    seed
        Seed of the order.
    size
        Number of data in a batch.
    """

    batches: Batches
    groups: Int[Tensor, " training"] | None
    seed: int
    size: int
    _window: int = -1
    _data: Int[Tensor, " window"] | None = None

    @cached_property
    def shard_bounds(self) -> list[tuple[int, int, int]]:
        """Number, first datum and end of each shard that has data."""
        ends = shard_ends(self.batches.data, self.batches.state_index)
        return [(number, a, b) for number, (a, b) in enumerate(pairwise([0, *ends])) if b > a]

    @cached_property
    def windows(self) -> int:
        """Number of windows of a pass."""
        return math.ceil(len(self.shard_bounds) / SHARDS_PER_WINDOW)

    @cached_property
    def steps(self) -> int:
        """Number of steps in a window."""
        return max(1, math.ceil(len(self.batches) / (self.size * self.windows)))

    def shards(self, window: int) -> list[int]:
        """The shards of a window, as ascending indices of `shard_bounds`; windows are numbered through all passes."""
        if self.windows == 1:
            return list(range(len(self.shard_bounds)))
        number, position = divmod(window, self.windows)
        generator = generator_for("shards", self.seed, number)
        shuffled = torch.randperm(len(self.shard_bounds), generator=generator)
        return sorted(shuffled.tensor_split(self.windows)[position].tolist())

    def data(self, step: int) -> Int[Tensor, " batch"]:
        """The data of a step, after their states have been loaded into memory."""
        window = step // self.steps if self.windows > 1 else 0
        if window != self._window:
            current, following = self.shards(window), self.shards(window + 1)
            self.batches.data.hold(
                *([self.shard_bounds[shard][0] for shard in shards] for shards in (current, following))
            )
            self._data = torch.cat([torch.arange(*self.shard_bounds[shard][1:]) for shard in current])
            self._window = window
        assert self._data is not None
        groups = None if self.groups is None else self.groups[self._data]
        return self._data[batch_index(step, self.seed, groups, len(self._data), self.size)]
