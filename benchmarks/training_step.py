"""A training step of the loop beside a bare torch loop with the same network: `python -m benchmarks.training_step`.

The bare loop draws an index, a random mask and noise by torch's own samplers, then does forward, backward, clipping and
AdamW. Ours draws five patterns and the noise by the counter-based generator and keeps a moving average of the weights;
the second bare loop keeps torch's own average. Stretches of all alternate in one run; the ratio is that of the medians.
The goal is 0.9 of the bare loop's speed.
"""

from __future__ import annotations

import statistics
import time

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


def ours(run: Training, task: Reconstruct) -> None:
    for _ in range(STEPS):
        index = batch_index(run.step, run.seed, None, len(task), run.options.batch)
        draws = Draws(run.seed, index, run.options.members, run.step)
        run.update(run.model.loss(task.batch(index, draws), draws).total)


def bare(
    model: torch.nn.Module, optimiser: torch.optim.Optimizer, task: Reconstruct, size: int,
    average: AveragedModel | None = None,
) -> None:  # fmt: skip
    for _ in range(STEPS):
        index = torch.randperm(len(task))[:size]
        x, k = task.x[index], torch.exp(-5.3 + 4.6 * torch.rand(size, 1, 1, 1))  # log-uniform, 0.5 to 50 %
        mask = (torch.rand(size, 1, ROWS, COLUMNS) < k).expand_as(x)
        observed = torch.where(mask, x + 0.1 * torch.randn_like(x), 0.0)
        context = Context(size, observed=observed, mask=mask, day=task.day[index])
        optimiser.zero_grad(set_to_none=True)
        model.loss(Batch(x, context), Draws(0, index)).total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if average is not None:
            average.update_parameters(model)


def main() -> None:
    task, options = planet_sized(), Fit()
    config = {"type": "vae.VAE", "latent": 200}
    run = Training(initialised(config, task.space, 0), options, 0)
    model = initialised(config, task.space, 0)
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(options.average))
    loops = {
        "ours": lambda: ours(run, task),
        "bare": lambda: bare(model, optimiser, task, options.batch),
        "bare, averaged": lambda: bare(model, optimiser, task, options.batch, average),
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
        print(f"{name:15} {1000 * median:6.1f} ms a step   ({low:.1f} to {high:.1f}){ratio}")


if __name__ == "__main__":
    main()
