"""Methods that fill the missing values of a whole record. Each is fitted to the record that it fills.

    red_noise       each cell by itself, between its observed neighbours in time
    local_kriging   from the nearest observations in space and time, see `local_kriging`
    dineof          DINEOF: no distribution of its own; its spread is the error at values held out for cross-validation
    low_rank        low-rank Gaussian, each time by itself
    modal_smoother  the same modes with linear dynamics, conditioned on all times by a Kalman smoother

A fit to few observations is overconfident: `trial` scales the spread to the error at values that were observed and
held out, in gaps like those of the record. The parameters of a method are chosen on other held-out values.

Each takes the parameters of an earlier fit, too, and is then applied without fitting (`Parameters`): a record that
grows by a day need not be fitted again.

Others of the same form are fitted anew each time: `sampled_modes`, for small records of mapped variables, and models
of the task `reconstruct`, which `solve` the record, and `sample` with its own observations as contexts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.gaps import dineof as dineof_method
from fieldcast.models.gaps import in_time, reach, smoother
from fieldcast.models.gaps import local_kriging as kriging_method
from fieldcast.models.gaps.expectation_maximisation import fit_last, fit_thinned
from fieldcast.models.gaps.held_out import hold_out_values
from fieldcast.models.gaps.in_time import elapsed_steps
from fieldcast.models.gaps.local_kriging import DRAWN_TARGETS, KrigingModel, fit_kriging
from fieldcast.models.gaps.low_rank_gaussian import LowRank
from fieldcast.models.gaps.record import (
    MIN_TIMES,
    Filling,
    FittedFiller,
    Parameters,
    Record,
    empty_members,
    with_observed,
)
from fieldcast.models.random_streams import RandomStreams
from fieldcast.runtime import release_memory

RANKS = (5, 10, 20, 40)
_MODES: WeakKeyDictionary[Record, LowRank] = WeakKeyDictionary()
SEED = 1  # seed for the values that are held out to choose parameters
DYNAMICS = "propagator", "forcing", "start"  # parameters of the smoother beside those of its modes


def red_noise(
    record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
    start: Parameters | None = None,
) -> Filling:  # fmt: skip
    """Fill each cell as red noise, see `in_time`; the members add independent errors to the mean."""
    r, deviation = record.scaled()
    fitted = {} if fitted is None else fitted
    if "rho" not in fitted:
        rho = in_time.persistence(r.x, r.observed, r.segment)
        fitted["rho"] = torch.tensor(rho, dtype=torch.float64)
    mean, spread = in_time.red_noise(r.x, r.observed, r.segment, float(fitted["rho"]), r.masked)
    return independent(record, mean.mul_(deviation), spread.mul_(deviation), streams)


def local_kriging(
    record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
    start: Parameters | None = None, draws: int = DRAWN_TARGETS,
) -> Filling:  # fmt: skip
    """Fill by kriging from the nearest observations in space and time, one variable after another.

    Models in `fitted`, by the number of the variable, are used as they are, and new ones are added. A fit takes so many
    `draws` of held-out values.
    """
    fitted = {} if fitted is None else fitted
    r, deviation = record.scaled()
    requested = r.missing if r.requested is None else r.requested & r.missing
    step, point = elapsed_steps(r.segment), torch.from_numpy(r.columns.points).to(r.x.device)
    step += 0 if r.fitted is None else r.fitted.first
    variables = r.columns.variable.unique()
    firsts = torch.searchsorted(r.columns.variable, variables).tolist()
    of_variable = dict(zip(variables.tolist(), map(slice, firsts, [*firsts[1:], r.x.shape[1]]), strict=True))
    part = settled(r)
    held_out = None if all(f"kriging.{v}" in fitted for v in of_variable) else hold_out_values(part, SEED)
    if start is not None and {f"kriging.{v}" for v in of_variable} != {
        k for k in start if k.startswith("kriging.")
    }:
        start = None  # from a smaller sample, which may lack variables; those of a sample are numbered anew
    for v, cells in of_variable.items():
        if held_out is not None and f"kriging.{v}" not in fitted:
            x, observed = part.x[:, cells], part.observed[:, cells]
            distance = reach.e_folding_distance(x, observed, point[cells])
            steps = float(reach.e_folding_steps(x, observed, part.segment))
            series = kriging_method.CellSeries(x, observed, step[: len(x)], point[cells])
            begin = None if start is None else KrigingModel.unpacked(start[f"kriging.{v}"])
            model = fit_kriging(series, held_out.of_cells(cells), distance, steps, start=begin, draws=draws)
            fitted[f"kriging.{v}"] = model.packed()
    release_memory()
    # not before the fits, whose tables are as large
    mean, spread = torch.zeros_like(r.x), torch.ones_like(r.x)
    members = empty_members(mean, streams)
    for v, cells in of_variable.items():
        series = kriging_method.CellSeries(r.x[:, cells], r.observed[:, cells], step, point[cells])
        kriging_method.predict(
            series, KrigingModel.unpacked(fitted[f"kriging.{v}"]), requested[:, cells],
            streams and streams.fork(v), mean[:, cells], spread[:, cells], members[:, :, cells],
        )  # fmt: skip
    return with_observed(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))


def settled(record: Record) -> Record:
    """The first times of a record, at least eight ninths, whose number rarely changes while the record grows.

    It is a multiple m 2^k with 8 <= m < 16. Values that are held out to fit parameters, and with them the parameters,
    are then the same for a record and for one that is a little longer, and so are the filled values.
    """
    times = len(record.x)
    unit = 2 ** max(0, times.bit_length() - 4)
    some = slice(0, times // unit * unit)
    if int(record.observed[some].any(1).sum()) < MIN_TIMES:
        return record
    return replace(
        record, x=record.x[some], observed=record.observed[some], segment=record.segment[some], requested=None,
        bounds=record.bounds and record.bounds.at((some,)),
        noise=None if record.noise is None else record.noise[some],
        masked=None if record.masked is None else record.masked[some],
    )  # fmt: skip


def dineof(
    record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
    start: Parameters | None = None,
) -> Filling:  # fmt: skip
    """Fill by DINEOF; the members add independent errors of the size found by cross-validation to the mean."""
    r, deviation = record.scaled()
    fitted = {} if fitted is None else fitted
    if "axes" in fitted:
        axes, mean, difference = fitted["axes"], fitted["mean"], float(fitted["difference"])
        values = dineof_method.fill_by_axes(r.x, r.observed, axes, mean, difference)
    else:
        modes = None if start is None else len(start["axes"])
        filled = dineof_method.fill_by_dineof(r.x, r.observed, modes, quick=True)
        values = filled.values
        fitted |= {"axes": filled.axes, "mean": filled.mean}
        fitted |= {name: torch.tensor(getattr(filled, name)).to(r.x) for name in ("error", "difference")}
    error = (fitted["error"] * deviation).repeat(len(r.x), 1)
    return independent(record, values.mul_(deviation), error, streams)


def low_rank(
    record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
    start: Parameters | None = None,
) -> Filling:  # fmt: skip
    """Fill each time by the posterior of the low-rank Gaussian."""
    r, deviation = record.scaled()
    model = LowRank.stored(fitted) or modes_of(record, r, LowRank.stored(start))
    if fitted is not None:
        fitted |= model.parameters()
    mean, spread = model.expected(r.x, r.observed), model.spread(r.x, r.observed)
    members = empty_members(mean, None) if streams is None else model.draw(r.x, r.observed, streams)
    return with_observed(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))


def modal_smoother(
    record: Record, streams: RandomStreams | None, fitted: Parameters | None = None,
    start: Parameters | None = None,
) -> Filling:  # fmt: skip
    """Fill by the Kalman smoother of the modes, fitted by EM that starts from the low-rank Gaussian."""
    r, deviation = record.scaled()
    system = stored_system(fitted)
    if system is None:
        begin = stored_system(start) or modes_of(record, r, None)
        system, _ = smoother.fit(r.x, r.observed, r.segment, begin)
    if fitted is not None:
        fitted |= system.low_rank.parameters() | {name: getattr(system, name) for name in DYNAMICS}
    members = (
        empty_members(r.x, None) if streams is None else system.draw(r.x, r.observed, r.segment, streams)
    )
    smoothed = system.smooth(r.x, r.observed, r.segment)
    z, covariance = smoothed.mean, smoothed.covariance
    del r, smoothed  # as large as the record, and its lagged covariances as the others
    mean, spread = system.expected(z, covariance)
    return with_observed(record, mean.mul_(deviation), spread.mul_(deviation), members.mul_(deviation))


def modes_of(record: Record, scaled: Record, start: LowRank | None) -> LowRank:
    """The low-rank Gaussian of a record, which two methods share: it is kept for as long as the record exists."""
    if start is not None:
        # a larger tolerance ends at once, at the parameters of the other record
        return fit_last(scaled.x, scaled.observed, start, tolerance=1e-5)
    if record not in _MODES:
        _MODES[record] = fit_thinned(scaled.x, scaled.observed, RANKS)
    return _MODES[record]


def stored_system(parameters: Parameters | None) -> smoother.Dynamics | None:
    """The system with the given parameters; None if there is none."""
    if parameters is None or (model := LowRank.stored(parameters)) is None:
        return None
    return smoother.Dynamics(model, *(parameters[name] for name in DYNAMICS))


def independent(
    record: Record, mean: Float[Tensor, "time cell"], spread: Float[Tensor, "time cell"],
    streams: RandomStreams | None,
) -> Filling:  # fmt: skip
    """A filling whose members add independent errors to the mean."""
    members = empty_members(mean, streams)
    if streams is not None:
        for k in range(streams.members):  # the random numbers of one member are in memory
            noise = streams.of_members(slice(k, k + 1)).normal(mean.shape[1])[:, 0].to(mean)
            members[:, k] = mean + noise.mul_(spread)
    return with_observed(record, mean, spread, members)


# in descending order of their work on a large record: of methods that tie, the last one is taken
FILLERS: Mapping[str, FittedFiller] = MappingProxyType(
    {filler.__name__: filler for filler in (dineof, local_kriging, modal_smoother, low_rank, red_noise)}
)
