"""Records of the sea as DINEOF takes them: a land mask of 0 and 1, few times, and dates that are kept as they are."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

import fieldcast
from fieldcast.fields.contracts import Fields
from fieldcast.fields.domain import SEA, with_columns
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
SEA_CELLS = np.array(
    [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]]
)


def masked(make_weather: Make, times: int = 40, name: str = "mask", swap: bool = False) -> xr.Dataset:
    """`sst` with clouds, two values on land, one cell of the sea that is never observed, and a mask."""
    data = make_weather(times=times, latitude=np.arange(40.0, 45), longitude=np.arange(0.0, 6))
    values = np.where(SEA_CELLS == 1, data["t2m"], np.nan)
    values[np.random.default_rng(0).random(values.shape) < 0.3] = np.nan
    values[3, 0, 4] = values[4, 0, 5] = 290.0
    values[:, 2, 2] = np.nan
    sst = data["t2m"].copy(data=values.astype("f4"))
    mask = (1 - SEA_CELLS if swap else SEA_CELLS).astype("f4")
    return xr.Dataset({"sst": sst, name: (("latitude", "longitude"), mask)})


@pytest.mark.parametrize("name", ["mask", "land_mask"])
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("dtype", ["f4", "i1"])
def test_a_mask_without_time_is_that_of_the_land(
    make_weather: Make, write: Write, name: str, swap: bool, dtype: str, caplog: pytest.LogCaptureFixture
) -> None:
    data = masked(make_weather, name=name, swap=swap)
    data = data.assign({name: data[name].astype(dtype)}).isel(latitude=slice(None, None, -1))
    fields, quality = ingest_source(Source(path=write(data), missing="train"))
    assert list(fields) == ["sst"]
    expected = data["sst"].sortby("latitude").where(SEA_CELLS == 1)
    np.testing.assert_array_equal(fields["sst"], expected)
    np.testing.assert_array_equal(fields[SEA], SEA_CELLS == 1)
    np.testing.assert_array_equal(with_columns(fields)[0], SEA_CELLS == 1)
    sentence = "2 values observed there were dropped; 1 cell of the sea was never observed."
    assert sentence in caplog.text and quality.query("check == 'land'")["count"].tolist() == [2]
    assert f"({5} of 30 cells are {int(swap)})" in caplog.text
    of_values = quality.query("check == 'missing values'")["sentence"].item()
    assert "5 of 30 cells never have a value and are left out." in of_values  # the one of the sea is filled
    Fields().validate(fields)


def test_a_mask_that_the_data_contradict_is_left_out(
    make_weather: Make, caplog: pytest.LogCaptureFixture
) -> None:
    data = masked(make_weather)
    everywhere = data.assign(sst=data["sst"].fillna(290.0))
    other = data.assign(mask=data["mask"] * 0.5)
    for record, reason in ((everywhere, "the data contradict it"), (other, "it does not hold 0 and 1")):
        caplog.clear()
        fields, _ = ingest(record, "it", missing="train")
        assert list(fields) == ["sst"] and SEA not in fields.coords
        np.testing.assert_array_equal(fields["sst"], record["sst"])
        assert f"Variable 'mask' was left out: it is no mask of the land, for {reason}" in caplog.text


def test_times_are_kept(make_weather: Make) -> None:
    data = make_weather(times=40).isel(time=[*range(8), *range(9, 40)])
    fields, quality = ingest(data, gaps="keep")
    xr.testing.assert_equal(fields[["t2m", "msl"]].drop_vars("segment"), data)
    assert (fields["segment"] == 0).all() and fields.attrs["step_hours"] == 0
    assert "Times are kept as they are" in " ".join(quality["sentence"])
    Fields().validate(fields)
    regular = make_weather(times=40)
    assert ingest(regular, gaps="keep")[0].attrs == ingest(regular)[0].attrs


def test_few_times_with_a_land_mask_are_filled(make_weather: Make, caplog: pytest.LogCaptureFixture) -> None:
    data = masked(make_weather, times=13).isel(time=[*range(8), *range(9, 13)])
    filled = fieldcast.fill_gaps(data, gaps="keep")
    assert "There are only 12 times" in caplog.text
    np.testing.assert_array_equal(filled["time"], data["time"])
    assert (filled["sst_flag"].values[:, SEA_CELLS == 0] == 3).all()
    assert np.isnan(filled["sst"].values[:, SEA_CELLS == 0]).all()
    assert np.isfinite(filled["sst"].values[:, SEA_CELLS == 1]).all()
    assert (filled["sst_flag"].values[:, 2, 2] == 2).all()  # never observed, in the sea
    observed = np.isfinite(data["sst"].values) & (SEA_CELLS == 1)
    np.testing.assert_array_equal(filled["sst_flag"] == 0, observed)
    np.testing.assert_array_equal(filled["sst"].values[observed], data["sst"].values[observed])
