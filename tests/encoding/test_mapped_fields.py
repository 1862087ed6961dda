"""Variables with a mapping in the codecs of fields: encoded as mapped, decoded in their own units."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from worlds import make_world

import fieldcast
from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.encoding.checkpoint import codec_digest, pack, unpack
from fieldcast.encoding.observations import require_observations, sparsify
from fieldcast.encoding.options import Limits, Sparsification, TrainingMasks
from fieldcast.encoding.states import AnyDayCodec
from fieldcast.encoding.stations import mapped_readings
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.ingest import ingest
from fieldcast.fields.prepared import MAPPED, fit_statistics, quantities_in
from fieldcast.fields.quantities import Circle, Clip, Log, Quantiles, Root
from fieldcast.fields.splits import make, select
from fieldcast.inference.forecasts.ensemble import with_moments
from fieldcast.inference.onnx_export import export
from fieldcast.inference.quantities import choose_quantities
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.kinds import CASE
from fieldcast.models.climatology import Climatology
from fieldcast.scores.reconstruction import reconstruction_statistics
from fieldcast.tasks.scoring_inputs import cell_areas

CHL, WIND = "chlor_a", "wind_from_direction"
POSITIVE = {"log": Log, "root": Root, "quantiles": Quantiles, "clip": Clip}


class MappedWorld:
    """A log-normal concentration, a direction about north, and a temperature, with their statistics."""

    def __init__(self, kind: str = "log") -> None:
        data = make_world(days=900)
        chl = np.exp((data["t"] - 280) / 5).astype(np.float32).assign_attrs(units="mg m-3")
        wind = ((data["z"] - 280) / 4 % 360).astype(np.float32).assign_attrs(units="degree")
        self.fields, _ = ingest(xr.Dataset({CHL: chl, WIND: wind, "t": data["t"]}, attrs=data.attrs))
        self.splits = make(self.fields["time"])
        self.training = select(self.fields, self.splits, "train")
        values = {name: self.training[name].values.ravel() for name in (CHL, WIND)}
        self.quantities = {
            CHL: POSITIVE[kind].fit(values[CHL], (0.0, np.inf)),
            WIND: Circle.fit_to(values[WIND], 0.0, 360.0),
        }
        self.climatology, self.normalisation = fit_statistics(self.training, self.quantities)
        self.codec = FieldCodec.of(self.fields, self.climatology, self.normalisation)
        self.space = space_of(self.fields, self.climatology, self.normalisation)


@pytest.fixture(scope="module")
def log_world() -> MappedWorld:
    return MappedWorld()


@pytest.mark.parametrize("kind", POSITIVE)
def test_decoding_inverts_encoding(kind: str) -> None:
    world = MappedWorld(kind)
    codec, test = world.codec, select(world.fields, world.splits, "test")
    assert codec.names == (CHL, WIND, "t") and codec.variables == (CHL, f"{WIND}_cos", f"{WIND}_sin", "t")
    assert world.space.variables == codec.variables
    x = codec.encode(test)
    decoded = codec.decode(x[:, None], test["time"]).isel(member=0)
    assert list(decoded.data_vars) == list(codec.names) and decoded[CHL].attrs["units"] == "mg m-3"
    np.testing.assert_allclose(decoded[CHL], test[CHL], rtol=2e-4)
    arc = world.quantities[WIND].difference(decoded[WIND].values, test[WIND].values)
    assert np.abs(arc).max() < 0.01
    states = AnyDayCodec.of(world.fields, world.normalisation)
    np.testing.assert_allclose(states.decode(states.encode(test))[CHL], test[CHL], rtol=2e-4)


@pytest.mark.parametrize("kind", POSITIVE)
def test_draws_of_any_size_are_in_the_valid_range(kind: str) -> None:
    world = MappedWorld(kind)
    x = 30 * torch.randn(5, 3, *world.space.state_shape, generator=torch.Generator().manual_seed(0))
    drawn = world.codec.decode(x, world.fields["time"][:5])
    assert (drawn[CHL] >= 0).all() and ((drawn[WIND] >= 0) & (drawn[WIND] < 360)).all()


def test_standardised_mapped_values_are_anomalies_of_their_own_climatology(log_world: MappedWorld) -> None:
    world = log_world
    log = np.log(world.training[[CHL]]).assign_attrs(world.training.attrs)
    climatology = climatologies.fit(log)
    expected = climatologies.anomaly(log, climatology)[CHL]
    expected = expected / normalisations.fit(log, climatology)["anomaly_std"].item()
    np.testing.assert_allclose(world.codec.encode(world.training)[:, 0], expected, atol=2e-5)


def test_statistics_of_own_values_are_those_without_mappings(log_world: MappedWorld) -> None:
    """Scores are then in the same deviations with and without a mapping."""
    world = log_world
    plain = climatologies.fit(world.training)
    statistics = normalisations.fit(world.training, plain)
    for name in (CHL, "t"):
        assert world.climatology[name].equals(plain[name])
        for each in normalisations.STATISTICS:
            own, without = (data[each].sel(variable=name) for data in (world.normalisation, statistics))
            assert float(own) == float(without)
    without, normalisation = fit_statistics(world.training, {})
    assert (
        without.identical(plain) and normalisation.identical(statistics) and not quantities_in(normalisation)
    )
    assert f"{CHL}{MAPPED}" in world.climatology and quantities_in(world.normalisation) == world.quantities


def test_the_climatology_of_an_angle_is_its_mean_direction(log_world: MappedWorld) -> None:
    world, radians = log_world, np.radians(log_world.training[WIND])
    mean = np.degrees(np.arctan2(np.sin(radians).mean(), np.cos(radians).mean()))
    normal = world.climatology[WIND].values
    arc = world.quantities[WIND].difference(normal, np.asarray(mean))
    assert np.abs(arc).max() < 60  # a linear mean of directions about north would be near 180
    assert world.normalisation["anomaly_std"].sel(variable=WIND) < 40


def test_a_checkpoint_holds_mappings_only_where_there_are_any(log_world: MappedWorld, world: Any) -> None:
    model = Climatology(log_world.space)
    data = pack(model, log_world.codec, {"model": {"type": "climatology.Climatology"}})
    restored = unpack(data)
    assert restored.field_codec.quantities == log_world.quantities
    assert restored.field_codec.names == log_world.codec.names
    assert codec_digest(restored.codec) == codec_digest(log_world.codec)
    assert "quantities" not in world.codec.header()


def test_data_in_other_units_are_encoded_as_the_same_values(log_world: MappedWorld) -> None:
    codec, test = log_world.codec, select(log_world.fields, log_world.splits, "test")
    other = test.assign({CHL: (test[CHL] * 1e-6).astype(np.float32), "t": test["t"] - np.float32(273.15)})
    units = {CHL: "kg m-3", WIND: "degree", "t": "degC"}
    converted = codec.in_units(units)
    np.testing.assert_allclose(converted.encode(other), codec.encode(test), atol=2e-3)
    decoded = converted.decode(codec.encode(test)[:, None], test["time"]).isel(member=0)
    np.testing.assert_allclose(decoded[CHL], other[CHL], rtol=1e-3)
    assert decoded[CHL].attrs["units"] == "kg m-3"


def test_observations_with_errors_stay_in_the_valid_range(log_world: MappedWorld) -> None:
    world, options = log_world, Sparsification(cases={"random": [0.5]}, noise=1.0, times=8)
    stored = sparsify(world.fields, world.splits, world.codec, world.space, options, Limits())
    assert (stored[CHL].fillna(1) > 0).all() and (
        (stored[WIND].fillna(0) >= 0) & (stored[WIND].fillna(0) < 360)
    ).all()
    error = np.log(stored[CHL].isel(case=0) / world.fields[CHL].sel(time=stored["time"]))
    deviation = float(world.codec.deviation[0])
    assert float(error.std()) == pytest.approx(deviation, rel=0.15)
    require_observations(stored, world.fields, world.normalisation, world.splits, options, Limits())
    unmapped = world.normalisation.assign_attrs(quantities="{}")
    with pytest.raises(InputError, match="the stored observations were made with"):
        require_observations(stored, world.fields, unmapped, world.splits, options, Limits())


def test_moments_of_directions_are_about_their_mean(log_world: MappedWorld) -> None:
    members = xr.DataArray(
        np.array([350.0, 10.0, 0.0, 20.0, 340.0], np.float32).reshape(1, 5, 1, 1),
        dims=("time", "member", "latitude", "longitude"),
        coords={"member": range(5)},
    )  # fmt: skip
    drawn = xr.Dataset({CHL: members, WIND: members, "t": members})
    moments = with_moments(drawn, log_world.codec).squeeze()
    assert float(moments[f"{WIND}_mean"]) == pytest.approx(0, abs=1e-3)
    assert float(moments[f"{WIND}_spread"]) == pytest.approx(np.std([-10, 10, 0, 20, -20], ddof=1), rel=1e-4)
    assert float(moments[f"{CHL}_median"]) == 20 and f"{CHL}_p95" in moments and "t_median" not in moments
    assert float(moments[f"{WIND}_p05"]) > 180 > float(moments[f"{WIND}_p95"])


def test_scores_are_of_the_shorter_arc_and_of_mapped_values_too(log_world: MappedWorld) -> None:
    """A forecast of 359 degrees for 1 degree is wrong by 2 degrees."""
    world, rng = log_world, np.random.default_rng(0)
    observations = sparsify(
        world.fields,
        world.splits,
        world.codec,
        world.space,
        Sparsification(cases={"random": [0.3]}, times=6),
        Limits(),
    )
    truth = world.fields.sel(time=observations["time"])
    x = world.codec.encode(truth)[None, :, None].expand(-1, -1, 4, -1, -1, -1)
    drawn = world.codec.decode(x, observations["time"], "reconstructions", (CASE,))
    offset = rng.normal(0, 3, drawn[WIND].shape).astype(np.float32)
    drawn = drawn.assign(
        {WIND: (drawn[WIND] + offset) % 360, CHL: drawn[CHL] * np.exp(np.float32(0.1))}
    ).assign_coords(mask=observations["mask"], pattern=observations["pattern"], k=observations["k"])
    table, _ = reconstruction_statistics(
        drawn, observations, world.fields, climatology=world.climatology, normalisation=world.normalisation,
        area=cell_areas(world.fields),
    )  # fmt: skip
    squared = table[(table["statistic"] == "squared_error") & (table["cells"] == "all")]
    rmse = np.sqrt(squared.groupby("variable")["value"].mean())
    assert rmse[WIND] == pytest.approx(3 / 2, rel=0.2)  # of the mean of four members
    assert rmse[f"{CHL}, mapped by log"] == pytest.approx(0.1, rel=1e-3)
    assert {f"{WIND}_cos, mapped by circle", f"{WIND}_sin, mapped by circle"} < set(rmse.index)


def test_readings_of_stations_are_mapped_with_their_errors(log_world: MappedWorld) -> None:
    import pandas as pd

    table = pd.DataFrame({"variable": [CHL, "t"], "value": [2.0, 290.0], "error": [0.02, 0.5]})
    value, error = mapped_readings(table, log_world.codec)
    np.testing.assert_allclose(value, [np.log(2.0), 290.0])
    np.testing.assert_allclose(error, [0.01, 0.5], rtol=1e-3)  # d log x = dx / x


def test_a_log_normal_field_takes_the_log_under_the_masks_of_a_task(log_world: MappedWorld) -> None:
    masks = TrainingMasks(("random",), (0.1, 0.3))
    chosen, scores = choose_quantities(log_world.training, "auto", 0, "cpu", masks)
    assert {name: each.kind for name, each in chosen.items()} == {CHL: "log", WIND: "circle"}
    assert set(scores["variable"]) == {CHL}


@pytest.fixture(scope="module")
def fitted(log_world: MappedWorld) -> dict[str, TrainedModel]:
    data = log_world.fields.drop_attrs(deep=False)
    quantities = {CHL: "log"}
    return {
        name: fieldcast.fit(data, name, quantities=quantities)
        for name in ("reconstruct.optimal_interpolation", "forecast.linear_inverse_model")
    }


def test_models_of_mapped_fields_fill_and_forecast_in_own_units(
    log_world: MappedWorld, fitted: dict[str, TrainedModel]
) -> None:
    test = select(log_world.fields, log_world.splits, "test").drop_attrs(deep=False)
    rng = np.random.default_rng(1)
    hidden = xr.DataArray(rng.random(test[CHL].shape) < 0.6, coords=test[CHL].coords)
    gappy = test.where(~hidden).isel(time=slice(40))
    filled = fitted["reconstruct.optimal_interpolation"].fill(gappy, members=20)
    here = hidden.isel(time=slice(40)).values
    truth = test.isel(time=slice(40))
    error = np.log(filled[f"{CHL}_median"] / truth[CHL]).values[here]
    assert error.std() < 0.6 * np.log(truth[CHL]).std() and (filled[CHL] > 0).all()
    arc = log_world.quantities[WIND].difference(filled[f"{WIND}_mean"].values, truth[WIND].values)[here]
    normal = climatologies.at(log_world.climatology[[WIND]], truth["time"])[WIND].values
    assert np.sqrt((arc**2).mean()) < np.sqrt(
        (log_world.quantities[WIND].difference(normal, truth[WIND].values)[here] ** 2).mean()
    )
    assert float(filled[WIND].min()) >= 0 and float(filled[WIND].max()) < 360
    forecast = fitted["forecast.linear_inverse_model"].forecast(test, 3, members=5)
    assert (
        (forecast[CHL] > 0).all() and f"{WIND}_p05" in forecast and forecast[WIND].attrs["units"] == "degree"
    )


def test_readings_that_no_value_can_be_do_not_fill(
    log_world: MappedWorld, fitted: dict[str, TrainedModel], caplog: pytest.LogCaptureFixture
) -> None:
    model = fitted["reconstruct.optimal_interpolation"]
    few = select(log_world.fields, log_world.splits, "test")[[CHL]].isel(time=slice(3), longitude=slice(4))
    table = few.to_dataframe().reset_index().rename(columns={CHL: "value"}).assign(variable=CHL)
    table = table[["time", "latitude", "longitude", "variable", "value"]].head(60)
    wrong = table.copy()
    wrong.loc[7, "value"] = -0.2
    filled = model.fill(stations=wrong, members=2)
    assert f"1 of {len(table)} readings of {CHL} are below 0, which no value can be" in caplog.text
    xr.testing.assert_equal(filled, model.fill(stations=table.drop(index=7), members=2))


def test_an_export_of_a_mapped_model_is_refused_in_one_sentence(
    fitted: dict[str, TrainedModel], tmp_path: Any
) -> None:
    fitted["forecast.linear_inverse_model"].save(tmp_path / "model.safetensors")
    with pytest.raises(InputError, match=r"'chlor_a' is mapped \(log\), which an export does not hold"):
        export(tmp_path / "model.safetensors", tmp_path / "model.onnx")


def test_mappings_change_what_a_model_is_trained_on(log_world: MappedWorld) -> None:
    other = replace(log_world.codec, quantities={**log_world.quantities, CHL: Root(lowest=0.0)})
    assert codec_digest(other) != codec_digest(log_world.codec)
