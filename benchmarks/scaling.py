"""Growth of cost: seconds of each step of the work against cells, times, members and observed values.

    OMP_NUM_THREADS=1 python -m benchmarks.scaling [--only NAME] [--project]

Fields of four variables, red noise in time. Each row varies one size, with the others at 32 x 64 cells (fits to times:
64 x 128), 500 times, 8 members and 500 observed values, and fits seconds ~ size^exponent by least squares; each time is
the best of three. An exponent above 1.05 is marked.

`--project` prints what 0.25 degrees (721 x 1440 cells, four variables, 40 years of days) would take on 1, 8 and 64
GPUs: operations and bytes of `crps_ensemble`, counted in its graph here and proportional to the cells, divided by the
--tflops that a GPU sustains, an assumption; and the largest arrays of other models.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from omegaconf import OmegaConf
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.streaming import record
from fieldcast.encoding.options import Sparsification
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.ingest import ingest
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context, Model
from fieldcast.models.gaps.expectation_maximisation import fit as fit_low_rank
from fieldcast.models.gaussian import training_series
from fieldcast.models.kriging import Kriging
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.linear_inverse_model import LinearInverseModel
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.scores.spectra import zonal_spectrum
from fieldcast.scores.statistics import fair_crps as score_crps
from fieldcast.training.batches import ForecastWindows, ReconstructionBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.state_source import InMemory
from fieldcast.training.training_state import Training

CONFIGURED = "conf/base/parameters/experiments/forecast/crps_ensemble.yml"
VARIABLES, NOISE = 4, 0.1
ROWS, OBSERVED, MEMBERS = (32, 64, 128), (500, 1000, 2000, 4000), (8, 16, 32)
LIMIT = 1.05
QUARTER_DEGREE = 721 * 1440
DAYS = 40 * 365


class Piece(NamedTuple):
    """A step of the work, and how it grows with one size."""

    name: str
    axis: str
    sizes: Sequence[int]
    prepared: Callable[[int], Callable[[], object]]  # from a size to the step to time


def grid(rows: int) -> Space:
    """A globe of `rows` x 2 rows cells."""
    latitude = torch.linspace(-90 + 90 / rows, 90 - 90 / rows, rows).deg2rad()[:, None]
    longitude = torch.arange(2 * rows) * (torch.pi / rows)
    cos = latitude.cos()
    up = latitude.sin().expand(rows, 2 * rows)
    points = torch.stack([cos * longitude.cos(), cos * longitude.sin(), up], dim=-1)
    names = tuple(f"v{i}" for i in range(VARIABLES))
    exists = torch.ones(rows, 2 * rows, dtype=torch.bool)
    static = torch.zeros(1, rows, 2 * rows)
    area = (cos / cos.mean()).expand(rows, 2 * rows)
    return Space(names, True, area, exists, points, static, torch.ones(VARIABLES))


def states(space: Space, times: int) -> InMemory:
    """Red noise in time, independent in space: what a step costs does not depend on the values."""
    x = torch.randn(times, *space.state_shape, generator=torch.Generator().manual_seed(0))
    for t in range(1, times):
        x[t].mul_(0.6).add_(x[t - 1], alpha=0.8)
    return InMemory(x, torch.arange(times) % 365 / 365, torch.zeros(times, dtype=torch.long))


def observed(space: Space, values: int, count: int = 1) -> Context:
    """Observations of `values` random values, the same for all variables' cells of a mask."""
    generator = torch.Generator().manual_seed(1)
    mask = torch.zeros(int(space.size), dtype=torch.bool)
    mask[torch.randperm(len(mask), generator=generator)[:values]] = True
    mask = mask.view(1, *space.state_shape).expand(count, -1, -1, -1)
    y = torch.randn(count, *space.state_shape, generator=generator) * mask
    return Context(count, observed=y, mask=mask, day=torch.zeros(count), noise=NOISE)


def statistics(rows: int, times: int) -> Callable[[], object]:
    fields = ingest(record(16 * times * 2 * rows**2 / 1e9, rows, 2 * rows))[0].load()
    return lambda: normalisation.fit(fields, climatology.fit(fields))


