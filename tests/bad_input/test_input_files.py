"""Whatever is wrong with an input file ends with one sentence that says where and what to do."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from refusals import FILES, Spoil, ingest, only_a_sentence, state, weather

from fieldcast.app.error_messages import sentence
from fieldcast.errors import InputError
from fieldcast.fields.ingest import from_source
from fieldcast.fields.options import Ingestion


def curvilinear(d: xr.Dataset) -> xr.Dataset:
    lat, lon = np.meshgrid(d["latitude"], d["longitude"], indexing="ij")
    lat = lat + 0.01 * lon  # turned
    d = d.rename_dims(latitude="y", longitude="x").drop_vars(["latitude", "longitude"])
    units = ({"units": "degrees_north"}, {"units": "degrees_east"})
    return d.assign_coords(lat=(("y", "x"), lat, units[0]), lon=(("y", "x"), lon, units[1]))


def set_to(value: float) -> Spoil:
    return lambda d: d.assign(t2m=d["t2m"].where((d["time"] != d["time"][7]) | (d["latitude"] > -60), value))


def repeated(d: xr.Dataset) -> xr.Dataset:
    return xr.concat([d.isel(time=slice(0, 8)), d.isel(time=[7]) + 1, d.isel(time=slice(8, None))], "time")


CONTENTS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "no time axis": (lambda d: d.isel(time=0, drop=True), ("has no time axis", "days since")),
    "missing dates": (lambda d: d.isel(time=[*range(9), *range(12, 60)]), ("2001-01-09", "gaps")),
    "duplicate times": (repeated, ("2001-01-08",)),
    "scattered NaN": (
        set_to(np.nan),
        ("'t2m'", "2001-01-08", "missing", "fill them with `fieldcast fill-gaps`"),
    ),
    "Inf": (set_to(np.inf), ("'t2m'", "2001-01-08", "infinite", "mask")),
    "a fill value": (set_to(-9999.0), ("'t2m'", "holds -9999", "2001-01-08", "_FillValue")),
    "constant variable": (lambda d: d.assign(msl=d["msl"] * 0 + 1), ("'msl'", "constant")),
    "missing units": (lambda d: d.assign(msl=d["msl"].drop_attrs()), ("'msl'", "units")),
    "curvilinear grid": (curvilinear, ("curvilinear", "interpolate")),
    "fewer than 30 times": (lambda d: d.isel(time=slice(0, 29)), ("29", "30")),
}


@pytest.mark.parametrize("family", CONTENTS)
def test_content_of_the_input_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    """Ingestion refuses it, writing nothing; a session says so in one sentence, as of the file itself below."""
    spoil, phrases = CONTENTS[family]
    file = tmp_path / "weather.nc"
    spoil(weather()).to_netcdf(file)
    monkeypatch.chdir(tmp_path)
    before = state(tmp_path)
    with pytest.raises(InputError) as caught:
        from_source(Ingestion(**ingest(file)["ingestion"]))
    text = sentence(caught.value) or ""
    assert all(word in text for word in (str(file), *phrases)) and "\n" not in text, text
    assert state(tmp_path) == before


@pytest.mark.parametrize("family", FILES)
def test_the_input_file_itself(message: Any, file: Path, family: str) -> None:
    harm, phrases = FILES[family]
    harm(file)
    text = message("ingestion", parameters=ingest(file))
    assert all(word in text for word in (str(file), *phrases)), text


@pytest.mark.parametrize("family", FILES)
def test_the_file_to_fill_itself(message: Any, file: Path, family: str) -> None:
    harm, phrases = FILES[family]
    harm(file)
    text = message("fill", parameters={"fill": {"observations": str(file)}})
    assert all(
        word.replace("ingestion.path", "fill.observations") in text for word in (str(file), *phrases)
    ), text


def test_fill_values_in_the_file_to_fill(project: Any, finished: Path, tmp_path: Path) -> None:
    """Undeclared fill values are not taken for observations."""
    fields = xr.open_zarr(finished / "03_primary/fields.zarr").isel(time=slice(0, 3)).load()
    fields.where(fields["latitude"] > 0, -9999.0).drop_encoding().to_netcdf(tmp_path / "gappy.nc")
    fill = {"observations": str(tmp_path / "gappy.nc"), "output": str(tmp_path / "filled.nc")}
    before = state(finished)
    with pytest.raises(Exception) as caught:
        project("fill", data_root=finished, parameters={"fill": fill})
    text = sentence(caught.value) or ""
    assert all(word in text for word in ("gappy.nc", "holds -9999", "_FillValue")) and "\n" not in text, text
    assert state(finished) == before and not (tmp_path / "filled.nc").exists()


def test_a_sound_file_is_not_refused(project: Any, file: Path, tmp_path: Path) -> None:
    project("ingestion", data_root=tmp_path / "new", parameters=ingest(file))
    assert (tmp_path / "new/03_primary/fields.zarr/zarr.json").exists()


@pytest.mark.proof
def test_an_input_file_in_a_real_process(kedro: Any, unharmed: Path, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-2000])
    done = kedro("--params", f"data_root={unharmed},ingestion.source=file,ingestion.path={file}")
    only_a_sentence(done, str(file), "damaged or truncated NetCDF file", "copy or download it again")


@pytest.fixture
def idx(tmp_path: Path) -> Path:
    """A sound folder of twelve and four images."""
    for prefix, count in (("train", 12), ("t10k", 4)):
        image = bytes([0, 0, 8, 3, *(b for n in (count, 4, 4) for b in n.to_bytes(4, "big"))])
        (tmp_path / f"{prefix}-images-idx3-ubyte").write_bytes(image + bytes(range(count * 16)))
        label = bytes([0, 0, 8, 1, *count.to_bytes(4, "big")])
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(label + bytes(i % 3 for i in range(count)))
    return tmp_path


IDX: dict[str, tuple[Callable[[Path], Any], tuple[str, ...]]] = {
    "truncated": (lambda file: file.write_bytes(file.read_bytes()[:-1]), ("12 x 4 x 4", "191, not 192")),
    "wrong magic number": (
        lambda file: file.write_bytes(b"\x89PNG" + file.read_bytes()[4:]),
        ("magic number 89504e47", "choose another file"),
    ),
    "missing": (
        lambda file: file.unlink(),
        ("holds no train-images-idx3-ubyte", "give the folder that does"),
    ),
}


@pytest.mark.parametrize("family", IDX)
def test_image_files(message: Any, idx: Path, family: str) -> None:
    spoil, phrases = IDX[family]
    spoil(idx / "train-images-idx3-ubyte")
    text = message("sample.vae", parameters={"ingestion": {"source": "images", "path": str(idx)}})
    assert all(word in text for word in phrases), text


@pytest.mark.proof
def test_images_in_a_real_process(kedro: Any, unharmed: Path, idx: Path) -> None:
    (idx / "train-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 1, 1]))
    done = kedro("--params", f"data_root={unharmed},ingestion.source=images,ingestion.path={idx}")
    only_a_sentence(done, "holds 12 images", "2 labels", "give files of one set")
