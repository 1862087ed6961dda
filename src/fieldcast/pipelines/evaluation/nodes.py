"""Evaluation: one experiment's draws against the truth."""

from typing import Any

import pandas as pd
import xarray as xr

from fieldcast import geometry
from fieldcast.encoding.checkpoint import origin, read_header
from fieldcast.encoding.initial_times import check_starts
from fieldcast.encoding.observations import check_plan
from fieldcast.encoding.options import Limits, Rollout, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.external_forecasts import made_elsewhere
from fieldcast.inference.options import Drawing, Evaluation, File, Sampling
from fieldcast.inference.sample_sets import compare
from fieldcast.scores.examples.forecast import forecast_examples
from fieldcast.scores.examples.reconstruction import examples
from fieldcast.scores.examples.sample import BESIDE_NEAREST, sample_examples, with_pictures
from fieldcast.scores.forecast import forecast_statistics
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.scores.regions import WHOLE
from fieldcast.scores.sample import sample_statistics
from fieldcast.scores.statistics_table import (
    refuse_other_draws,
    scored_digest,
    scored_samples,
    scored_starts,
    stamp,
)


def score(
    reconstructions: xr.Dataset, observations: xr.Dataset, checkpoint: bytes, model: dict[str, Any],
    fields: xr.Dataset, splits: dict[str, Any], climatology: xr.Dataset, normalisation: xr.Dataset,
    evaluation: Evaluation, sparsification: Sparsification, limits: Limits, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, under the digest of what was scored; rank histograms and spectra."""
    members = limits.cap("members", evaluation.members)
    check_plan(observations, fields, splits, sparsification, limits)
    known = {"observations": observations.attrs["digest"], "model": origin_now(checkpoint, model, splits)}
    refuse_other_draws(
        reconstructions, "reconstructions", "reconstruction", members=members, seed=seed, **known
    )
    scores, diagnostics = reconstruction_statistics(
        reconstructions,
        observations,
        fields,
        climatology=climatology,
        normalisation=normalisation,
        area=area(fields),
        seed=seed,
    )
    scored = scored_digest(observations, members)
    return stamp(scores, "", seed, observations.attrs["data"], scored), diagnostics


def summarise(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The scores over all variables at unobserved cells, for each pattern and k."""
    data, scored = scores.iloc[0][["data", "scored"]]
    table = leaderboard({"": scores}, data, scored, seed=seed)
    return table[(table["variable"] == "all") & (table["cells"] == "unobserved")]


def show(reconstructions: xr.Dataset, observations: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """A few fields to look at."""
    return examples(reconstructions, observations, fields)


def score_forecasts(
    forecasts: xr.Dataset, starts: dict[str, Any], checkpoint: bytes, model: dict[str, Any], options: Drawing,
    fields: xr.Dataset, splits: dict[str, Any], climatology: xr.Dataset, normalisation: xr.Dataset,
    rollout: Rollout, limits: Limits, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics of each start and lead, under the digest of what was scored; rank histograms and spectra."""
    check_starts(starts, fields, splits, rollout, limits)
    known = {"model": origin_now(checkpoint, model, splits), "feed": options.feed}
    refuse_other_draws(forecasts, "forecasts", "rollout", **known)
    return against_the_truth(forecasts, starts, fields, climatology, normalisation, seed)


def score_adopted(
    forecasts: xr.Dataset, starts: dict[str, Any], model: File, fields: xr.Dataset, splits: dict[str, Any],
    climatology: xr.Dataset, normalisation: xr.Dataset, rollout: Rollout, limits: Limits, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """The same of forecasts made elsewhere; nothing of those that are not to be had for these data."""
    check_starts(starts, fields, splits, rollout, limits)
    if not forecasts.data_vars:
        return pd.DataFrame(), xr.Dataset()
    refuse_other_draws(forecasts, "forecasts", "rollout", model=made_elsewhere(model, rollout))
    return against_the_truth(forecasts, starts, fields, climatology, normalisation, seed)


def against_the_truth(
    forecasts: xr.Dataset, starts: dict[str, Any], fields: xr.Dataset, climatology: xr.Dataset,
    normalisation: xr.Dataset, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """The scores of forecasts from these starts by this seed, stamped, and their diagnostics."""
    known = {"members": starts["members"], "seed": seed, "starts": starts["digest"]}
    refuse_other_draws(forecasts, "forecasts", "rollout", **known)
    scores, diagnostics = forecast_statistics(
        forecasts,
        fields,
        climatology=climatology,
        normalisation=normalisation,
        area=area(fields),
        seed=seed,
        starts=starts,
    )
    scored = scored_starts(starts, units(forecasts), starts["members"])
    model = forecasts.attrs["model"]
    return stamp(scores.assign(model=model), "", seed, starts["data"], scored), diagnostics


def summarise_forecasts(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The scores over all variables and cells, lead by lead."""
    if scores.empty:
        return scores
    data, scored = scores.iloc[0][["data", "scored"]]
    table = leaderboard({"": scores}, data, scored, seed=seed, layout=FORECAST)
    return table[(table["variable"] == "all") & table["region"].isin(WHOLE)]


def show_forecasts(forecasts: xr.Dataset, fields: xr.Dataset, climatology: xr.Dataset) -> xr.Dataset:
    """One forecast to look at."""
    if not forecasts.data_vars:
        return xr.Dataset()
    return forecast_examples(forecasts, fields, climatology=climatology)


def score_samples(
    samples: xr.Dataset, densities: pd.DataFrame, latents: xr.Dataset | None, checkpoint: bytes,
    model: dict[str, Any], fields: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    extractor: bytes, sampling: Sampling, limits: Limits, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset, xr.Dataset]:  # fmt: skip
    """Scores under the digest of what was scored, diagnostics; and real and nearest training states to be shown."""
    asked = sampling.capped(limits)
    known_by = {"model": origin_now(checkpoint, model, splits), "data": fields.attrs["digest"]}
    for drawn in (samples, latents):
        if drawn is not None:
            refuse_other_draws(drawn, "samples", "sampling", **asked, seed=seed, **known_by)
    known = compare(samples, fields, normalisation, splits, extractor, seed)
    scores, diagnostics = sample_statistics(
        samples,
        known.real,
        densities,
        xr.Dataset() if latents is None else latents,
        features=known.features,
        states=known.states,
        extractor=known.known,
        noise=known.noise,
        seed=seed,
    )
    features, test = known.known["weights"], tested(fields, splits)
    scored = scored_samples(fields.attrs["digest"], **asked, features=features, test=test)
    diagnostics = diagnostics.assign_attrs(treatment=samples.attrs["treatment"])
    # -1, of a sample that is not finite, becomes the first
    near = known.training.states(diagnostics["nearest"].values[:BESIDE_NEAREST].clip(min=0))
    shown = sample_examples(samples, known.real, near)
    return stamp(scores, "", seed, fields.attrs["digest"], scored), diagnostics, shown


def summarise_samples(scores: pd.DataFrame) -> pd.DataFrame:
    """All scores."""
    return scores


def show_samples(pictures: xr.Dataset, shown: xr.Dataset) -> xr.Dataset:
    """A few states to look at."""
    return with_pictures(shown, pictures)


def origin_now(checkpoint: bytes, model: dict[str, Any], splits: dict[str, Any]) -> str:
    """The origin of what is drawn from a checkpoint now; one sentence if it was trained on other splits."""
    header = read_header(checkpoint, "the checkpoint")
    if header.get("splits") != splits:
        raise InputError(
            "the checkpoint was trained on other splits than this run has: train the experiment again, and draw anew."
        )
    return origin(header, model)


def tested(fields: xr.Dataset, splits: dict[str, Any]) -> list[str]:
    """First and last time of the test split; nothing of images, which have no times."""
    return [] if "sample" in fields.dims else list(splits["test"])


def units(data: xr.Dataset) -> dict[str, str]:
    """Units of each variable."""
    return {str(name): str(values.attrs["units"]) for name, values in data.data_vars.items()}


def area(fields: xr.Dataset) -> xr.DataArray:
    """Areas of the cells."""
    areas = geometry.cell_areas(fields["latitude"].values, fields["longitude"].values)
    return xr.DataArray(areas, {c: fields[c] for c in ("latitude", "longitude")})
