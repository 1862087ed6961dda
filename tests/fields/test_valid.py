"""Values that a file declares invalid are missing, as in CF; packed data are compared in packed numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.conventions import to_contract
from fieldcast.fields.ingest import ingest_source
from fieldcast.fields.opening import read_file
from fieldcast.fields.options import Source
from fieldcast.fields.sources import open_source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
PACKING = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 1e5, "_FillValue": -32768}


def expected(data: xr.Dataset, low: float, high: float) -> np.ndarray:
    x = data["msl"].values
    return np.where((x >= low) & (x <= high), x, np.nan)


PLAIN: dict[str, tuple[dict[str, Any], float, float]] = {
    "valid_range": ({"valid_range": np.float32([99500, 100500])}, 99500, 100500),
    "valid_min": ({"valid_min": np.float32(99500)}, 99500, np.inf),
    "valid_max": ({"valid_max": 100500.0}, -np.inf, 100500),
    "both": ({"valid_min": 99500, "valid_max": 100500}, 99500, 100500),
    "wider than the type": ({"valid_max": 1e300, "valid_min": 99500.0}, 99500, np.inf),
    "no numbers": ({"valid_min": "none", "valid_range": [1.0, 2.0, 3.0]}, -np.inf, np.inf),
}


@pytest.mark.parametrize("case", PLAIN)
def test_outside_the_valid_range_is_missing(make_weather: Make, write: Write, case: str) -> None:
    attrs, low, high = PLAIN[case]
    data = make_weather()
    valid = expected(data, low, high)
    data["msl"].attrs |= attrs
    fields = open_source(Source(path=write(data)))
    assert fields["msl"].chunks is not None
    np.testing.assert_array_equal(fields["msl"], valid)
    np.testing.assert_array_equal(fields["t2m"], data["t2m"])


PACKED: dict[str, tuple[float, dict[str, Any]]] = {
    "packed numbers": (0.5, {"valid_range": np.int16([-1000, 1000])}),
    "minimum and maximum": (0.5, {"valid_min": np.int16(-1000), "valid_max": np.int16(1000)}),
    "wider whole numbers": (0.5, {"valid_range": [-1000, 1000]}),
    "upside down": (-0.5, {"valid_min": np.int16(-1000), "valid_max": np.int16(1000)}),
    "upside down and unpacked": (-0.5, {"valid_range": [99500.0, 100500.0]}),
    "unpacked, as they are no whole numbers": (0.5, {"valid_range": [99500.0, 100500.0]}),
}


@pytest.mark.parametrize("case", PACKED)
def test_the_valid_range_of_packed_data_is_packed(make_weather: Make, write: Write, case: str) -> None:
    scale, attrs = PACKED[case]
    data = make_weather()
    data["msl"] = (np.round(data["msl"] * 2) / 2).assign_attrs(units="Pa")
    data["msl"][3, 1, 1], data["msl"][4, 1, 1] = 99500, 100500  # both still valid
    valid = expected(data, 99500, 100500)
    data["msl"].attrs |= attrs
    path = write(data, encoding={"msl": {**PACKING, "scale_factor": scale}})
    np.testing.assert_array_equal(open_source(Source(path=path))["msl"], valid)
    np.testing.assert_array_equal(to_contract(read_file(path, "fill.observations"))["msl"], valid)


def test_sentences_explain_missing_values(make_weather: Make, write: Write) -> None:
    data = make_weather()
    data["msl"].attrs["valid_range"] = [9.0, 11.0]
    with pytest.raises(
        InputError, match=r"no value at all \(values outside the file's valid range 9 to 11 count"
    ):
        ingest_source(Source(path=write(data)))
    data["msl"][:, 1, 2] = 1.0
    data["msl"].attrs["valid_range"] = [9e3, 1.1e6]
    fields, quality = ingest_source(Source(path=write(data, "land.nc")))
    assert fields["msl"].isel(latitude=1, longitude=2).isnull().all()
    assert "valid range 9000 to 1.1e+06" in " ".join(quality["sentence"])
