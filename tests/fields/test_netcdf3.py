"""The header's own sizes against files that the C library wrote."""

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from fieldcast.fields.opening import expected_size

FORMATS = ["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


def make(path: Path, form: str, records: int, variables: dict[str, tuple[str, tuple[str, ...]]]) -> Path:
    with netCDF4.Dataset(path, "w", format=form) as file:
        file.title = "an odd one"
        file.numbers = np.arange(3, dtype="i2")
        for name, size in {"time": None, "y": 3, "x": 5}.items():
            file.createDimension(name, size)
        for name, (kind, dims) in variables.items():
            variable = file.createVariable(name, kind, dims)
            variable.units = "K"
            variable[:] = np.ones([records if d == "time" else file.dimensions[d].size for d in dims], kind)
    return path


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "variables",
    [
        {"a": ("f4", ("y", "x"))},
        {"a": ("f8", ("time", "y", "x"))},
        {"a": ("i2", ("time", "y", "x")), "time": ("f8", ("time",))},
        {"a": ("i1", ("time", "y")), "b": ("i2", ("time", "x")), "c": ("f4", ("y",))},
        {"a": ("i1", ("time", "y"))},
        {"scalar": ("f8", ()), "a": ("i2", ("time", "y", "x"))},
        {},
    ],
)
@pytest.mark.parametrize("records", [0, 1, 4])
def test_a_file_is_as_long_as_its_header_says(
    tmp_path: Path, form: str, variables: dict, records: int
) -> None:
    size = make(tmp_path / "a.nc", form, records, variables).stat().st_size
    assert size - 4 < expected_size(tmp_path / "a.nc") <= size  # the last variable may be padded


@pytest.mark.parametrize("form", FORMATS)
def test_a_header_that_is_cut_off_or_damaged(tmp_path: Path, form: str) -> None:
    path = make(tmp_path / "a.nc", form, 2, {"a": ("i2", ("time", "y", "x"))})
    content = path.read_bytes()
    for end in range(4, 100, 7):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match="ends too early"):
            expected_size(path)
    path.write_bytes(b"\x89HDF" + content[4:])
    with pytest.raises(ValueError, match="no header"):
        expected_size(path)
