"""Gauges that seem to report in another unit than their neighbours; they are named, and not used unless accepted.

Neighbours are compared by the ratio of their deviations, in powers of ten, and by the difference of their levels, in
units of 273.15. A tree of the best correlated neighbours carries whole differences through the network, and a vote of
all neighbours corrects them, so that half of the gauges may be wrong. The unit that is right is the one with possible
values, or that of most gauges, or, among equally many, the one with smaller values. The estimate of a gauge from its
neighbours in that unit then has to confirm the suspicion (`reason`), or that of half of the gauges in its unit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from fieldcast.errors import MAX_LISTED, InputError, counted, listed
from fieldcast.fields.gauges import LOCATION, LONGITUDE_DECIMALS, GaugeRecord, Gauges, in_one_range, nature
from fieldcast.fields.units import conversion
from fieldcast.geometry import MEAN_EARTH_RADIUS

LOG = logging.getLogger(__name__)
ALL = "all"  # accepts every gauge
NEIGHBOURS = 8  # gauges that a gauge is compared with
MIN_GAUGES = 4  # smallest number of gauges, among which one can be in another unit
MIN_COMMON = 10  # smallest number of simultaneous readings for a ratio of deviations
TENFOLD = 7.0, 14.0  # ratios that mean ten
MIN_CORRELATION = 0.5  # smallest correlation with the estimate from neighbours for which a slope counts
CERTAIN_CORRELATION = 0.9  # correlation from which it counts even if neighbours differ much
MAX_CONTRAST = 3.0  # largest ratio of the quartiles of the deviations of neighbours that judge another
MIN_STEP = 2.0  # smallest ratio of a tenfold deviation to the nearest of those of the neighbours
ZERO = 273.15  # 0 degC in kelvins
TOLERANCE = 40.0  # difference from `ZERO` that relief and climate explain [K]
MAX_LINKED = 3000  # number of gauges up to which parts of a network without common neighbours are compared
VOTES = 20  # rounds of the vote, at most
TEMPERATURES = -95.0, 65.0  # possible medians [degC]
SAME_PLACE = 0.1 / MEAN_EARTH_RADIUS  # chord between gauges in one place: 100 m, the precision of coordinates


def without_suspects(
    gauges: Gauges, accept: str | Sequence[str] | None, where: str
) -> tuple[Gauges, list[str]]:
    """Remove the suspect gauges of each variable that are not accepted; also return a line on those of each variable.

    Parameters
    ----------
    gauges
        The readings.
    accept
        Names of gauges, also as a text separated by commas, that are used as they are, or "all". A gauge without a name
        is called by its latitude and longitude, such as "47.1 8.2".
    where
        Name of the table in messages.
    """
    names, accepted = gauge_names(gauges.locations), accepted_names(accept)
    if unknown := [name for name in accepted if name != ALL and name not in names]:
        raise InputError(
            f"accept names {', '.join(unknown)}, which {where} does not have: give names of its gauges, or '{ALL}'."
        )
    lines, removed = [], pd.Series(False, gauges.table.index)
    for variable, units in gauges.units.items():
        record, table = gauges.of(variable)
        if nature(table["value"], variable, units).meaning == "angle":
            continue
        location = np.unique(table["at_location"])
        suspect = {names[location[column]]: text for column, text in reasons(record, units).items()}
        unused = [name for name in suspect if not {name, ALL} & set(accepted)]
        used = [name for name in suspect if name not in unused]
        for part, line in (
            (unused, "not used, because likely in another unit than their neighbours"),
            (used, "used because accepted, although likely in another unit than their neighbours"),
        ):
            if part:
                texts = listed([f"{name} ({suspect[name]})" for name in part[:MAX_LISTED]], len(part))
                lines.append(f"{variable}: {len(part)} of {counted(len(location), 'gauge')} {line}: {texts}")
        if unused:
            spelled = ",".join(unused) if len(unused) <= MAX_LISTED else ALL
            LOG.warning(
                "%s: %s; correct them, or use them as they are with --accept '%s' (station_fields.accept, accept in "
                "Python).",
                where, lines[-1 - bool(used)], spelled,
            )  # fmt: skip
            columns = np.array([name in unused for name in names])
            removed |= (gauges.table["variable"] == variable) & columns[gauges.table["at_location"]]
    return (replace(gauges, table=gauges.table[~removed]) if removed.any() else gauges), lines


def stations_of(table: pd.DataFrame, possible: Gauges, used: Gauges) -> xr.Dataset:
    """The stations of a table, with their readings in use, and why there are none.

    Variables on `station`, which is a name, or latitude and longitude: `station_latitude`, `station_longitude`,
    `v_readings` of each variable v, the number of steps with a reading in use, and `station_not_used`, empty unless a
    station has readings of a variable in the table, and none of them is `possible`, or in use.
    """
    given, steps, in_use = map(readings_of, (table, possible.table, used.table))
    steps, in_use = (
        each.reindex(given.index, columns=given.columns, fill_value=0) for each in (steps, in_use)
    )
    places = given.index.to_frame(index=False)
    if table["longitude"].min() < 0:
        places["longitude"] = (places["longitude"] + 180.0) % 360.0 - 180.0
    places["longitude"] = in_one_range(places["longitude"].to_numpy())
    reasons = np.where(
        steps == 0, "no reading is a possible value", "likely in another unit than its neighbours"
    )
    unused = ((given > 0) & (in_use == 0)).to_numpy()
    texts = [
        "; ".join(f"{name}: {reason}" for name, reason, none in zip(given, *of_station, strict=True) if none)
        for of_station in zip(reasons, unused, strict=True)
    ]
    arrays: dict[str, tuple[str, object, dict[str, str]]] = {
        f"station_{axis}": (
            "station",
            places[axis].to_numpy(),
            {"long_name": f"{axis} of the station", "units": "degrees"},
        )
        for axis in LOCATION
    }
    for name in given:
        long_name = f"number of steps with a reading of {name} that is used"
        arrays[f"{name}_readings"] = (
            "station",
            in_use[name].to_numpy(np.int32),
            {"long_name": long_name, "units": "1"},
        )
    arrays["station_not_used"] = (
        "station",
        np.array(texts, dtype=str),
        {"long_name": "why no reading is used"},
    )
    listed = xr.Dataset(arrays, {"station": np.array(gauge_names(places), dtype=str)})
    for name in ("station", "station_not_used"):
        listed[name].encoding["dtype"] = (
            "S1"  # netCDF4 crashes on texts of any length in a file that is open twice
        )
    return listed


def readings_of(table: pd.DataFrame) -> pd.DataFrame:
    """Number of readings at each gauge (latitude, longitude from 0 to 360, station), a column for each variable."""
    names = table["station"].astype(object) if "station" in table else pd.Series("", table.index)
    around = (table["longitude"] % 360.0).round(LONGITUDE_DECIMALS)
    key = [
        table["latitude"],
        around,
        names.where(names.notna(), "").astype(str).rename("station"),
        table["variable"],
    ]
    return table.groupby(key).size().unstack(fill_value=0)


def accepted_names(accept: str | Sequence[str] | None) -> list[str]:
    """Names of gauges in an option."""
    given = accept.split(",") if isinstance(accept, str) else accept or ()
    return [str(name).strip() for name in given if str(name).strip()]


def gauge_names(locations: pd.DataFrame) -> list[str]:
    """The name of each gauge, or its latitude and longitude."""
    at = [f"{row.latitude:g} {row.longitude:g}" for row in locations.itertuples()]
    given: Iterable[str] = locations["station"] if "station" in locations else [""] * len(at)
    return [name or place for name, place in zip(given, at, strict=True)]


def reasons(record: GaugeRecord, units: str) -> dict[int, str]:
    """The likely reason of each suspect gauge of a record, by its column."""
    x = record.x
    if x.shape[1] < MIN_GAUGES:
        return {}
    pairs = neighbours(record.points)
    relation = Relations.of(x, pairs)
    is_temperature = offset_from_celsius(units) is not None or units in ("", "1")
    suspect: dict[int, str] = {}
    for kind, step in (("tenfold", relation.tenfold), *([("zero", relation.zero)] if is_temperature else [])):
        label = labels(x.shape[1], pairs, step, relation.correlation)
        right = right_unit(x, label, units)
        every = {column: reason(record, column, right, kind) for column in range(x.shape[1])}
        named = {column: text for column, text in every.items() if text is not None and column not in suspect}
        for number in np.unique(label[~right]):
            group = np.flatnonzero((label == number) & ~right)
            confirmed = [column for column in group if column in named]
            if len(confirmed) > 1 and 2 * len(confirmed) >= len(group):
                for column in group:
                    named.setdefault(
                        column, f"in the unit of others of them, {named[confirmed[0]].split(': ')[1]}"
                    )
        suspect |= {column: text for column, text in named.items() if column not in suspect}
    return suspect


def neighbours(points: Float[np.ndarray, "station 3"]) -> Int[np.ndarray, "pair 2"]:
    """Pairs of gauges that are compared: each with its neighbours, and the shortest links between groups of gauges."""
    count = len(points)
    near = cKDTree(points).query(points, min(NEIGHBOURS + 1, count))[1]
    pairs = np.stack([np.repeat(np.arange(count), near.shape[1]), near.ravel()], axis=1)
    if count <= MAX_LINKED:
        links = minimum_spanning_tree(csr_array(cdist(points, points) + 1e-12)).tocoo()
        pairs = np.concatenate([pairs, np.stack([links.row, links.col], axis=1)])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


class Relations(NamedTuple):
    """Differences between the gauges of each pair, about 1, 0 or -1: the first is tenfold, or higher by `ZERO`."""

    tenfold: Float[np.ndarray, " pair"]  # logarithm of the ratio of deviations
    zero: Float[np.ndarray, " pair"]
    correlation: Float[np.ndarray, " pair"]  # 0 with few simultaneous readings

    @classmethod
    def of(cls, x: Float[np.ndarray, "time station"], pairs: Int[np.ndarray, "pair 2"]) -> Relations:
        """Compare pairs by their simultaneous readings, their levels by all readings."""
        tenfold, correlation = np.zeros((2, len(pairs)))
        level = np.nanmedian(x, axis=0)
        for number, (first, second) in enumerate(pairs):
            a, b = x[:, first], x[:, second]
            common = np.isfinite(a) & np.isfinite(b)
            if common.sum() >= MIN_COMMON and min(a[common].std(), b[common].std()) > 0:
                tenfold[number] = np.log10(a[common].std() / b[common].std())
                correlation[number] = np.corrcoef(a[common], b[common])[0, 1]
        return cls(tenfold, (level[pairs[:, 0]] - level[pairs[:, 1]]) / ZERO, correlation)


def is_tenfold(ratio: float) -> bool:
    """Whether a ratio means a factor of ten."""
    return TENFOLD[0] <= ratio <= TENFOLD[1]


def labels(
    count: int, pairs: Int[np.ndarray, "pair 2"], difference: Float[np.ndarray, " pair"],
    correlation: Float[np.ndarray, " pair"],
) -> Int[np.ndarray, " station"]:  # fmt: skip
    """A whole number for the unit of each gauge; those of a pair differ about as the pair does."""
    weight = np.maximum(correlation, 0.0) + 0.01
    first, second = pairs.T
    tree = minimum_spanning_tree(csr_array((1.02 - weight, (first, second)), shape=(count, count)))
    steps = csr_array((np.rint(difference).astype(int), (first, second)), shape=(count, count))
    steps = (steps - steps.T).tocsr()
    label = np.zeros(count, dtype=np.int64)
    part = connected_components(tree, directed=False)[1]
    for root in np.unique(part, return_index=True)[1]:
        order, before = breadth_first_order(tree, root, directed=False)
        for gauge in order[1:]:
            label[gauge] = label[before[gauge]] + steps[gauge, before[gauge]]
    gauge, other = np.concatenate([first, second]), np.concatenate([second, first])
    difference, weight = np.concatenate([difference, -difference]), np.tile(weight, 2)
    for _ in range(VOTES):
        candidate = np.arange(label.min(), label.max() + 1)
        misfit = [np.abs(label[other] + difference - number) * weight for number in candidate]
        best = candidate[np.argmin([np.bincount(gauge, each, count) for each in misfit], axis=0)]
        if (best == label).all():
            break
        label = best
    return label


def right_unit(
    x: Float[np.ndarray, "time station"], label: Int[np.ndarray, " station"], units: str
) -> Bool[np.ndarray, " station"]:
    """Mask of the gauges in the unit that is likely right."""
    level = np.nanmedian(x, axis=0)
    zero = offset_from_celsius(units)
    groups = {int(number): label == number for number in np.unique(label)}
    most = max(group.sum() for group in groups.values())
    if zero is not None:
        possible = (level + zero >= TEMPERATURES[0]) & (level + zero <= TEMPERATURES[1])
        share = {number: possible[group].mean() for number, group in groups.items() if group.sum() > 1}
        if share and min(share.values()) < 0.5 < max(share.values()):
            groups = {number: groups[number] for number in share if share[number] > 0.5}
            most = max(group.sum() for group in groups.values())
    equal = [number for number, group in groups.items() if group.sum() >= most - 1]
    return groups[min(equal)]


def reason(record: GaugeRecord, column: int, right: Bool[np.ndarray, " station"], kind: str) -> str | None:
    """Why a gauge seems to be in another unit than its neighbours in the right unit; None if it does not."""
    others = right.copy()
    others[column] = False
    if others.sum() < MIN_GAUGES - 2:
        return None
    candidate = np.flatnonzero(others)
    distance = np.linalg.norm(record.points[candidate] - record.points[column], axis=1)
    near = candidate[np.argsort(distance, kind="stable")[:NEIGHBOURS]]
    x, around = record.x[:, column], record.x[:, near]
    return reason_of_zero(x, around) if kind == "zero" else reason_of_tenfold(x, around)


def reason_of_zero(x: Float[np.ndarray, " time"], around: Float[np.ndarray, "time neighbour"]) -> str | None:
    """Why the level of a gauge is that of another temperature scale than its neighbours'; None if it is not."""
    difference = float(np.nanmedian(x) - np.median(np.nanmedian(around, axis=0)))
    if abs(abs(difference) - ZERO) >= TOLERANCE:
        return None
    scale = "degrees Celsius" if difference < 0 else "kelvins"
    return f"{difference:+.0f} from its neighbours: probably in {scale}"


