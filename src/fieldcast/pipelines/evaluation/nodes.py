"""Evaluation: the list of an experiment's results for reporting; its scores are in the nodes of its task."""

from typing import Any

import pandas as pd
import xarray as xr

ForecastScores = tuple[pd.DataFrame, xr.Dataset, xr.Dataset]  # scores, diagnostics, tables of events


def named(address: str, scored: tuple[Any, ...]) -> Any:
    """The results of a scoring; each row of the first, the table of scores, is given the experiment's name."""
    from fieldcast.scores.statistics_table import name_rows

    scores, *others = scored
    return name_rows(scores, address.partition(".")[2]), *others


def publish(**outputs: Any) -> list[str]:
    """The names of the results of an experiment that are not empty, all of which are stored by now."""
    return sorted(name for name, value in outputs.items() if value is not None and len(value))
