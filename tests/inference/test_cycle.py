"""A user's record through a cycle: against each day by itself, closed forms, bad inputs, and the pipeline."""

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

import fieldcast
from fieldcast.encoding.checkpoint import Checkpoint
from fieldcast.errors import InputError
from fieldcast.geometry import MEAN_EARTH_RADIUS
from fieldcast.inference.cycle.held_out import (
    as_text,
    distances_km,
    held_out_cells,
    held_out_sums,
    ratio_of_means,
    scores_of_states,
)
from fieldcast.inference.cycle.record_cycle import RecordCycle, cycle
from fieldcast.inference.reconstruct import as_points
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.assimilation.background_errors import (
    ends_of_stretches,
    free_run_states,
    training_stretches,
)
from fieldcast.models.assimilation.baselines import FreeRun
from fieldcast.models.assimilation.by_fraction import ByFraction
from fieldcast.models.assimilation.kalman_filter import KalmanFilter
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

DAYS = 40


def travelling_waves(days: int = 900) -> xr.Dataset:
    """Four waves that travel round the globe, slowly damped and renewed: a day says much about the next."""
    rng = np.random.default_rng(0)
    time, latitude = pd.date_range("2001-01-01", periods=days), np.linspace(-60, 60, 6)
    longitude, number = np.arange(0.0, 360, 30), np.arange(1, 5)
    amplitude = np.zeros((days, 4), complex)
    for day in range(1, days):
        noise = rng.normal(size=(4, 2)) @ [1, 1j]
        amplitude[day] = 0.97 * np.exp(0.3j * number) * amplitude[day - 1] + 0.2 * noise
    waves = np.exp(-1j * number[:, None] * np.radians(longitude))
    shape = np.cos(np.outer(number, np.radians(latitude)))
    values = 280 + 5 * np.einsum("tm,my,mx->tyx", amplitude, shape, waves).real
    values += 0.1 * rng.normal(size=values.shape)
    variable = (
        ("time", "lat", "lon"),
        values.astype(np.float32),
        {"units": "K", "standard_name": "air_temperature"},
    )
    grid = {
        "lat": ("lat", latitude, {"units": "degrees_north"}),
        "lon": ("lon", longitude, {"units": "degrees_east"}),
    }
    return xr.Dataset({"t": variable}, {"time": time, **grid}, {"title": "waves"})


@pytest.fixture(scope="module")
def waves() -> xr.Dataset:
    return travelling_waves()


@pytest.fixture(scope="module")
def interpolation(waves: xr.Dataset) -> TrainedModel:
    return fieldcast.fit(waves, "reconstruct.optimal_interpolation")


@pytest.fixture(scope="module")
def forecaster(waves: xr.Dataset) -> TrainedModel:
    return fieldcast.fit(waves, "forecast.linear_inverse_model")


@pytest.fixture(scope="module")
def record(waves: xr.Dataset) -> xr.Dataset:
    """Successive days of the test split, north first: a tenth of the cells, with errors."""
    rng, truth = np.random.default_rng(1), waves.isel(time=slice(-DAYS, None), lat=slice(None, None, -1))
    noisy = truth["t"] + 0.1 * float(waves["t"].std()) * rng.normal(size=truth["t"].shape)
    recorded = xr.DataArray(rng.uniform(size=truth["t"].shape) < 0.1, dims=truth["t"].dims)
    return truth.assign(t=noisy.where(recorded).astype(np.float32).assign_attrs(truth["t"].attrs))


@pytest.fixture(scope="module")
def analyses(forecaster: TrainedModel, interpolation: TrainedModel, record: xr.Dataset) -> xr.Dataset:
    return fieldcast.cycle(forecaster, interpolation, record, withheld=0.2)


def with_filter(interpolation: TrainedModel, filter: torch.nn.Module) -> TrainedModel:
    """A filter as if it had been calibrated on the data of the interpolation."""
    header = {
        **interpolation.checkpoint.header,
        "task": "assimilate",
        "model": {"type": type(filter).__name__},
    }
    return TrainedModel(Checkpoint(filter, interpolation.checkpoint.codec, header))


