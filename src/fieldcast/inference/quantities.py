"""Choose the quantity of each variable of a record, by values that are held out from the mapped record.

The mappings that a variable admits (`fields.meaning.nature_of`) fill the record by local kriging and by the low-rank
Gaussian, of which the better one counts, and are judged by the CRPS in the variable's own units at four selections of
held-out values. The one with the lowest CRPS is taken if it is at least 2 % and one standard error over the held-out
gaps below that without a mapping, and at most one standard error above that of clipped draws; of those within one
standard error of it, the simplest. A record larger than the choice needs is judged in the part with most observed and
missing values.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast import geometry
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.encoding.options import TrainingMasks
from fieldcast.errors import InputError
from fieldcast.fields import domain
from fieldcast.fields.conventions import QUANTILES, time_varying
from fieldcast.fields.meaning import Nature, nature_of, sampled_values
from fieldcast.fields.quantities import AUTO, MAX_VALUES, NONE, Circle, Clip, Quantity, parse
from fieldcast.geometry import GRID
from fieldcast.inference.gaps.own_units import own_statistics, predictions
from fieldcast.models.gaps.fillers import local_kriging, low_rank
from fieldcast.models.gaps.held_out import SELECTIONS, HeldOut
from fieldcast.models.gaps.record import Filler, Parameters
from fieldcast.models.gaps.trial import crps_of_each, run_trial
from fieldcast.models.masks import draw as draw_masks
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.replicas import choose_device
from fieldcast.models.space import Space
from fieldcast.scores.numbers import significant

LOG = logging.getLogger(__name__)
MIN_GAIN = 0.02  # smallest relative gain for which a variable is mapped
MAX_CELLS, MAX_TIMES = 100, 200  # largest part of a record in which mappings are judged
MAX_ZEROS = 0.01  # share of values that are not positive, above which no logarithm is tried
COLUMNS = ["variable", "mapping", "selection", "crps", "gain", "standard_error", "chosen"]
POOLED = "all"  # selection of the rows that pool the others
ALONE, PREDICTED = "alone", "with predictors"  # in the column of the mappings
ORDER = ("root", "log", "quantiles")  # the simplest first
SPEED = re.compile(r"speed|^(ws|wspd|sknt|ff)\d*$", re.IGNORECASE)  # names of the length of a vector
VECTOR = "from_direction|to_direction", "speed"  # ends of the standard names of its direction and length


class Scored(NamedTuple):
    """CRPS at the held-out values of one selection, with their weights and groups."""

    crps: Float[np.ndarray, " n"]
    weight: Float[np.ndarray, " n"]
    group: Int[np.ndarray, " n"]


Judge = Callable[[xr.Dataset, Nature, Sequence[Sequence[str]]], dict[str, list[Scored]]]


def choose_quantities(
    fields: xr.Dataset, given: str | Mapping[str, str], seed: int, device: str, masks: TrainingMasks | None = None
) -> tuple[dict[str, Quantity], pd.DataFrame]:  # fmt: skip
    """Choose the quantities of the variables of a record, as `choose_by` does.

    Parameters
    ----------
    fields, given
        As `choose_by` has them.
    seed
        Seed of the held-out values.
    device
        Where the record is filled.
    masks
        Masks of a task's training, which hide values at every second time; without them, values are held out like those
        that the record lacks.

    Raises
    ------
    InputError
        If a mapping does not fit a variable.
    """
    chosen = choose_by(fields, given, partial(score_in_part, seed=seed, device=device, masks=masks))
    if masks is None:
        recommend_components(fields, chosen[0])
    return chosen


def choose_by(
    fields: xr.Dataset, given: str | Mapping[str, str], judge: Judge
) -> tuple[dict[str, Quantity], pd.DataFrame]:
    """The quantities of the variables that are mapped, fitted to all values, and the scores by which they were chosen.

    Parameters
    ----------
    fields
        Fields that ingestion made, or other values with a time.
    given
        `auto`, `none` or the name of a mapping, for all variables, or for each by its name; others are `auto`.
    judge
        Scores mappings of one variable at held-out values, by name; those of a group share a mapped record. The lists
        are empty if no value can be held out.

    Raises
    ------
    InputError
        If a mapping does not fit a variable.
    """
    chosen, tables = {}, [pd.DataFrame(columns=COLUMNS)]
    for name, requested in parse(given, fields):
        if requested == NONE:
            continue
        values = sampled_values(fields[name])
        nature = nature_of(fields[name], values)
        if requested == AUTO:
            kind, table = automatic(fields[[name]], nature, values, judge)
            tables.append(table)
        else:
            check_fits(name, requested, nature, values)
            kind = requested
        if kind != NONE:
            chosen[name] = nature.fit(kind, values)
            refuse_taken(name, chosen[name], fields)
    return chosen, join_tables(*tables)


def choose_predictors(
    fields: xr.Dataset, chosen: Mapping[str, Quantity], seed: int, device: str
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Choose the variables that the predictors of the fields predict; also the scores, as rows of `choose_by`.

    Each variable, mapped as chosen, is filled with the predictors and without them in four windows of the record. They
    are used if the CRPS at held-out values, of standardised anomalies, is at least 2 % and one standard error lower.
    """
    if not domain.predictors(fields):
        return fields, pd.DataFrame(columns=COLUMNS)
    tables = []
    for name in time_varying(fields):
        quantity = {name: chosen[name]} if name in chosen else {}
        scores = score_predictors(fields[[name]], quantity, seed, device)
        gain, error = difference(scores[ALONE], scores[PREDICTED]) if all(scores.values()) else (0.0, np.inf)
        enough = bool(gain >= max(MIN_GAIN * pooled(scores[ALONE]), error)) if np.isfinite(error) else False
        if all(scores.values()):
            tables.append(
                table_of(
                    name,
                    scores,
                    {ALONE: (np.nan, np.nan), PREDICTED: (gain, error)},
                    PREDICTED if enough else ALONE,
                )
            )
            LOG.info("%s", sentence(tables[-1]))
        else:
            LOG.info("%s has too few values to try its predictors: they are not used.", name)
    table = join_tables(pd.DataFrame(columns=COLUMNS), *tables)
    return with_predicted(fields, table), table


