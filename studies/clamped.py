"""Errors of reconstructions for anomalies beyond the range of the training data, at the size of the planet.

python -m studies.clamped [--times 32]

The temperature of the simulated planet cannot fall below the 99 % quantile of training in a quarter of the cells, as
that of water under ice cannot fall below freezing, and the test years are warmed there by a standard deviation. The
quarter is drawn at random, or lies round the poles. All models are solved and tuned as in an experiment; errors are
those at unobserved cells, in standard deviations of the anomaly; spreads are those of 200 draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.encoding.options import Sparsification
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.models import masks
from fieldcast.models.core import Context, Solved
from fieldcast.models.gappy_pca import GappyPCA
from fieldcast.models.interpolation import Linear
from fieldcast.models.kriging import Kriging
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space, evenly
from fieldcast.training.batches import ReconstructionBatches
from fieldcast.training.loop import FitInputs, solve
from fieldcast.training.options import Fit
from fieldcast.training.state_source import InMemory

VARIABLE, QUANTILE, SHARE = "t650", 0.99, 0.25
NOISES, PATTERNS, FRACTIONS = (0.0, 0.1), ("random", "swaths"), (0.05, 0.1, 0.2, 0.5)
MEMBERS, MASKS, ROWS = 200, 4, 8
RESULT = Path(__file__).parent / "results" / "clamped.txt"


def clamped(weather: xr.Dataset, where: np.ndarray) -> list[xr.Dataset]:
    """Training, validation and test: 70, 10 and 20 % of the times, clamped and warmed where `where` says."""
    x = weather[VARIABLE].values.astype(np.float64)
    ends = 0, round(0.7 * len(x)), round(0.8 * len(x)), len(x)
    train, test = slice(*ends[:2]), slice(*ends[2:])
    x[test, where] += x[train].std(0)[where]
    x[:, where] = np.maximum(x, np.quantile(x[train], QUANTILE, axis=0))[:, where]
    fields = weather[[VARIABLE]].copy()
    fields[VARIABLE].values[:] = x
    fields = fields.assign_coords(segment=("time", np.zeros(len(x), np.int32)))
    return [fields.isel(time=slice(*part)) for part in pairwise(ends)]


def quarters(shape: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    yield "at random", np.random.default_rng(0).random(shape) < SHARE
    caps = np.zeros(shape, bool)
    edge = round(shape[0] * SHARE / 2)
    caps[:edge] = caps[-edge:] = True
    yield "round the poles", caps


def case(
    test: ReconstructionBatches, times: int, noise: float, pattern: str, k: float
) -> tuple[Float[Tensor, "b v y x"], Context]:
    """Evenly spaced test times through a few masks."""
    index = evenly(len(test), times)
    x, number = test.data[index], torch.arange(len(index)) % MASKS
    mask = masks.draw((pattern,), (k, k), RandomStreams(7, number), test.space).expand_as(x)
    y = x + noise * RandomStreams(11, index).normal(*x.shape[1:])[:, 0]
    return x, Context(len(x), observed=y * mask, mask=mask, day=test.data.days[index], noise=noise)


def drawn(model: Solved, c: Context) -> Float[Tensor, "b m v y x"]:
    members = 1 if model.deterministic else MEMBERS
    parts = torch.arange(c.count).split(ROWS)
    return torch.cat([model.sample(c[part], RandomStreams(3, part, members)) for part in parts])


def line(model: Solved | None, space: Space, x: Tensor, c: Context) -> str:
    """RMSE; of members the share of errors beyond five spreads in %, and the largest in spreads."""
    d = torch.zeros_like(x)[:, None] if model is None else drawn(model, c)
    assert c.mask is not None
    error, unobserved = d.mean(1) - x, ~c.mask
    weight = unobserved * space.weight
    rmse = float(((error.square() * weight).sum() / weight.sum()).sqrt())
    if d.shape[1] == 1:
        return f"{rmse:8.3f}{'':15}"
    spreads = (error.abs() / d.std(1))[unobserved]
    return f"{rmse:8.3f} {100 * float((spreads > 5).float().mean()):6.3f} {float(spreads.max()):6.1f} "


def states_of(codec: FieldCodec, part: xr.Dataset) -> InMemory:
    """Days that are drawn one by one, so that they need no segments."""
    days = codec.days(part["time"])
    return InMemory(codec.encode(part), days, torch.zeros_like(days, dtype=torch.long))


def report(times: int) -> Iterator[str]:
    weather = simulate(PlanetOptions(), 0)
    for name, where in quarters((weather.sizes["latitude"], weather.sizes["longitude"])):
        train, validation, test = clamped(weather, where)
        usual = climatology.fit(train)
        scale = normalisation.fit(train, usual)
        codec, space = FieldCodec.of(train, usual, scale), space_of(train, usual, scale)
        for noise in NOISES:
            options = Sparsification(noise=noise)
            parts = [
                ReconstructionBatches(states_of(codec, part), space, options)
                for part in (train, validation, test)
            ]
            models: dict[str, Solved | None] = {"climatology": None}
            for kind in (Linear, OptimalInterpolation, Kriging, GappyPCA):
                solved = kind(space)
                solve(solved, FitInputs(parts[0], parts[1], Fit(), 0))
                models[kind.__name__] = solved
            for pattern in PATTERNS:
                yield f"\nclamped {name}, observation noise {noise:g}, {pattern}"
                cases = [case(parts[2], times, noise, pattern, k) for k in FRACTIONS]
                yield f"{'observed':22}" + "".join(f"{k:8.0%}{'':15}" for k in FRACTIONS)
                for title, model in models.items():
                    yield f"{title:22}" + "".join(line(model, space, x, c) for x, c in cases)


def main() -> None:
    """Print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=32)
    lines = ["RMSE; errors beyond five spreads [%]; the largest error [spreads]"]
    print(lines[0])
    for text in report(parser.parse_args().times):
        lines.append(text)
        print(text, flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