def error(mean: xr.DataArray, truth: xr.Dataset, record: xr.Dataset) -> float:
    """RMSE at unobserved cells after ten days of settling."""
    square = (mean - truth["t"]).where(record["t"].isnull()).isel(time=slice(10, None)) ** 2
    return float(np.sqrt(square.mean()))


def test_a_cycle_beats_the_interpolation_of_each_time(analyses, interpolation, record, waves):
    alone = interpolation.fill(record, members=12, noise=0.1)
    assert error(analyses["t_mean"], waves, record) < 0.8 * error(alone["t_mean"], waves, record)
    for score in ("crps", "rmse"):
        at = {
            str(state): float(analyses[f"t_{score}"].sel(state=state)) for state in analyses["state"].values
        }
        assert (
            at["analysis"] < at["interpolation"] < at["climatology"] and at["background"] < at["climatology"]
        )
    assert 0.7 < float(analyses["t_coverage90"].sel(state="analysis")) <= 1
    assert 0.5 < float(analyses["t_chi_squared"].mean()) < 2


def test_the_result_has_the_layout_of_the_record_and_cf_attributes(analyses, record):
    assert analyses["t"].dims == ("time", "member", "lat", "lon") and analyses.sizes["member"] == 20
    for axis in ("time", "lat", "lon"):
        np.testing.assert_array_equal(analyses[axis], record[axis])
    assert np.isfinite(analyses["t"]).all()
    np.testing.assert_allclose(
        analyses["t_spread"], analyses["t"].std("member", ddof=1), rtol=1e-3, atol=1e-3
    )
    assert analyses["t_mean"].attrs["cell_methods"] == "realization: mean"
    assert analyses["t_crps"].attrs["units"] == "K" and analyses["t_coverage90"].attrs["units"] == "1"
    chi_squared = analyses["t_chi_squared"]
    assert chi_squared.min() < chi_squared.attrs["ratio_of_means"] < chi_squared.max()
    assert analyses["t_chi_squared"].dims == analyses["t_suspect_share"].dims == ("time",)
    assert analyses.attrs["title"] == "Analysis of t" and analyses.attrs["input_title"] == "waves"
    text = as_text(analyses)
    assert "held-out observations of 40 times; CRPS and RMSE in K" in text and "interpolation" in text


def test_held_out_observations_do_not_touch_the_analyses(forecaster, interpolation, record):
    """Values in held-out cells may be anything of the right size, and the analyses stay bit for bit."""
    few = record.isel(time=slice(8))
    mask = torch.from_numpy(np.isfinite(few["t"].values[:, None, ::-1]).copy())
    held = held_out_cells(mask, 0.2, interpolation.checkpoint.model.space, seed=0)
    assert 0.1 < float((mask & held).sum() / mask.sum()) <= 0.2
    cells = xr.DataArray(held.numpy()[::-1], dims=("lat", "lon"))
    shifted = few.assign(t=few["t"].where(~cells, few["t"] + 1.0).assign_attrs(few["t"].attrs))
    a, b = (
        fieldcast.cycle(forecaster, interpolation, each, members=3, withheld=0.2) for each in (few, shifted)
    )
    np.testing.assert_array_equal(a["t"], b["t"])
    assert not np.array_equal(a["t_rmse"], b["t_rmse"])
    assert "t_crps" not in fieldcast.cycle(forecaster, interpolation, few, members=3, withheld=0.0)


def test_held_out_cells_are_blocks(world):
    """Neighbours of held-out cells are held out more often than the 30 % of cells drawn at random."""
    space: Space = world.space
    mask = torch.ones(3, 2, *space.shape, dtype=torch.bool)
    held = torch.stack([held_out_cells(mask, 0.3, space, seed) for seed in range(20)]).float()
    neighbours = (held.roll(1, 2) + held.roll(-1, 2)) / 2
    assert float(held.mean()) == pytest.approx(0.3, abs=0.01)
    assert float((held * neighbours).sum() / held.sum()) > 0.45
    with pytest.raises(InputError, match="less than the observations of a single cell"):
        held_out_cells(mask, 0.001, space, seed=4)