def solved(kind: type[Model], rows: int, times: int) -> Callable[[], object]:
    space = grid(rows)
    data = states(space, times)
    if kind is LinearInverseModel:
        return lambda: kind(space).solve_streamed(ForecastWindows(data, space, 1).states)
    batches = ReconstructionBatches(data, space, Sparsification())
    return lambda: kind(space).solve(batches.states())


def update(
    kind: type[Model], rows: int = 32, times: int = 500, values: int = 500, members: int = MEMBERS[0]
) -> Callable[[], object]:
    """Members of one state given its observations; the covariance is at hand."""
    space = grid(rows)
    model: Any = kind(space)
    model.solve(ReconstructionBatches(states(space, times), space, Sparsification()).states())
    c, draws = observed(space, values), RandomStreams(0, torch.arange(1), members)
    model.sample(c, draws.again())
    return lambda: model.sample(c, draws.again())


def analysis(rows: int = 32, values: int = 500, members: int = MEMBERS[0]) -> Callable[[], object]:
    space = grid(rows)
    filter = LETKF(space)
    background, c = torch.randn(1, members, *space.state_shape), observed(space, values)
    return lambda: filter.update(background, c, {}, RandomStreams(0, torch.arange(1), members))


def crps_ensemble(rows: int) -> tuple[Model, ForecastWindows]:
    """The network with its configured options, and four states."""
    space = grid(rows)
    config: Any = OmegaConf.to_container(OmegaConf.load(CONFIGURED))
    model = initial_model(config["forecast"]["crps_ensemble"]["model"], space, 0)
    return model, ForecastWindows(states(space, 4), space, model.history)


def training_step(rows: int, members: int = 2) -> Callable[[], object]:
    model, windows = crps_ensemble(rows)
    run = Training(model, Fit(members=members), 0)
    index = torch.zeros(1, dtype=torch.long)

    def step() -> None:
        streams = RandomStreams(0, index, members, run.step)
        run.update(run.model.loss(windows.batch(index, streams, steps=1), streams))

    return step


def forecast_step(rows: int, members: int = MEMBERS[0]) -> Callable[[], object]:
    model, windows = crps_ensemble(rows)
    index, draws = torch.zeros(1, dtype=torch.long), RandomStreams(0, torch.arange(1), members)
    c = windows.batch(index, draws, steps=1).context
    with torch.no_grad():
        model.eval()

    def step() -> None:
        with torch.no_grad():
            model.sample(c, draws.again())

    return step


def low_rank(values: int, times: int) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(times, 20, generator=generator) @ torch.randn(20, values, generator=generator)
    present = torch.rand(times, values, generator=generator) < 0.5
    return lambda: fit_low_rank(x * present, present, 10, iterations=5, tolerance=0.0)


def crps_loss(cells: int, members: int) -> Callable[[], object]:
    x, truth = torch.randn(16, members, 4, cells), torch.randn(16, 4, cells)
    return lambda: fair_crps(x, truth)


def crps_score(cells: int, members: int) -> Callable[[], object]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((members, 64, cells), dtype=np.float32)
    truth = rng.standard_normal((64, cells), dtype=np.float32)
    return lambda: score_crps(x, truth)


def spectrum(rows: int) -> Callable[[], object]:
    x = np.random.default_rng(0).standard_normal((16, rows, 2 * rows)).astype(np.float32)
    return lambda: zonal_spectrum(x, np.full(rows, 4e7), True)


