"""Parts of a file: the cells of a region, and the values that satisfy a condition."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.fields.conditions import Condition, conditions
from fieldcast.fields.ingest import ingest_source
from fieldcast.fields.opening import read_file
from fieldcast.fields.options import Source
from fieldcast.fields.selection import in_region, satisfying
from fieldcast.fields.sources import open_layout, open_source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
DIMS = ("time", "latitude", "longitude")


@pytest.fixture
def flagged(make_weather: Make) -> xr.Dataset:
    """Weather with a quality level and bits of flags, each drawn for every value, and a static land mask."""
    data, rng = make_weather(times=40)[["t2m"]], np.random.default_rng(3)
    shape = data["t2m"].shape
    quality = {"flag_values": np.arange(4, dtype="i1"), "flag_meanings": "none bad good best"}
    bits = {"flag_masks": np.array([1, 2, 4, -128], "i1"), "flag_meanings": "LAND CLDICE GLINT HIGH"}
    return data.assign(
        quality=(DIMS, rng.integers(0, 4, shape).astype("i1"), quality),
        flags=(DIMS, rng.integers(-128, 128, shape).astype("i1"), bits),
        sea=(DIMS[1:], rng.integers(0, 2, shape[1:]).astype("i1")),
    )


def test_conditions_are_parsed() -> None:
    assert conditions("quality_level >= 4", "where") == (Condition("quality_level", ">=", ("4",)),)
    assert conditions("q=best AND l2_flags without CLDICE, LAND and sst>-1.5", "where") == (
        Condition("q", "==", ("best",)),
        Condition("l2_flags", "without", ("CLDICE", "LAND")),
        Condition("sst", ">", ("-1.5",)),
    )
    assert conditions("l2_flags with A B", "where")[0].values == ("A", "B")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "quality",
        "q >=",
        ">= 4",
        "q >= 4 or p >= 3",
        "__import__('os')",
        "q in 3",
        "3 < q < 5",
        "not q == 1",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r'where \'.*: write "quality_level >= 4" or'):
        conditions(text, "where")
    with pytest.raises(ValidationError, match='write "quality_level >= 4"'):
        Source(path="a.nc", where=text)


KEPT: dict[str, Callable[[xr.Dataset], xr.DataArray]] = {
    "quality >= 2": lambda d: d["quality"] >= 2,
    "quality == best": lambda d: d["quality"] == 3,
    "quality != best and quality > 0": lambda d: (d["quality"] == 1) | (d["quality"] == 2),
    "quality with good, best": lambda d: d["quality"] >= 2,
    "flags without CLDICE, land": lambda d: (d["flags"] & 3) == 0,
    "flags with GLINT": lambda d: (d["flags"] & 4) != 0,
    "flags without HIGH": lambda d: d["flags"] >= 0,
    "sea = 1 and t2m < 290": lambda d: (d["sea"] == 1) & (d["t2m"] < 290),
}


@pytest.mark.parametrize("where", KEPT)
def test_values_that_satisfy_a_condition(flagged: xr.Dataset, write: Write, where: str) -> None:
    expected = flagged["t2m"].where(KEPT[where](flagged)).transpose(*DIMS)
    assert 0 < expected.count() < expected.size
    in_memory = satisfying(flagged, where)
    xr.testing.assert_equal(in_memory["t2m"], expected)
    xr.testing.assert_identical(in_memory[["quality", "flags", "sea"]], flagged[["quality", "flags", "sea"]])
    # a fill value makes flags floating-point numbers where they are read
    encoding = {name: {"_FillValue": np.int8(-127)} for name in ("quality", "flags", "sea")}
    packed = {"t2m": {"dtype": "i2", "scale_factor": 0.01, "add_offset": 288.0, "_FillValue": -32768}}
    path = write(flagged, encoding=encoding | packed)
    stored = xr.open_dataset(path)
    kept = KEPT[where](flagged.assign(t2m=stored["t2m"])) & (
        ("flags" not in where) | (flagged["flags"] != -127)
    )
    expected = stored["t2m"].where(kept).transpose(*DIMS)
    source = Source(path=path, where=where, missing="train")
    for values in (
        open_source(source)["t2m"],
        open_layout(source)["t2m"],
        read_file(path, "fill.observations", where=where)["t2m"],
    ):
        np.testing.assert_allclose(values, expected, rtol=1e-6)
    fields, quality = ingest_source(source)
    assert list(fields) == ["t2m"] and fields.attrs["missing"] == "train"
    assert set(quality.query("check == 'categories'")["variable"]) == {"quality", "flags", "sea"}


def test_a_condition_that_cannot_be_tested(flagged: xr.Dataset) -> None:
    for where, message in {
        "cloud < 1": r"there is no variable 'cloud' in the data, only flags; quality; sea; t2m: compare one",
        "quality == perfect": "has no meaning 'perfect', only none, bad, good, best: compare",
        "quality >= good": "'good' is a meaning of 'quality', not a number: compare it by == or !=",
        "sea with land": "'sea' of the data has no meaning 'land', for it has no flag_meanings",
    }.items():
        with pytest.raises(InputError, match=message):
            satisfying(flagged, where)


def test_a_region(make_weather: Make, write: Write) -> None:
    data = make_weather(times=40, latitude=np.arange(-80.0, 81, 10), longitude=np.arange(0.0, 360, 10))
    for region, y, x in (
        ((-20.0, 30.0, 40.0, 60.0), slice(-20, 30), [40, 50, 60]),
        ((-20.0, 30.0, -20.0, 10.0), slice(-20, 30), [0, 10, 340, 350]),
        ((-20.0, 30.0, 340.0, 10.0), slice(-20, 30), [0, 10, 340, 350]),
        ((-20.0, 30.0, -180.0, 180.0), slice(-20, 30), data["longitude"].values),
    ):
        expected = data.sel(latitude=y, longitude=x)
        for ordered in (data, data.isel(latitude=slice(None, None, -1))):
            part = in_region(ordered, region).sortby("latitude")
            xr.testing.assert_identical(part, expected)
    path = write(data)
    source = Source(path=path, region="-20,30,40,60")
    expected = data.sel(latitude=slice(-20, 30), longitude=slice(40, 60))
    xr.testing.assert_equal(open_source(source).compute(), expected)
    xr.testing.assert_equal(open_layout(source).load(), expected)
    xr.testing.assert_equal(read_file(path, "fill.observations", (-20.0, 30.0, 40.0, 60.0)), expected)
    with pytest.raises(
        InputError, match=r"ingestion.region 85, 89, 0, 10 contains no cell of .* run from -80 to 80"
    ):
        open_source(Source(path=path, region="85 89 0 10"))
    for region in ("10,20,30", "north", (20, 10, 0, 5), (0, 100, 0, 5), (0, 10, 5, 5)):
        with pytest.raises(ValidationError, match=r"give south, north, west and\s"):
            Source(path=path, region=region)