def test_scores_at_held_out_observations_show_calibration():
    """Members and truth from one Gaussian: CRPS sigma / sqrt(pi), 90 % inside, RMSE sqrt(1 + 1 / M) sigma."""
    generator = torch.Generator().manual_seed(0)
    y, x = (
        torch.randn(20, 1, 30, 40, generator=generator),
        torch.randn(20, 19, 1, 30, 40, generator=generator),
    )
    sums = sum(held_out_sums(y[time], x[[time]], 0.0, 0, time) for time in range(20))
    table = scores_of_states(xr.DataArray(sums, {"state": ["any"]}, ("state", "sum")), "t", 1.0)
    assert (table["observations"] == y.numel()).all()
    scores = dict(zip(table["score"], table["value"], strict=True))
    assert scores["crps"] == pytest.approx(1 / np.sqrt(np.pi), rel=0.02)
    assert scores["rmse"] == pytest.approx(np.sqrt(1 + 1 / 19), rel=0.02)
    assert scores["coverage90"] == pytest.approx(0.9, abs=0.01)


def test_distances_to_the_nearest_assimilated_observation(interpolation):
    """Against all great circles; the second time has no observation, so a median of both is infinite."""
    space = interpolation.checkpoint.model.space
    points = space.points.flatten(0, 1)
    angle = torch.rad2deg(torch.arccos((points @ points.T).clamp(-1, 1)))
    mask = torch.zeros(1, 1, *space.shape, dtype=torch.bool)
    held_out = torch.zeros(space.shape, dtype=torch.bool)
    assimilated, others = [3, 40], [41, 55, 70]
    mask.flatten()[[*assimilated, *others]] = True
    held_out.flatten()[others] = True
    nearest = angle[:, assimilated].amin(1) * np.pi / 180 * MEAN_EARTH_RADIUS
    missing = ~mask.flatten() & space.exists.flatten()
    expected = [np.median(nearest[others]), np.median(nearest[missing])]
    np.testing.assert_allclose(distances_km(mask, held_out, space)[0], expected, rtol=1e-3)
    empty = torch.cat([mask, torch.zeros_like(mask)])
    assert np.isinf(distances_km(empty, held_out, space)[0, 1])


def test_a_run_says_where_missing_values_are_farther_from_observations(forecaster, interpolation, record):
    """Every second day without observations: held-out observations tell little about these."""
    few = record.isel(time=slice(6))
    gappy = few.where(xr.DataArray(np.arange(6) % 2 == 0, dims="time"))
    texts = [as_text(cycle(forecaster, interpolation, x, members=3, withheld=0.2)) for x in (few, gappy)]
    assert ["∞" in text for text in texts] == [False, True]


def test_an_interrupted_cycle_goes_on_to_the_same_numbers(forecaster, interpolation, record, monkeypatch):
    few = record.isel(time=slice(6))
    run = RecordCycle.of(forecaster, interpolation, few, 3, 0, 0.1, 0.2, "the record")
    monkeypatch.setattr(
        "fieldcast.inference.cycle.record_cycle.PIECE_TIMES", 2
    )  # small records, too, are stored in pieces
    assert len(list(run.pieces())) == 3
    whole = list(run.pieces(length=2))
    for done, on_disk in ((1, 1), (1, 2)):  # the second was killed between the two saves
        rest = list(run.pieces(whole[done - 1][1], on_disk, length=2))
        assert [piece.attrs["piece"] for piece, _ in rest] == [1, 2]
        for (piece, _), (before, _) in zip(rest, whole[done:], strict=True):
            xr.testing.assert_identical(piece, before)
    assert len(list(run.pieces(whole[0][1], 3, length=2))) == 3  # a store of other pieces: from the start
    shifted = few.assign(t=few["t"] + 1e-3)
    other = RecordCycle.of(forecaster, interpolation, shifted, 3, 0, 0.1, 0.2, "the record")
    assert len(list(other.pieces(whole[0][1], 1, length=2))) == 3


