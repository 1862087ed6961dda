"""External forecasts equal the file at the scored initial times and leads; the message names what is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from fieldcast.calendars import positions
from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.options import Limits, Rollout
from fieldcast.errors import InputError
from fieldcast.inference.forecasts.external import DIMS, import_forecasts, lead_positions, scored_forecasts
from fieldcast.inference.options import File

NOTHING = xr.Dataset()


@pytest.fixture(scope="module")
def initial_times(world: Any) -> dict[str, Any]:
    return select_initial_times(
        world.fields, world.splits, Rollout(initial_times=5, steps=3, members=4), Limits()
    )


@pytest.fixture(scope="module")
def perfect(world: Any, initial_times: dict[str, Any]) -> xr.Dataset:
    """The truth from every start of the test split to more leads than are scored; m is added to member m."""
    test = world.split("test")
    count, steps = test.sizes["time"], 6
    at = np.minimum(np.arange(count) + np.arange(1, steps + 1)[:, None], count - 1)
    offset = np.arange(6.0)[:, None, None]
    data = {
        v: (DIMS, test[v].values[at][:, :, None] + offset.astype(np.float32), test[v].attrs)
        for v in ("z", "t")
    }
    coords = {
        "lead": 24.0 * np.arange(1, steps + 1), "start": test["time"].values[:count], "member": np.arange(6),
        "latitude": test["latitude"], "longitude": test["longitude"],
    }  # fmt: skip
    return xr.Dataset(data, coords)


def whole(pieces: Any) -> xr.Dataset:
    return xr.concat(list(pieces), "lead", data_vars="minimal", combine_attrs="drop_conflicts")


def test_the_scored_starts_and_leads_are_chosen(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset
) -> None:
    pieces = list(
        import_forecasts(File("File", dataset="perfect_model"), perfect, initial_times, world.fields)
    )
    assert [(piece.attrs["piece"], piece.attrs["pieces"]) for piece in pieces] == [(0, 3), (1, 3), (2, 3)]
    result, fields = whole(pieces), world.fields
    assert result.attrs["starts"] == initial_times["digest"]
    assert list(result) == ["t", "z"] and result["t"].dims == DIMS and result["t"].attrs == fields["t"].attrs
    assert result["lead"].values.tolist() == [24.0, 48.0, 72.0] and result.sizes["member"] == 4
    at = positions(fields["time"], initial_times["scored"])
    assert np.array_equal(result["start"], fields["time"].values[at])
    for lead in (1, 2, 3):
        for member in range(4):
            truth = fields["z"].values[at + lead] + np.float32(member)
            assert np.array_equal(result["z"].values[lead - 1, :, member], truth)


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_a_users_file_in_another_shape(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset, tmp_path: Path, suffix: str
) -> None:
    """Longitudes from -180, latitudes from the north, as WeatherBench names things, with fewer members."""
    reference = perfect.isel(latitude=slice(None, None, -1), member=slice(2))
    reference = reference.assign_coords(longitude=(reference["longitude"] + 180) % 360 - 180).sortby(
        "longitude"
    )
    reference = reference.assign_coords(lead=(reference["lead"].values * 3600e9).astype("m8[ns]"))
    reference = reference.rename(lead="prediction_timedelta", start="time", member="number")
    reference = reference.transpose("time", "number", "prediction_timedelta", "longitude", "latitude")
    reference = reference.assign_attrs(units_of="others").astype(np.float64)
    path = str(tmp_path / f"mine.{suffix}")
    if suffix == "nc":
        reference.to_netcdf(path)
    else:
        reference.to_zarr(path, zarr_format=2)
    result = whole(import_forecasts(File("File", path=path), NOTHING, initial_times, world.fields))
    straight = whole(scored_forecasts(perfect, initial_times, world.fields, "it"))
    xr.testing.assert_equal(result, straight.isel(member=slice(2)))
    assert result["t"].dtype == np.float32 and result.attrs["source"] == f"'{path}'"


def test_other_units_are_converted_lead_by_lead(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset
) -> None:
    celsius = perfect.assign(t=(perfect["t"] - 273.15).assign_attrs(perfect["t"].attrs, units="degC"))
    converted = whole(scored_forecasts(celsius, initial_times, world.fields, "mine.nc"))
    straight = whole(scored_forecasts(perfect, initial_times, world.fields, "mine.nc"))
    assert converted["t"].attrs == straight["t"].attrs
    xr.testing.assert_allclose(converted, straight, atol=1e-3)
    xr.testing.assert_equal(converted["z"], straight["z"])


def test_the_nearest_lead_is_scored_where_months_leave_a_choice(initial_times: dict[str, Any]) -> None:
    monthly = {**initial_times, "step_hours": 730.0, "step_months": 1}
    daily = xr.Dataset(coords={"lead": 24.0 * np.arange(1, 101)})
    assert daily["lead"].values[lead_positions(daily, monthly, "it")].tolist() == [720.0, 1464.0, 2184.0]
    for leads in ([], [np.nan], [720.0, np.nan, 1460.0]):
        given = xr.Dataset(coords={"lead": np.array(leads, dtype=float)})
        with pytest.raises(InputError, match="it has no lead of"):
            lead_positions(given, monthly, "it")


def test_without_a_perfect_model_its_experiment_is_skipped(
    world: Any, initial_times: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (result,) = import_forecasts(File("File", dataset="perfect_model"), NOTHING, initial_times, world.fields)
    assert not result.data_vars and result.attrs["starts"] == initial_times["digest"]
    assert [result.attrs["skipped"]] == [record.message for record in caplog.records]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data.drop_vars("t"), "there is no variable 't' in mine.nc, only z: add it"),
        (lambda data: data.assign(t=data["t"].assign_attrs(units="C")), "'t' of mine.nc is in 'C', .* to 'K'"),
        (lambda data: data.assign(t=data["t"].drop_attrs()), "'t' of mine.nc has no units, the fields are in 'K'"),
        (lambda data: data.isel(lead=[0, 2]), r"no lead of 48 hours \(1 of the 3 scored leads are missing\)"),
        (lambda data: data.isel(start=slice(9, None)), r"no forecast from \S+T00:00:00 \(1 of the 5 scored initial"),
        (lambda data: data.isel(latitude=slice(1, None)), "latitudes of mine.nc are 6 .* those of the fields 7"),
        (lambda data: data.assign_coords(longitude=data["longitude"] + 1), "longitudes of mine.nc are 12 from 1 to"),
        (lambda data: data.convert_calendar("noleap", dim="start"), "calendar of mine.nc is 'noleap'"),
    ],
)  # fmt: skip
def test_an_unsuitable_file_is_reported_in_one_sentence(
    world: Any,
    initial_times: dict[str, Any],
    perfect: xr.Dataset,
    spoil: Callable[[xr.Dataset], xr.Dataset],
    message: str,
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        list(scored_forecasts(spoil(perfect), initial_times, world.fields, "mine.nc"))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(world: Any, initial_times: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.nc' does not exist: check its name \(model\.path of"):
        list(
            import_forecasts(
                File("File", path=str(tmp_path / "nothing.nc")), NOTHING, initial_times, world.fields
            )
        )


@pytest.mark.parametrize("wrong", [{}, {"path": "a.nc", "dataset": "perfect_model"}, {"dataset": "other"}])
def test_a_model_of_type_file_has_one_source(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        File("File", **wrong)


@pytest.mark.parametrize("value", [-9999.0, 1e20])
def test_a_fill_value_that_is_not_declared_is_refused(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset, tmp_path: Path, value: float
) -> None:
    at = positions(perfect["start"], initial_times["scored"])
    perfect = perfect.copy(deep=True)
    perfect["t"][1, at[0], 2, 3, 4] = value
    perfect.to_netcdf(tmp_path / "mine.nc")
    pieces = import_forecasts(
        File("File", path=str(tmp_path / "mine.nc")), NOTHING, initial_times, world.fields
    )
    next(pieces)
    phrases = rf"'t' of '.*mine.nc' holds {value:g} at a lead of 48 hours, .* declare it".replace("+", r"\+")
    with pytest.raises(InputError, match=phrases):
        next(pieces)


def rain(values: np.ndarray, perfect: xr.Dataset, folder: Path) -> str:
    """Forecasts of `t`, 280 K and more, packed as lowest and highest value ask for; the path of the file."""
    scale = (float(values.max()) - 280) / 65535
    numbers = perfect["t"].copy(data=np.round((values - 280) / scale - 32768).astype(np.int16))
    numbers.attrs |= {"scale_factor": scale, "add_offset": 280 + 32768 * scale}
    path = str(folder / "mine.nc")
    perfect.assign(t=numbers).to_netcdf(path)
    return path


def test_a_lead_of_the_lowest_packed_value_is_sound(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset, tmp_path: Path
) -> None:
    """Rain that is zero everywhere at one lead, and always in one cell, is data."""
    values = np.clip(perfect["t"].values, 280, None)
    values[1] = 280
    values[..., 3, 4] = 280
    path = rain(values, perfect, tmp_path)
    result = whole(import_forecasts(File("File", path=path), NOTHING, initial_times, world.fields))["t"]
    at = positions(perfect["start"], initial_times["scored"])
    np.testing.assert_allclose(result, values[:3][:, at][:, :, :4], atol=1e-3)


def test_a_packed_mask_at_all_leads_is_refused(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset, tmp_path: Path
) -> None:
    values = np.maximum(perfect["t"].values, 280.5)
    values[..., 3, 4] = 280
    path = rain(values, perfect, tmp_path)
    with pytest.raises(InputError, match=r"'t' of '.*mine.nc' holds 280 at all .* of 1 cells, .* declare it"):
        whole(import_forecasts(File("File", path=path), NOTHING, initial_times, world.fields))


def test_values_outside_the_valid_range_are_missing(
    world: Any, initial_times: dict[str, Any], perfect: xr.Dataset, tmp_path: Path
) -> None:
    perfect = perfect.copy()
    perfect["t"].attrs = {**perfect["t"].attrs, "valid_max": np.float32(280)}
    perfect.to_netcdf(tmp_path / "mine.nc")
    result = whole(
        import_forecasts(File("File", path=str(tmp_path / "mine.nc")), NOTHING, initial_times, world.fields)
    )["t"]
    assert result.isnull().any() and float(result.max()) <= 280
    perfect["t"].attrs.pop("valid_max")
    sound = whole(
        import_forecasts(File("File", dataset="perfect_model"), perfect, initial_times, world.fields)
    )["t"]
    np.testing.assert_array_equal(result, sound.where(sound <= 280))