def pieces() -> Iterator[Piece]:
    """Every step with each size that it depends on."""
    times = 500, 1000, 2000
    yield Piece("climatology, normalisation", "rows", (16, 32, 64), lambda n: statistics(n, 1472))
    yield Piece("climatology, normalisation", "times", (1472, 2944, 5888), lambda n: statistics(32, n))
    for name, kind in {
        "linear inverse model": LinearInverseModel,
        "optimal interpolation": OptimalInterpolation,
    }.items():
        yield Piece(f"{name}: fit", "rows", ROWS, lambda n, kind=kind: solved(kind, n, 500))  # type: ignore[misc]
        yield Piece(f"{name}: fit", "times", times, lambda n, kind=kind: solved(kind, 64, n))  # type: ignore[misc]
    yield Piece("low-rank Gaussian: fit to gaps", "cells", (1000, 4000, 16000), lambda n: low_rank(n, 200))
    yield Piece("low-rank Gaussian: fit to gaps", "times", (200, 400, 800), lambda n: low_rank(1000, n))
    for name, kind in {"optimal interpolation": OptimalInterpolation, "kriging": Kriging}.items():
        yield Piece(f"{name}: draw", "rows", ROWS, lambda n, kind=kind: update(kind, rows=n))  # type: ignore[misc]
        yield Piece(f"{name}: draw", "observed", OBSERVED, lambda n, kind=kind: update(kind, values=n))  # type: ignore[misc]
        yield Piece(f"{name}: draw", "members", (8, 32, 128), lambda n, kind=kind: update(kind, members=n))  # type: ignore[misc]
    yield Piece(
        "optimal interpolation: draw", "times", times, lambda n: update(OptimalInterpolation, times=n)
    )
    yield Piece(
        "optimal interpolation: in patches", "observed", (13000, 26000, 52000),
        lambda n: update(OptimalInterpolation, rows=128, times=200, values=n),
    )  # fmt: skip
    yield Piece("LETKF: update", "rows", ROWS, lambda n: analysis(rows=n))
    yield Piece("LETKF: update", "observed", OBSERVED, lambda n: analysis(values=n))
    yield Piece("LETKF: update", "members", MEMBERS, lambda n: analysis(members=n))
    yield Piece("crps_ensemble: training step", "rows", ROWS, training_step)
    yield Piece("crps_ensemble: training step", "members", (2, 4, 8), lambda n: training_step(32, n))
    yield Piece("crps_ensemble: forecast step", "rows", ROWS, forecast_step)
    yield Piece("crps_ensemble: forecast step", "members", MEMBERS, lambda n: forecast_step(32, n))
    cells = 2048, 8192, 32768
    yield Piece("fair CRPS, loss", "cells", cells, lambda n: crps_loss(n, 8))
    yield Piece("fair CRPS, loss", "members", (4, 8, 16), lambda n: crps_loss(8192, n))
    yield Piece("fair CRPS, score", "cells", cells, lambda n: crps_score(n, 20))
    yield Piece("fair CRPS, score", "members", (20, 40, 80), lambda n: crps_score(2048, n))
    yield Piece("spectrum", "rows", (128, 256, 512), spectrum)


def seconds(work: Callable[[], object]) -> float:
    """Best of three, after a first call that does not count if it is short."""
    best = math.inf
    for number in range(4):
        begin = time.perf_counter()
        work()
        spent = time.perf_counter() - begin
        if number or spent > 1:
            best = min(best, spent)
        if spent > 10:
            break
    return best


def measured(piece: Piece) -> str:
    """One row of the table; rows of a grid count as cells."""
    sizes = [2 * size**2 if piece.axis == "rows" else size for size in piece.sizes]
    spent = [seconds(piece.prepared(size)) for size in piece.sizes]
    exponent = float(np.polyfit(np.log(sizes), np.log(spent), 1)[0])
    axis = "cells" if piece.axis == "rows" else piece.axis
    listed = " ".join(f"{size:>6}" for size in sizes), " ".join(f"{value:8.3f}" for value in spent)
    return f"{piece.name:32} {axis:9} {listed[0]:28} {listed[1]:36} {exponent:6.2f}{' *' if exponent > LIMIT else ''}"


class Counted(NamedTuple):
    """Work of one datum and member per cell."""

    operations: float
    saved: float  # bytes that a training step holds for its gradient