def test_a_resumed_filter_is_compared_with_the_climatology_that_it_began_from(
    forecaster, interpolation, record
):
    updater = with_filter(interpolation, LETKF(forecaster.checkpoint.model.space))
    run = RecordCycle.of(forecaster, updater, record.isel(time=slice(6)), 3, 0, 0.1, 0.2, "the record")
    whole = list(run.pieces(length=2))
    for (piece, _), (before, _) in zip(run.pieces(whole[0][1], 1, length=2), whole[1:], strict=True):
        xr.testing.assert_identical(piece, before)


def test_starts_are_successive_training_states(interpolation):
    model = interpolation.checkpoint.model
    streams = RandomStreams(0, torch.zeros(1, dtype=torch.long), 30)
    start = training_stretches(model, torch.tensor([0.5]), streams, 2)
    states = model.grid.scatter(model.anomalies)[:, 0]
    place = (start[0, :, :, 0][:, :, None] == states).flatten(3).all(-1).float().argmax(-1)
    assert (place[:, 1] - place[:, 0] == 1).all()
    away = (model.days[place[:, 1]] - 0.5).abs()
    assert float(away.max()) < 46 / 365


def test_starts_from_a_long_record_are_successive_states_of_those_kept(interpolation):
    """Two of three days are kept, each with its number as its state; of every second one, no two follow each other."""
    model, draws = (
        deepcopy(interpolation.checkpoint.model),
        RandomStreams(0, torch.zeros(1, dtype=torch.long), 50),
    )
    day = torch.arange(12 * 365)

    def keep(number: torch.Tensor) -> None:
        states = number.float()[:, None, None].expand(-1, *model.anomalies.shape[1:])
        model.keep(states, day % 365 / 365, number)

    keep(day[day % 3 > 0])
    start = training_stretches(model, torch.tensor([0.0]), draws, 2)[0].flatten(2).amax(-1)
    assert (start[:, 1] - start[:, 0] == 1).all() and len(start[:, 0].unique()) > 30
    away = (start[:, 1] % 365 / 365 + 0.5) % 1 - 0.5
    assert float(away.abs().max()) < 46 / 365
    keep(day[::2])
    assert training_stretches(model, torch.tensor([0.0]), draws, 2) is None


def test_a_stretch_does_not_cross_a_gap():
    days = torch.tensor([0.990, 0.993, 0.996, 0.999, 0.002, 0.5, 0.503, 0.506])
    assert ends_of_stretches(days, 3).nonzero()[:, 0].tolist() == [2, 3, 4, 7]
    assert ends_of_stretches(days, 1).all()


def test_a_free_run_has_the_variance_of_its_model(world):
    """x' = 0.6 x + e, e of variance 1: 1 / (1 - 0.36) after many steps."""

    def step(c, streams):
        return 0.6 * c.base()[:, None] + streams.normal(*world.space.state_shape)

    streams = RandomStreams(0, torch.zeros(1, dtype=torch.long), 40)
    states = free_run_states(world.space, step, torch.zeros(1), streams, 1)
    assert float(states.var()) == pytest.approx(1 / 0.64, rel=0.05)


