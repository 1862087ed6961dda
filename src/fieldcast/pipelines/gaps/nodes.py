"""Gaps: a record filled from its own observed values."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.options import Ingestion
from fieldcast.fields.sources import open_layout
from fieldcast.figures.gaps import pictures
from fieldcast.figures.sheet import outline
from fieldcast.figures.style import png
from fieldcast.inference.file_options import Fill, Gaps
from fieldcast.inference.gaps.filling import TrustLimits, fill
from fieldcast.inference.gaps.trials import Comparison, methods_in
from fieldcast.inference.user_layout import to_model_names
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.record import Filler
from fieldcast.training.fill_gaps import CORRECTED, correction_of, methods


def try_methods(
    fields: xr.Dataset, gaps: Gaps, seed: int, device: str, earlier: Mapping[str, Any]
) -> Iterator[bytes]:
    """The trials so far after each of them, as a file; those of an interrupted run are kept."""
    comparison = Comparison.of(fields, seed, device, methods(fields, gaps, seed, device))
    for _, file in comparison.trials(earlier.get("gaps_trials")):
        yield file


def fill_gaps(
    fields: xr.Dataset, trials: bytes, ingestion: Ingestion, fill_options: Fill, seed: int, limits: Limits, device: str
) -> tuple[xr.Dataset, str, pd.DataFrame]:  # fmt: skip
    """Fill the fields by the best method of the trials: the result, its report, and series for a figure.

    The result has the layout of the file that the fields come from.
    """
    fillers: Mapping[str, Filler] = FILLERS
    if CORRECTED in methods_in(trials):
        fillers = {**fillers, CORRECTED: correction_of(fields, seed)}
    comparison = Comparison.of(fields, seed, device, fillers)
    tried = deque(comparison.trials(trials), maxlen=1).pop()[0]
    trust = TrustLimits(fill_options.max_gap, fill_options.max_spread)
    members = fill_options.members and limits.cap("members", fill_options.members)
    dataset = open_layout(ingestion) if ingestion.source == "file" else fields
    statistics = comparison.error_statistics(tried)
    filled = fill(comparison, tried, statistics, dataset, members, trust, seed)
    series = comparison.series(tried, statistics.variances)
    return filled, filled.attrs["comment"], series


def draw_figures(fields: xr.Dataset, filled: xr.Dataset, series: pd.DataFrame) -> dict[str, bytes]:
    """Maps and series of each variable, as PNG by name."""
    drawn = pictures(to_model_names(filled, fields), series, outline(fields))
    return {name: png(figure) for name, figure in drawn}
