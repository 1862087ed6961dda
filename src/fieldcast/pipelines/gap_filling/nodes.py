"""Gap filling: a record filled from its own observed values."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.options import Ingestion
from fieldcast.inference.file_options import GapFilling


def try_methods(
    fields: xr.Dataset, gap_filling: GapFilling, seed: int, device: str, previous_trials: Any
) -> Iterator[bytes]:
    """The trials so far after each of them, as a file; those of an interrupted run are kept."""
    from fieldcast.inference.gaps.trials import Comparison
    from fieldcast.training.fill_gaps import methods

    comparison = Comparison.of(fields, seed, device, methods(fields, gap_filling, seed, device))
    for _, file in comparison.trials(previous_trials()):
        yield file


def fill_gaps(
    fields: xr.Dataset, trials: bytes, ingestion: Ingestion, gap_filling: GapFilling, seed: int, limits: Limits,
    device: str,
) -> tuple[xr.Dataset, str, pd.DataFrame]:  # fmt: skip
    """Fill the fields by the best method of the trials: the result, its report, and series for a figure.

    The result has the layout of the file that the fields come from.
    """
    from fieldcast.fields.sources import open_layout
    from fieldcast.inference.gaps.filling import TrustLimits, fill
    from fieldcast.inference.gaps.trials import Comparison, methods_in
    from fieldcast.models.gaps.fillers import FILLERS
    from fieldcast.training.fill_gaps import CORRECTED, correction_of

    fillers: dict[str, Any] = {**FILLERS}
    if CORRECTED in methods_in(trials):
        fillers[CORRECTED] = correction_of(fields, seed)
    comparison = Comparison.of(fields, seed, device, fillers)
    tried = deque(comparison.trials(trials), maxlen=1).pop()[0]
    trust = TrustLimits(gap_filling.max_gap, gap_filling.max_spread)
    members = gap_filling.members and limits.cap("members", gap_filling.members)
    dataset = open_layout(ingestion) if ingestion.source == "file" else fields
    statistics = comparison.error_statistics(tried)
    filled = fill(comparison, tried, statistics, dataset, members, trust, seed)
    series = comparison.series(tried, statistics.variances)
    return filled, filled.attrs["comment"], series


def draw_figures(fields: xr.Dataset, filled: xr.Dataset, series: pd.DataFrame) -> dict[str, bytes]:
    """Maps and series of each variable, as PNG by name."""
    from fieldcast.figures.gaps import pictures
    from fieldcast.figures.sheet import outline
    from fieldcast.figures.style import png
    from fieldcast.inference.user_layout import to_model_names

    drawn = pictures(to_model_names(filled, fields), series, outline(fields))
    return {name: png(figure) for name, figure in drawn}