@pytest.mark.parametrize("kind", ["kalman", "letkf"])
def test_filters_of_assimilate(kind, forecaster, interpolation, record, waves):
    """A Kalman filter needs no forecaster, and names none that is given; both start from a climatology and beat it."""
    model = forecaster.checkpoint.model
    filter = KalmanFilter(model.space, model) if kind == "kalman" else LETKF(model.space)
    updater = with_filter(interpolation, filter)
    result = fieldcast.cycle(None if kind == "kalman" else forecaster, updater, record, members=12)
    assert result["state"].values.tolist() == ["climatology", "background", "analysis"]
    crps = result["t_crps"]
    assert float(crps.sel(state="analysis")) < 0.9 * float(crps.sel(state="climatology"))
    assert result["t_coverage90"].isnull().all() and "–" in as_text(
        result
    )  # twelve members have no such interval
    used = (updater,) if kind == "kalman" else (updater, forecaster)
    cycle = RecordCycle.of(forecaster, updater, record, 3, 0, 0.1, 0.1, "the record")
    assert cycle.sources["models"] == " and ".join(model.name for model in used)


@pytest.mark.parametrize(
    ("spoil", "phrases"),
    [
        (lambda r: r.isel(time=[0]), ("has 1 time,", "two or more")),
        (lambda r: r.drop_isel(time=3), ("goes from 2003-05-1", "step by 24 hours", "NaN where")),
        (lambda r: r.isel(time=slice(None, None, 2)), ("step by 24 hours",)),
        (lambda r: r.isel(time=slice(None, None, -1)), ("step by 24 hours", "in order")),
        (lambda r: r.isel(lat=slice(0, 4)), ("the latitudes of",)),
        (lambda r: r.where(r["lat"] > 90), ("holds no observation",)),
        (lambda r: r - 273.15, ("half of the values of", "check that they are in K, as the file says")),
    ],
)
def test_unsuitable_records_are_reported_in_one_sentence(forecaster, interpolation, record, spoil, phrases):
    with pytest.raises(InputError) as caught:
        fieldcast.cycle(forecaster, interpolation, spoil(record), members=3)
    assert all(phrase in str(caught.value) for phrase in phrases), caught.value
    assert "\n" not in str(caught.value)


def test_unsuitable_models_are_reported_in_one_sentence(forecaster, interpolation, record, waves):
    other = fieldcast.fit(waves.isel(time=slice(0, 700)), "forecast.persistence")
    same = fieldcast.fit(waves, "forecast.persistence")
    letkf = with_filter(interpolation, LETKF(interpolation.checkpoint.model.space))
    cases = [
        (
            (forecaster, forecaster),
            "the updater of a cycle cannot be an experiment of forecast with the model LinearInverseModel",
        ),
        ((None, interpolation), "OptimalInterpolation needs a forecast model"),
        ((interpolation, interpolation), "the forecaster of a cycle must be an experiment of forecast"),
        ((other, interpolation), "trained on different data"),
        ((same, letkf), "the updater needs members that differ"),
    ]
    for models, phrase in cases:
        with pytest.raises(InputError, match=phrase):
            fieldcast.cycle(*models, record, members=3)
    for options, sentence in (
        ({"members": 1}, "members = 1: give a whole number from 2"),
        ({"noise": -1.0}, "noise = -1.0: give a finite number of at least 0"),
        ({"withheld": 1.0}, "withheld"),
    ):
        with pytest.raises(InputError, match=sentence):
            fieldcast.cycle(forecaster, interpolation, record, **options)


def test_times_without_observations_or_an_expected_innovation_do_not_count() -> None:
    assert ratio_of_means(np.array([100.0, 2.0, 4.0]), np.array([np.nan, 1.0, 2.0])) == pytest.approx(2)
    assert ratio_of_means(np.array([np.nan, 6.0]), np.array([np.nan, 3.0])) == pytest.approx(2)


def updater_of(kind: str, forecaster: TrainedModel, interpolation: TrainedModel) -> TrainedModel:
    model = forecaster.checkpoint.model
    if kind == "interpolation":
        return interpolation
    filters = {
        "kalman": lambda: KalmanFilter(model.space, model),
        "letkf": lambda: LETKF(model.space),
        "by fraction": lambda: ByFraction(model.space, LETKF(model.space), [0.05, 0.5]),
    }
    filter = filters[kind]()
    if isinstance(filter, ByFraction):
        filter.copies[1].choose(relaxation=0.9)  # the copy that a tenth of the cells does not need
    return with_filter(interpolation, filter)


