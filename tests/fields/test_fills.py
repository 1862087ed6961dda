"""Fill values that no file declares are refused where they are no weather, and taken where they are."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldcast.errors import InputError
from fieldcast.fields.encoding import ENCODING, Choice, Encoding, Search, join_encodings
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
PACKING = {"scale_factor": 0.1, "add_offset": 1e5}
REMEDY = "declare it as the variable's _FillValue"


@pytest.mark.parametrize("value", [1e20, 1e15, -9999.0, -999.0, 32767.0, -32768.0])
def test_far_from_all_other_values_at_one_cell_and_time(
    make_weather: Make, write: Write, value: float
) -> None:
    data = make_weather()
    data["t2m"][7, 1, 2] = value
    with pytest.raises(InputError) as caught:
        ingest_source(Source(path=write(data)))
    text = str(caught.value)
    assert (
        f"weather.nc' holds {value:g} 1 time, first at 2001-01-08T00:00:00, latitude -30, longitude 120"
        in text
    )
    assert "far outside all other values (2" in text and REMEDY in text and "\n" not in text


@pytest.mark.parametrize("value", [-999.0, 32767.0])
@pytest.mark.parametrize("chunks", [None, 13])
def test_at_all_times_of_a_cell(make_weather: Make, value: float, chunks: int | None) -> None:
    """A value inside the range of the others is a fill value if it is exactly the same at all times."""
    data = make_weather()
    data["z"] = ((data["msl"] - 1e5) * 20 + value).assign_attrs(units="m")
    assert float(data["z"].min()) < value < float(data["z"].max())
    data["z"][:, 1, 2:4] = value
    with pytest.raises(InputError) as caught:
        ingest(data if chunks is None else data.chunk(time=chunks))
    text = str(caught.value)
    assert (
        f"'z' of the data holds {value:g} at all times in 2 cells, the first at latitude -30, longitude 12"
        in text
    )
    assert REMEDY in text and "\n" not in text


@pytest.mark.parametrize("value", [-999.0, 32767.0, -9999.0])
def test_suspicious_constants_inside_the_range_are_data(make_weather: Make, value: float) -> None:
    data = make_weather()
    data["z"] = ((data["msl"] - 1e5) * 100).assign_attrs(units="m")
    data["z"][5:50, 1, 2] = value
    fields, quality = ingest(data)
    assert np.all(fields["z"].values[5:50, 1, 2] == np.float32(value))
    assert set(quality["action"]) == {"fine"}


def packed(data: xr.Dataset, **attrs: float) -> xr.Dataset:
    """`msl` alone, in whole numbers of 16 bits, as they stand in a file."""
    attrs = {**PACKING, **attrs}
    numbers = np.round((data["msl"] - attrs["add_offset"]) / attrs["scale_factor"]).astype(np.int16)
    return numbers.assign_attrs(units="Pa", **attrs).to_dataset(name="msl")


@pytest.mark.parametrize("number", [-32768, -32767, 32767])
def test_packed_at_all_land_cells(make_weather: Make, write: Write, number: int) -> None:
    data = packed(make_weather())
    data["msl"][:, 1, 2:4] = number
    with pytest.raises(InputError) as caught:
        ingest_source(Source(path=write(data)))
    value = float(np.float32(number * 0.1 + 1e5))
    assert f"holds {value:g} ({number} as packed) " in str(caught.value) and REMEDY in str(caught.value)


def test_packed_land_next_to_the_range_of_the_others(make_weather: Make, write: Write) -> None:
    """A packing that uses the whole type: the fill value is one step below all others."""
    data = make_weather()
    data["msl"] = (data["msl"] - data["msl"].min()) + (1e5 - 3276.7)
    data = packed(data)
    data["msl"][:, 1, 2:4] = -32768
    with pytest.raises(
        InputError, match=r"\(-32768 as packed\) at all times in 2 cells, the first at latitude -30"
    ):
        ingest_source(Source(path=write(data)))


def test_packed_at_one_cell_and_time(make_weather: Make, write: Write) -> None:
    data = make_weather()
    data["msl"] = data["msl"] * 0.1 + 0.9e5  # varies by a few hundred Pa
    data = packed(data)
    data["msl"][7, 1, 2] = -32768
    with pytest.raises(
        InputError, match=r"96723.* \(-32768 as packed\) 1 time, first at 2001-01-08T00:00:00, lat"
    ):
        ingest_source(Source(path=write(data)))


def extreme_rain(make_weather: Make, maximum: float) -> xr.Dataset:
    """Rain of up to 28, but for one true maximum; packed by lowest and highest value."""
    rain = make_weather()
    rain["msl"] = (rain["msl"] - 99500).clip(0)
    rain["msl"] *= 28 / float(rain["msl"].max())
    rain["msl"][7, 1, 2] = maximum
    return rain


@pytest.mark.parametrize("lowest", [-32768, -32767])
def test_a_single_true_maximum_is_data(make_weather: Make, write: Write, lowest: int) -> None:
    """Packing by the minimum and maximum gives the extreme the largest number, and no rain the smallest."""
    scale = 85 / (32767 - lowest)
    rain = extreme_rain(make_weather, 85)
    fields, _ = ingest_source(
        Source(path=write(packed(rain, scale_factor=scale, add_offset=-lowest * scale)))
    )
    assert float(fields["msl"][7, 1, 2]) == pytest.approx(85)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_a_single_true_maximum_of_a_type_without_sign_is_data(
    make_weather: Make, write: Write, kind: str
) -> None:
    rain = extreme_rain(make_weather, 85)
    scale = 85 / np.iinfo(kind).max
    numbers = np.round(rain["msl"] / scale).astype(kind).assign_attrs(units="kg", scale_factor=scale)
    path = write(numbers.to_dataset(name="msl"))
    assert float(ingest_source(Source(path=path))[0]["msl"][7, 1, 2]) == pytest.approx(85)


def test_a_single_true_minimum_is_data(make_weather: Make, write: Write) -> None:
    sinking = -extreme_rain(make_weather, 85)
    sinking["msl"].attrs = {"units": "Pa"}
    scale = 85 / 65534
    path = write(packed(sinking, scale_factor=scale, add_offset=-32767 * scale))
    assert float(ingest_source(Source(path=path))[0]["msl"][7, 1, 2]) == pytest.approx(-85)


def test_two_highest_packed_values_far_away_are_refused_with_advice(make_weather: Make, write: Write) -> None:
    rain = extreme_rain(make_weather, 85)
    rain["msl"][8, 1, 2] = 85
    scale = 85 / 65535
    path = write(packed(rain, scale_factor=scale, add_offset=32768 * scale))
    with pytest.raises(
        InputError,
        match=r"\(32767 as packed\) 2 times, .*; if it is a true extreme, declare another number as the _Fill",
    ):
        ingest_source(Source(path=path))


def test_static_variables_of_one_packed_number(make_weather: Make, write: Write) -> None:
    """The lowest is data where nothing else is known; a usual fill value is none."""
    data = make_weather()
    data["ground"] = (data["t2m"][0].drop_vars("time") * 0 - 32768).astype(np.int16)
    data["ground"].attrs = {"units": "m", "scale_factor": 0.1, "add_offset": 3276.8}
    data["depth"] = (data["t2m"][0].drop_vars("time") * 0 - 9999).assign_attrs(units="m")
    fields, _ = ingest_source(Source(path=write(data)))
    assert np.all(fields["ground"] == 0) and "depth" not in fields


def test_packed_lowest_values_are_data_where_they_come_and_go(make_weather: Make, write: Write) -> None:
    """Zero rain or ice in a packing that uses the whole type is data, not a fill value."""
    rain = make_weather()
    rain["msl"] = (rain["msl"] - 99500).clip(0) + (1e5 - 3276.8)
    rain["msl"][:, 2, 3] = 1e5 - 3276.8  # never any
    fields, _ = ingest_source(Source(path=write(packed(rain))))
    assert np.all(fields["msl"][:, 2, 3] == np.float32(96723.2))


def test_packed_lowest_values_are_data_where_another_is_declared(make_weather: Make, write: Write) -> None:
    data = packed(make_weather(), _FillValue=np.int16(-32767))
    data["msl"][:, 1, 2:4] = -32768
    fields, _ = ingest_source(Source(path=write(data)))
    assert np.all(fields["msl"][:, 1, 2] == np.float32(96723.2))


def test_packings_that_differ_from_file_to_file(make_weather: Make, write: Write) -> None:
    """The fill value of the second file alone is none of the first's."""
    data = make_weather()
    data["msl"] = data["msl"] * 0.1 + 0.9e5
    write(packed(data.isel(time=slice(0, 30))), "0.nc")
    second = packed(data.isel(time=slice(30, 60)), scale_factor=0.5)
    second["msl"][3, 1, 2] = 32767
    path = write(second, "1.nc").replace("1.nc", "*.nc")
    with pytest.raises(InputError, match=r"116384 \(32767 as packed\) 1 time, first at 2001-02-03"):
        ingest_source(Source(path=path))


