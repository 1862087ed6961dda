"""A store that lacks a chunk is refused where the chunk would be read as a number."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.opening import read_file
from fieldcast.fields.options import Source
from fieldcast.fields.sources import open_source

Make = Callable[..., xr.Dataset]
pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata")
PACKING = {"scale_factor": 0.25, "add_offset": 1e5}


@pytest.fixture
def store(make_weather: Make, tmp_path: Path) -> Callable[..., str]:
    def write(zarr_format: int, **packing: Any) -> str:
        """`msl` in whole numbers, or as it is."""
        path, data = tmp_path / "store.zarr", make_weather()
        if packing:
            numbers = np.round((data["msl"] - packing["add_offset"]) / packing["scale_factor"])
            data["msl"] = numbers.astype(np.int16).assign_attrs(units="Pa", **packing)
        data.chunk(time=20).to_zarr(path, zarr_format=zarr_format, consolidated=True)
        return str(path)

    return write


def lose(path: str, variable: str = "msl") -> None:
    """The second of three chunks in time."""
    for name in ("1.0.0", "c/1/0/0"):
        (Path(path) / variable / name).unlink(missing_ok=True)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunk_of_packed_integers_without_a_fill_value(store: Callable[..., str], zarr_format: int) -> None:
    path = store(zarr_format, **PACKING)
    assert open_source(Source(path=path)).sizes["time"] == 60
    lose(path)
    message = r"store.zarr' lacks 1 of the 3 chunks of variable 'msl', which would be read as 0 before unpacking: copy"
    with pytest.raises(InputError, match=message) as caught:
        open_source(Source(path=path))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=message):
        read_file(path, "fill.observations")
    assert list(open_source(Source(path=path, variables=["t2m"])).data_vars) == ["t2m"]


def test_a_declared_fill_value_that_is_not_the_arrays(store: Callable[..., str]) -> None:
    """The third format keeps them apart: what is missing is read as 0, and 0 is a number."""
    path = store(3, **PACKING, _FillValue=-32768)
    lose(path)
    with pytest.raises(InputError, match="lacks 1 of the 3 chunks"):
        open_source(Source(path=path))


@pytest.mark.parametrize(
    ("zarr_format", "encoding"), [(2, {**PACKING, "_FillValue": -32768}), (2, {}), (3, {})]
)
def test_a_chunk_that_is_read_as_missing(
    store: Callable[..., str], zarr_format: int, encoding: dict[str, Any]
) -> None:
    path = store(zarr_format, **encoding)
    lose(path)
    assert np.isnan(open_source(Source(path=path))["msl"].values[20:40]).all()


def test_zeros_of_a_mask_may_be_left_out(make_weather: Make, tmp_path: Path) -> None:
    data = make_weather(times=40).drop_vars("msl")
    snow = (data["t2m"] > 280).astype(np.int16)
    snow[20:] = 0
    path = str(tmp_path / "snow.zarr")
    data.assign(snow=snow.assign_attrs(units="1")).chunk(time=20).to_zarr(
        path, zarr_format=3, consolidated=True
    )
    assert not (tmp_path / "snow.zarr/snow/c/1/0/0").exists()
    assert np.array_equal(open_source(Source(path=path))["snow"], snow)


def test_a_store_at_an_address(store: Callable[..., str]) -> None:
    path = store(2, **PACKING)
    memory = fsspec.filesystem("memory")
    memory.put(path, "/chunks/store.zarr", recursive=True)
    address = "memory://chunks/store.zarr"
    assert open_source(Source(path=address)).sizes["time"] == 60
    memory.rm("/chunks/store.zarr/msl/1.0.0")
    with pytest.raises(InputError, match=r"'memory://chunks/store.zarr' lacks 1 of the 3 chunks"):
        open_source(Source(path=address))
    memory.rm("/chunks", recursive=True)
    shutil.rmtree(path)