def join_tables(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of scores as one."""
    return pd.concat([each for each in tables if len(each)] or list(tables[:1]), ignore_index=True)


def with_predicted(fields: xr.Dataset, table: pd.DataFrame) -> xr.Dataset:
    """The fields with the variables that their predictors predict, by the scores of `choose_predictors`."""
    if not domain.predictors(fields):
        return fields
    of_chosen = table[(table["mapping"] == PREDICTED) & table["chosen"].astype(bool)]
    names = dict.fromkeys(of_chosen["variable"].astype(str))
    return fields.assign_attrs({domain.PREDICTED: "\n".join(names)})


def score_predictors(
    fields: xr.Dataset, chosen: Mapping[str, Quantity], seed: int, device: str
) -> dict[str, list[Scored]]:
    """CRPS at each selection of held-out values, without and with predictors, of the better of two quick methods.

    The coefficients are fitted to all visible values. The methods fill a window of the record, another one for each
    selection.
    """
    from fieldcast.inference.gaps.race import Sample

    on, scores = choose_device(device), {}
    for kind, names in ((ALONE, ""), (PREDICTED, time_varying(fields)[0])):
        fitted = Parameters()
        methods: tuple[Filler, ...] = (partial(local_kriging, fitted=fitted), low_rank)
        gappy = GappyRecord.of(here := fields.assign_attrs({domain.PREDICTED: names}), on, chosen)
        by_method: list[list[Scored]] = [[] for _ in methods]
        for selection in range(SELECTIONS):
            held_out = gappy.hold_out(seed_for("predictors", seed, selection))
            times, columns = window_of(gappy, held_out, selection)
            if not held_out.weight[held_out.inside(times, columns)].any():
                continue
            visible = gappy.without(held_out.mask, here).with_latent_values()
            record, held_out = Sample(times, columns).of(visible.record, held_out.of_record(visible.record))
            for scored, method in zip(by_method, methods, strict=True):
                trial = run_trial("", method, record, held_out)
                crps = crps_of_each(trial.error, trial.spread, held_out)
                scored.append(Scored(*(x.cpu().numpy() for x in (crps, held_out.weight, held_out.group))))
        scores[kind] = min(by_method, key=pooled) if by_method[0] else []
    return scores


def window_of(gappy: GappyRecord, held_out: HeldOut, number: int) -> tuple[slice, Int[Tensor, " some"]]:
    """Times and columns of one of four windows of about `MAX_CELLS` cells, evenly spread over the grid.

    The times are the `MAX_TIMES` with most held-out values there.
    """
    where = gappy.has_column.nonzero()[:, 1:].cpu()
    shape = gappy.has_column.shape[1:]
    inside = torch.ones(len(where), dtype=torch.bool)
    for axis, size in enumerate(side_lengths(shape)):
        first = (shape[axis] - size) * (1 + 2 * (number >> axis & 1)) // 4
        inside &= (where[:, axis] >= first) & (where[:, axis] < first + size)
    columns = inside.nonzero()[:, 0].to(held_out.cell.device)
    here = held_out.time[held_out.inside(slice(0, held_out.shape[0]), columns)]
    length = min(MAX_TIMES, held_out.shape[0])
    total = torch.bincount(here, minlength=held_out.shape[0]).cumsum(0).cpu()
    within = torch.cat([total[length - 1 : length], total[length:] - total[:-length]])
    first = int(within.argmax())
    return slice(first, first + length), columns


def recommend_components(fields: xr.Dataset, chosen: Mapping[str, Quantity]) -> None:
    """Recommend the components of a vector whose direction and speed are variables of a record with gaps."""
    for angle, speed in itertools.permutations(time_varying(fields), 2):
        names = (str(fields[name].attrs.get("standard_name", "")) for name in (angle, speed))
        vector, of_speed = (re.sub(f"_({end})$", "", name) for name, end in zip(names, VECTOR, strict=True))
        is_speed = SPEED.search(speed) if not (vector and of_speed) else vector == of_speed
        if angle in chosen and chosen[angle].kind == Circle.kind and is_speed:
            LOG.warning(
                "'%s' and '%s': where they are direction and speed of one vector, both have smaller errors when its "
                "components %s sin(%s) and %s cos(%s) are filled in their place, for a calm has no direction.",
                angle, speed, speed, angle, speed, angle,
            )  # fmt: skip


def refuse_taken(name: str, quantity: Quantity, fields: xr.Dataset) -> None:
    """Refuse a variable whose parts or statistics have the name of another variable."""
    of_mapped = {name + suffix for suffix in (*QUANTILES, *quantity.parts) if suffix}
    if taken := sorted(of_mapped & set(map(str, fields.data_vars))):
        raise InputError(
            f"'{name}' is filled as {quantity.kind}, and its result or its parts would have the name of '{taken[0]}': "
            f"rename that variable, leave it out, or fill '{name}' as none."
        )


def check_fits(name: str, kind: str, nature: Nature, values: Float[np.ndarray, " n"]) -> None:
    """Refuse a mapping that an option names and the values do not admit."""
    says = f"the quantity of '{name}' is '{kind}', but "
    below = int((values < 0).sum())
    if kind == Circle.kind and nature.meaning != "angle":
        raise InputError(
            says + "its name and units are not those of an angle: choose another, or correct them."
        )
    if kind in ("log", "root") and below:
        raise InputError(
            says + f"{below} of its values are below 0: choose another, or mask them in the file."
        )
    if kind == Clip.kind and not np.isfinite([nature.low, nature.high]).any():
        raise InputError(
            says + "it has no bounds: declare valid_min or valid_max in the file, or choose another."
        )


def automatic(
    fields: xr.Dataset, nature: Nature, values: Float[np.ndarray, " n"], judge: Judge
) -> tuple[str, pd.DataFrame]:
    """Choose the mapping of the one variable of some fields; also the scores."""
    name, nothing = time_varying(fields)[0], pd.DataFrame(columns=COLUMNS)
    if nature.meaning == "angle":
        LOG.info("%s is an angle: it is filled as two components.", name)
        return Circle.kind, nothing
    without = Clip.kind if nature.meaning in ("positive", "bounded") else NONE
    kinds = [kind for kind in nature.candidates if admits(kind, values)]
    if not kinds:
        return without, nothing
    is_censored = without != NONE and bool(((values <= nature.low) | (values >= nature.high)).any())
    unmapped = [(NONE,), (without,)] if is_censored else [tuple(dict.fromkeys((NONE, without)))]
    scores = judge(fields, nature, (*unmapped, *((kind,) for kind in kinds)))
    if not all(scores.values()):
        LOG.info("%s has too few values to compare mappings: %s is used.", name, without)
        return without, nothing
    return decide(name, without, scores)


def admits(kind: str, values: Float[np.ndarray, " n"]) -> bool:
    """Whether a mapping is worth a trial: the logarithm of many zeros is not, nor quantiles of very few values."""
    if kind == "log":
        return float((values <= 0).mean()) <= MAX_ZEROS
    return np.unique(values[:: max(1, len(values) // 10000)]).size > 3


def informative_part(fields: xr.Dataset) -> xr.Dataset:
    """A part of the fields of at most `MAX_TIMES` times and about `MAX_CELLS` neighbouring cells.

    It is the part with the largest product of the numbers of observed and of missing values, in space and then in time;
    among equal ones, the one nearest to the middle. The beginning of a record that is too long is searched.
    """
    name = time_varying(fields)[0]
    cells = fields[name].size // fields.sizes["time"]
    fields = fields.isel(time=slice(max(MAX_TIMES, MAX_VALUES // cells)))
    observed = np.isfinite(fields[name].transpose("time", *GRID).values)
    missing, masked = ~observed & observed.any(0), domain.masked(fields)
    if masked is not None:
        missing &= ~masked.values
    sizes = side_lengths(observed.shape[1:])
    places = best_window(np.stack([observed.sum(0), missing.sum(0)]), sizes)
    y, x = (slice(first, first + size) for first, size in zip(places, sizes, strict=True))
    window = observed[:, y, x]
    length = min(MAX_TIMES, len(window))
    by_time = np.stack([window.sum((1, 2)), missing[:, y, x].sum((1, 2))])
    first = best_window(by_time, (length,))[0]
    return fields.isel(time=slice(first, first + length), latitude=y, longitude=x)


def score_in_part(
    fields: xr.Dataset, nature: Nature, groups: Sequence[Sequence[str]], seed: int, device: str,
    masks: TrainingMasks | None,
) -> dict[str, list[Scored]]:  # fmt: skip
    """The scores of groups of mappings in an informative part of a record."""
    part = informative_part(fields).assign_attrs(
        missing="train"
    )  # values will be missing where they are held out
    scores: dict[str, list[Scored]] = {}
    kriging = Parameters()  # of the first group, from which the fits to others begin
    for kinds in groups:
        scores |= score_mappings(part, nature, kinds, seed, device, masks, kriging)
    return scores


def side_lengths(shape: tuple[int, ...]) -> tuple[int, int]:
    """Numbers of rows and columns of a part of about `MAX_CELLS` cells, as square as the grid allows."""
    rows = min(shape[0], max(int(MAX_CELLS**0.5), MAX_CELLS // shape[1]))
    return rows, min(shape[1], MAX_CELLS // rows)


def best_window(amounts: Int[np.ndarray, "2 *n"], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """First indices of the window with the largest product of both amounts."""
    total = amounts.astype(float)
    for axis, size in enumerate(sizes, start=1):
        sums = np.cumsum(np.insert(total, 0, 0, axis), axis)
        length = sums.shape[axis]
        total = np.take(sums, range(size, length), axis) - np.take(sums, range(length - size), axis)
    product = total[0] * (total[1] + 1)
    middle = (np.array(product.shape) - 1) / 2
    best = np.argwhere(product == product.max())
    return tuple(int(i) for i in best[np.square(best - middle).sum(1).argmin()])


def score_mappings(
    fields: xr.Dataset, nature: Nature, kinds: Sequence[str], seed: int, device: str, masks: TrainingMasks | None,
    kriging: Parameters,
) -> dict[str, list[Scored]]:  # fmt: skip
    """CRPS in own units at each selection of held-out values, of mappings that share a mapped record.

    The fit of kriging begins with the parameters of one to another mapping; without any, its own are added.

    The better of two quick methods counts, the low-rank Gaussian alone under `masks`. The lists are empty if no value
    could be held out.
    """
    name = time_varying(fields)[0]
    on, values = choose_device(device), fields[name].transpose("time", *GRID).values
    # kriging is fitted once; where some times are complete, the low-rank Gaussian alone is enough
    fitted = Parameters()
    methods: tuple[Filler, ...] = (low_rank,)
    if not masks:
        methods = partial(local_kriging, fitted=fitted, start=dict(kriging) or None), low_rank
    plain = GappyRecord.of(fields, on)
    scores: dict[str, list[list[Scored]]] = {kind: [[] for _ in methods] for kind in kinds}
    for selection in range(SELECTIONS):
        number = seed_for("quantities", seed, selection)
        held_out = plain.hold_out(number) if masks is None else masked_values(plain, masks, number)
        if not len(held_out.time):
            break
        visible_values = values[np.isfinite(values) & ~plain.on_grid(held_out.mask, 0, False)]
        quantities = [Clip() if kind == NONE else nature.fit(kind, visible_values) for kind in kinds]
        gappy = plain if NONE in kinds else GappyRecord.of(fields, on, {name: quantities[0]})
        if masks:  # models of tasks know no values beyond a bound
            gappy = replace(gappy, record=replace(gappy.record, bounds=None))
        visible = gappy.without(held_out.mask, fields).with_latent_values()
        here = held_out.of_record(visible.record)
        record = replace(visible.record, requested=here.mask)
        trials = [run_trial("", method, record, here) for method in methods]
        everything = torch.ones_like(here.whole)
        for kind, quantity in zip(kinds, quantities, strict=True):  # a clip without bounds changes nothing
            variable = gappy.own[0]._replace(quantity=quantity)
            for scored, trial in zip(scores[kind], trials, strict=True):
                predicted = predictions(gappy, fields, here, trial.error, trial.spread, variable, everything)
                crps = np.asarray(own_statistics(quantity, predicted)["crps"])
                scored.append(Scored(crps, here.weight.cpu().numpy(), here.group.cpu().numpy()))
    if not kriging:
        kriging |= fitted
    return {kind: min(by_method, key=pooled) if by_method[0] else [] for kind, by_method in scores.items()}


def masked_values(gappy: GappyRecord, options: TrainingMasks, seed: int) -> HeldOut:
    """The observed values that masks of the training hide at every second time; those of a time are one group."""
    record, exists = gappy.record, gappy.has_column[0]
    space = Space(
        ("x",), wraps=False, area=torch.ones(exists.shape), exists=exists, static=torch.zeros(0, *exists.shape),
        points=torch.from_numpy(geometry.unit_points(gappy.codec.latitude, gappy.codec.longitude)).float(),
        tendency=torch.ones(1),
    )  # fmt: skip
    streams = RandomStreams(seed, torch.arange(1, len(record.x), 2))
    mask = draw_masks(tuple(options.patterns), options.k, streams, space)[:, 0, exists]
    hidden = torch.zeros_like(record.observed)
    hidden[1::2] = record.observed[1::2] & ~mask.to(hidden.device)
    time, cell = hidden.nonzero(as_tuple=True)
    area, truth = record.columns.area[cell].double(), record.x[time, cell].double()
    whole = torch.zeros_like(time, dtype=torch.bool)
    return HeldOut(hidden.shape, time, cell, truth, whole, time, area, area / area.sum())


def pooled(scored: list[Scored]) -> float:
    """Mean CRPS over all selections."""
    return float(np.mean([np.average(each.crps, weights=each.weight) for each in scored]))


def difference(one: list[Scored], other: list[Scored]) -> tuple[float, float]:
    """Mean difference in CRPS, and its standard error over the held-out gaps, whose errors are independent.

    The error of a ratio of sums over gaps (Cochran 1977, eq. 6.12); infinite for a single gap.
    """
    by_gap = []
    for a, b in zip(one, other, strict=True):
        index = np.unique(a.group, return_inverse=True)[1]
        total = a.weight.sum() * len(one)
        by_gap.append([np.bincount(index, w) / total for w in (a.weight * (a.crps - b.crps), a.weight)])
    sums, share = np.concatenate(by_gap, axis=1)
    mean, number = float(sums.sum()), sums.size
    if number < 2:
        return mean, np.inf
    return mean, float(np.sqrt(np.square(sums - share * mean).sum() * number / (number - 1)))


def decide(name: str, without: str, scores: Mapping[str, list[Scored]]) -> tuple[str, pd.DataFrame]:
    """Choose by the scores; also their table. The choice is said."""
    gains = {kind: difference(scores[NONE], scored) for kind, scored in scores.items()}
    mappings = [kind for kind in ORDER if kind in scores]
    best = min(mappings, key=lambda kind: pooled(scores[kind]))
    gain, error = gains[best]
    chosen = without
    enough = gain >= max(MIN_GAIN * pooled(scores[NONE]), error)
    if enough and is_near(scores[best], scores[without]):
        chosen = next(kind for kind in mappings if is_near(scores[kind], scores[best]))
    table = table_of(name, scores, gains, chosen)
    LOG.info("%s", sentence(table))
    return chosen, table


def table_of(
    name: str, scores: Mapping[str, list[Scored]], gains: Mapping[str, tuple[float, float]], chosen: str
) -> pd.DataFrame:
    """The scores of one variable as rows of `COLUMNS`."""
    rows: list[list[object]] = []
    for kind, scored in scores.items():
        numbers = [pooled([each]) for each in scored]
        rows += [
            [name, kind, number, crps, np.nan, np.nan, kind == chosen] for number, crps in enumerate(numbers)
        ]
        rows.append([name, kind, POOLED, pooled(scored), *gains[kind], kind == chosen])
    return pd.DataFrame(rows, columns=COLUMNS)


def is_near(one: list[Scored], best: list[Scored]) -> bool:
    """Whether scores are within one standard error of the best ones."""
    worse, error = difference(one, best)
    return worse <= error


def sentence(table: pd.DataFrame) -> str:
    """A sentence on the quantity that was chosen for one variable, with the scores that say why."""
    of_all = table[table["selection"] == POOLED].set_index("mapping")
    chosen = of_all.index[of_all["chosen"]][0]
    scores = ", ".join(f"{kind} {significant(value)}" for kind, value in of_all["crps"].items())
    way = chosen if chosen in (ALONE, PREDICTED) else f"as {chosen}"
    best = of_all["crps"].idxmin() == chosen
    why = "" if best else f"; {chosen} is the simplest that is not clearly worse than the best"
    return f"{table['variable'].iloc[0]} is filled {way}: CRPS at held-out values {scores}{why}."


def as_lines(table: pd.DataFrame) -> str:
    """The scores as lines of a report: one for each mapping, with its CRPS at the four selections."""
    lines, width = [], 16 if (table["mapping"] == PREDICTED).any() else 10
    by_choice = table["mapping"].isin((ALONE, PREDICTED)).rename("predictors")
    for _, of_variable in table.groupby(["variable", by_choice], sort=False):
        lines.append(sentence(of_variable))
        for kind, of_kind in of_variable.groupby("mapping", sort=False):
            by_selection = of_kind[of_kind["selection"] != POOLED]["crps"]
            gain, error = of_kind[of_kind["selection"] == POOLED][["gain", "standard_error"]].iloc[0]
            numbers = " ".join(f"{significant(value):>7}" for value in by_selection)
            lines.append(f"    {kind:<{width}}{numbers}   gain {significant(gain)} ± {significant(error)}")
    return "\n".join(lines)
