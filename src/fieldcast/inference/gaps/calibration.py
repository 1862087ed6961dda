"""Calibration of mapped variables at held-out values: the share of randomised PIT values within the central 90 %.

The share is taken where the predicted median is at a bound, and in thirds, by the predicted mean, of the other values:
a distribution that is too narrow for large values and too wide for small ones is right on average. An interval comes
from resampled gaps, whose values depend on each other. The PIT value is randomised at masses (Brockwell 2007), so that
the share of a perfect prediction is 90 % there, too, unlike the coverage of an interval.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from jaxtyping import Bool, Float, Int

from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.fields.quantities import Quantity, in_chunks
from fieldcast.inference.gaps.own_units import Predictions, own_statistics, predictions
from fieldcast.models.gaps.trial import ErrorStatistics
from fieldcast.scores.held_out import CELL_WIDTH, NOMINAL_COVERAGE, score_held_out
from fieldcast.scores.numbers import significant
from fieldcast.scores.summary import text_table

MIN_GAPS = 40  # held-out gaps, below which a group of values is not judged
TOLERANCE = 0.05  # difference of the share from 90 % that counts as calibrated
AT_BOUND, THIRDS = "median at a bound", ("low third", "middle third", "high third")
HEADINGS = ["values", "gaps", "share", "interval", ""]
TITLE = "randomised PIT values from .05 to .95 at held-out values, which should be 90%"


def calibration_table(gappy: GappyRecord, fields: xr.Dataset, statistics: ErrorStatistics) -> str:
    """The shares for each mapped variable as lines of a report; empty if none is mapped."""
    tables, held_out = [], statistics.held_out
    for variable in gappy.own:
        if variable.quantity is None:
            continue
        of_variable = gappy.variable[held_out.cell] == variable.parts[0]
        predicted = predictions(
            gappy, fields, held_out, statistics.error, statistics.spread, variable, of_variable
        )
        gap, weight = (x[of_variable].cpu().numpy() for x in (held_out.group, held_out.weights(of_variable)))
        lines = text_table(
            "", HEADINGS, calibration_cells(variable.quantity, predicted, weight, gap), CELL_WIDTH
        )
        tables.append("\n".join([f"{variable.name}: {TITLE}", *lines]))
    return "\n\n".join(tables)


def calibration_cells(
    quantity: Quantity, predicted: Predictions, weight: Float[np.ndarray, " n"], gap: Int[np.ndarray, " n"]
) -> dict[str, list[str]]:
    """Cells of HEADINGS for each group of predictions, of values held out with some gap."""
    statistics, rows = own_statistics(quantity, predicted), {}
    for name, selected in groups(quantity, predicted):
        if not weight[selected].any():
            continue
        number = np.unique(gap[selected]).size
        scores = score_held_out(
            "",
            "",
            {key: x[selected] for key, x in statistics.items()},
            weight[selected],
            cluster=gap[selected],
        )
        share, low, high = scores.set_index("score").loc["coverage90", ["value", "low", "high"]]
        calibrated = abs(share - NOMINAL_COVERAGE) <= TOLERANCE or low <= NOMINAL_COVERAGE <= high
        verdict = "not judged" if number < MIN_GAPS else "calibrated" if calibrated else "not calibrated"
        ends = "–" if np.isnan(low) else f"{significant(low)} to {significant(high)}"
        rows[name] = [str(int(selected.sum())), str(number), significant(share), ends, verdict]
    return rows


def groups(quantity: Quantity, predicted: Predictions) -> Iterator[tuple[str, Bool[np.ndarray, " n"]]]:
    """Groups of predictions; those of an angle, which are neither large nor small, are one."""
    if len(quantity.parts) > 1:
        yield "all", np.ones(len(predicted.truth), dtype=bool)
        return
    median = quantity.inverse(predicted.mean)
    at_bound = (median <= quantity.lowest) | (median >= quantity.highest)
    yield AT_BOUND, at_bound
    if at_bound.all():
        return
    mean = in_chunks(quantity, predicted.mean, predicted.spread).mean
    third = np.searchsorted(np.quantile(mean[~at_bound], (1 / 3, 2 / 3)), mean)
    for number, name in enumerate(THIRDS):
        yield name, ~at_bound & (third == number)
