"""Records of real quantities: filled in own units, within their bounds, by a mapping that held-out values choose."""

import logging
from functools import partial

import numpy as np
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.errors import InputError
from fieldcast.fields.ingest import ingest
from fieldcast.fields.quantities import Clip
from fieldcast.inference import quantities
from fieldcast.inference.file_options import GapFilling
from fieldcast.inference.gaps.calibration import calibration_cells
from fieldcast.inference.gaps.own_units import (
    Predictions,
)
from fieldcast.inference.quantities import COLUMNS, Scored, choose_quantities, decide, difference
from fieldcast.models.gaps import observation_error, sampled_modes
from fieldcast.models.gaps.fillers import FILLERS, local_kriging, low_rank
from fieldcast.models.gaps.record import Parameters
from fieldcast.training import fill_gaps
from studies.gap_records import fading_waves

Pair = tuple[xr.Dataset, xr.DataArray, np.ndarray]


def record(
    name: str, values: np.ndarray, missing: np.ndarray, axes: dict[str, object], **attrs: object
) -> Pair:
    """A record with gaps, its truth, and where it is missing."""
    truth = xr.DataArray(values.astype(np.float32), axes, ("time", "lat", "lon"), name, attrs)
    return truth.where(~missing).assign_attrs(attrs).to_dataset(), truth, missing


def chlorophyll(times: int = 120, seed: int = 0) -> Pair:
    values, missing, axes = fading_waves(times, seed)
    bounds = {"valid_min": np.float32(0.001), "valid_max": np.float32(100)}
    return record("chlor_a", np.exp(1.3 * values - 1.5), missing, axes, units="mg m-3", **bounds)


def rain(times: int = 120, seed: int = 0) -> Pair:
    values, missing, axes = fading_waves(times, seed)
    return record("tp", 10 * np.maximum(values - 0.8, 0) ** 2, missing, axes, units="mm")


def wind(times: int = 120, seed: int = 0, width: float = 12.0) -> Pair:
    values, missing, axes = fading_waves(times, seed)
    name = {"units": "degree", "standard_name": "wind_from_direction"}
    return record("wdir", (5 + width * values) % 360, missing, axes, **name)


