"""Two versions with different values: the final one is used, with a message."""

from collections.abc import Callable

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import to_contract
from fieldcast.fields.encoding import combine_versions, unique_times
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]


@pytest.mark.parametrize("numbers", [[1, 5], [5, 1], ["0001", "0005"], ["0005", "0001"]])
def test_along_a_version_dimension_the_final_version_goes_first(
    make_weather: Make, write: Write, numbers: list, caplog: pytest.LogCaptureFixture
) -> None:
    final = make_weather()
    preliminary = final.where(final["time"] >= final["time"][40]) + 0.5
    parts = [final if int(number) == 1 else preliminary for number in numbers]
    data = xr.concat(parts, dim="expver", combine_attrs="override").assign_coords(expver=numbers)
    fields, quality = ingest_source(Source(path=write(data)))
    np.testing.assert_array_equal(fields["t2m"], final["t2m"])
    assert fields["t2m"].attrs["units"] == "K"
    versions = quality[quality["check"] == "versions"]
    assert set(versions["variable"]) == {"t2m", "msl"} and set(versions["action"]) == {"allowed"}
    assert (
        "differ at 20 times, the first 2001-02-10T00:00:00: the lowest, which is final"
        in versions["sentence"].iloc[0]
    )
    assert set(versions["count"]) == {20} and set(versions["where"]) == {"2001-02-10T00:00:00"}
    assert "differ at 20 times" in caplog.text


def test_versions_that_only_complete_each_other_need_no_word(make_weather: Make) -> None:
    data = make_weather()
    parts = [data.where(data["time"] >= data["time"][40]), data.where(data["time"] < data["time"][40])]
    fields, quality = ingest(xr.concat(parts, dim="expver").assign_coords(expver=[5, 1]))
    np.testing.assert_array_equal(fields["t2m"], data["t2m"])
    assert "versions" not in set(quality["check"])


def repeated(data: xr.Dataset, final: str = "0001", preliminary: str = "0005") -> xr.Dataset:
    """All times in the final version but the last ten, the last thirty in the preliminary one, warmer."""
    n = data.sizes["time"]
    both = xr.concat([data.isel(time=slice(n - 30, n)) + 0.5, data.isel(time=slice(0, n - 10))], dim="time")
    for name in data.data_vars:
        both[name].attrs = data[name].attrs
    return both.assign_coords(expver=("time", [preliminary] * 30 + [final] * (n - 10)))


def test_the_final_version_of_repeated_times_is_taken(
    make_weather: Make, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    data = make_weather()
    fields, quality = ingest_source(Source(path=write(repeated(data))))
    np.testing.assert_array_equal(fields["t2m"][:50], data["t2m"][:50])
    np.testing.assert_array_equal(fields["t2m"][50:], data["t2m"][50:] + np.float32(0.5))
    sentences = " ".join(quality[quality["check"] == "versions"]["sentence"])
    assert "20 times occur in versions 0001 and 0005 (expver), the first 2001-01-31T00:00:00" in sentences
    assert "20 times occur in versions" in caplog.text


def test_a_single_time_is_singular(make_weather: Make) -> None:
    data = make_weather()
    twice = xr.concat([data, data.isel(time=[-1])], dim="time")
    twice = twice.assign_coords(expver=("time", ["0001"] * data.sizes["time"] + ["0005"]))
    choice = unique_times(twice, "it")[1]
    assert choice.sentence.startswith("1 time occurs in versions 0001 and 0005 (expver), the first ")
    preliminary = data["msl"].where(data["time"] > data["time"][0], data["msl"] + 1)
    both = xr.concat([data["msl"], preliminary], dim="expver").assign_coords(expver=[1, 5])
    assert " differ at 1 time, the first " in combine_versions(both, "it")[1].sentence


def test_repeated_times_in_one_version_are_refused(make_weather: Make) -> None:
    data = repeated(make_weather(), "0001", "0001")
    assert to_contract(data).sizes["time"] == 80
    with pytest.raises(InputError, match="twice at 2001-01-31"):
        ingest(data)
