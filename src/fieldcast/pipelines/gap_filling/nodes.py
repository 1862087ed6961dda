"""Gap filling: a record filled from its own observed values."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.fields.observation_error import separate_errors
from fieldcast.fields.options import Ingestion
from fieldcast.fields.quantities import Quantity, quantity_of
from fieldcast.inference.file_options import GapFilling

NOISE = "gap_filling.noise"
# options of ingestion
OF_SOURCE = ("variables", "levels", "region", "where", "mask", "predictors", "step_hours", "gaps")


def choose_quantities(
    fields: xr.Dataset, ingestion: Ingestion, gap_filling: GapFilling, seed: int, device: str
) -> tuple[dict[str, Any], pd.DataFrame]:
    """The mapping of each variable that is mapped, and the scores by which they, and predictors, were chosen."""
    from fieldcast.inference import quantities
    from fieldcast.inference.gaps.trials import refuse_complete

    fields, _ = separate_errors(fields, gap_filling.noise, NOISE)
    refuse_complete(fields)
    chosen, scores = quantities.choose_quantities(fields, ingestion.mappings, seed, device)
    _, of_predictors = quantities.choose_predictors(fields, chosen, seed, device)
    scores = quantities.join_tables(scores, of_predictors)
    return {name: quantity.state() for name, quantity in chosen.items()}, scores


def try_methods(
    fields: xr.Dataset, quantities: dict[str, Any], quantities_scores: pd.DataFrame, gap_filling: GapFilling,
    seed: int, device: str, previous_trials: Any,
) -> Iterator[bytes]:  # fmt: skip
    """The trials so far after each of them, as a file; those of an interrupted run are kept."""
    from fieldcast.inference.gaps.trials import Comparison
    from fieldcast.inference.quantities import with_predicted
    from fieldcast.training.fill_gaps import methods

    chosen, fields = restored(quantities), with_predicted(fields, quantities_scores)
    fields, errors = separate_errors(fields, gap_filling.noise, NOISE, say=False)
    fillers = methods(fields, chosen, gap_filling, seed, device, exact=not errors.deviation)
    comparison = Comparison.of(fields, seed, device, fillers, chosen, errors)
    for _, file in comparison.trials(previous_trials()):
        yield file


def fill_gaps(
    fields: xr.Dataset, quantities: dict[str, Any], quantities_scores: pd.DataFrame, trials: bytes,
    ingestion: Ingestion, gap_filling: GapFilling, seed: int, limits: Limits, device: str,
) -> tuple[bytes, xr.Dataset, str, pd.DataFrame]:  # fmt: skip
    """Fill the fields by the best method of the trials: the fit, the result, its report, and series for a figure.

    The result has the layout of the file that the fields come from.
    """
    from fieldcast.fields.sources import open_layout
    from fieldcast.inference.gaps.filling import TrustLimits, fill
    from fieldcast.inference.gaps.stored_fit import fit_name, named
    from fieldcast.inference.gaps.trials import Comparison, from_file, methods_in
    from fieldcast.inference.quantities import with_predicted
    from fieldcast.training.fill_gaps import fillers_of

    chosen, fields = restored(quantities), with_predicted(fields, quantities_scores)
    fields, errors = separate_errors(fields, gap_filling.noise, NOISE, say=False)
    fillers = fillers_of(methods_in(trials), fields, chosen, seed)
    comparison = Comparison.of(fields, seed, device, fillers, chosen, errors)
    tried = from_file(trials, comparison.lineage, comparison.held_out.time.device)
    deque(comparison.remaining(tried), maxlen=0)  # nothing, unless the trials are of another run
    trust = TrustLimits(gap_filling.max_gap, gap_filling.max_spread)
    options = fill_options_of(ingestion, gap_filling, seed, limits)
    dataset = open_layout(ingestion) if ingestion.source == "file" else fields
    statistics = comparison.error_statistics(tried)
    comparison = replace(comparison)  # without the selections of held-out values, which the statistics have
    series = comparison.series(tried, statistics.variances)  # first: the result is several times the record
    filled, fit = fill(
        comparison, tried, statistics, dataset, options["members"], trust, seed, quantities_scores, options
    )
    filled = named(filled, fit, fit_name(gap_filling.output))
    return fit.packed() if fit else b"", filled, filled.attrs["comment"], series


def fill_options_of(
    ingestion: Ingestion, gap_filling: GapFilling, seed: int, limits: Limits
) -> dict[str, Any]:
    """The options of the fill that hold for times that are appended, too."""
    from fieldcast.inference.gaps.stored_fit import fill_options

    members = gap_filling.members and limits.cap("members", gap_filling.members)
    of_source = {name: getattr(ingestion, name) for name in OF_SOURCE}
    of_fill = {name: getattr(gap_filling, name) for name in ("noise", "max_gap", "max_spread", "method")}
    return fill_options(**of_source, **of_fill, quantities=ingestion.mappings, members=members, seed=seed)


def restored(quantities: dict[str, Any]) -> dict[str, Quantity]:
    """Quantities from their stored states."""
    return {name: quantity_of(state) for name, state in quantities.items()}


def draw_figures(
    fields: xr.Dataset, filled: xr.Dataset, series: pd.DataFrame, gap_filling: GapFilling
) -> dict[str, bytes]:
    """Maps and series of each variable, as PNG by name."""
    from fieldcast.figures.gaps import pictures
    from fieldcast.figures.sheet import outline
    from fieldcast.figures.style import png
    from fieldcast.inference.result_attributes import to_model_names

    fields, _ = separate_errors(fields, gap_filling.noise, NOISE, say=False)
    drawn = pictures(to_model_names(filled, fields), series, outline(fields))
    return {name: png(figure) for name, figure in drawn}
