"""Fill the gaps of a data set by the best of several methods, among them a neural network if time permits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import get_args

import numpy as np
import torch
import xarray as xr

from fieldcast import arguments, calendars, memory
from fieldcast.encoding.anomalies import space_of
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import domain
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import as_dataset, time_varying
from fieldcast.fields.ingest import ingest
from fieldcast.fields.repair import Gaps as AtGaps
from fieldcast.inference.file_options import Gaps
from fieldcast.inference.fill_gaps import TrustLimits, fill
from fieldcast.inference.gap_trials import Comparison
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.record import Filler
from fieldcast.models.gaps.trial import Trial
from fieldcast.training.gap_correction import GapCorrection

LOG = logging.getLogger(__name__)
CORRECTED = "corrected_interpolation"  # name of the learned method


@memory.reports_out_of_memory
def fill_gaps(
    dataset: xr.Dataset | xr.DataArray,
    *,
    members: int = 0,
    max_gap: int | None = None,
    max_spread: float | Mapping[str, float] | None = None,
    learned: bool = False,
    max_minutes: float = 0.0,
    gaps: AtGaps = "insert",
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Fill the missing values of a data set from its own observed ones.

    Each variable v becomes v, the observed or filled values (observed ones are those of the data set, bit for bit, or
    in single precision if ingestion changes times, cells or units), v_mean, v_spread, the standard deviation (0 where
    observed), v_members, if requested, and v_flag: 0 observed, 1 filled, 2 extrapolated, 3 never observed. A value is
    extrapolated if its spread exceeds 0.9 of the climatological one, or if the nearest observation is farther than two
    e-folding lengths of the correlation in space and time. Cells that never have a value stay NaN. The attribute
    `comment` holds the report: errors at hidden values beside interpolation in time, and where not to trust the result.

    Parameters
    ----------
    dataset
        Fields in any layout that ingestion accepts, NaN where nothing was observed.
    members
        Number of draws that are returned.
    max_gap, max_spread
        Limits beyond which filled values stay missing, see `TrustLimits`.
    learned, max_minutes
        Whether a neural network is tried too, see `Gaps`.
    gaps
        What to do about missing dates: "insert" them, so that they are filled, "refuse" them, or "segment": each gap
        starts a new segment, and nothing is learned across it.
    seed
        Seed of the hidden values and of the members.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        If the data cannot be used, have no missing values, or have values at too few times.
    """
    members, seed = arguments.whole_number(members, "members"), arguments.seed_number(seed)
    options = Gaps(
        arguments.truth_value(learned, "learned"), arguments.real_number(max_minutes, "max_minutes")
    )
    arguments.choice(gaps, "gaps", get_args(AtGaps))
    dataset, trust = as_dataset(dataset, "the data set"), TrustLimits(max_gap, max_spread)
    fields, _ = ingest(dataset, "the data set", gaps, missing="train")
    comparison = Comparison.of(fields, seed, device, methods(fields, options, seed, device))
    trust.check_names(time_varying(fields))
    trials: list[Trial] = []
    for trials_so_far, _ in comparison.trials():
        trials = trials_so_far
    filled = fill(comparison, trials, comparison.error_statistics(trials), dataset, members, trust, seed)
    LOG.info("%s", filled.attrs["comment"])
    return filled


def methods(fields: xr.Dataset, options: Gaps, seed: int, device: str) -> Mapping[str, Filler]:
    """The methods to compare on fields that ingestion made; the estimated time of the learned method is logged.

    Raises
    ------
    InputError
        If the learned method is requested, and the variables exist in different cells.
    """
    if not options.learned and options.max_minutes == 0:
        return FILLERS
    correction = correction_of(fields, seed)
    estimate = correction.estimated_minutes(GappyRecord.of(fields, choose_device(device)).record)
    included = options.learned or estimate <= options.max_minutes
    LOG.info(
        "%s would take about %.1f minutes, and gaps.max_minutes is %g: %s.", CORRECTED, estimate, options.max_minutes,
        "it is tried too" if included else "it is left out",
    )  # fmt: skip
    return {**FILLERS, CORRECTED: correction} if included else FILLERS


def correction_of(fields: xr.Dataset, seed: int) -> GapCorrection:
    """The learned method for the record of some fields.

    Raises
    ------
    InputError
        If the variables exist in different cells.
    """
    exists = domain.exists(fields)
    if not (exists == exists.isel(variable=0)).all():
        raise InputError(
            "learned: the variables have values in different cells, and a network needs all of them in each: "
            "leave it out, or fill the variables one by one with ingestion.variables."
        )
    climatology = climatologies.fit(fields, shrink=True)
    space = space_of(fields, climatology, normalisations.fit(fields, climatology))
    days = torch.from_numpy(calendars.fraction_of_year(fields["time"]).astype(np.float32))
    return GapCorrection(space, days, seed=seed)
