"""Record cycle: a user's record of successive times as analyses, and how good they are at held-out observations."""

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.inference.file_options import RecordCycleOptions
from fieldcast.pipelines.streams import empty_piece, is_complete

LOG = logging.getLogger(__name__)
# the reconstruction that can update a background
INTERPOLATION = "optimal_interpolation.OptimalInterpolation"
Checkpoints = Mapping[str, Callable[[], bytes]]


def analyse(
    options: RecordCycleOptions, parameters: Mapping[str, Any], checkpoints: Checkpoints, seed: int, limits: Limits,
    device: str, previous_analyses: Any,
) -> Iterator[tuple[xr.Dataset, bytes]]:  # fmt: skip
    """Cycle over the times of the file with two trained experiments: analyses step by step, with the state
    from which the cycle resumes; existing analyses are kept."""
    run, _ = record_cycle(options, parameters, checkpoints, seed, limits, device)
    pieces, state, analyses = previous_analyses()
    if is_complete(run.sources, analyses):
        LOG.info("Using the existing analyses.")
        yield empty_piece(analyses, "time"), state or b""
        return
    yield from run.pieces(state if pieces else None, pieces)


def write(
    options: RecordCycleOptions, parameters: Mapping[str, Any], checkpoints: Checkpoints, seed: int, limits: Limits,
    device: str, cycle_analyses: xr.Dataset,
) -> tuple[xr.Dataset, str]:  # fmt: skip
    """The analyses in the layout of the record, with mean, spread and scores; the scores also as text."""
    from fieldcast.inference.cycle.held_out import as_text

    run, origin = record_cycle(options, parameters, checkpoints, seed, limits, device)
    result = run.result(cycle_analyses).assign_attrs(origin)
    return result, as_text(result)


def record_cycle(
    options: RecordCycleOptions,
    parameters: Mapping[str, Any],
    checkpoints: Checkpoints,
    seed: int,
    limits: Limits,
    device: str,
) -> tuple[Any, dict[str, str]]:
    """The cycle over the user's record, and the attributes that name its experiments."""
    from fieldcast.fields.opening import read_file
    from fieldcast.inference.cycle.record_cycle import RecordCycle
    from fieldcast.inference.trained_model import trained_model
    from fieldcast.models.capabilities import CyclesAlone

    path = options.file()
    record = read_file(path, "record_cycle.observations", options.region, options.where)
    types = (INTERPOLATION,) if options.updater.startswith("reconstruct.") else ()
    updater = trained_model(options.updater, parameters, checkpoints, "record_cycle.updater", types).to(
        device
    )
    origin, forecaster = updater.origin(options.updater), None
    if not isinstance(updater.checkpoint.model, CyclesAlone):
        forecaster = trained_model(options.forecaster, parameters, checkpoints, "record_cycle.forecaster").to(
            device
        )
        weights = forecaster.checkpoint.header["weights"]
        origin |= {"fieldcast_forecaster": options.forecaster, "fieldcast_forecaster_weights": weights}
    members = max(2, limits.cap("members", options.members))
    run = RecordCycle.of(
        forecaster, updater, record, members, seed, options.noise, options.held_out, f"'{path}'"
    )
    return run, origin
