"""Evaluation: one experiment's draws against the truth."""

import pandas as pd
import xarray as xr

from fieldcast.fields import grid
from fieldcast.loops.options import Evaluation, Limits
from fieldcast.verification.leaderboard import leaderboard
from fieldcast.verification.plots.examples import examples
from fieldcast.verification.reconstruction import reconstruction_statistics
from fieldcast.verification.table import scored_digest, stamp


def score(
    reconstructions: xr.Dataset, observations: xr.Dataset, fields: xr.Dataset, climatology: xr.Dataset,
    normalisation: xr.Dataset, evaluation: Evaluation, limits: Limits, seed: int,
) -> tuple[pd.DataFrame, xr.Dataset]:  # fmt: skip
    """Statistics at each scored time, under the digest of what was scored; rank histograms and spectra."""
    areas = grid.cell_areas(fields["latitude"].values, fields["longitude"].values)
    area = xr.DataArray(areas, {c: fields[c] for c in ("latitude", "longitude")})
    scores, diagnostics = reconstruction_statistics(
        reconstructions,
        observations,
        fields,
        climatology=climatology,
        normalisation=normalisation,
        area=area,
        seed=seed,
    )
    scored = scored_digest(observations, limits.cap("members", evaluation.members))
    return stamp(scores, "", seed, observations.attrs["data"], scored), diagnostics


def summarise(scores: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The scores over all variables at unobserved cells, for each pattern and k."""
    data, scored = scores.iloc[0][["data", "scored"]]
    table = leaderboard({"": scores}, data, scored, seed=seed)
    return table[(table["variable"] == "all") & (table["cells"] == "unobserved")]


def show(reconstructions: xr.Dataset, observations: xr.Dataset, fields: xr.Dataset) -> xr.Dataset:
    """A few fields to look at."""
    return examples(reconstructions, observations, fields)
