"""Speed of trainings and rollouts on a device, and how well they use it: `python -m benchmarks.gpu [--device cuda]`.

A row is a family of trained models at 32 x 64 cells, with the model and the options of its experiment, in a number
format (bfloat16 is autocast) and, with `--compile`, compiled:

    Tflop/s   floating-point operations of a step (torch's FlopCounterMode, forward and backward), times steps a second
    MFU       model flops utilisation (Chowdhery et al. 2022, appendix B), relative to the speed of the product of two
              large matrices in the same format, which is measured first, instead of to the vendor's peak
    busy      share of the time in which the device computes: sum of all kernels in torch's profiler on a GPU, processor
              time divided by the number of threads elsewhere

Then a rollout of the reports' VAE, latent 1000, stepped by Runge-Kutta: 500 steps of ten members, for which
the reports' machine took 30 s. On a GPU also with each step replayed as a CUDA graph, whose noise comes from the
same counters: the difference to the ordinary rollout is printed. Without a GPU all of this runs on the processor, the
same step without a graph.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import rollout
from benchmarks.scaling import grid, states
from fieldcast.encoding import checkpoint
from fieldcast.encoding.options import Sparsification
from fieldcast.encoding.states import AnyDayCodec
from fieldcast.inference.forecasts.ensemble import rollout as ordinary
from fieldcast.inference.onnx_export import NoiseInputs
from fieldcast.models.core import Trained
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.models.stepped import Stepped
from fieldcast.training.batches import Batches, ForecastWindows, ReconstructionBatches, StateBatches
from fieldcast.training.options import Fit
from fieldcast.training.run import closed_form_parts, initial_model
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import train_steps
from fieldcast.training.training_state import Training

EXPERIMENTS = Path("conf/base/parameters/experiments")
FAMILIES = (
    "reconstruct.denoising_vae",
    "reconstruct.corrected_interpolation",
    "forecast.vae",
    "forecast.crps_ensemble",
    "forecast.diffusion",
    "sample.ddpm",
)
FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
ROWS, TIMES = 32, 500
WARM_UP_STEPS, PROFILED_STEPS = 3, 3
MATRIX = {"cuda": 8192, "cpu": 2048}
MEMBERS, STEPS = 10, 500  # members and steps of the rollout


def experiment(address: str) -> dict[str, Any]:
    """The YAML of an experiment."""
    task, name = address.split(".")
    config: Any = OmegaConf.to_container(OmegaConf.load(EXPERIMENTS / task / f"{name}.yml"))
    return config[task][name]


def batches(address: str, model: Trained, space: Space) -> Batches:
    """Training data of a family."""
    made, device, task = states(space, TIMES), space.area.device, address.partition(".")[0]
    data = InMemory(made.values.to(device), made.days.to(device), made.segment.to(device))
    if task == "reconstruct":
        return ReconstructionBatches(data, space, Sparsification())
    if task == "forecast":
        return ForecastWindows(data, space, model.history)
    return StateBatches(data, None, space, standardised(space))


def standardised(space: Space) -> AnyDayCodec:
    """The codec of states that are standardised already."""
    count = len(space.variables)
    latitude, longitude = (np.arange(size, dtype=float) for size in space.shape)
    attrs: dict[str, dict[str, Any]] = {name: {} for name in space.variables}
    return AnyDayCodec(space.variables, latitude, longitude, attrs, np.zeros(count), np.ones(count))


def training(
    address: str, number_format: str, compiled: bool, device: str, **options: Any
) -> tuple[Training, Batches]:
    """A training that has not begun; parts in closed form are solved. `options` replace those of the fit."""
    config, space = experiment(address), grid(ROWS).to(torch.device(device))
    model = initial_model(config["model"], space, 0).to(device)
    assert isinstance(model, Trained)
    data = batches(address, model, space)
    for part in closed_form_parts(model):
        part.solve(data.states())
    options = {"steps": 10**6, "report_every": 10**6, "rollout": 1, "pushforward_steps": 0, **options}
    options |= {"max_minutes": None, "precision": number_format, "compile": compiled}
    return Training(model, Fit(**{**config["fit"], **options}), 0), data


def row(address: str, number_format: str, compiled: bool, device: str, seconds: float, fastest: float) -> str:
    """Measure one family in one format."""
    run, data = training(address, number_format, compiled, device)
    steps = train_steps(run, data, data)
    operations = counted(run, data)
    take(steps, WARM_UP_STEPS)
    checkpoint.reset_peak(torch.device(device))
    begin, processor, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - begin < seconds:
        take(steps, 1)
        checkpoint.wait(torch.device(device))
        done += 1
    spent, processor = time.perf_counter() - begin, time.process_time() - processor
    speed = operations * done / spent
    busy = kernels(steps) if device == "cuda" else processor / spent / torch.get_num_threads()
    name = f"{number_format}{', compiled' if compiled else ''}"
    return (
        f"{address:36} {name:20} {done / spent:9.2f} {run.options.batch * done / spent:9.0f} {speed / 1e12:9.3f}"
        f" {speed / fastest:6.2f} {busy:6.2f} {checkpoint.peak_mb(torch.device(device)) or 0:9.0f}"
    )


def take(steps: Iterator[bool], count: int) -> None:
    """Take so many steps of a training."""
    for _ in islice(steps, count):
        pass


def counted(run: Training, data: Batches) -> int:
    """Floating-point operations of one step."""
    index = torch.arange(min(run.options.batch, len(data)), device=run.parameters[0].device)
    draws, groups = RandomStreams(0, index, run.options.members), run.model.groups()
    batch = data.batch(index, draws, shared_mask=run.model.shares_mask)
    batch = replace(batch, group=None if groups is None else int(groups[0]))
    with FlopCounterMode(display=False) as counter:
        run.model.loss(batch, draws).total.backward()
    return counter.get_total_flops()


def kernels(steps: Iterator[bool]) -> float:
    """Share of the time in which kernels of a GPU run."""
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=activities) as profile:
        begin = time.perf_counter()
        take(steps, PROFILED_STEPS)
        torch.cuda.synchronize()
        spent = time.perf_counter() - begin
    return sum(event.self_device_time_total for event in profile.key_averages()) / 1e6 / spent


def product(number_format: str, device: str) -> float:
    """Operations a second of a product of two large matrices."""
    size = MATRIX[device]
    a, b = (torch.randn(size, size, device=device, dtype=FORMATS[number_format]) for _ in range(2))
    best = 0.0
    for _ in range(5):
        begin = time.perf_counter()
        a @ b
        checkpoint.wait(torch.device(device))
        best = max(best, 2 * size**3 / (time.perf_counter() - begin))
    return best


@torch.no_grad()
def replayed(stepped: Stepped, members: int, steps: int) -> Tensor:
    """The last states of a rollout whose step is one function of tensors in fixed places: on a GPU, a CUDA graph."""
    c = rollout.context(stepped, members)
    rows = RandomStreams(0, torch.zeros(1, dtype=torch.long, device=c.base().device), members).per_row()
    assert c.past is not None and c.day is not None
    past, day, given = c.past.clone(), c.day.clone(), dict[Any, Tensor]()
    held = replace(c, past=past, day=day)
    initial = {field.name: getattr(rows, field.name) for field in fields(rows) if field.init}
    step = captured(lambda: stepped.filtered_step(held, NoiseInputs(**initial, given=given)))
    for number in range(1, steps + 1):
        for (kind, path, call, shape), noise in given.items():
            fresh = replace(rows.at_lead(number), path=path, call=call)
            noise.copy_(fresh.normal(*shape) if kind == "normal" else fresh.uniform(*shape))
        c = c.advance(step().clone(), stepped.space.step_years)
        assert c.past is not None and c.day is not None
        past.copy_(c.past)
        day.copy_(c.day)
    return c.base()


def captured(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """A function that replays the step, which on a GPU is a CUDA graph; the first call draws the noise and keeps it."""
    if step().device.type != "cuda":
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


@torch.no_grad()
def eager(stepped: Stepped, members: int, steps: int) -> Tensor:
    """The last states of an ordinary rollout."""
    c = rollout.context(stepped, members)
    streams = RandomStreams(0, torch.zeros(1, dtype=torch.long, device=c.base().device), members)
    return deque(ordinary(stepped, c, streams, steps), maxlen=1)[0][1].base()


def rollouts(device: str, steps: int) -> None:
    """Time rollouts, and compare the states."""
    stepped = rollout.model(device)
    fixed = "CUDA graph" if device == "cuda" else "fixed places"
    works: dict[str, Callable[..., Tensor]] = {"ordinary": eager, fixed: replayed}
    print(f"\nrollout by Runge-Kutta, latent 1000, {MEMBERS} members, {steps} steps")
    last = {}
    for name, work in works.items():
        torch.manual_seed(0)  # the initial states
        work(stepped, MEMBERS, WARM_UP_STEPS)
        checkpoint.wait(torch.device(device))
        torch.manual_seed(0)
        begin = time.perf_counter()
        last[name] = work(stepped, MEMBERS, steps)
        checkpoint.wait(torch.device(device))
        difference = float((last[name] - last["ordinary"]).abs().max())
        print(f"{name:12} {time.perf_counter() - begin:6.1f} s   largest difference {difference:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--only", default="", help="families whose name contains this")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--compile", action="store_true", help="compiled trainings, too")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each training")
    parser.add_argument("--steps", type=int, default=STEPS, help="of the rollout")
    given = parser.parse_args()
    if given.device == "cpu":
        print("no GPU is used: trainings and rollouts run on the processor")
    processor = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    print(torch.cuda.get_device_name() if given.device == "cuda" else processor, f"torch {torch.__version__}")
    fastest = {name: product(name, given.device) for name in given.formats}
    for name, speed in fastest.items():
        print(f"product of matrices of {MATRIX[given.device]} rows, {name}: {speed / 1e12:.3f} Tflop/s")
    heads = f"{'steps/s':>9} {'data/s':>9} {'Tflop/s':>9} {'MFU':>6} {'busy':>6} {'peak MB':>9}"
    print(f"\n{'training':36} {'format':20} {heads}")
    for address in (name for name in FAMILIES if given.only in name):
        for name in given.formats:
            for compiled in (False, True) if given.compile else (False,):
                print(row(address, name, compiled, given.device, given.seconds, fastest[name]), flush=True)
    rollouts(given.device, given.steps)


if __name__ == "__main__":
    main()
