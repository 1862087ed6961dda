"""Lorenz-96 as fields of one row, the system with which ensemble filters are compared.

    dx_i / dt = (x_i+1 - x_i-2) x_i-1 - x_i + 8,    i = 1 .. 40, around a circle,

by a Runge-Kutta step of fourth order every 0.05 (Lorenz 1996, "Predictability: a problem partly solved"). Sakov and Oke
(2008, "A deterministic formulation of the ensemble Kalman filter") observe all variables after each step, with errors
of variance 1.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from fieldcast.models.assimilation.filter import CycleState, Filter, cycle
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

CELLS, FORCE, STEP = 40, 8.0, 0.05
FROM_REST = 400  # steps to the attractor


def circle() -> Space:
    """The equator in 40 cells."""
    angle = torch.arange(CELLS, dtype=torch.double) * 2 * math.pi / CELLS
    points = torch.stack([angle.cos(), angle.sin(), torch.zeros(CELLS)], dim=-1)[None]
    ones = torch.ones(1, CELLS)
    return Space(("x",), True, ones, ones > 0, points.float(), torch.zeros(0, 1, CELLS), torch.ones(1))


def tendency(x: Tensor) -> Tensor:
    return (x.roll(-1, -1) - x.roll(2, -1)) * x.roll(1, -1) - x + FORCE


def step(x: Tensor) -> Tensor:
    """One step of Runge-Kutta, along the last dimension."""
    a = tendency(x)
    b = tendency(x + STEP / 2 * a)
    c = tendency(x + STEP / 2 * b)
    d = tendency(x + STEP * c)
    return x + STEP / 6 * (a + 2 * b + 2 * c + d)


def truth(runs: int, steps: int, seed: int = 0) -> Tensor:
    """States (steps, runs, 1, 1, 40) on the attractor."""
    generator = torch.Generator().manual_seed(seed)
    x = FORCE + torch.randn(runs, 1, 1, CELLS, generator=generator)
    states = []
    for number in range(FROM_REST + steps):
        x = step(x)
        if number >= FROM_REST:
            states.append(x)
    return torch.stack(states)


def forecast(c: Context, streams: RandomStreams) -> Tensor:
    """The next state, the same in all draws."""
    return step(c.base())[:, None]


def observed(states: Tensor, seed: int = 1) -> Iterator[Context]:
    """All variables of each state with errors of variance 1."""
    generator = torch.Generator().manual_seed(seed)
    for x in states:
        y = x + torch.randn(x.shape, generator=generator)
        yield Context(
            len(x), observed=y, mask=torch.ones_like(y, dtype=torch.bool), day=torch.zeros(len(x)), noise=1.0
        )


def rmse(analyses: Iterator[Tensor], states: Tensor) -> float:
    """The root of the mean square over the variables, averaged over times and runs, as DAPPER has it."""
    errors = [(x - y).square().mean((1, 2, 3)).sqrt() for x, y in zip(analyses, states, strict=True)]
    return float(torch.stack(errors).mean())


def cycled(filter: Filter, members: int, states: Tensor, spin_up: int = 100) -> float:
    """RMSE of the mean of the analyses after the spin-up, which starts from members about the truth."""
    streams = RandomStreams(0, torch.arange(states.shape[1]), members)
    start = states[0][:, None] + streams.fork(2).normal(1, 1, CELLS)
    days = cycle(
        filter,
        forecast,
        observed(states[1:]),
        CycleState(start[:, :, None], filter.begin(len(start))),
        streams,
    )
    means = [day.analysis.mean(1) for day in days]
    return rmse(iter(means[spin_up:]), states[1 + spin_up :])