def test_the_encodings_of_all_files_are_joined() -> None:
    choice = Choice("2001-01-01", 1, "The lowest was taken.")
    first = {"units": "K", ENCODING: Encoding(fills={1.0: 10, 2.0: 20})}
    second = {"units": "K", ENCODING: Encoding((0.0, 5.0), {2.0: 21, 3.0: 31}, True, choice)}
    third = {"units": "K", ENCODING: Encoding((1.0, 9.0))}
    joined = Encoding((0.0, 5.0), {1.0: 10, 2.0: 21, 3.0: 31}, True, choice)
    assert join_encodings([first, second, third]) == {"units": "K", ENCODING: joined}
    assert join_encodings([{"units": "m"}, {"units": "s"}]) == {"units": "m"}  # a coordinate


def test_static_variables_with_fill_values_are_left_out(make_weather: Make) -> None:
    data = make_weather()
    data["orography"] = (data["t2m"][0].drop_vars("time") - 200).assign_attrs(units="m")
    data["depth"] = data["orography"].where(data["longitude"] > 0, -9999.0).assign_attrs(units="m")
    fields, quality = ingest(data)
    assert "orography" in fields and "depth" not in fields
    assert quality.set_index("check").loc["static", "variable"] == "depth"


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["rain", "ice", "cloud in per cent", "hectopascals", "whole metres", "counts"]),
)
def test_natural_fields_raise_no_alarm(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((40, 6, 8)) + 2 * rng.standard_normal((6, 8))
    values = {
        "rain": np.clip(np.exp(2 * noise) - 3, 0, None),
        "ice": np.clip(noise, 0, 1),
        "cloud in per cent": np.round(np.clip(60 + 40 * noise, 0, 100)),
        "hectopascals": np.round(1000 + 10 * noise),
        "whole metres": np.round(1000 * noise),
        "counts": np.round(np.exp(8 + noise)),
    }[kind]
    data = xr.Dataset(
        {"x": (("time", "latitude", "longitude"), values.astype(np.float32), {"units": "1"})},
        {
            "time": xr.date_range("2001-01-01", periods=40),
            "latitude": np.linspace(30, 60, 6),
            "longitude": np.arange(8) * 5.0,
        },
    )
    search = Search(data["x"])
    search.add(data["x"].values)
    assert not [v for v in search.occurrences if search.is_far(v) or search.is_mask(v)]
