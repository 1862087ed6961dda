"""A training step of the loop beside a bare torch loop with the same network: `python -m benchmarks.training_step`.

A bare loop does forward, backward, clipping and AdamW. "bare" is given the batches that ours is trained on: masks of
five patterns and noise, drawn by the counter-based generator. "bare, masks of torch" draws an index, masks of scattered
cells and noise by torch's own samplers: beside it ours pays for the patterns and for draws that do not depend on how
data are batched. Ours keeps a moving average of the weights besides; "averaged" does so by torch's own. Stretches of
all alternate in one run; the ratio is that of the medians. The goal is 0.9 of the speed of "bare".
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fieldcast.loops.options import Fit, Sparsification
from fieldcast.loops.recipe import initialised
from fieldcast.loops.tasks import Reconstruct
from fieldcast.loops.training import Training, batch_index
from fieldcast.models.core import Batch, Context, Space
from fieldcast.models.draws import Draws

VARIABLES, ROWS, COLUMNS, DAYS = 4, 32, 64, 1000
STEPS, STRETCHES = 20, 7

Sampler = Callable[[Reconstruct, int, int], tuple[Batch, Draws]]


def planet_sized() -> Reconstruct:
    latitude = torch.linspace(-87, 87, ROWS).deg2rad()
    longitude = torch.arange(COLUMNS) * (2 * torch.pi / COLUMNS)
    cos = latitude.cos()[:, None]
    points = torch.stack(
        [cos * longitude.cos(), cos * longitude.sin(), latitude.sin()[:, None].expand(ROWS, COLUMNS)], dim=-1
    )
    space = Space(
        tuple("abcd"), True, (cos / cos.mean()).expand(ROWS, COLUMNS), torch.ones(ROWS, COLUMNS, dtype=torch.bool),
        points, torch.randn(3, ROWS, COLUMNS, generator=torch.Generator().manual_seed(0)), torch.ones(VARIABLES),
    )  # fmt: skip
    x = torch.randn(DAYS, VARIABLES, ROWS, COLUMNS, generator=torch.Generator().manual_seed(1))
    return Reconstruct(x, torch.rand(DAYS), space, Sparsification(noise=0.1))


def drawn(task: Reconstruct, step: int, size: int) -> tuple[Batch, Draws]:
    """The batch of a step of our loop."""
    index = batch_index(step, 0, None, len(task), size)
    draws = Draws(0, index, step=step)
    return task.batch(index, draws), draws


def scattered(task: Reconstruct, step: int, size: int) -> tuple[Batch, Draws]:
    """What torch's own samplers draw."""
    index = torch.randperm(len(task))[:size]
    x, k = task.x[index], torch.exp(-5.3 + 4.6 * torch.rand(size, 1, 1, 1))  # log-uniform, 0.5 to 50 %
    mask = (torch.rand(size, 1, ROWS, COLUMNS) < k).expand_as(x)
    observed = torch.where(mask, x + 0.1 * torch.randn_like(x), 0.0)
    return Batch(x, Context(size, observed=observed, mask=mask, day=task.day[index])), Draws(0, index)


def ours(run: Training, task: Reconstruct) -> None:
    for _ in range(STEPS):
        batch, draws = drawn(task, run.step, run.options.batch)
        run.update(run.model.loss(batch, draws).total)


class Bare:
    """A plain torch loop over the batches of `draw`; with a `decay`, of the moving average of its weights too."""

    def __init__(
        self, task: Reconstruct, config: dict[str, object], draw: Sampler, decay: float | None = None
    ):
        self.task, self.draw, self.step = task, draw, 0
        self.model = initialised(config, task.space, 0)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), fused=True)
        kept = None if decay is None else get_ema_multi_avg_fn(decay)
        self.average = AveragedModel(self.model, multi_avg_fn=kept) if kept else None

    def __call__(self) -> None:
        for _ in range(STEPS):
            batch, draws = self.draw(self.task, self.step, Fit().batch)
            self.optimiser.zero_grad(set_to_none=True)
            self.model.loss(batch, draws).total.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), Fit().clip)
            self.optimiser.step()
            if self.average is not None:
                self.average.update_parameters(self.model)
            self.step += 1


def main() -> None:
    task, options = planet_sized(), Fit()
    config = {"type": "vae.VAE", "latent": 200}
    run = Training(initialised(config, task.space, 0), options, 0)
    loops: dict[str, Callable[[], None]] = {
        "ours": lambda: ours(run, task),
        "bare": Bare(task, config, drawn),
        "bare, averaged": Bare(task, config, drawn, options.average),
        "bare, masks of torch": Bare(task, config, scattered),
        "bare, masks of torch, averaged": Bare(task, config, scattered, options.average),
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
        ratio = f"   ours has {median / medians['ours']:.2f} of its speed" if name != "ours" else ""
        print(f"{name:30} {1000 * median:6.1f} ms a step   ({low:.1f} to {high:.1f}){ratio}")


if __name__ == "__main__":
    main()
