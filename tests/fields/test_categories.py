"""Flags and other categories are left out, and codes among the numbers of a quantity are missing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import to_contract
from fieldcast.fields.encoding import is_packed
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
DIMS = ("time", "latitude", "longitude")
FLAGS = {"flag_values": np.arange(3, dtype="i1"), "flag_meanings": "bad good best"}


def with_variable(data: xr.Dataset, dtype: str, **attrs: Any) -> xr.Dataset:
    values = np.random.default_rng(0).integers(0, 3, data["t2m"].shape).astype(dtype)
    return data[["t2m"]].assign(other=(DIMS, values, attrs))


CATEGORIES: dict[str, tuple[str, dict[str, Any]]] = {
    "flags": ("i1", FLAGS),
    "flags with units": ("i1", {**FLAGS, "units": "1"}),
    "flags as text": ("i2", {"flag_values": "0b, 1b, 2b", "flag_meanings": "bad, good, best"}),
    "flags as numbers": ("f4", {**FLAGS, "units": "1"}),
    "masks": ("i4", {"flag_masks": np.array([1, 2]), "flag_meanings": "LAND CLOUD", "units": "1"}),
    "integers without units": ("i2", {"long_name": "number of observations"}),
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_categories_are_left_out(
    make_weather: Make, write: Write, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    dtype, attrs = CATEGORIES[name]
    data = with_variable(make_weather(times=40), dtype, **attrs)
    fields, quality = ingest(data, "it")
    assert list(fields) == ["t2m"] and "fieldcast_left_out" not in fields.attrs
    assert "it: Variable 'other' was left out: it holds" in caplog.text
    assert quality["variable"].tolist()[0] == "other" and quality["action"].tolist()[0] == "allowed"
    encoding = {"other": {"_FillValue": np.array(99, dtype)}}  # which makes numbers of integers
    path = write(data, encoding=encoding)
    fields, quality = ingest_source(Source(path=path))
    assert list(fields) == ["t2m"] and quality["variable"].tolist()[0] == "other"
    named = to_contract(data, "it", requested=["other"])
    np.testing.assert_array_equal(named["other"], data["other"])
    with pytest.raises(
        InputError, match=r"no variable on .* but 1 variable that is left out \('other': it holds"
    ):
        ingest(data.drop_vars("t2m"), "it")
    alone = write(data.drop_vars("t2m"), "alone.nc", encoding=encoding)
    with pytest.raises(
        InputError, match=r"alone.nc' has no variable on .*'other': it holds .* ingestion.variables, or"
    ):
        ingest_source(Source(path=alone))


def test_integers_that_are_quantities_stay(make_weather: Make) -> None:
    data = with_variable(make_weather(times=40), "i2", units="1", standard_name="number_of_days")
    assert list(to_contract(data)) == ["t2m", "other"]
    percent = {"units": "percent", "valid_min": 0, "valid_max": 100, "flag_values": np.array([254], "i2")}
    assert list(to_contract(with_variable(make_weather(times=40), "i2", **percent))) == ["t2m", "other"]


def test_codes_beside_integers_with_a_unit_are_missing(make_weather: Make, write: Write) -> None:
    """Concentrations in percent as bytes, without a scale: flags name some of the numbers, not all of them."""
    raw, coded = ice()
    attrs = {"units": "%", "flag_values": np.array([251, 252, 253, 254], "u1"), "flag_meanings": "a b c d"}
    coords = make_weather(times=40, latitude=np.arange(4.0), longitude=np.arange(5.0)).coords
    path = write(xr.Dataset({"ice": (DIMS, raw, attrs)}, coords))
    fields, _ = ingest_source(Source(path=path, missing="train"))
    np.testing.assert_array_equal(fields["ice"], np.where(coded, np.nan, raw))


def ice(times: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Concentration in percent with codes 251 to 254, and where they are."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 101, (times, 4, 5)).astype("u1")
    raw[:, 0], raw[:, 1, 0], raw[3, 2, 2] = 254, 253, 251
    return raw, raw > 250


@pytest.mark.parametrize("valid", [{}, {"valid_min": np.uint8(0), "valid_max": np.uint8(100)}])
@pytest.mark.parametrize("kind", ["packed", "signed", "numbers", "percent"])
def test_codes_are_missing(make_weather: Make, write: Write, kind: str, valid: dict[str, Any]) -> None:
    raw, coded = ice()
    codes = np.array([251, 252, 253, 254], "u1")
    attrs = {"units": "1", "flag_values": codes, "flag_meanings": "pole lakes coast land", **valid}
    encoding: dict[str, Any] = {"scale_factor": np.float32(0.01), "_FillValue": np.uint8(255)}
    values: np.ndarray = raw
    if kind == "signed":  # the format of NetCDF 3 has no unsigned types
        attrs |= {"flag_values": codes.view("i1"), "_Unsigned": "true"}
        values, encoding["_FillValue"] = raw.view("i1"), np.int8(-1)
    if kind in ("numbers", "percent"):
        encoding = {}
        values = raw.astype("f4") if kind == "numbers" else raw
    coords = make_weather(times=40, latitude=np.arange(4.0), longitude=np.arange(5.0)).coords
    stored = xr.Dataset({"ice": (DIMS, values, {**attrs, **encoding})}, coords)
    path = write(stored)
    scale = 1.0 if kind in ("numbers", "percent") else 0.01
    fields, _ = ingest_source(Source(path=path, variables=["ice"], missing="train"))
    np.testing.assert_allclose(fields["ice"], np.where(coded, np.nan, raw * scale), rtol=1e-6)
    if kind != "percent" or valid:
        assert list(ingest_source(Source(path=path, missing="train"))[0]) == ["ice"]


def test_codes_inside_a_declared_range_are_data(make_weather: Make, write: Write) -> None:
    raw, _ = ice()
    coords = make_weather(times=40, latitude=np.arange(4.0), longitude=np.arange(5.0)).coords
    attrs = {
        "units": "1",
        "scale_factor": np.float32(0.01),
        "valid_min": np.uint8(0),
        "valid_max": np.uint8(253),
    }
    attrs |= {"flag_values": np.array([0, 253, 254], "u1"), "flag_meanings": "open_water coast land"}
    path = write(xr.Dataset({"ice": (DIMS, raw, attrs)}, coords))
    fields, _ = ingest_source(Source(path=path, missing="train"))
    np.testing.assert_allclose(fields["ice"], np.where(raw == 254, np.nan, raw * 0.01), rtol=1e-6)


def test_a_missing_code_is_named_in_the_refusal(make_weather: Make, write: Write) -> None:
    raw, _ = ice()
    coords = make_weather(times=40, latitude=np.arange(4.0), longitude=np.arange(5.0)).coords
    attrs = {"units": "1", "scale_factor": 0.01, "flag_values": np.array([251, 253, 254], "u1")}
    path = write(xr.Dataset({"ice": (DIMS, raw, attrs)}, coords))
    with pytest.raises(
        InputError, match=r"1 value of 'ice' .* missing \(values that its flag_values name count as"
    ):
        ingest_source(Source(path=path))


def test_the_encoding_of_each_variable_is_described_once(
    make_weather: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    packing = {"dtype": "i2", "scale_factor": 0.01, "add_offset": 280.0, "_FillValue": -32767}
    path = write(with_variable(make_weather(times=40), "i1", **FLAGS), encoding={"t2m": packing})
    asked: list[str] = []
    monkeypatch.setattr(
        "fieldcast.fields.encoding.is_packed", lambda array: asked.append(array.name) or is_packed(array)
    )
    fields, _ = ingest_source(Source(path=path))
    assert list(fields) == ["t2m"] and sorted(asked) == ["other", "t2m"]