@pytest.fixture
def quick(few_selections: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """One quick method beside DINEOF, few selections, and few values for the correlation of noisy values."""
    monkeypatch.setattr(
        fill_gaps, "FILLERS", {f.__name__: f for f in (low_rank, fill_gaps.FILLERS["dineof"])}
    )
    monkeypatch.setattr(fill_gaps, "SMALL", 0)
    monkeypatch.setattr(quantities, "SELECTIONS", 2)
    fit = partial(observation_error.fit_kriging, smoothness=(1.5,), draws=300)
    monkeypatch.setattr(observation_error, "fit_kriging", fit)


def rmse(filled: xr.DataArray, truth: xr.DataArray, missing: np.ndarray) -> float:
    return float(np.sqrt(np.mean((filled.values - truth.values)[missing].astype(float) ** 2)))


def circular(filled: xr.DataArray, truth: xr.DataArray, missing: np.ndarray) -> float:
    difference = (filled.values - truth.values)[missing].astype(float)
    return float(np.sqrt(np.mean(((difference + 180) % 360 - 180) ** 2)))


def test_chlorophyll_is_filled_as_its_logarithm_in_its_own_units(
    quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    gappy, truth, missing = chlorophyll(60)
    with caplog.at_level(logging.INFO):
        filled = fieldcast.fill_gaps(gappy, members=3)
    assert "chlor_a is filled as log" in caplog.text and filled.attrs["fieldcast_quantities"] == "chlor_a=log"
    parts = ("", "_mean", "_median", "_p05", "_p95")
    for part in parts:
        values = filled[f"chlor_a{part}"].values
        assert values.min() >= 0.001 and values.max() <= 100
        np.testing.assert_array_equal(values[~missing], gappy["chlor_a"].values[~missing])
    assert filled["chlor_a_members"].min() >= 0.001
    low, median, mean, high = (
        filled[f"chlor_a{part}"].values[missing] for part in ("_p05", "_median", "_mean", "_p95")
    )
    assert (low < median).all() and (median < mean).all() and (median < high).all()
    inside = (low <= truth.values[missing]) & (truth.values[missing] <= high)
    assert 0.8 < inside.mean() < 0.99
    text = filled.attrs["comment"]
    assert "expected RMSE" in text and "chlor_a, mapped by log" in text and "in mg m-3" in text
    plain = fieldcast.fill_gaps(gappy, quantities="none")
    assert rmse(filled["chlor_a"], truth, missing) < 0.8 * rmse(plain["chlor_a"], truth, missing)
    assert "chlor_a_median" not in plain and "fieldcast_quantities" not in plain.attrs


def test_a_direction_is_filled_through_north(quick: None) -> None:
    gappy, truth, missing = wind(60)
    filled = fieldcast.fill_gaps(gappy, members=2)
    assert circular(filled["wdir"], truth, missing) < 4.0  # its own standard deviation is about 10
    for name in ("wdir", "wdir_p05", "wdir_p95", "wdir_members"):
        assert filled[name].min() >= 0 and filled[name].max() < 360
    spread = filled["wdir_spread"].values[missing]
    assert 0 < np.median(spread) < 15 and filled["wdir_spread"].attrs["units"] == "degree"
    turned = record("wdir", (truth.values + 100) % 360, missing, dict(gappy.coords), **truth.attrs)[0]
    other = fieldcast.fill_gaps(turned)["wdir"] - 100
    assert circular(other, filled["wdir"], missing) < 1.0  # the zero direction does not matter


def test_components_are_better_than_a_direction_and_a_speed_and_that_is_said(
    quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    """No direction is known in a calm, and a direction by itself does not say how near one is."""
    (u, missing, axes), (v, *_) = fading_waves(60, 600), fading_waves(60, 601)
    speed, direction = np.hypot(u, v), np.rad2deg(np.arctan2(-u, -v)) % 360
    gappy, truth, _ = record(
        "wdir", direction, missing, axes, units="degree", standard_name="wind_from_direction"
    )
    of_speed = record("ws", speed, missing, axes, units="m s-1", standard_name="wind_speed")[0]
    polar = fieldcast.fill_gaps(xr.merge([gappy, of_speed]), quantities={"wdir": "circle", "ws": "none"})
    assert "smaller errors when its components ws sin(wdir) and ws cos(wdir) are filled" in caplog.text
    caplog.clear()
    components = {
        name: record(name, x, missing, axes, units="m s-1")[0][name] for name, x in (("u", u), ("v", v))
    }
    filled = fieldcast.fill_gaps(xr.Dataset(components), quantities="none")
    from_components = np.rad2deg(np.arctan2(-filled["u"], -filled["v"])) % 360
    assert circular(from_components, truth, missing) < 0.8 * circular(polar["wdir"], truth, missing)
    of_filled = np.hypot(filled["u"], filled["v"])
    true_speed = xr.DataArray(speed, truth.coords, truth.dims)
    assert rmse(of_filled, true_speed, missing) < 0.8 * rmse(polar["ws"], true_speed, missing)
    waves = of_speed["ws"].assign_attrs(standard_name="sea_surface_wave_speed")
    for others in ({}, {"ws": waves}):
        given = {"wdir": "circle", **dict.fromkeys(others, "none")}
        choose_quantities(ingest(gappy.assign(others), missing="train")[0], given, 0, "cpu")
    assert "components" not in caplog.text


def test_nothing_is_outside_the_bounds_of_a_variable_that_is_not_mapped(quick: None) -> None:
    values, missing, axes = fading_waves(60)
    data = record("sst", 15 + 3 * values, missing, axes, units="degC", valid_min=14.0, valid_max=16.0)[0]
    filled = fieldcast.fill_gaps(data, members=2)
    assert "sst_median" not in filled and (filled["sst_flag"] == 3).sum() == 0
    for name in ("sst", "sst_members"):
        assert filled[name].min() >= 14.0 and filled[name].max() <= 16.0
    read_again = ingest(
        filled[["sst"]].assign(sst=filled["sst"].assign_attrs(data["sst"].attrs)), missing="train"
    )[0]
    assert read_again["sst"].notnull().all()


def test_a_gaussian_variable_is_not_mapped_and_nothing_changes(quick: None) -> None:
    values, missing, axes = fading_waves(60)
    gappy = record("t2m", 15 + 3 * values, missing, axes, units="degC")[0]
    one, other = (
        fieldcast.fill_gaps(gappy, members=2),
        fieldcast.fill_gaps(gappy, members=2, quantities="none"),
    )
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())
    assert one.attrs["comment"] == other.attrs["comment"]


def test_the_choice_does_not_depend_on_the_scale(quick: None) -> None:
    gappy = rain(30)[0]
    larger = gappy.map(
        lambda x: (1024 * x).assign_attrs(x.attrs)
    )  # exactly, so that nothing is rounded otherwise
    fields, scaled = (ingest(data, missing="train")[0] for data in (gappy, larger))
    (one, table), (other, of_scaled) = (
        choose_quantities(data, "auto", 0, "cpu") for data in (fields, scaled)
    )
    assert one["tp"].kind == other["tp"].kind
    np.testing.assert_allclose(1024 * table["crps"], of_scaled["crps"], rtol=1e-3)
    assert list(table) == COLUMNS and set(table["selection"]) == {0, 1, "all"}


def test_the_lowest_score_wins_by_two_percent_and_a_standard_error_and_then_the_simplest() -> None:
    rng = np.random.default_rng(0)
    group, weight = np.repeat(np.arange(20), 5), np.full(100, 0.01)

    def scores(mean: float, noise: float = 0.0) -> list[Scored]:
        return [Scored(mean + noise * rng.normal(size=100), weight, group) for _ in range(4)]

    none = scores(1.0)
    assert decide("x", "clip", {"none": none, "clip": none, "root": scores(0.99)})[0] == "clip"
    assert decide("x", "clip", {"none": none, "clip": none, "root": scores(0.9)})[0] == "root"
    assert decide("x", "none", {"none": none, "root": scores(0.97, 5.0)})[0] == "none"
    assert decide("x", "clip", {"none": none, "clip": scores(0.5), "root": scores(0.9)})[0] == "clip"
    noise = rng.normal(size=100)
    near = [Scored(0.5 + 0.3 * noise, weight, group)] * 4
    assert decide("x", "clip", {"none": none, "clip": none, "root": near, "log": scores(0.5)})[0] == "root"
    assert (
        decide("x", "clip", {"none": none, "clip": none, "root": scores(0.8), "log": scores(0.5)})[0] == "log"
    )


def test_the_standard_error_is_that_of_means_over_gaps() -> None:
    """The deviation of the means of equally many values is divided by the root of the number of gaps."""
    rng = np.random.default_rng(0)
    group, of_gap = np.repeat(np.arange(50), 4), rng.normal(size=50)
    one = [Scored(of_gap[group], np.full(200, 1 / 200), group)]
    mean, error = difference(one, [one[0]._replace(crps=np.zeros(200))])
    np.testing.assert_allclose([mean, error], [of_gap.mean(), of_gap.std(ddof=1) / np.sqrt(50)])
    single = [one[0]._replace(group=np.zeros(200, int))]
    assert difference(single, single)[1] == np.inf


def test_a_part_of_a_large_record_is_enough() -> None:
    observed = np.ones((300, 40, 50), dtype=bool)
    observed[100:180, 20:26, 30:38] = False
    data = xr.DataArray(np.where(observed, 1.0, np.nan), dims=("time", "latitude", "longitude"), name="x")
    part = quantities.informative_part(data.to_dataset())
    assert part["x"].shape == (200, 10, 10) and part["x"].isnull().sum() == 80 * 6 * 8


@pytest.mark.parametrize("width", [1.0, 0.6])
def test_draws_from_the_predictive_distribution_are_calibrated_and_those_of_a_wider_one_are_not(
    width: float,
) -> None:
    """There are masses at both bounds, so that the coverage of an interval would not be 90 %."""
    rng, quantity = np.random.default_rng(0), Clip(lowest=0.0, highest=1.0)
    mean, spread = rng.normal(0.5, 0.6, (1, 3000)), np.full((1, 3000), 0.3)
    truth = np.clip(mean[0] + 0.3 * rng.normal(size=3000), 0, 1)
    gap = np.arange(3000) // 6
    predicted = Predictions(mean, width * spread, truth)
    rows = calibration_cells(quantity, predicted, np.full(3000, 1 / 3000), gap)
    assert list(rows) == ["median at a bound", "low third", "middle third", "high third"]
    assert {row[-1] for row in rows.values()} == {"calibrated" if width == 1 else "not calibrated"}
    assert all(abs(float(row[2]) - 0.9) < 0.02 for row in rows.values()) == (width == 1)
    few = calibration_cells(quantity, predicted, np.full(3000, 1 / 3000), gap % 30)
    assert {row[-1] for row in few.values()} == {"not judged"} and few["low third"][1] == "30"


def test_an_ice_fraction_with_masses_is_filled_within_its_bounds(quick: None) -> None:
    """Censored values stand for what they hide: the error is well below that of the values as they are."""
    values, missing, axes = fading_waves(60)
    ice = np.clip(0.5 + 0.6 * values, 0, 1)
    gappy, truth, _ = record("siconc", ice, missing, axes, units="1", standard_name="sea_ice_area_fraction")
    filled, plain = (fieldcast.fill_gaps(gappy, members=2, quantities=given) for given in ("auto", "none"))
    for name in ("siconc", "siconc_mean", "siconc_members"):
        assert filled[name].min() >= 0 and filled[name].max() <= 1
    assert rmse(filled["siconc"], truth, missing) < 0.8 * rmse(plain["siconc"], truth, missing)
    np.testing.assert_array_equal(filled["siconc"].values[~missing], gappy["siconc"].values[~missing])
    assert "median at a bound" in filled.attrs["comment"] and "randomised PIT" not in plain.attrs["comment"]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("circle", "its name and units are not those of an angle"),
        ("log", "4 of its values are below 0"),
        ("clip", "it has no bounds"),
        ({"v": "log"}, "quantities name 'v', but the variables are u"),
        ("cube", "is 'cube': choose one of auto"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_in_one_sentence(given: object, sentence: str) -> None:
    values, missing, axes = fading_waves(40)
    values = np.abs(values) + 0.1
    values[:4, 0, 0], missing[:4, 0, 0] = -1, False
    gappy = record("u", values, missing, axes, units="m s-1")[0]
    with pytest.raises(InputError, match=sentence):
        fieldcast.fill_gaps(gappy, quantities=given)  # type: ignore[arg-type]


def test_kriging_that_was_fitted_before_is_used_again() -> None:
    fields = ingest(rain(40)[0], missing="train")[0]
    gappy = GappyRecord.of(fields, torch.device("cpu"))
    fitted: Parameters = {}
    first = local_kriging(gappy.record, None, fitted)
    assert list(fitted) == ["kriging.0"]
    model = fitted["kriging.0"]
    again = local_kriging(gappy.record, None, fitted)
    assert fitted["kriging.0"] is model and bool((first.mean == again.mean).all())


@pytest.mark.proof
def test_the_right_values_of_real_quantities() -> None:
    """Filled by all methods, the errors are those of filling the mapped values by hand."""
    gappy, truth, missing = chlorophyll()
    filled = fieldcast.fill_gaps(gappy)
    assert rmse(np.log(filled["chlor_a_median"]), np.log(truth), missing) <= 0.11
    gappy, truth, missing = rain()
    filled = fieldcast.fill_gaps(gappy)
    assert rmse(filled["tp"], truth, missing) <= 1.75 and filled["tp"].min() >= 0
    gappy, truth, missing = wind()
    filled = fieldcast.fill_gaps(gappy)
    assert circular(filled["wdir"], truth, missing) <= 2.5


@pytest.mark.proof
def test_a_direction_all_round_the_compass_is_filled_as_its_components_by_hand() -> None:
    gappy, truth, missing = wind(width=80.0)
    filled = fieldcast.fill_gaps(gappy)
    angle = np.deg2rad(gappy["wdir"])
    parts = xr.Dataset({"c": np.cos(angle), "s": np.sin(angle)}).map(lambda x: x.assign_attrs(units="m"))
    by_hand = fieldcast.fill_gaps(parts, quantities="none")
    direction = np.rad2deg(np.arctan2(by_hand["s"], by_hand["c"])) % 360
    assert circular(filled["wdir"], truth, missing) <= 1.1 * circular(direction, truth, missing)


def test_observed_values_with_errors_are_smoothed(quick: None) -> None:
    """Errors of two sizes, as GHRSST gives them: less error than the observations, as large as the spread says."""
    values, missing, axes = fading_waves(100)
    rng = np.random.default_rng(1)
    error = rng.choice([0.3, 1.5], values.shape)
    truth = 15 + 3 * values
    noisy = truth + error * rng.normal(size=values.shape) + 0.2
    gappy, clean, _ = record("sst", noisy, missing, axes, units="degC")
    gappy["sses_standard_deviation"] = gappy["sst"].dims, error.astype(np.float32), {"units": "kelvin"}
    gappy["sses_bias"] = gappy["sst"].dims, np.full(error.shape, np.float32(0.2)), {"units": "kelvin"}
    filled = fieldcast.fill_gaps(gappy, noise="sses_standard_deviation", members=4, quantities="none")
    assert not [name for name in filled if str(name).startswith("sses")]
    np.testing.assert_array_equal(filled["sst_observed"].values[~missing], gappy["sst"].values[~missing])
    clean.values[:] = truth
    before, after = error[~missing], (filled["sst"].values - truth)[~missing]
    spread = filled["sst_spread"].values[~missing]
    for size, share in ((0.3, 0.95), (1.5, 0.4)):
        rms = np.sqrt(np.mean(after[before == size] ** 2))
        assert rms < share * size and 0.7 < np.sqrt(np.mean(spread[before == size] ** 2)) / rms < 1.3
    drawn = filled["sst_members"].transpose(..., "member").values[~missing].std(1, ddof=1)
    assert 0.8 < np.sqrt(np.mean(drawn**2)) / np.sqrt(np.mean(spread**2)) < 1.2
    exact = fieldcast.fill_gaps(gappy[["sst"]], quantities="none")
    assert rmse(filled["sst"], clean, missing) < rmse(exact["sst"] - 0.2, clean, missing)
    assert filled["sst_spread"].values[missing].mean() < exact["sst_spread"].values[missing].mean()
    assert "The observed values of sst are smoothed" in filled.attrs["comment"]
    assert "sst_observed" not in exact and (filled["sst_flag"].values[~missing] == 0).all()


def test_the_error_of_a_mapped_variable_is_a_share_of_its_values(quick: None) -> None:
    values, missing, axes = fading_waves(100)
    truth = np.exp(1.3 * values - 1.5)
    noisy = truth * np.exp(0.35 * np.random.default_rng(2).normal(size=values.shape))
    gappy = record("chlor_a", noisy, missing, axes, units="mg m-3", valid_min=np.float32(0.001))[0]
    filled = fieldcast.fill_gaps(gappy, noise={"chlor_a": "35%"}, quantities={"chlor_a": "log"})
    error = np.log(filled["chlor_a_median"].values / truth)[~missing]
    assert np.sqrt(np.mean(error**2)) < 0.7 * 0.35
    low, high = (filled[f"chlor_a_{end}"].values[~missing] for end in ("p05", "p95"))
    assert 0.8 < np.mean((low <= truth[~missing]) & (truth[~missing] <= high)) < 0.97
    np.testing.assert_array_equal(
        filled["chlor_a_observed"].values[~missing], gappy["chlor_a"].values[~missing]
    )


def test_modes_are_sampled_in_small_records_of_mapped_variables_alone(
    few_selections: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def methods(gappy: xr.Dataset, quantity: str) -> set[str]:
        fields = ingest(gappy, missing="train")[0]
        chosen = choose_quantities(fields, quantity, 0, "cpu")[0]
        return {*fill_gaps.methods(fields, chosen, GapFilling(), 0, "cpu")}

    gappy, truth, missing = rain(40)
    for each, quantity in ((gappy, "root"), (chlorophyll(40)[0], "log")):
        assert methods(each, quantity) - {*FILLERS} == {"sampled_modes"}
    assert methods(gappy, "none") == {*FILLERS}
    monkeypatch.setattr(sampled_modes, "BURN_IN", 20)
    monkeypatch.setattr(sampled_modes, "SWEEPS", 40)
    filled = fieldcast.fill_gaps(gappy, quantities="root", method="sampled_modes", members=3)
    assert "sampled_modes" in filled.attrs["comment"] and float(filled["tp_members"].min()) >= 0
    assert rmse(filled["tp"], truth, missing) < 0.5 * float(truth.where(missing).std())
    monkeypatch.setattr(fill_gaps, "SMALL", gappy["tp"].size - 1)
    assert methods(gappy, "root") == {*FILLERS}


def test_members_of_a_dry_place_are_mostly_dry_and_have_the_mean_and_spread_of_the_result(
    quick: None,
) -> None:
    gappy, _, missing = rain(60)
    filled = fieldcast.fill_gaps(gappy, members=200, quantities="root")
    mean, spread, median, members = (
        filled[f"tp_{part}"].transpose("time", "lat", "lon", ...).values[missing]
        for part in ("mean", "spread", "median", "members")
    )
    assert (median == 0).mean() > 0.4 and (mean[median == 0] > 0).mean() > 0.8
    assert min(mean.min(), members.min()) == 0
    error = np.abs(members.mean(1) - mean) / np.maximum(spread, 1e-6) * np.sqrt(200)
    assert np.median(error) < 1.5
    assert 0.8 < np.median(members.std(1)[spread > 0.1] / spread[spread > 0.1]) < 1.1