def reason_of_tenfold(
    x: Float[np.ndarray, " time"], around: Float[np.ndarray, "time neighbour"]
) -> str | None:
    """Why the deviations of a gauge are ten times, or a tenth of, its neighbours'; None if they are not."""
    some = np.isfinite(around).any(1)
    around_means = np.where(some[:, None], around - np.nanmean(around, axis=0), 0)
    estimate, common = np.nanmean(around_means, axis=1), np.isfinite(x) & some
    if common.sum() < MIN_COMMON or not (x[common].std() > 0 and estimate[common].std() > 0):
        return None
    correlation = float(np.corrcoef(x[common], estimate[common])[0, 1])
    slope = correlation * float(x[common].std() / estimate[common].std())
    ratio = outlying_deviation(x, around)
    if ratio is None and correlation > CERTAIN_CORRELATION:
        ratio = slope
    if ratio is None:
        return None
    if correlation > MIN_CORRELATION and (is_tenfold(slope) or is_tenfold(1 / slope)):
        text = f"slope of {slope:.3g} on its neighbours, correlation {correlation:.2f}"
    elif is_tenfold(ratio) or is_tenfold(1 / ratio):
        text = f"deviations {ratio:.3g} times those of its neighbours"
    else:
        return None
    return f"{text}: probably {'in tenths of the unit' if ratio > 1 else 'in a unit ten times as large'}"


