"""DINCAE, a convolutional network that fills a record, beside the methods of `fill_gaps`.

`python -m studies.dincae SOURCE [--share SHARE] [--times TIMES] [--epochs N] [--version 1] [--learned]` removes SHARE
% (60) of the first TIMES (1000) times under clouds with smooth borders, holds values out as `fill_gaps` does, and
fits DINCAE, kriging, the other finalists of the race and, if asked, `corrected_interpolation` once, without the
held-out values. Prints the learning curve, and for each method the CRPS at held-out values, its difference from that
of kriging with the paired error, the RMSE at all removed values, spread / error there, of the spread that the method
reports and of the one that is fitted to the held-out errors, and minutes of processor time. SOURCE is `moving`,
`waves`, `monthly`, a NetCDF file or a Zarr store; SHARE 0 leaves its gaps as they are.

For each time t, with the anomalies x of all variables, which have the error variance s^2 = 1, the inputs of the
network are

    x / s^2 and 1 / s^2 at t - 1, t and t + 1, 0 where missing,    longitude, latitude,    cos and sin of the season,

its outputs a and b for each variable give a mean m and a variance v, and the loss, a mean over all observed values:

    v = 1 / max(exp(min(b, 10)), 10^-3),    m = a v,    log v + (x - m)^2 / v.

In training, values at t that are missing at another time, a random one, are hidden from the inputs, and x at all three
times has noise of standard deviation .05. The network is an encoder of 3 x 3 convolutions, each before an average over
2 x 2 cells, and a decoder, in which each level is upsampled from the nearest cell and convolved. Version 1 (Barth et
al. 2020, Geosci. Model Dev. 13, 1609) appends the inputs of each level of the encoder to those of the decoder, down to
the inputs of the network, with two dense layers with dropout between both; version 2 (Barth et al. 2022, Geosci. Model
Dev. 15, 2183) adds them to the outputs, but those of the finest level, without dense layers, and here without the
optional second network. Filters, batches, rates and limits are the defaults of the authors' programs
(github.com/gher-uliege/DINCAE of version 1, and DINCAE.jl). Mean and spread are averages over the predictions of every
tenth epoch from 200 to 1000; with N < 250 epochs from .8 N on. Otherwise than there the last layer of version 1 has no
activation, and its gradients are limited by element, as in version 2; averages over cells leave out those beyond the
border, as in version 1; and before the first time and after the last there are no inputs, instead of those of t.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from fieldcast import calendars
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.ingest import ingest
from fieldcast.inference.gaps.race import KRIGING, scored_trial
from fieldcast.inference.gaps.trials import Comparison, Tried
from fieldcast.inference.quantities import difference
from fieldcast.models.gaps.fillers import FILLERS, independent
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.reach import nearest_observation
from fieldcast.models.gaps.record import Filler, Filling, Record
from fieldcast.models.gaps.trial import Trial, error_statistics, run_trial, with_fitted_spread
from fieldcast.models.random_streams import RandomStreams, generator_for, seed_for
from fieldcast.training.fill_gaps import CORRECTED, fillers_of
from studies.gap_records import SEED, root_mean_square, under_clouds, variable

DINCAE = "dincae"
FILTERS = 16, 24, 36, 54
EPOCHS, BATCH, RATE, CLIP = 1000, {1: 30, 2: 50}, 1e-3, 5.0
NOISE, MAX_LOG_PRECISION, MIN_PRECISION = 0.05, 10.0, 1e-3
FIRST, FIRST_SHARE, EVERY = 200, 0.8, 10  # epochs whose predictions are averaged
DENSE_SHARE, DROPOUT, LEAK = 0.2, 0.3, 0.2  # of version 1
ROWS = 16  # of the learning curve
HEADINGS = (
    "source", "times x cells", "method", "CRPS at held-out values", "minus that of kriging", "RMSE at removed values",
    "own spread / error", "fitted spread / error", "minutes",
)  # fmt: skip
Watch = Callable[[int, float, Float[Tensor, "time cell"], Float[Tensor, "time cell"]], None]


class Level(nn.Module):
    """A level of the network: a convolution and an average, the coarser levels, upsampling and a convolution."""

    def __init__(self, inputs: int, hidden: int, outputs: int, inner: nn.Module, version: int, finest: bool):
        super().__init__()
        self.inner, self.version, self.finest = inner, version, finest
        self.encoder = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.decoder = nn.Conv2d(hidden + (inputs if version == 1 else 0), outputs, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch c y x"]) -> Float[Tensor, "batch d y x"]:
        """Outputs at the same cells."""
        h = functional.avg_pool2d(self.active(self.encoder(x)), 2, ceil_mode=True, count_include_pad=False)
        h = functional.interpolate(self.inner(h), scale_factor=2.0)[..., : x.shape[-2], : x.shape[-1]]
        h = self.decoder(torch.cat([h, x], 1) if self.version == 1 else h)
        if self.finest:
            return h
        return self.active(h) + (x if self.version == 2 else 0)

    def active(self, h: Tensor) -> Tensor:
        """The activation."""
        return functional.leaky_relu(h, LEAK) if self.version == 1 else functional.relu(h)


def network(inputs: int, outputs: int, shape: Sequence[int], version: int) -> nn.Module:
    """The network, for grids of a shape."""
    shrunk = [math.ceil(n / 2 ** len(FILTERS)) for n in shape]
    inner: nn.Module = nn.Identity()
    if version == 1:
        count = FILTERS[-1] * math.prod(shrunk)
        few = int(DENSE_SHARE * count)
        inner = nn.Sequential(
            nn.Flatten(), nn.Linear(count, few), nn.ReLU(), nn.Dropout(DROPOUT),
            nn.Linear(few, count), nn.ReLU(), nn.Dropout(DROPOUT), nn.Unflatten(1, (FILTERS[-1], *shrunk)),
        )  # fmt: skip
    for level in range(len(FILTERS) - 1, -1, -1):
        width = FILTERS[level - 1] if level else inputs
        inner = Level(width, FILTERS[level], width if level else outputs, inner, version, level == 0)
    for part in inner.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
    return inner.to(memory_format=torch.channels_last)  # twice as fast on a CPU


@dataclass(frozen=True, eq=False)
class Dincae:
    """A filler (`models.gaps.record`) that trains the network for its record.

    Parameters
    ----------
    has_column
        Cells of the grid that are columns of the record.
    latitude, longitude
        Axes of the grid.
    season
        Fraction of the year of each time.
    version
        Of the network: 1 or 2.
    epochs
        Number of passes through the record.
    seed
        Seed of the first weights and of all draws.
    watch
        Told every tenth epoch: its number, its loss, and its mean and spread, or the averages so far.
    """

    has_column: Bool[Tensor, "variable y x"]
    latitude: Float[np.ndarray, " y"]
    longitude: Float[np.ndarray, " x"]
    season: Float[Tensor, " time"]
    version: int = 2
    epochs: int = EPOCHS
    seed: int = 0
    watch: Watch = field(default=lambda epoch, loss, mean, spread: None)

    def __call__(self, record: Record, streams: RandomStreams | None) -> Filling:
        """Train the network on the record, and fill it by the average of its predictions."""
        x, observed = self.on_grid(record.x.masked_fill(~record.observed, 0.0)), self.on_grid(record.observed)
        generator, times = generator_for(DINCAE, self.seed), len(x)
        mean, spread = torch.zeros_like(record.x), torch.zeros_like(record.x)
        with torch.random.fork_rng(devices=()), torch.enable_grad():
            torch.manual_seed(seed_for(DINCAE, self.seed))
            variables, shape = x.shape[1], x.shape[2:]
            model = network(6 * variables + 4, 2 * variables, shape, self.version)
            optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
            averaged, first = 0, min(FIRST, FIRST_SHARE * self.epochs)
            for epoch in range(1, self.epochs + 1):
                losses = []
                model.train()
                for index in torch.randperm(times, generator=generator).split(BATCH[self.version]):
                    clouds_of = torch.randint(times, (len(index),), generator=generator)
                    noise = NOISE * torch.randn(3, *x[index].shape, generator=generator)
                    outputs = model(self.inputs(record, x, observed, index, observed[clouds_of], noise))
                    loss = negative_log_likelihood(*moments(outputs), x[index], observed[index])
                    optimiser.zero_grad()
                    loss.backward()
                    nn.utils.clip_grad_value_(model.parameters(), CLIP)
                    optimiser.step()
                    losses.append(float(loss.detach()))
                if (self.epochs - epoch) % EVERY == 0:
                    averaged = averaged + 1 if epoch >= first + EVERY else 1
                    of_epoch = self.predict(model, record, x, observed)
                    mean.lerp_(of_epoch[0], 1 / averaged)
                    spread.lerp_(of_epoch[1], 1 / averaged)
                    self.watch(epoch, float(np.mean(losses)), mean, spread)
        return independent(record, mean, spread, streams)

    @torch.no_grad()
    def predict(
        self, model: nn.Module, record: Record, x: Float[Tensor, "time variable y x"],
        observed: Bool[Tensor, "time variable y x"],
    ) -> tuple[Float[Tensor, "time cell"], Float[Tensor, "time cell"]]:  # fmt: skip
        """Mean and spread of all columns by the network as it is."""
        model.eval()
        some = torch.arange(len(x)).split(BATCH[self.version])
        predictions = [moments(model(self.inputs(record, x, observed, index))) for index in some]
        mean, variance = (torch.cat(parts)[:, self.has_column] for parts in zip(*predictions, strict=True))
        return mean, variance.sqrt()

    def on_grid(self, values: Tensor) -> Tensor:
        """Columns of the record on the grid, 0 elsewhere."""
        grid = values.new_zeros(len(values), *self.has_column.shape)
        grid[:, self.has_column] = values
        return grid

    def inputs(
        self, record: Record, x: Float[Tensor, "time variable y x"], observed: Bool[Tensor, "time variable y x"],
        index: Int[Tensor, " batch"], visible: Bool[Tensor, "batch variable y x"] | None = None,
        noise: Float[Tensor, "3 batch variable y x"] | float = 0.0,
    ) -> Float[Tensor, "batch channel y x"]:  # fmt: skip
        """The inputs at some times, with those cells of the time itself that are `visible` (all), and with noise."""
        values, present = [], []
        for lag in (-1, 0, 1):
            at = (index + lag).clamp(0, len(x) - 1)
            same_segment = (at == index + lag) & (record.segment[at] == record.segment[index])
            here = observed[at] & same_segment[:, None, None, None]
            if lag == 0 and visible is not None:
                here = here & visible
            values.append(x[at] * here)
            present.append(here.to(x))
        count, (rows, columns) = len(index), x.shape[2:]
        y, east = (
            torch.from_numpy(2 * (axis - axis.min()) / max(float(np.ptp(axis)), 1e-9) - 1).to(x)
            for axis in (self.latitude, self.longitude)
        )
        angle = 2 * torch.pi * self.season[index, None, None, None].expand(-1, 1, rows, columns)
        return torch.cat(
            [
                *(torch.stack(values) + noise), *present, east.expand(count, 1, rows, -1),
                y[:, None].expand(count, 1, -1, columns), angle.cos(), angle.sin(),
            ],
            dim=1,
        ).contiguous(memory_format=torch.channels_last)  # fmt: skip


def moments(outputs: Float[Tensor, "batch part y x"]) -> tuple[Tensor, Tensor]:
    """Mean and variance of each variable from the outputs of the network."""
    a, b = outputs.chunk(2, dim=1)
    variance = 1 / b.clamp(max=MAX_LOG_PRECISION).exp().clamp(min=MIN_PRECISION)
    return a * variance, variance


def negative_log_likelihood(mean: Tensor, variance: Tensor, x: Tensor, observed: Tensor) -> Tensor:
    """Twice the mean of -log p of the observed values of a Gaussian, without its constant."""
    terms = variance.log() + (mean - x).square() / variance
    return (terms * observed).sum() / observed.sum().clamp(min=1)


class Outcome(NamedTuple):
    """A method that was fitted once, without the held-out values."""

    trial: Trial
    filling: Filling
    minutes: float


def fit(name: str, filler: Filler, record: Record, held_out: HeldOut) -> Outcome:
    """Fit a method to a record, of which it fills all missing values."""
    kept: list[Filling] = []

    def keeping(record: Record, streams: RandomStreams | None) -> Filling:
        kept.append(filler(record, streams))
        return kept[0]

    begun = time.process_time()
    trial = run_trial(name, keeping, record, held_out)
    return Outcome(trial, kept[0], (time.process_time() - begun) / 60)


def learning_curve(record: Record, held_out: HeldOut, epochs: int) -> Watch:
    """A watch that prints a row of the learning curve now and then."""
    print("| epoch | loss | RMSE at held-out values | spread / error |\n|---|---|---|---|", flush=True)
    every = math.ceil(epochs / EVERY / ROWS) * EVERY

    def watch(epoch: int, loss: float, mean: Tensor, spread: Tensor) -> None:
        if (epochs - epoch) % every == 0:
            error, s = held_out.at(mean) - held_out.truth, held_out.at(spread)
            rmse, ratio = ((held_out.weight * z.square()).sum().sqrt() for z in (error, s))
            print(f"| {epoch} | {loss:.3f} | {rmse:.4f} | {ratio / rmse:.2f} |", flush=True)

    return watch


def compare(source: str, share: float, times: int, epochs: int, version: int, learned: bool) -> None:
    """Print the learning curve, and a row for each method."""
    truth = variable(source, times)
    gappy = under_clouds(truth, share) if share else truth
    fields, complete = (ingest(data, gaps="keep", missing="train")[0] for data in (gappy, truth))
    comparison = Comparison.of(fields, SEED, "cpu")
    visible = comparison.visible()
    record, held_out = visible.record, comparison.held_out.of_record(visible.record)
    x = visible.codec.encode(complete)[:, visible.has_column]
    removed = torch.isfinite(x) & ~comparison.record().record.observed
    season = torch.from_numpy(calendars.fraction_of_year(visible.times).astype(np.float32))
    tried = Tried()
    for _ in comparison.race(tried):
        pass
    watch, axes = learning_curve(record, held_out, epochs), (visible.codec.latitude, visible.codec.longitude)
    dincae = Dincae(visible.has_column, *axes, season, version, epochs, watch=watch)
    fillers: dict[str, Filler] = {name: FILLERS[name] for name in dict.fromkeys((KRIGING, *tried.finalists))}
    fillers |= fillers_of([CORRECTED] * learned, fields, {}, SEED)
    kriging = fit(KRIGING, fillers.pop(KRIGING), record, held_out)
    label = f"DINCAE, version {version}, {epochs} epochs"
    done = [fit(label, dincae, record, held_out), kriging]
    print(f"\n| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    for outcome in chain(done, (fit(name, filler, record, held_out) for name, filler in fillers.items())):
        numbers = scores(outcome, kriging, visible, held_out, x, removed)
        size = f"{len(record.x)} x {record.x.shape[1]}"
        print(f"| {' | '.join([Path(source).stem, size, outcome.trial.name, *numbers])} |", flush=True)


def scores(
    outcome: Outcome, kriging: Outcome, visible: GappyRecord, held_out: HeldOut, x: Float[Tensor, "time cell"],
    removed: Bool[Tensor, "time cell"],
) -> list[str]:  # fmt: skip
    """The numbers of a row; errors at removed values, if there are any, in the unit of the variable."""
    mean, error = difference(*([scored_trial(each.trial, held_out)] for each in (outcome, kriging)))
    behind = "" if outcome is kriging else f"{mean:+.4f} ± {error:.4f}"
    if not removed.any():
        return [f"{outcome.trial.crps:.4f}", behind, "", "", "", f"{outcome.minutes:.1f}"]
    record, filling = visible.record, outcome.filling
    area = record.columns.area.expand_as(x)[removed].numpy()

    def size(y: Tensor) -> float:
        return root_mean_square((y * visible.scale)[removed].numpy(), area)

    rmse, reported = size(filling.mean - x), size(filling.spread)
    distance = nearest_observation(record.observed, record.columns, ~record.observed)
    variances = error_statistics([outcome.trial], [held_out]).variances
    fitted = size(with_fitted_spread(filling, variances, record, distance).spread)
    return [
        f"{outcome.trial.crps:.4f}", behind, f"{rmse:.4g}", f"{reported / rmse:.2f}", f"{fitted / rmse:.2f}",
        f"{outcome.minutes:.1f}",
    ]  # fmt: skip


def main() -> None:
    """Read the arguments, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--share", type=float, default=60.0, help="removed under clouds [%%]")
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--version", type=int, choices=BATCH, default=2)
    parser.add_argument("--learned", action="store_true", help=f"beside {CORRECTED}, too")
    compare(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
