"""Fill the gaps of a data set by the best of several methods, among them a neural network if time permits."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast, get_args

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast import arguments, calendars, runtime
from fieldcast.atomic import write_atomically
from fieldcast.encoding.anomalies import space_of
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import domain
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import AS_OBSERVED, MASK, as_dataset, time_varying, to_contract
from fieldcast.fields.ingest import ingest
from fieldcast.fields.observation_error import separate_errors
from fieldcast.fields.opening import open_file, reading
from fieldcast.fields.options import Gaps
from fieldcast.fields.quantities import AUTO, Clip, Quantities, mapped, part_names
from fieldcast.fields.selection import satisfying, with_mask
from fieldcast.fields.times import as_record
from fieldcast.inference.file_options import GapFilling, Method
from fieldcast.inference.gaps import appending
from fieldcast.inference.gaps.appending import (
    Granule,
    agree,
    filled_variables,
    join,
    observed_part,
    refuse_unknown_errors,
    with_errors,
)
from fieldcast.inference.gaps.filling import TrustLimits, fill
from fieldcast.inference.gaps.stored_fit import (
    FILL_AGAIN,
    NAME,
    StoredFit,
    completed,
    fill_options,
    fit_of,
    named,
)
from fieldcast.inference.gaps.trials import Comparison, Tried, refuse_complete
from fieldcast.inference.quantities import choose_predictors, choose_quantities, join_tables
from fieldcast.models.core import Batch, Context
from fieldcast.models.corrected import Corrected
from fieldcast.models.gaps import augmentation
from fieldcast.models.gaps.fillers import FILLERS
from fieldcast.models.gaps.held_out import SELECTIONS, SMALL, nearest_in_gap
from fieldcast.models.gaps.record import Filler, Filling, Record, cells, empty_members, state, with_observed
from fieldcast.models.gaps.sampled_modes import SampledModes
from fieldcast.models.layers.crps import normal_crps
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, batch_index, generator_for, seed_for
from fieldcast.models.replicas import choose_device
from fieldcast.models.space import Space, evenly
from fieldcast.training.options import Fit
from fieldcast.training.run import initial_model
from fieldcast.training.training_state import Training
from fieldcast.training.tuning import search

LOG = logging.getLogger(__name__)
CORRECTED = "corrected_interpolation"  # name of the learned method
SAMPLED = (
    "sampled_modes"  # name of the method for small records of mapped variables, or with values at a bound
)


class FitFile(NamedTuple):
    """A file of a fit: its content, and its name in messages."""

    content: bytes
    where: str


@runtime.reports_out_of_memory
def fill_gaps(
    dataset: xr.Dataset | xr.DataArray,
    *,
    members: int = 0,
    max_gap: int | None = None,
    max_spread: float | Mapping[str, float] | None = None,
    method: str | None = None,
    learned: bool = False,
    max_minutes: float = 0.0,
    quantities: str | Mapping[str, str] = AUTO,
    noise: float | str | Mapping[str, float | str] | None = None,
    where: str | None = None,
    mask: str | xr.DataArray | None = None,
    predictors: str | Sequence[str] | None = None,
    gaps: Gaps = "insert",
    append: xr.Dataset | str | Path | None = None,
    fit: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> xr.Dataset:
    """Fill the missing values of a data set from its own observed ones.

    Each variable v becomes v, the observed or filled values (observed ones are those of the data set, bit for bit, or
    in single precision if ingestion changes times, cells or units), v_mean, v_spread, the standard deviation (0 where
    observed), v_members, if requested, and v_flag: 0 observed, 1 filled, 2 extrapolated, 3 never observed, 4 masked. A
    mapped variable (`fields.quantities`) has v_median, v_p05 and v_p95, too. A value is extrapolated if its spread
    exceeds 0.9 of the climatological one, if the nearest observation is farther than two e-folding lengths of the
    correlation in space and time, or, of a mapped variable, if it is above every prediction of a held-out value. Cells
    that never have a value stay NaN. The attribute `comment` holds the report: scores at held-out values beside
    interpolation in time, and how far to trust the result.

    Parameters
    ----------
    dataset
        Fields in any layout that ingestion accepts, NaN where nothing was observed.
    members
        Number of draws that are returned.
    max_gap, max_spread
        Limits beyond which filled values stay missing, see `TrustLimits`.
    method
        Name of the method that fills the record (`models.gaps.fillers`, `sampled_modes` or `corrected_interpolation`);
        by default the one that is best at held-out values (`inference.gaps.race`).
    learned, max_minutes
        Whether a neural network is tried too, see `GapFilling`.
    quantities
        `auto`, which chooses by held-out values how each variable is mapped (`inference.quantities`), `none`, or the
        name of a mapping: `root`, `log`, `quantiles`, `circle`, `clip`; for all variables, or for each by its name.
    noise
        Standard deviation of the error of observed values, for all variables or for each by its name: a number of
        anomaly standard deviations, a number with a unit ("0.3 degC"), a share of the value ("35%"), or the name of a
        variable of the data set, such as "sses_standard_deviation", with which "sses_bias" is subtracted. Observed
        values are then smoothed by kriging, v_spread is that of the smoothed values, v_observed holds the observed
        ones, and v_observed_error and v_observed_bias the variables. By default they are taken as exact.
    where
        Condition by variables of the data set, such as "quality_level >= 4", which values must satisfy to be used
        (`fields.conditions`).
    mask
        A variable of the data set, or a DataArray, on (time, y, x) or (y, x), that is 1 where values are filled and 0
        where not, such as the sea under ice: values there are left out and stay missing, with the flag 4 (3 without
        time), and no gap of a cell is filled across them in time. A missing value of the mask counts as 0.
    predictors
        Other variables of the data set that determine those to fill, and are not filled themselves: the anomalies of
        these in the cell and in its four neighbours, 0 where missing, add b z(t) to the climatology of each cell. The
        coefficients b are fitted to observed values (`encoding.gappy_record`), and predictors are used for a variable
        if its CRPS at held-out values is lower with them (`inference.quantities`).
    gaps
        What to do about missing dates: "insert" them, so that they are filled, "keep" the times as they are, "refuse"
        them, or "segment": each gap starts a new segment, and nothing is learned across it.
    append
        An earlier result, or its file: the data set holds the times after it, which are filled by the stored fit; the
        result is the whole record. The last times of the earlier result, up to two e-folding times before the new ones,
        are revised. Options are those of the first fill. Without the stored fit the whole record is fitted again.
    fit
        File of the fit, which `append` needs later, and which is written, or read with `append`; by default `append`
        reads the one that the attributes of the earlier result name, in the folder of its file.
    seed
        Seed of the held-out values and of the members.
    device
        "auto", "cpu" or "cuda".

    Raises
    ------
    InputError
        If the data cannot be used, have no missing values, or have values at too few times.
    """
    members, seed = arguments.whole_number(members, "members"), arguments.seed_number(seed)
    if method is not None:
        arguments.choice(method, "method", get_args(Method))
    options = GapFilling(
        method=cast("Method | None", method),
        learned=arguments.truth_value(learned, "learned"),
        max_minutes=arguments.real_number(max_minutes, "max_minutes"),
    )
    arguments.choice(gaps, "gaps", get_args(Gaps))
    if isinstance(mask, xr.DataArray):
        dataset = with_mask(
            as_dataset(dataset, "the data set"), mask.rename(mask.name or "mask"), "the data set"
        )
    elif not isinstance(mask, str | None):
        raise InputError(
            f"mask is a {type(mask).__name__}: give the name of a variable, or a DataArray of xarray, 1 where values "
            "are filled and 0 where not."
        )
    predictors = names_of(predictors)
    dataset = as_record(dataset, "the data set")
    TrustLimits(max_gap, max_spread)  # which checks them
    given = fill_options(
        where=where, mask=mask if isinstance(mask, str) else None, predictors=predictors or None, gaps=gaps,
        quantities=quantities, noise=noise, max_gap=max_gap, max_spread=max_spread, members=members, method=method,
        seed=seed,
    )  # fmt: skip

    def new_times(options: Mapping[str, Any]) -> Granule:
        part, masked = used_part(dataset, options, given["mask"])
        with reading("the data set", OSError, RuntimeError, of=dataset):
            return Granule(to_contract(masked, "the data set", curvilinear=True), part, "the data set")

    stored: FitFile | None = None
    if append is None:
        part, masked = used_part(dataset, given, given["mask"])
        fields, _ = ingest(masked, "the data set", gaps, missing="train", predictors=predictors)
        filled, found = fill_fields(fields, part, options, given, device)
    else:
        earlier, where, stored = opened(append, fit)
        filled, found = append_to(earlier, where, stored, new_times, options, given, device)
    if fit is not None and found is not None and stored is None:
        write_atomically(fit, found.packed())
    if stored is None:
        filled = named(filled, found if fit else None, Path(fit or "").name)
    LOG.info("%s", filled.attrs["comment"])
    return filled


def names_of(predictors: object) -> list[str]:
    """The names of the predictors of a data set, of which there may be one or none."""
    names = [] if predictors is None else [predictors]
    if isinstance(predictors, Iterable) and not isinstance(predictors, str):
        names = list(predictors)
    if not all(isinstance(name, str) for name in names):
        raise InputError(
            f"predictors is a {type(predictors).__name__}: give names of variables; "
            "an array is made a variable of the data set first."
        )
    return [str(name) for name in names]


def used_part(
    dataset: xr.Dataset, options: Mapping[str, Any], given: str | None
) -> tuple[xr.Dataset, xr.Dataset]:
    """The part of a data set that is used, and the same with its mask.

    The options may be those of an earlier fill; its mask need not be there unless it is `given` now.
    """
    name = options["mask"]
    with reading("the data set", OSError, RuntimeError, of=dataset):
        part = dataset if options["where"] is None else satisfying(dataset, options["where"], "the data set")
        if MASK in part:  # an array
            return part.drop_vars(MASK), part
        if name is not None and name in dataset.variables:
            return part, with_mask(part.drop_vars(name), dataset[name], "the data set")
    if name is None or given is None:
        return part, part
    there = ", ".join(f"'{each}'" for each in dataset.data_vars)
    raise InputError(f"mask: there is no variable '{name}' in the data set, only {there}: name one of these.")


def opened(append: xr.Dataset | str | Path, fit: str | Path | None) -> tuple[xr.Dataset, str, FitFile | None]:
    """A filled record, its name in messages, and the file of its fit: its content and name, None if there is none."""
    if isinstance(append, xr.Dataset):
        filled, where, source = append, "the filled record", append.encoding.get("source")
    else:
        where, source = f"'{append}'", str(append)
        filled = open_file(source, "append")
    if fit is None and source and NAME in filled.attrs:
        fit = Path(source).parent / str(filled.attrs[NAME])
    if fit is None or not Path(fit).is_file():
        return filled, where, None
    return filled, where, FitFile(Path(fit).read_bytes(), f"'{fit}'")


def append_to(
    filled: xr.Dataset, where: str, stored: FitFile | None, new_times: Callable[[Mapping[str, Any]], Granule],
    options: GapFilling, given: Mapping[str, Any], device: str,
) -> tuple[xr.Dataset, StoredFit | None]:  # fmt: skip
    """A filled record with new times, and its fit; without a stored fit, the whole is fitted again.

    `new_times` gives them by the options of a fill, which are `given`, or those of the stored fit; a mask that is given
    may have another name.
    """
    filled_variables(filled, where)  # which refuses any other file
    if used := filled.attrs.get("fieldcast_predictors"):
        raise InputError(
            f"{where} was filled with predictors ({used}), whose earlier values it does not hold: {FILL_AGAIN}."
        )
    if given["predictors"]:
        raise InputError(f"predictors: {where} was filled without them: leave them out, or {FILL_AGAIN}.")
    if stored is None:
        LOG.warning("No file of the fit lies beside %s: the whole record is fitted again.", where)
        given = completed(given, filled, where)
        options = replace(options, method=given["method"])
        refuse_unknown_errors(filled, given["noise"], where)
        if given["noise"] is None and any(
            name + AS_OBSERVED in filled for name in filled_variables(filled, where)
        ):
            LOG.warning(
                "%s was filled with errors of its observed values, which now count as exact: see noise.",
                where,
            )
        granule = new_times(given)
        observed = with_errors(observed_part(filled, where), filled, granule, given["noise"], where).load()
        fields, _ = join(observed, granule, given["gaps"], where)
        observed = observed.drop_vars(MASK)
        return fill_fields(fields, observed, options, given, device)
    fit = fit_of(filled, stored.content, stored.where, choose_device(device))
    agree({**fit.options, "method": fit.method}, given, where)
    refuse_unknown_errors(filled, fit.options["noise"], where)
    granule = new_times({**fit.options, "mask": given["mask"] or fit.options["mask"]})
    return appending.append(filled, where, granule, fit, choose_device(device)), fit


def fill_fields(
    fields: xr.Dataset, dataset: xr.Dataset, options: GapFilling, given: Mapping[str, Any], device: str
) -> tuple[xr.Dataset, StoredFit | None]:
    """Fill fields that ingestion made, in the layout of a data set, by the options that are given; also the fit."""
    seed, trust = given["seed"], TrustLimits(given["max_gap"], given["max_spread"])
    fields, errors = separate_errors(fields, given["noise"])
    trust.check_names(time_varying(fields))
    refuse_complete(fields)
    chosen, scores = choose_quantities(fields, given["quantities"], seed, device)
    fields, of_predictors = choose_predictors(fields, chosen, seed, device)
    scores = join_tables(scores, of_predictors)
    fillers = methods(fields, chosen, options, seed, device, exact=not errors.deviation)
    comparison = Comparison.of(fields, seed, device, fillers, chosen, errors)
    tried = Tried()
    deque(comparison.remaining(tried), maxlen=0)
    statistics = comparison.error_statistics(tried)
    comparison = replace(comparison)  # without the selections of held-out values, which the statistics have
    return fill(comparison, tried, statistics, dataset, given["members"], trust, seed, scores, given)


def methods(
    fields: xr.Dataset, chosen: Quantities, options: GapFilling, seed: int, device: str, exact: bool = True
) -> Mapping[str, Filler]:
    """The methods to compare on fields, mapped as chosen; the estimated time of the learned method is logged.

    `sampled_modes` is among them if the record is small, exact (observed without errors), and has a mapped variable or
    values at a bound.
    """
    if options.method == SAMPLED and not exact:
        raise InputError(
            f"{SAMPLED} takes observed values as exact: leave out noise, or choose another method."
        )
    if options.method is not None:
        return fillers_of([options.method], fields, chosen, seed)
    record = partial(GappyRecord.of, fields, choose_device(device), chosen)
    fillers: dict[str, Filler] = dict(FILLERS)
    values = sum(fields[name].size * len(part_names(name, chosen.get(name))) for name in time_varying(fields))
    is_mapped = any(quantity.kind != Clip.kind for quantity in chosen.values())
    if exact and chosen and values <= SMALL and (is_mapped or record().is_censored):
        fillers[SAMPLED] = SampledModes(seed)
    if not options.learned and options.max_minutes == 0:
        return fillers
    correction = correction_of(mapped(fields, chosen), seed)
    estimate = correction.estimated_minutes(record().record)
    included = options.learned or estimate <= options.max_minutes
    LOG.info(
        "%s would take about %.1f minutes, and gap_filling.max_minutes is %g: %s.",
        CORRECTED, estimate, options.max_minutes,
        "it is tried too" if included else "it is left out",
    )  # fmt: skip
    return {**fillers, CORRECTED: correction} if included else fillers


def fillers_of(
    names: Iterable[str], fields: xr.Dataset, chosen: Quantities, seed: int
) -> Mapping[str, Filler]:
    """Methods by name for some fields, mapped as chosen."""
    others: Mapping[str, Callable[[], Filler]] = {
        CORRECTED: lambda: correction_of(mapped(fields, chosen), seed), SAMPLED: lambda: SampledModes(seed),
    }  # fmt: skip
    return {name: others[name]() if name in others else FILLERS[name] for name in names}


def correction_of(fields: xr.Dataset, seed: int) -> GapCorrection:
    """The learned method for the record of some fields."""
    domain.refuse_curvilinear(fields)
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


# Optimal interpolation of a record, corrected by a neural network that learns from the gaps of the same record.
#
# At each training time, values are held out in the shape of the gaps of another time. The network that corrects the
# draws of optimal interpolation (`models.corrected`) is trained with the fair CRPS of these held-out values alone, as
# DINCAE is with their likelihood (Barth et al. 2020). Each time is conditioned on its own observations, with the
# covariance of the times outside its fold: its own completed state must not predict it.
#
# Mean and spread are exact: draws d of the base have mean m and spread s, so x = m + (d - m) exp(g) + s M has the
# mean m + s M and the spread s exp(g).


MODEL = {"type": "corrected.Corrected", "base": {"type": "optimal_interpolation.OptimalInterpolation"}}
TUNING_TIMES = 24  # number of times on which the base is tuned
TRAINING_TIMES = 512  # number of times, with held-out values, on which the network is trained
FIT = Fit(steps=1500, members=4, learning_rate=5e-4)
TIMES_AT_ONCE = 16  # number of times filled in one batch
# number of fits of the best method: without each selection of held-out values, and to all values
PASSES = SELECTIONS + 1
MIN_SPREAD = 1e-6  # lower bound of a spread, because scores divide by it


@dataclass(frozen=True, eq=False)
class GapCorrection:
    """A filler (`models.gaps.record`) that trains a neural network for its record.

    Parameters
    ----------
    space
        Grid of the record; the columns of the record are its existing cells.
    days
        Fraction of the year of each time.
    fit
        Options of the training of the network.
    seed
        Seed of the held-out values, of the first weights, and of the draws of the training.
    """

    space: Space
    days: Float[Tensor, " time"]
    fit: Fit = FIT
    seed: int = 0

    @torch.no_grad()
    def __call__(self, record: Record, streams: RandomStreams | None) -> Filling:
        """Fit the correction to the record, and fill it."""
        model = self.fit_model(record)
        mean, spread = torch.empty_like(record.x), torch.empty_like(record.x)
        members = empty_members(mean, streams)
        for times in torch.arange(len(record.x), device=record.x.device).split(TIMES_AT_ONCE):
            batch = self.batch(record, times)
            time_streams = (
                RandomStreams(seed_for("gap correction"), times)
                if streams is None
                else streams.of_data(times)
            )
            m, s, d = moments(model, batch.context, times, time_streams)
            # the correction is affine in the draws: it maps m to the mean, and m + s to the mean plus the spread
            corrected = model.correct(batch.context, m, s, torch.stack([m, m + s], dim=1))
            mean[times], spread[times] = (
                cells(self.space, moment) for moment in (corrected[:, 0], corrected[:, 1] - corrected[:, 0])
            )
            if streams is not None:
                members[times] = cells(self.space, model.correct(batch.context, m, s, d))
        return with_observed(record, mean, spread, members)

    def batch(
        self, record: Record, times: Int[Tensor, " batch"], held_out: Bool[Tensor, "batch cell"] | None = None
    ) -> Batch:
        """Some times with their observations as context, except for the held-out values; only these are scored."""
        x, observed = record.x[times], record.observed[times]
        visible = observed if held_out is None else observed & ~held_out
        mask = state(self.space, visible.float()) > 0
        y = state(self.space, torch.where(visible, x, 0.0))
        context = Context(len(times), observed=y, mask=mask, day=self.days[times.cpu()].to(x))
        scored = observed if held_out is None else held_out
        truth = state(self.space, torch.where(observed, x, 0.0))
        return Batch(truth, context, index=times, observed=state(self.space, scored.float()) > 0)

    def hold_out_in_gaps(self, record: Record, times: Int[Tensor, " batch"], stage: str) -> Batch:
        """Some times, each with values held out in the shape of the gap of another time."""
        generator = generator_for(f"hidden from {stage}", self.seed)
        others = torch.randint(len(record.x), (len(times),), generator=generator).tolist()
        missing = ~record.observed
        gappy = missing.any(1).nonzero()[:, 0]
        points, held_out = torch.from_numpy(record.columns.points).to(record.x), []
        for t, random in zip(times.tolist(), others, strict=True):
            other = random
            if not (record.observed[t] & missing[other]).any():
                covering = gappy[(record.observed[t] & missing[gappy]).any(1)]
                if len(covering):
                    other = int(covering[random % len(covering)])
            held_out.append(nearest_in_gap(record.observed[t], record.observed[other], points, generator))
        if not any(cells.any() for cells in held_out):
            raise InputError(
                "learned: the record's gaps leave nothing that could be held out in their shape, so that no "
                "correction can be trained: set learned=false and max_minutes=0."
            )
        return self.batch(record, times, torch.stack(held_out))

    def fit_model(self, record: Record) -> Corrected:
        """The model of this record, with its base solved and tuned, and its network trained."""
        model = self.initial_model(record)
        base = model.base
        assert isinstance(base, OptimalInterpolation)
        all_times = torch.arange(len(record.x), device=record.x.device)
        base.solve([self.batch(record, all_times)])
        tuning = self.hold_out_in_gaps(record, all_times[evenly_spaced_times(record, TUNING_TIMES)], "tuning")
        for _ in search(base, lambda: log_crps(model, tuning), []):
            pass
        selected = all_times[evenly_spaced_times(record, TRAINING_TIMES)]
        self.train(model, self.hold_out_in_gaps(record, selected, "training"))
        return model

    def initial_model(self, record: Record) -> Corrected:
        """The model with its initial weights, on the device of the record."""
        space = self.space.to(record.x.device)
        model = initial_model(MODEL, space, self.seed % 2**31).to(record.x.device)
        assert isinstance(model, Corrected)
        return model

    def train(self, model: Corrected, batch: Batch) -> None:
        """Train the network with the fair CRPS of held-out values; the draws of the base are made once."""
        assert batch.index is not None
        streams = RandomStreams(seed_for("gap correction", self.seed), batch.index, self.fit.members)
        drawn = moments(model, batch.context, batch.index, streams)
        run = Training(model, self.fit, self.seed)
        with torch.enable_grad():
            while run.step < self.fit.steps:
                index = batch_index(run.step, self.seed, None, len(batch.x), self.fit.batch)
                run.update(model.terms(batch[index], *(values[index] for values in drawn)))
        model.load_state_dict(run.average, strict=False)

    def estimated_minutes(self, record: Record) -> float:
        """Estimated minutes of all fits, from one update of optimal interpolation and one step of the network."""
        model = self.initial_model(record)
        base = model.base
        assert isinstance(base, OptimalInterpolation)
        all_times = torch.arange(len(record.x), device=record.x.device)
        batch = self.batch(record, all_times)
        base.keep(base.grid.gather(batch.x), self.days.to(batch.x))
        typical = record.observed.sum(1).argsort()[[len(record.x) // 2]]
        batch_of_one, streams = self.batch(record, typical), RandomStreams(0, typical, self.fit.members)
        with torch.no_grad():
            drawn = moments(model, batch_of_one.context, typical, streams)  # computes the covariance, too
            update = time_call(lambda: moments(model, batch_of_one.context, typical, streams))
        first = torch.zeros(self.fit.batch, dtype=torch.long, device=typical.device)
        run = Training(model, self.fit, self.seed)
        step = time_call(
            lambda: run.update(model.terms(batch_of_one[first], *(values[first] for values in drawn)))
        )
        completed = augmentation.ROUNDS * len(augmentation.affordable_times(record.observed))
        if completed:
            completed += len(augmentation.trial_times(record.observed)) * len(augmentation.TRIAL_WEIGHTS)
        trials = 1 + sum(len(values) for values in base.choices.values())
        updates = completed + TUNING_TIMES * trials + min(TRAINING_TIMES, len(all_times)) + len(all_times)
        return PASSES * (updates * update + self.fit.steps * step) / 60


def moments(
    model: Corrected, c: Context, times: Int[Tensor, " batch"], streams: RandomStreams
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, spread and draws of the base at some times of its record, conditioned on times outside their folds."""
    base = model.base
    assert isinstance(base, OptimalInterpolation)
    fold = base.folds()[times]
    order, pieces = [], []
    for number in fold.unique().tolist():
        for index in (fold == number).nonzero()[:, 0].split(TIMES_AT_ONCE):
            order.append(index)
            pieces.append(base.moments(c[index], streams.of_data(index), number))
    inverse = torch.cat(order).argsort()
    m, s, d = (torch.cat(values)[inverse] for values in zip(*pieces, strict=True))
    return m, s, d


def log_crps(model: Corrected, batch: Batch) -> float:
    """Logarithm of the CRPS of the base at held-out values, for its Gaussian distribution."""
    assert batch.index is not None and batch.observed is not None
    streams = RandomStreams(seed_for("tuning"), batch.index)
    m, s, _ = moments(model, batch.context, batch.index, streams)
    weight = model.space.existing_area * batch.observed
    crps = normal_crps(m - batch.x, s.clamp(min=MIN_SPREAD))
    return math.log(float((crps * weight).sum() / weight.sum()))


def evenly_spaced_times(record: Record, count: int) -> Int[Tensor, " some"]:
    """Evenly spaced times among those with observations, at most `count`."""
    times = record.observed.any(1).nonzero()[:, 0]
    return times[evenly(len(times), count).to(times.device)]


def time_call(work: Callable[[], object]) -> float:
    """Duration of one call [s]."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