def counted() -> Counted:
    """Floating-point operations and saved bytes of one member's training step of one rollout step, per cell."""
    model, windows = crps_ensemble(ROWS[1])
    index, held = torch.zeros(1, dtype=torch.long), {}

    def hold(x: torch.Tensor) -> torch.Tensor:
        held[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    streams = RandomStreams(0, index, 2)
    with FlopCounterMode(display=False) as flops, saved_tensors_hooks(hold, lambda x: x):
        loss = model.loss(windows.batch(index, streams, steps=1), streams).total
        loss.backward()
    weights = sum(weight.untyped_storage().nbytes() for weight in model.parameters())
    cells = 2 * ROWS[1] ** 2
    return Counted(flops.get_total_flops() / cells / 2, (sum(held.values()) - weights) / cells / 2)


def project(tflops: float, gigabytes: float, read: float) -> None:
    """Print the cost of 0.25 degrees."""
    config: Any = OmegaConf.to_container(OmegaConf.load(CONFIGURED))
    fit, members = config["forecast"]["crps_ensemble"]["fit"], Fit().members
    work, values = counted(), VARIABLES * QUARTER_DEGREE
    # half of the steps over rollouts begin with pushforward steps, without gradients: a third of the work
    rollout = fit["rollout"] + (1 + fit["pushforward_steps"]) / 2 / 2 / 3
    steps = fit["steps"] * (1 - fit["rollout_share"] + fit["rollout_share"] * rollout)
    training = work.operations * QUARTER_DEGREE * fit["batch"] * members * steps
    forecast = work.operations * QUARTER_DEGREE / 3 * 50 * 10
    held = work.saved * QUARTER_DEGREE * members * fit["rollout"]  # memory of one datum
    bytes_read = 4 * values * fit["steps"] * fit["batch"]  # each state is read once a pass
    print(
        f"a cell, member and training step: {work.operations / 1e3:.0f} thousand operations, {work.saved / 1e3:.1f} kB"
    )
    print(f"assumed: {tflops:g} Tflop/s sustained, {gigabytes:g} GB a GPU, no time for communication")
    print(f"a batch: {fit['batch']} samples x {members} members, rollouts of {fit['rollout']} steps\n")
    print(f"GPUs   training: computed, read at {read:g} GB/s     memory of a GPU     50 members, 10 days")
    for gpus in (1, 8, 64):
        used = min(gpus, fit["batch"])
        hours, reading = training / (tflops * 1e12) / 3600 / used, bytes_read / (read * 1e9) / 3600
        minutes = forecast / (tflops * 1e12) / 60 / min(gpus, 50)
        print(
            f"{gpus:4}   {hours:10.2f} h {reading:18.2f} h {held * fit['batch'] / used / 1e9:18.0f} GB"
            f" {minutes:18.2f} min"
        )
    few = round(0.05 * values)
    print(f"\nrecord, single precision                      {4 * values * DAYS / 1e9:6.0f} GB")
    print(f"climatology, each copy                        {4 * values * 365 / 1e9:6.1f} GB")
    print(
        f"states of optimal interpolation, in memory    {4 * values * training_series.MAX_STATES / 1e9:6.0f} GB"
    )
    print(
        f"its checkpoint                                {2 * values * training_series.MAX_STATES / 1e9:6.0f} GB"
    )
    print(f"its matrix, 5 % of the values observed        {8 * few**2 / 1e9:6.0f} GB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--project", action="store_true")
    parser.add_argument("--tflops", type=float, default=30.0)
    parser.add_argument("--gigabytes", type=float, default=80.0)
    parser.add_argument("--read", type=float, default=0.6, help="GB a second from the store")
    given = parser.parse_args()
    if given.project:
        project(given.tflops, given.gigabytes, given.read)
        return
    print(
        f"{os.cpu_count()} cores, one thread, torch {torch.__version__}, load average {os.getloadavg()[0]:.1f}\n"
    )
    print(f"{'step':32} {'varied':9} {'sizes':28} {'seconds':36} exponent")
    for piece in pieces():
        if given.only in piece.name:
            print(measured(piece), flush=True)


if __name__ == "__main__":
    main()
