"""The steps of a training, in one process or as one of several ranks (`training.ranks`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from fieldcast.encoding import costs
from fieldcast.models.core import Batch, Terms, Trained
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.returned import terms_of
from fieldcast.models.selection import evenly
from fieldcast.training.batch_order import BatchOrder
from fieldcast.training.batches import Batches
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
        draws = RandomStreams(seed_for("validation", seed), piece, options.members, number)
        batch = validation.batch(piece, draws, shared_mask=model.shares_mask, steps=steps)
        batch = replace(batch, index=None)  # these data are not trained on
        sums[number] = float(model.loss(batch, draws).total) * len(piece)
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
        draws = RandomStreams(seed_for("training", run.seed), index, options.members, run.step)
        rollout, pushforward = run.rollout
        batch = training.batch(index, draws, shared_mask=model.shares_mask, steps=pushforward + rollout)
        with torch.autocast(device.type, torch.bfloat16, enabled=use_bfloat16):
            terms = terms_of(model, loss(replace(batch, pushforward=pushforward, group=group), draws))
        run.update(terms, ranks, weight)
        row = run.step % options.report_every == 0 or run.step >= options.steps
        if options.max_minutes is not None:
            row = row or bool(ranks.gather(float(run.out_of_time(begin)))[0])
        if row:
            costs.wait(device)
        run.stepping += time.perf_counter() - begin
        if row:
            model.eval()
            with weights_of(model, run.average):
                score = validation_loss(model, validation, options, run.seed, run.validation_steps, ranks)
            run.seconds = ranks.gather(run.seconds + time.perf_counter() - begin)[0]
            run.peak_mb = max(run.peak_mb, *ranks.gather(costs.peak_mb(device) or 0.0))
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
