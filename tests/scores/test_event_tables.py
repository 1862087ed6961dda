"""Tables of events beside the package `scores`, which works from the members themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm
from scores.probability import brier_score_for_ensemble, roc_auc, tail_tw_crps_for_ensemble

from fieldcast.scores import event_metrics
from fieldcast.scores.event_metrics import EVENT_METRICS, Contingency
from fieldcast.scores.event_tables import EventTables, event_scores
from fieldcast.scores.leaderboard import FORECAST
from fieldcast.scores.regions import cell_weights

QUANTILES = (0.1, 0.95)
CELLS, TIMES, MEMBERS = (4, 6), 40, 10
GRID = ("time", "latitude", "longitude")


class Case(NamedTuple):
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    stored: xr.Dataset

    @property
    def members(self) -> xr.DataArray:
        return xr.DataArray(self.x.astype(float), dims=("member", *GRID))

    @property
    def truth(self) -> xr.DataArray:
        return xr.DataArray(self.y.astype(float), dims=GRID)

    @property
    def area(self) -> xr.DataArray:
        return xr.DataArray(self.weights[0], dims=GRID[1:])

    def table(self, quantile: float) -> Contingency:
        shares = self.stored["shares"].sel(quantile=quantile).isel(lead_hours=0, variable=0, region=0)
        return contingency(shares.mean("time").to_numpy(), min(quantile, 1 - quantile))


def contingency(shares: np.ndarray, c: float) -> Contingency:
    """A batch of one table."""
    return Contingency(shares[None].astype(float), c)


def make_case(members: int = MEMBERS, blown_up: bool = False, signal: float = 0.7) -> Case:
    """Calibrated forecasts: truth and members share a signal of this variance."""
    rng = np.random.default_rng(3)
    centre = np.sqrt(signal) * rng.normal(size=(TIMES, *CELLS))
    drawn = centre + np.sqrt(1 - signal) * rng.normal(size=(members + 1, TIMES, *CELLS))
    x, y = drawn[1:].astype("float32"), drawn[0].astype("float32")
    finite = np.ones(TIMES, bool)
    finite[0] = not blown_up
    area = np.cos(np.deg2rad(np.linspace(-60, 60, CELLS[0])))[:, None] * np.ones(CELLS)
    weights = cell_weights(area, np.ones((1, *CELLS), bool))
    limits = norm.ppf(QUANTILES)[:, None, None, None] * np.ones((1, 1, *CELLS))
    dims = ("quantile", "dayofyear", "latitude", "longitude")
    thresholds = xr.Dataset(
        {"t": (dims, limits.astype("float32"))}, {"quantile": list(QUANTILES), "dayofyear": [1.0]}
    )
    events = EventTables(thresholds)
    events.add("t", x, y, np.ones(TIMES, int), weights, finite)
    times = [f"2001-{1 + i // 2:02}-{1 + 14 * (i % 2):02}T00:00:00" for i in range(24)]
    times += [f"2002-{1 + i // 2:02}-{1 + 14 * (i % 2):02}T00:00:00" for i in range(TIMES - 24)]
    deviations = xr.DataArray([2.0], {"variable": ["t"]}, ("variable",))
    stored = events.dataset(
        "lead_hours", "region", np.array(times), deviations, {"lead_hours": [24.0], "region": ["globe"]}
    )
    return Case(x, y, weights, stored.assign_attrs(seed=0, data_digest="d", case_digest="s"))


@pytest.mark.parametrize("members", [1, MEMBERS])
@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_brier_score_is_the_fair_one_of_scores(members: int, quantile: float) -> None:
    case = make_case(members)
    sign = -1 if quantile < 0.5 else 1
    expected = brier_score_for_ensemble(
        sign * case.members, sign * case.truth, "member", float(sign * norm.ppf(quantile)), weights=case.area
    )
    assert event_metrics.brier(case.table(quantile)).item() == pytest.approx(float(expected[0]), abs=1e-7)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_roc_area_is_that_of_scores(quantile: float) -> None:
    case = make_case()
    beyond = np.less if quantile < 0.5 else np.greater
    happened = xr.DataArray(beyond(case.y, norm.ppf(quantile)).astype(float), dims=GRID)
    share = xr.DataArray(beyond(case.x, norm.ppf(quantile)).mean(0), dims=GRID)
    expected = roc_auc(share, happened, weights=case.area.broadcast_like(happened))
    assert event_metrics.roc_area(case.table(quantile)).item() == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("quantile", QUANTILES)
def test_the_tail_crps_is_that_of_scores(quantile: float) -> None:
    case, tail = make_case(), "lower" if quantile < 0.5 else "upper"
    expected = tail_tw_crps_for_ensemble(
        case.members, case.truth, "member", float(norm.ppf(quantile)), tail=tail, method="fair",
        preserve_dims="time", weights=case.area,
    )  # fmt: skip
    scored = case.stored["tail_crps"].sel(quantile=quantile).squeeze()
    np.testing.assert_allclose(scored, expected, atol=1e-6)


def test_the_plain_brier_score_is_reliability_minus_resolution_plus_uncertainty() -> None:
    case = make_case()
    table = case.table(0.95)
    plain = brier_score_for_ensemble(
        case.members, case.truth, "member", float(norm.ppf(0.95)), weights=case.area, fair_correction=False
    )
    parts = event_metrics.reliability(table) - event_metrics.resolution(table) + table.o * (1 - table.o)
    assert parts.item() == pytest.approx(float(plain[0]), abs=1e-7)


def test_scores_of_a_perfect_forecast_and_of_one_without_information() -> None:
    perfect, ignorant = np.zeros((2, 11)), np.zeros((2, 11))
    perfect[0, 0], perfect[1, -1] = 0.9, 0.1
    share = np.random.default_rng(0).dirichlet(np.ones(11))
    ignorant[0], ignorant[1] = 0.9 * share, 0.1 * share
    best, worst = contingency(perfect, 0.1), contingency(ignorant, 0.1)
    for name in ("brier_skill", "roc_area", "highest_value"):
        assert EVENT_METRICS[name].function(best).item() == pytest.approx(1.0)
    assert event_metrics.roc_area(worst).item() == pytest.approx(0.5)
    assert event_metrics.highest_value(worst).item() == pytest.approx(0.0, abs=1e-12)
    always_climatology = np.zeros((2, 11))
    always_climatology[:, 1] = 0.9, 0.1
    assert event_metrics.reliability(contingency(always_climatology, 0.1)).item() == pytest.approx(0.0)


def test_a_diverged_forecast_is_wrong_everywhere() -> None:
    diverged = make_case(blown_up=True).stored.isel(time=0, lead_hours=0, variable=0, region=0)
    for quantile in QUANTILES:
        table = contingency(diverged["shares"].sel(quantile=quantile).to_numpy(), 0.1)
        assert event_metrics.brier(table).item() == pytest.approx(1.0)
    assert np.isinf(diverged["tail_crps"]).all()


def test_cells_without_a_threshold_are_left_out() -> None:
    case = make_case()
    whole = EventTables(case_thresholds(np.nan))
    whole.add("t", case.x, case.y, np.ones(TIMES, int), case.weights, np.ones(TIMES, bool))
    assert np.allclose(whole.shares["t"][0].sum((2, 3)), 1.0)
    part = EventTables(case_thresholds(0.0).isel(longitude=slice(1, None)))
    weights = cell_weights(case.weights[0][:, 1:], np.ones((1, CELLS[0], CELLS[1] - 1), bool))
    part.add("t", case.x[..., 1:], case.y[..., 1:], np.ones(TIMES, int), weights, np.ones(TIMES, bool))
    np.testing.assert_allclose(whole.shares["t"][0], part.shares["t"][0], atol=1e-12)
    np.testing.assert_allclose(whole.tail_crps["t"][0], part.tail_crps["t"][0], atol=1e-7)


def test_forecasts_are_scored_lead_by_lead_and_region_by_region(season: Callable) -> None:
    """Beside `scores`, with thresholds that differ between variables, days and cells."""
    evaluation = season(starts=6)
    rng = np.random.default_rng(4)
    grid = {name: evaluation.truth[name].to_numpy() for name in ("latitude", "longitude")}
    dims = ("quantile", "dayofyear", "latitude", "longitude")
    scales = evaluation.normalisation["anomaly_std"].to_numpy()
    limits = rng.normal(size=(2, 1, 12, 18, 16)).astype("float32") * scales[:, None, None, None, None]
    thresholds = xr.Dataset(
        {name: (dims, values) for name, values in zip(("z", "t"), limits, strict=True)},
        {"quantile": [0.9], "dayofyear": np.arange(12.0), **grid},
    )
    events = EventTables(thresholds)
    table, _ = evaluation.score(events=events)
    labels = {name: list(table[name].unique()) for name in ("lead_hours", "region")}
    times = np.arange(6).astype(str)
    stored = events.dataset("lead_hours", "region", times, evaluation.normalisation["anomaly_std"], labels)
    for v, name in enumerate(("z", "t")):
        for lead in range(3):
            x = evaluation.forecasts[name].isel(lead=lead, drop=True).rename(start="time")
            places = 13 * np.arange(6) + lead + 1
            y = evaluation.truth[name].isel(time=places).assign_coords(time=x["time"])
            month = y["time"].dt.month.to_numpy()
            day = [min(int(d), 365) - 1 for d in evaluation.truth["time"].dt.dayofyear.to_numpy()[places]]
            limit = limits[v, 0, month - 1] + evaluation.climatology[name].to_numpy()[day]
            anomalies = [(data - limit).astype(float) for data in (x.transpose("member", "time", ...), y)]
            area = evaluation.area.broadcast_like(evaluation.truth[name][0])
            for region, where in (("globe", slice(None)), ("northern_extratropics", slice(20, None))):
                options = {"preserve_dims": "time", "weights": area.sel(latitude=where)}
                x_there, y_there = (data.sel(latitude=where) for data in anomalies)
                expected = brier_score_for_ensemble(x_there, y_there, "member", 0.0, **options)
                place = {"lead_hours": 24.0 * (lead + 1), "variable": name, "region": region}
                at = stored.sel(place).isel(quantile=0)
                shares = at["shares"].transpose("time", "outcome", "number").to_numpy().astype(float)
                np.testing.assert_allclose(
                    event_metrics.brier(Contingency(shares, 0.1)), expected.isel(threshold=0), atol=2e-3
                )
                tail = tail_tw_crps_for_ensemble(
                    x_there, y_there, "member", 0.0, tail="upper", method="fair", **options
                )
                np.testing.assert_allclose(at["tail_crps"], tail, rtol=1e-3)


def case_thresholds(first: float) -> xr.Dataset:
    """Thresholds 1.2 everywhere but in the first column."""
    limits = np.full((1, 1, *CELLS), 1.2, "float32")
    limits[..., 0] = first
    dims = ("quantile", "dayofyear", "latitude", "longitude")
    return xr.Dataset({"t": (dims, limits)}, {"quantile": [0.9], "dayofyear": [1.0]})


def test_the_table_holds_every_score_with_an_interval_around_it() -> None:
    case = make_case()
    stored = {"one": case.stored, "other data": case.stored.assign_attrs(data_digest="e")}
    table = event_scores(stored, "d", "s", FORECAST)
    assert list(event_scores({}, "d", "s", FORECAST)) == list(table)
    assert set(table["experiment"]) == {"one"}
    assert len(table) == 2 * len(QUANTILES) * len(EVENT_METRICS)  # t and all
    assert (table["low"] <= table["value"] + 1e-6).all() and (table["value"] <= table["high"] + 1e-6).all()
    single = table[(table["variable"] == "t") & (table["quantile"] == 0.95)].set_index("score")["value"]
    assert single["brier"] == pytest.approx(event_metrics.brier(case.table(0.95)).item(), rel=1e-5)
    overall = table[(table["variable"] == "all") & (table["quantile"] == 0.95)].set_index("score")["value"]
    assert overall["brier"] == pytest.approx(single["brier"])
    assert overall["tail_crps"] == pytest.approx(single["tail_crps"] / 2)  # in anomaly standard deviations


def test_skill_of_calibrated_ensembles_does_not_depend_on_their_size() -> None:
    skills = [event_metrics.brier_skill(make_case(members).table(0.1)).item() for members in (2, 60)]
    assert skills[0] == pytest.approx(skills[1], abs=0.06)
    assert min(skills) > 0.2


def test_a_table_without_any_value_has_no_score() -> None:
    """The sums of its parts were 0, the best reliability."""
    empty = Contingency(np.full((1, 2, 4), np.nan), 0.1)
    for metric in (event_metrics.brier, event_metrics.reliability, event_metrics.resolution):
        assert np.isnan(metric(empty)).all()
    never_two = Contingency(np.array([[[0.6, 0.1, 0.0], [0.0, 0.3, 0.0]]]), 0.1)
    assert event_metrics.reliability(never_two) == pytest.approx(0.4 * (0.5 - 0.75) ** 2)