def with_errors(record: xr.Dataset, errors: xr.DataArray | np.ndarray) -> xr.Dataset:
    """The record with the error of each value [K] in a variable of its own."""
    values = np.broadcast_to(errors, record["t"].shape).astype(np.float32)
    return record.assign(t_uncertainty=(record["t"].dims, values, {"units": "K"}))


@pytest.mark.parametrize("kind", ["interpolation", "kalman", "letkf", "by fraction"])
def test_equal_errors_of_values_give_the_analyses_of_one_error(kind, forecaster, interpolation, record):
    """Errors that differ by a part in 10^4 are errors of values, and change the analyses by as little."""
    updater, few = updater_of(kind, forecaster, interpolation), record.isel(time=slice(8))
    error = 0.1 * float(updater.checkpoint.field_codec.deviation[0])
    alternating = error * (1 + 1e-4 * (-1) ** np.arange(record.sizes["lon"]))
    options = {"members": 6, "withheld": 0.2}
    one = fieldcast.cycle(forecaster, updater, few, noise=0.1, **options)
    each = fieldcast.cycle(
        forecaster, updater, with_errors(few, alternating), noise="t_uncertainty", **options
    )
    spread = float(one["t_spread"].mean())
    assert np.abs(each["t"] - one["t"]).max() < 2e-3 * spread
    for name in ("t_crps", "t_rmse", "t_observation_error"):
        np.testing.assert_allclose(each[name], one[name], rtol=1e-3)
    assert each["t_observation_error"].attrs["assumed"] == pytest.approx(error, rel=1e-3)
    assert each.attrs["fieldcast_noise"] == "t_uncertainty" and float(one.attrs["fieldcast_noise"]) == 0.1
    assert "t_uncertainty" not in each


@pytest.mark.parametrize("kind", ["interpolation", "letkf"])
def test_observations_with_huge_errors_leave_the_background(kind, forecaster, interpolation, record):
    """The members of a hybrid filter stay, and so does the mean of an LETKF, whose spread is relaxed."""
    updater, few = updater_of(kind, forecaster, interpolation), record.isel(time=slice(6))
    huge = with_errors(few, 1e6 * (1 + np.arange(record.sizes["lon"]) % 2))
    run = RecordCycle.of(forecaster, updater, huge, 6, 0, "t_uncertainty", 0.0, "the record")
    assimilated = as_points(run.c, run.variance, run.models.assimilator.filter)
    for estimates, _ in run.models.run(assimilated, 6, 0):
        background, analysis = (estimates[name] for name in ("background", "analysis"))
        if kind == "letkf":
            background, analysis = background.mean(1), analysis.mean(1)
        torch.testing.assert_close(analysis, background, atol=1e-4, rtol=0)


def test_an_observation_with_a_huge_error_is_as_if_it_were_missing(forecaster, interpolation, record):
    """The draws of a Kalman filter do not depend on the number of observations."""
    updater, few = updater_of("kalman", forecaster, interpolation), record.isel(time=slice(6))
    bad = np.arange(record.sizes["lon"]) % 3 == 0
    error = 0.1 * float(updater.checkpoint.field_codec.deviation[0])
    errors = with_errors(few, np.where(bad, 1e6, error))
    options = {"members": 6, "withheld": 0.0}
    kept = fieldcast.cycle(None, updater, errors, noise={"t": "t_uncertainty"}, **options)
    without = fieldcast.cycle(None, updater, few.where(~xr.DataArray(bad, dims="lon")), noise=0.1, **options)
    np.testing.assert_allclose(kept["t"], without["t"], atol=1e-3)


def test_an_updater_that_takes_one_error_refuses_errors_of_values(forecaster, interpolation, record):
    updater = with_filter(interpolation, FreeRun(interpolation.checkpoint.model.space))
    with pytest.raises(InputError, match="a model of type FreeRun takes one error for all"):
        fieldcast.cycle(forecaster, updater, record, noise="1%")
