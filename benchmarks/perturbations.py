"""Scores of forecasts from perturbed analyses: `python -m benchmarks.perturbations DATA_ROOT`.

Before it, `kedro run --env demo --pipelines assimilate.hybrid,forecast.decoder_convolutional_past` in that data root
trains the three models. Forecasts of each start every five days from the analyses of the cycle with 5 % of random cells
observed; `--analyses`, `--fraction` and `--models` name others. All starts but `exact` have the mean of the analyses as
their mean:

exact      the truth, the same for all members
none       the mean of the analyses, the same for all members
noise      differences between training states of random days, which have the correlations of weather, but not of
           that day (Magnusson, Nycander and Kallen 2009)
bred       bred vectors: differences between two forecasts of one step with the same noise, from perturbed and
           unperturbed analyses, rescaled and added to the next analyses, from the first analysis on (Toth and Kalnay
           1997)
analyses   the members of the analyses

Perturbations sum to zero over members and have, at each time, the variance of the members of the analyses. Scores are
means over starts, variables and cells, in anomaly standard deviations. * marks a CRPS whose paired difference from that
of `analyses` has a 95 % interval without zero. Dimensions are the number that the perturbations span, (sum l)^2 / sum
l^2 for the eigenvalues l of their covariance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
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
from fieldcast.inference.rollout import rollout
from fieldcast.models.core import Context, Model
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams, generator_for, seed_for
from fieldcast.progress import Progress
from fieldcast.scores.bootstrap import BLOCK_DAYS, block_weights, interval, resampled_means
from fieldcast.scores.functions_of_means import unbiased_spread_skill_ratio
from fieldcast.scores.text_table import text_table

SPIN_UP, EVERY = 30, 5  # days before the first start, and between starts
LEADS = 1, 2, 3, 5, 10  # days
REFERENCE = "analyses"
KINDS = "exact", "none", "noise", "bred", REFERENCE
MODELS = "linear_inverse_model,decoder_convolutional_past,crps_ensemble"

Members = Float[Tensor, "time member variable y x"]
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


def perturbations(model: Model, cycle: Cycle) -> Mapping[str, Members]:
    """The differences of each kind of start from the mean of the analyses."""
    members, mean = cycle.analyses, cycle.mean
    variance = centred(members).square().mean(dim=(1, 2, 3, 4), keepdim=True)
    exact = (cycle.truth[: len(members)] - mean[:, 0])[:, None].expand_as(members)
    return {
        "exact": exact,
        "none": torch.zeros_like(members),
        "noise": rescaled(centred(training_differences(cycle)), variance),
        "bred": rescaled(centred(bred_vectors(model, cycle, variance)), variance),
        REFERENCE: centred(members),
    }


def centred(p: Members) -> Members:
    """Subtract the mean of the members."""
    return p - p.mean(dim=1, keepdim=True)


def rescaled(p: Members, variance: Tensor) -> Members:
    """Scale to a variance at each time, with one factor for all members if it has one value for them."""
    own = p.square().mean(dim=(1, 2, 3, 4) if variance.shape[1] == 1 else (2, 3, 4), keepdim=True)
    return p * (variance / own).sqrt()


def training_differences(cycle: Cycle) -> Members:
    """Differences between two sequences of training states; their days and signs are random, and those of a member
    are the same at all times, so that its past states fit together."""
    times, members = cycle.analyses.shape[:2]
    starts = torch.randint(
        len(cycle.training) - times, (2, members), generator=generator_for("random perturbations")
    )
    index = torch.arange(times)[:, None] + starts[:, None]
    return cycle.training[index[0]] - cycle.training[index[1]]


@torch.no_grad()
def bred_vectors(model: Model, cycle: Cycle, variance: Float[Tensor, "time 1 1 1 1"]) -> Members:
    """Differences between perturbed and unperturbed forecasts of one step, rescaled one by one at each time.

    They start, `model.history` times, from differences between training states.
    """
    history, (times, members) = max(1, model.history), cycle.analyses.shape[:2]
    mean, of_each = cycle.mean.expand_as(cycle.analyses), variance.expand(-1, members, -1, -1, -1)
    bred = rescaled(training_differences(cycle), of_each)
    for time in range(history, times):
        window = slice(time - history, time)
        start = torch.stack([mean[window] + bred[window], mean[window]])
        draws = RandomStreams(seed_for("bred vectors"), torch.full((2,), time), members)
        perturbed, control = next(forecast(model, start, cycle.day[time], draws, 1))
        bred[time] = rescaled((perturbed - control)[None], of_each[time : time + 1])[0]
    return bred


def forecast(
    model: Model, start: Float[Tensor, "kind past member variable y x"], day: Tensor, draws: RandomStreams,
    steps: int,
) -> Iterator[Float[Tensor, "kind member variable y x"]]:  # fmt: skip
    """Yield the states of a rollout from several kinds of start."""
    past = start.transpose(1, 2).flatten(0, 1)
    for x, _ in rollout(model, Context(len(past), past=past, day=day.expand(len(past))), draws, steps):
        yield x


@torch.no_grad()
def forecast_scores(model: Model, cycle: Cycle, added: Mapping[str, Members]) -> Scores:
    """Scores of the forecasts from each start; all kinds of start share the draws of the model."""
    history, (times, members) = max(1, model.history), cycle.analyses.shape[:2]
    weight = model.space.weight / len(model.space.variables)
    scores = []
    for start in Progress(range(SPIN_UP, times, EVERY), unit="start"):
        window = slice(start + 1 - history, start + 1)
        first = torch.stack([cycle.mean[window] + p[window] for p in added.values()])
        draws = RandomStreams(seed_for("perturbations"), torch.full((len(added),), start), members)
        steps = forecast(model, first, cycle.day[start + 1], draws, max(LEADS))
        scores.append([moments(x, cycle.truth[start + lead], weight) for lead, x in enumerate(steps, 1)])
    by_lead = np.array(scores)[:, [lead - 1 for lead in LEADS]]  # (start, lead, statistic, kind)
    return dict(zip(("crps", "variance", "squared error"), by_lead.transpose(2, 0, 3, 1), strict=True))


def moments(
    x: Float[Tensor, "kind member variable y x"], y: Float[Tensor, "variable y x"], weight: Tensor
) -> Float[np.ndarray, "3 kind"]:
    """Fair CRPS, variance of the members and squared error of their mean."""
    values = fair_crps(x, y.expand(len(x), *y.shape)), x.var(dim=1), (x.mean(dim=1) - y).square()
    return np.array([(value * weight).sum(dim=(1, 2, 3)).numpy() for value in values])


def dimensions(p: Members) -> float:
    """(sum l)^2 / sum l^2 for the eigenvalues l of the covariance of the members, averaged over the starts."""
    of_starts = p[SPIN_UP::EVERY].flatten(2)
    gram = of_starts @ of_starts.transpose(
        1, 2
    )  # its eigenvalues are those of the covariance, but for a factor
    trace = gram.diagonal(dim1=1, dim2=2).sum(dim=1)
    return float((trace**2 / gram.square().sum(dim=(1, 2))).mean())


def table(name: str, added: Mapping[str, Members], scores: Scores) -> str:
    """Scores of a model at each lead, with a line for each kind of start."""
    crps, members = scores["crps"], added[REFERENCE].shape[1]
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
    spanned = {kind: f"{dimensions(added[kind]):.0f}" for kind in KINDS[2:]}
    return "\n".join(
        [*lines, "dimensions: " + ", ".join(f"{kind} {number}" for kind, number in spanned.items())]
    )


if __name__ == "__main__":
    main()
