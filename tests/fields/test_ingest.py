"""The whole chain: the contract is met, the digest knows the data, damage is found in reading."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields import ingest as chain
from fieldcast.fields.contracts import Fields
from fieldcast.fields.ingest import digest, ingest, ingest_source
from fieldcast.fields.options import Source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]


@pytest.mark.parametrize("calendar", ["standard", "noleap"])
@pytest.mark.parametrize(
    "latitude", [np.linspace(90, -90, 7), np.rad2deg(np.arcsin(np.polynomial.legendre.leggauss(6)[0]))]
)
def test_the_contract_is_met(make_weather: Make, write: Write, calendar: str, latitude: np.ndarray) -> None:
    data = make_weather(times=400, start="2003-12-01", calendar=calendar, latitude=latitude)
    data["orography"] = data["t2m"][0].drop_vars("time").assign_attrs(units="m")
    data.attrs["source"] = "a test\nof ours"
    fields, quality = ingest_source(Source(path=write(data)))
    assert Fields().validate(fields) is fields
    assert (
        fields.attrs["source"] == "a test" and fields.attrs["wraps"] == 1 and fields.attrs["step_hours"] == 24
    )
    assert len(quality) >= 12 and set(quality["action"]) <= {"fine", "repaired"}
    xr.testing.assert_equal(fields.drop_vars("segment"), data.sortby("latitude"))


def test_data_in_memory_need_no_file(make_weather: Make) -> None:
    data = make_weather(longitude=np.arange(-70.0, 10.0, 10.0))
    fields, _ = ingest(data)
    assert fields.attrs["wraps"] == 0 and fields.attrs["source"] == "the data"
    assert "segment" not in data.coords and "digest" not in data.attrs  # the given data are left alone


def test_digest_is_of_names_coordinates_and_values(
    make_weather: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = ingest(make_weather())[0]
    assert fields.attrs["digest"] == ingest(make_weather())[0].attrs["digest"] == digest(fields.chunk(time=7))
    assert len(fields.attrs["digest"]) == 12
    assert digest(fields.isel(time=slice(None, None, -1)).sortby("time")) == digest(fields)
    changed = [fields.copy(deep=True) for _ in range(3)]
    changed[0]["t2m"][3, 2, 1] += 0.001
    changed[1] = changed[1].rename(msl="slp")
    changed[2]["longitude"] = changed[2]["longitude"] + 1
    assert len({digest(data) for data in [fields, *changed]}) == 4
    fields["t2m"].attrs["long_name"] = "another"
    assert digest(fields) == fields.attrs["digest"]


def test_larger_data_stay_lazy_and_come_out_the_same(
    make_weather: Make, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(path=write(make_weather(times=100)))
    inside, table = ingest_source(source)
    monkeypatch.setattr(chain, "MAX_MEMORY_BYTES", 0)
    outside, same = ingest_source(source)
    assert outside["t2m"].chunks is not None and inside["t2m"].chunks is None
    xr.testing.assert_identical(outside.compute(), inside)
    assert same.equals(table)


def test_damage_inside_a_file_is_detected_on_reading(make_weather: Make, write: Write) -> None:
    rough = make_weather(times=400, latitude=np.linspace(-80, 80, 20))[["t2m"]]
    path = Path(write(rough, encoding={"t2m": {"zlib": True, "chunksizes": (50, 20, 6), "fletcher32": True}}))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = b"\0" * 4000
    path.write_bytes(content)
    with pytest.raises(
        InputError, match=r"weather.nc' cannot be read to its end .*: copy or download it again"
    ):
        ingest_source(Source(path=str(path)))


def test_findings_name_the_file(make_weather: Make, write: Write) -> None:
    data = make_weather()
    data["t2m"][7, 1, 2] = np.nan
    with pytest.raises(InputError, match=r"1 value of 't2m' in '.*weather.nc' is missing"):
        ingest_source(Source(path=write(data)))
    gap = make_weather(times=70).isel(time=np.r_[0:30, 33:70])
    fields, quality = ingest_source(Source(path=write(gap, "gap.nc"), gaps="segment"))
    assert int(fields["segment"].max()) == 1
    assert quality.set_index("check").loc["gaps", "count"] == 3