def outlying_deviation(
    x: Float[np.ndarray, " time"], around: Float[np.ndarray, "time neighbour"]
) -> float | None:
    """Ratio of the deviation of a gauge to the median of its neighbours'; None if theirs differ about as much."""
    around = around[:, np.isfinite(around).sum(0) >= MIN_COMMON]
    deviation = np.nanstd(around, axis=0)
    deviation = deviation[deviation > 0]
    if len(deviation) < MIN_GAUGES - 2:
        return None
    low, median, high = np.quantile(deviation, (0.25, 0.5, 0.75))
    ratio = float(np.nanstd(x) / median)
    outlying = max(ratio * median / deviation.max(), deviation.min() / (ratio * median))
    if high > MAX_CONTRAST * low or outlying < MIN_STEP:
        return None
    widths = [float(np.ptp(np.nanquantile(each, (0.05, 0.95)))) for each in (x, around)]
    if (
        min(widths) > 0 and abs(np.log10(widths[0] / widths[1] / ratio)) > 0.5
    ):  # a few wrong readings have no width
        return None
    return ratio


def offset_from_celsius(units: str) -> float | None:
    """Offset that converts a unit of temperature to degC; None for another unit, or one of another size."""
    change = conversion(units, "degC")
    return change.offset if change is not None and abs(change.scale - 1) < 1e-6 else None


def places(points: Float[np.ndarray, "station 3"]) -> Int[np.ndarray, " station"]:
    """Number of the place of each gauge: gauges that chains of neighbours within `SAME_PLACE` connect share one."""
    pairs = cKDTree(points).query_pairs(SAME_PLACE, output_type="ndarray")
    graph = csr_array((np.ones(len(pairs)), pairs.T), shape=(len(points), len(points)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def membership(place: Int[np.ndarray, " station"]) -> csr_array:
    """Matrix (station, place) of 1 where a gauge is in a place."""
    return csr_array((np.ones(len(place)), (np.arange(len(place)), place)))


def variance_within(x: Float[np.ndarray, "time station"], place: Int[np.ndarray, " station"]) -> float:
    """Variance of simultaneous values about the mean of their place, half the mean squared difference of two.

    0 if no two are simultaneous in one place.
    """
    of_place = membership(place)
    filled, observed = np.nan_to_num(x), np.isfinite(x).astype(float)
    count = observed @ of_place
    mean = filled @ of_place / np.maximum(count, 1)
    square = np.square(filled - mean[:, place]) * observed
    freedom = np.maximum(count - 1, 0).sum()
    return float(square.sum() / freedom) if freedom else 0.0
