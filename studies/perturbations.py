"""Scores of forecasts from perturbed analyses: `python -m studies.perturbations DATA_ROOT`.

Forecasts of three models that have been trained in that data root start every five days from the analyses of a cycle
there; docs/results/forecast.md has the commands. `--analyses`, `--fraction` and `--models` name another cycle, fraction
of random cells observed, or models. All starts but `exact` have the mean of the analyses as their mean:

exact      the truth, the same for all members
none       the mean of the analyses, the same for all members
noise      differences between training states of random days of any season, which have the correlations of weather,
           but not of that day (Magnusson, Nycander and Kallen 2009)
bred       bred vectors: differences between two forecasts of one step with the same noise, from the mean of the
           analyses with and without the last bred vectors, which are then rescaled, one by one, with one factor for all
           cells, variables and past states (Toth and Kalnay 1997, here without pairs of opposite sign)
analyses   the members of the analyses

Perturbations sum to zero over members and have, in the newest state, the area-weighted variance of the members of the
analyses. Scores are means over starts, variables and cells, in anomaly standard deviations. * marks a CRPS whose paired
difference from that of `analyses` has a 95 % interval without zero. Dimensions are the number that the perturbations
span, (sum l)^2 / sum l^2 for the eigenvalues l of their covariance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import unpack
from fieldcast.fields.splits import select
from fieldcast.geometry import GRID
from fieldcast.inference.forecasts.ensemble import rollout
from fieldcast.models.core import Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams, generator_for, seed_for
from fieldcast.runtime import Progress
from fieldcast.scores.bootstrap import BLOCK_DAYS, block_weights, interval, resampled_means
from fieldcast.scores.metrics import unbiased_spread_skill_ratio
from fieldcast.scores.summary import text_table

SPIN_UP, EVERY = 30, 5  # days before the first start, and between starts
LEADS = 1, 2, 3, 5, 10  # days
EXACT, NONE, REFERENCE = "exact", "none", "analyses"
MODELS = "linear_inverse_model,decoder_convolutional_past,crps_ensemble"

Members = Float[Tensor, "time member variable y x"]
# perturbations of the states that a forecast starts from, the newest last
Windows = Float[Tensor, "start past member variable y x"]
Scores = Mapping[str, Float[np.ndarray, "start kind lead"]]  # crps, variance and squared error


class Cycle(NamedTuple):
    """Analyses of successive days, the truth, and training states, as standardised anomalies."""

    analyses: Members
    truth: Float[Tensor, "valid_time variable y x"]  # from the first analysis on
    day: Float[Tensor, " valid_time"]
    training: Float[Tensor, "training_time variable y x"]

    @property
    def mean(self) -> Members:
        """Mean of the members, whose dimension remains."""
        return self.analyses.mean(dim=1, keepdim=True)

    @property
    def starts(self) -> range:
        """Times at which forecasts start."""
        return range(SPIN_UP, len(self.analyses), EVERY)

    @classmethod
    def read(cls, root: Path, experiment: str, k: float, codec: FieldCodec) -> Cycle:
        """The case of a cycle with a fraction k of random cells observed."""
        stored = xr.open_zarr(root / "07_model_output" / "assimilate" / experiment / "draws.zarr")
        case = int(np.flatnonzero((stored["k"].values == k) & (stored["pattern"].values == "random"))[0])
        analyses = stored.sel(state="analysis").isel(case=case).drop_vars(["state", "pattern", "k"])
        fields = xr.open_zarr(root / "03_primary" / "fields.zarr")
        first = int(calendars.positions(fields["time"], calendars.iso(analyses["time"]))[0])
        truth = fields.isel(time=slice(first, first + analyses.sizes["time"] + max(LEADS))).load()
        splits = json.loads((root / "03_primary" / "splits.json").read_text())
        return cls(
            codec.encode(analyses.transpose("member", "time", *GRID).load()).transpose(0, 1),
            codec.encode(truth),
            codec.days(truth["time"]),
            codec.encode(select(fields, splits, "train").load()),
        )


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("--analyses", default="hybrid")
    parser.add_argument("--fraction", type=float, default=0.05)
    parser.add_argument("--models", default=MODELS)
    options = parser.parse_args()
    for name in options.models.split(","):
        path = options.root / "06_models" / "forecast" / name / "checkpoint.safetensors"
        trained = unpack(path.read_bytes())
        cycle = Cycle.read(options.root, options.analyses, options.fraction, trained.field_codec)
        added = perturbations(trained.model, cycle)
        print(table(name, added, forecast_scores(trained.model, cycle, added)), flush=True)


def perturbations(model: Model, cycle: Cycle) -> Mapping[str, Windows]:
    """The differences of each kind of start from the mean of the analyses."""
    history, weight = max(1, model.history), cell_weight(model)
    analyses = windows(cycle.analyses - cycle.mean, cycle.starts, history)
    variance = newest_variance(analyses, weight).mean(dim=1)
    exact = windows(cycle.truth[: len(cycle.mean), None] - cycle.mean, cycle.starts, history)
    noise = windows(training_differences(cycle), cycle.starts, history)
    return {
        EXACT: exact.expand_as(analyses),
        NONE: torch.zeros_like(analyses),
        "noise": centred(noise, variance, weight),
        "bred": centred(bred_vectors(model, cycle), variance, weight),
        REFERENCE: analyses,
    }


def cell_weight(model: Model) -> Tensor:
    """Weight of a cell and variable in a mean over all of them."""
    return model.space.weight / len(model.space.variables)


def windows(p: Members, starts: Iterable[int], history: int) -> Windows:
    """The states at each start and before it."""
    return torch.stack([p[start + 1 - history : start + 1] for start in starts])


def newest_variance(p: Windows, weight: Tensor) -> Float[Tensor, "start member"]:
    """Mean square of the newest state."""
    return (p[:, -1].square() * weight).sum(dim=(2, 3, 4))


def centred(p: Windows, variance: Float[Tensor, " start"], weight: Tensor) -> Windows:
    """Subtract the mean of the members, and scale those of a start together, to a variance of the newest state."""
    p = p - p.mean(dim=2, keepdim=True)
    factor = (variance / newest_variance(p, weight).mean(dim=1)).sqrt()
    return p * factor[:, None, None, None, None, None]


def training_differences(cycle: Cycle) -> Members:
    """Differences between two stretches of the training states, at random days.

    A member keeps its two stretches at all times, so that its past states fit together.
    """
    times, members = cycle.analyses.shape[:2]
    first, apart = (
        torch.randint(low, len(cycle.training) - times + 1, (members,), generator=generator_for(purpose))
        for low, purpose in ((0, "first stretch"), (1, "distance between stretches"))
    )
    second = (first + apart) % (len(cycle.training) - times + 1)
    time = torch.arange(times)[:, None]
    return cycle.training[time + first] - cycle.training[time + second]


@torch.no_grad()
def bred_vectors(model: Model, cycle: Cycle) -> Windows:
    """Differences between forecasts of one step with and without the last differences, rescaled before each step.

    They begin as differences between training states. Each is rescaled by itself, together with its past states, so
    that these keep their ratio to the newest one.
    """
    history, members = max(1, model.history), cycle.analyses.shape[1]
    weight, mean = cell_weight(model), cycle.mean.expand_as(cycle.analyses)
    variance = ((cycle.analyses - cycle.mean).square() * weight).sum(dim=(2, 3, 4)).mean(dim=1)
    bred, at_starts = training_differences(cycle)[:history], []
    for time in range(history, max(cycle.starts) + 1):
        factor = (variance[time - 1] / newest_variance(bred[None], weight)[0]).sqrt()
        bred = bred * factor[:, None, None, None]
        last = mean[time - history : time]
        streams = RandomStreams(seed_for("bred vectors"), torch.full((2,), time), members)
        perturbed, control = next(
            forecast(model, torch.stack([last + bred, last]), cycle.day[time], streams, 1)
        )
        bred = torch.cat([bred[1:], (perturbed - control)[None]])
        if time in cycle.starts:
            at_starts.append(bred)
    return torch.stack(at_starts)


def forecast(
    model: Model, start: Float[Tensor, "kind past member variable y x"], day: Tensor, streams: RandomStreams,
    steps: int,
) -> Iterator[Float[Tensor, "kind member variable y x"]]:  # fmt: skip
    """Yield the states of a rollout from several kinds of start."""
    past = start.transpose(1, 2).flatten(0, 1)
    for x, _ in rollout(model, Context(len(past), past=past, day=day.expand(len(past))), streams, steps):
        yield x


@torch.no_grad()
def forecast_scores(model: Model, cycle: Cycle, added: Mapping[str, Windows]) -> Scores:
    """Scores of the forecasts from each start; all kinds of start share the draws of the model."""
    history, members = max(1, model.history), cycle.analyses.shape[1]
    weight, scores = cell_weight(model), []
    for number, start in enumerate(Progress(cycle.starts, unit="start")):
        last = cycle.mean[start + 1 - history : start + 1]
        states = torch.stack([last + p[number] for p in added.values()])
        streams = RandomStreams(seed_for("perturbations"), torch.full((len(added),), start), members)
        steps = forecast(model, states, cycle.day[start + 1], streams, max(LEADS))
        scores.append([moments(x, cycle.truth[start + lead], weight) for lead, x in enumerate(steps, 1)])
    by_lead = np.array(scores)[:, [lead - 1 for lead in LEADS]]  # (start, lead, statistic, kind)
    return dict(zip(("crps", "variance", "squared error"), by_lead.transpose(2, 0, 3, 1), strict=True))


def moments(
    x: Float[Tensor, "kind member variable y x"], y: Float[Tensor, "variable y x"], weight: Tensor
) -> Float[np.ndarray, "3 kind"]:
    """Fair CRPS, variance of the members and squared error of their mean."""
    values = fair_crps(x, y.expand(len(x), *y.shape)), x.var(dim=1), (x.mean(dim=1) - y).square()
    return np.array([(value * weight).sum(dim=(1, 2, 3)).numpy() for value in values])


def dimensions(p: Windows) -> float:
    """(sum l)^2 / sum l^2 for the eigenvalues l of the covariance of the newest state, averaged over the starts."""
    newest = p[:, -1].flatten(2)
    # the products of members have the eigenvalues of the covariance, but for a factor
    products = newest @ newest.transpose(1, 2)
    trace = products.diagonal(dim1=1, dim2=2).sum(dim=1)
    return float((trace**2 / products.square().sum(dim=(1, 2))).mean())


def table(name: str, added: Mapping[str, Windows], scores: Scores) -> str:
    """Scores of a model at each lead, with a line for each kind of start."""
    crps, members = scores["crps"], added[REFERENCE].shape[2]
    weights = block_weights(len(crps), round(BLOCK_DAYS / EVERY))
    reference = list(added).index(REFERENCE)
    low, high = interval(resampled_means(crps - crps[:, [reference]], weights))
    error, variance = (scores[statistic].mean(axis=0) for statistic in ("squared error", "variance"))
    ratio = unbiased_spread_skill_ratio(variance, error - variance / members)
    star = np.where((low > 0) | (high < 0), "*", " ")
    columns = {
        "fair CRPS": np.char.add(np.char.mod("%.3f", crps.mean(axis=0)), star),
        "spread-skill ratio": np.char.mod("%.2f ", ratio),
        "RMSE of the mean": np.char.mod("%.3f ", np.sqrt(error)),
    }
    lines = [f"{name}, {len(crps)} starts"]
    for score, rows in columns.items():
        lines += text_table(score, [f"{lead} d " for lead in LEADS], dict(zip(added, rows, strict=True)), 9)
    spanned = {kind: f"{dimensions(added[kind]):.0f}" for kind in added if kind not in (EXACT, NONE)}
    return "\n".join(
        [*lines, "dimensions: " + ", ".join(f"{kind} {number}" for kind, number in spanned.items())]
    )


if __name__ == "__main__":
    main()
