"""A training step of the loop beside a bare torch loop with the same network: `python -m benchmarks.training_step`.

A bare loop does forward, backward, clipping and AdamW. "bare" is given the batches that ours is trained on: masks of
the pattern `random` and noise, drawn by the counter-based generator. "bare, masks of torch" draws an index, masks of
scattered cells and noise by torch's own samplers: beside it ours pays for draws that do not depend on how data are
batched, and for masks of exactly n cells. Ours keeps a moving average of the weights besides; "averaged" does so by
torch's own. Short stretches of all alternate in one run; the ratio is the median of those of neighbouring stretches, so
that other work on the machine meets both. The goal is 0.95 of the speed of "bare, masks of torch, averaged". The last
rows are ours with the other patterns, and with all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fieldcast.encoding.options import Sparsification, TrainingMasks
from fieldcast.models.core import Batch, Context
from fieldcast.models.options import PATTERNS, Pattern
from fieldcast.models.random_streams import RandomStreams, batch_index
from fieldcast.models.space import Space
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.state_source import InMemory
from fieldcast.training.training_state import Training

VARIABLES, ROWS, COLUMNS, DAYS = 4, 32, 64, 1000
STEPS, STRETCHES = 5, 28

Sampler = Callable[[ReconstructionBatches, int, int], tuple[Batch, RandomStreams]]


def planet_sized(*patterns: Pattern) -> ReconstructionBatches:
    latitude = torch.linspace(-87, 87, ROWS).deg2rad()
    longitude = torch.arange(COLUMNS) * (2 * torch.pi / COLUMNS)
    cos = latitude.cos()[:, None]
    points = torch.stack(
        [cos * longitude.cos(), cos * longitude.sin(), latitude.sin()[:, None].expand(ROWS, COLUMNS)], dim=-1
    )
    space = Space(
        tuple("abcd"), True, (cos / cos.mean()).repeat(1, COLUMNS), torch.ones(ROWS, COLUMNS, dtype=torch.bool),
        points, torch.randn(3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)), torch.ones(VARIABLES),
    )  # fmt: skip
    x = torch.randn(DAYS, VARIABLES, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))
    options = Sparsification(noise=0.1, training=TrainingMasks(patterns=patterns))
    return ReconstructionBatches(
        InMemory(x, torch.rand(DAYS), torch.zeros(DAYS, dtype=torch.long)), space, options
    )


def drawn(task: ReconstructionBatches, step: int, size: int) -> tuple[Batch, RandomStreams]:
    """The batch of a step of our loop."""
    index = batch_index(step, 0, None, len(task), size)
    streams = RandomStreams(0, index, step=step)
    return task.batch(index, streams), streams


def scattered(task: ReconstructionBatches, step: int, size: int) -> tuple[Batch, RandomStreams]:
    """A batch drawn by torch's own samplers."""
    index = torch.randperm(len(task))[:size]
    x, k = task.data[index], torch.exp(-5.3 + 4.6 * torch.rand(size, 1, 1, 1))  # log-uniform, 0.5 to 50 %
    mask = (torch.rand(size, 1, ROWS, COLUMNS) < k).expand_as(x)
    observed = torch.where(mask, x + 0.1 * torch.randn_like(x), 0.0)
    return Batch(x, Context(size, observed=observed, mask=mask, day=task.data.days[index])), RandomStreams(
        0, index
    )


class Ours:
    """Steps of our loop."""

    def __init__(self, task: ReconstructionBatches, config: dict[str, object]):
        self.task, self.run = task, Training(initial_model(config, task.space, 0), Fit(), 0)

    def __call__(self) -> None:
        for _ in range(STEPS):
            batch, draws = drawn(self.task, self.run.step, Fit().batch)
            self.run.update(self.run.model.loss(batch, draws))


class Bare:
    """A plain torch loop over the batches of `draw`; with a `decay`, of the moving average of its weights too."""

    def __init__(
        self,
        task: ReconstructionBatches,
        config: dict[str, object],
        draw: Sampler,
        decay: float | None = None,
    ):
        self.task, self.draw, self.step = task, draw, 0
        self.model = initial_model(config, task.space, 0)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), fused=True)
        kept = None if decay is None else get_ema_multi_avg_fn(decay)
        self.average = AveragedModel(self.model, multi_avg_fn=kept) if kept else None

    def __call__(self) -> None:
        for _ in range(STEPS):
            batch, draws = self.draw(self.task, self.step, Fit().batch)
            self.optimiser.zero_grad(set_to_none=True)
            self.model.loss(batch, draws).total.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), Fit().max_grad_norm)
            self.optimiser.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
            self.step += 1


def main() -> None:
    task, options = planet_sized("random"), Fit()
    config: dict[str, object] = {"type": "vae.ConditionalVAE", "latent": 200}
    others = {name: (name,) for name in PATTERNS if name != "random"} | {"all patterns": tuple(PATTERNS)}
    loops: dict[str, Callable[[], None]] = {
        "ours": Ours(task, config),
        "bare": Bare(task, config, drawn),
        "bare, averaged": Bare(task, config, drawn, options.ema_decay),
        "bare, masks of torch": Bare(task, config, scattered),
        "bare, masks of torch, averaged": Bare(task, config, scattered, options.ema_decay),
        **{f"ours, {name}": Ours(planet_sized(*patterns), config) for name, patterns in others.items()},
    }
    times: dict[str, list[float]] = {name: [] for name in loops}
    for stretch in range(STRETCHES + 1):
        for name, work in loops.items():
            begin = time.perf_counter()
            work()
            if stretch:  # the first is a warm-up
                times[name].append((time.perf_counter() - begin) / STEPS)
    medians = {name: statistics.median(values) for name, values in times.items()}
    size = f"{VARIABLES} x {ROWS} x {COLUMNS}, batch {options.batch}, {torch.get_num_threads()} threads"
    print(f"the reports' VAE, {size}")
    for name, median in medians.items():
        low, high = 1000 * min(times[name]), 1000 * max(times[name])
        share = statistics.median(
            other / ours for other, ours in zip(times[name], times["ours"], strict=True)
        )
        ratio = f"   ours has {share:.2f} of its speed" if name.startswith("bare") else ""
        print(f"{name:30} {1000 * median:6.1f} ms a step   ({low:.1f} to {high:.1f}){ratio}")


if __name__ == "__main__":
    main()
