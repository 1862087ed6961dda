"""Evaluation of one experiment of the task `sample`: scores with intervals, and diagnostics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float, Integer, Shaped

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.scores import bootstrap
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.diagnostics import sample_diagnostics
from fieldcast.scores.distances import Sets, scored_count, set_scores, wilson
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

# least variance over data of the posterior mean of a component in use (Burda et al. 2016)
MIN_ACTIVE_VARIANCE = 0.01
OUTSIDE = 0.05  # share of a prior outside its region of highest density
UNUSED = 0.1  # ratio of aggregate posterior to prior below which the prior's mass is unused


@np.errstate(invalid="ignore", over="ignore")  # a model may have blown up
def sample_statistics(
    samples: xr.Dataset,
    real: xr.Dataset,
    densities: pd.DataFrame,
    latents: xr.Dataset,
    *,
    features: Sets,
    states: Sets,
    extractor: Mapping[str, str | int | float],
    noise: Float[np.ndarray, "n_noise column"] | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Scores (score, value, low, high) of one experiment, and diagnostics for figures.

    elbo, reconstruction, kl, iwae [nats per datum] and bits_per_dim are means over test data, test_loss and train_loss
    of the statistic `loss`; intervals are of a bootstrap over data, of fields in blocks of at least 10 days, or half a
    year of monthly data. fid and kid compare samples with test states; their floors replace the samples by as many
    training states, 20 times: the mean, and the interval that holds 95 % of perfect models. c2st: see `two_sample`;
    scores of the prior: see `prior_scores`.
    A score that a model does not have has no row.

    Parameters
    ----------
    samples, real
        Samples (sample, ...) and test states (time, latitude, longitude), or images (sample, y, x), in physical units
        or grey values.
    densities
        Columns split, datum, time, statistic, members, value.
    latents
        Codes of data; empty for a model without any.
    features
        Features of samples, test and training states.
    states
        Standardised values of the existing cells of these sets, in the same order.
    extractor
        Attributes of the feature extractor, which are added to the diagnostics.
    noise
        Features of Gaussian noise.
    seed
        Seed of the bootstrap and of the floors.

    Returns
    -------
    DataFrame, Dataset
        The table of scores, and the diagnostics of `sample_diagnostics`; attrs["samples"] and attrs["real"] are the
        numbers of states in the distances.
    """
    days = bootstrap.block_days(TimeStep.of(real).months) if "time" in real.dims else bootstrap.BLOCK_DAYS
    scores = dict(density_scores(densities, days, seed))
    if "mean" in latents:
        scores["active_units"] = Score(active_units(latents["mean"].transpose("datum", "latent").to_numpy()))
    scores |= dict(prior_scores(latents))
    blocks = block_numbers(real["time"], days) if "time" in real.dims else None
    attributes = dict(extractor) | {"samples": scored_count(features), "real": len(features.test)}
    for name, score in set_scores(features, noise, blocks, seed):
        if name in SAMPLE_METRICS:
            scores[name] = score
        if name not in ("fid", "kid", "c2st"):
            attributes[name] = score.value
    attributes["K"] = int(densities["members"].max()) if len(densities) else 0
    records = [(name, *scores[name]) for name in SAMPLE_METRICS if name in scores]
    table = pd.DataFrame(records, columns=["score", "value", "low", "high"])
    return table, sample_diagnostics(samples, real, states, seed).assign_attrs(attributes)


def density_scores(densities: pd.DataFrame, days: float, seed: int) -> Iterator[tuple[str, Score]]:
    """Means over data of the ELBO, its terms, losses and densities, with intervals from blocks of at least
    `days` days."""
    for split, part in densities.groupby("split"):
        wide = part.pivot(index="datum", columns="statistic", values="value").sort_index()
        times = part.groupby("datum")["time"].first().to_numpy()
        weights = bootstrap.mean_and_resamples(len(wide), data_per_block(times, days), seed)
        means = bootstrap.resampled_means(wide.to_numpy(float), weights)
        low, high = bootstrap.interval(means[1:])
        for column, statistic in enumerate(wide.columns):
            name = f"{split}_loss" if statistic == "loss" else str(statistic)
            if split == "test" or statistic == "loss":
                yield name, Score(*(float(values[column]) for values in (means[0], low, high)))


def data_per_block(times: Shaped[np.ndarray, " datum"], days: float) -> int:
    """Number of data in a block of at least `days` days; 1 for images, whose times are empty."""
    dated = all(isinstance(time, str) and time for time in times)
    return bootstrap.block_length(calendars.from_iso(times), days) if dated else 1


def block_numbers(time: xr.DataArray, days: float) -> Integer[np.ndarray, " time"]:
    """Number of the period of `days` days in which each time lies: the blocks of real states."""
    seconds = calendars.from_iso(calendars.iso(time)).astype(int)
    return (seconds // int(days * 86400)).astype(int)


def active_units(means: Float[np.ndarray, "datum latent"]) -> int:
    """Number of components whose posterior mean varies over data: Var_x(E_q[z_i | x]) > 0.01 (Burda et al. 2016,
    arXiv:1509.00519)."""
    return int((means.astype(float).var(0) > MIN_ACTIVE_VARIANCE).sum())


def prior_scores(latents: xr.Dataset) -> Iterator[tuple[str, Score]]:
    """Yield outside_prior, unused_prior and aggregate_kl, from the log densities of `latent_space.prior_fit`.

    With p the prior and q the aggregate posterior: P(p(z) < c) at codes z of test data, where 5 % of the prior's draws
    have p(z) < c; P(q(z) < p(z) / 10) at draws of the prior; and KL(q || p) = E_q[log q - log p] in nats. They are .05,
    0 and 0 where the prior is the aggregate posterior. Intervals are of the number of draws alone.
    """
    if "prior_ratio" not in latents:
        return
    code, prior, ratio, gain = (
        latents[name].to_numpy().astype(float)
        for name in ("code_density", "prior_density", "prior_ratio", "aggregate_ratio")
    )
    for name, below in (
        ("outside_prior", code < np.quantile(prior, OUTSIDE)),
        ("unused_prior", ratio < np.log(UNUSED)),
    ):
        yield name, Score(float(below.mean()), *wilson(float(below.mean()), len(below)))
    half = 1.96 * float(gain.std()) / np.sqrt(len(gain))
    yield "aggregate_kl", Score(float(gain.mean()), float(gain.mean() - half), float(gain.mean() + half))
