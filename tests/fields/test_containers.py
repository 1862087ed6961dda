"""Files in archives and compressed files are read as if they were unpacked; others are named by their first bytes."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.containers import unpacked
from fieldcast.fields.opening import open_file, read_file
from fieldcast.fields.options import Source
from fieldcast.fields.sources import open_layout, open_source

Make = Callable[..., xr.Dataset]
Write = Callable[..., str]
Pack = Callable[[Path, dict[str, bytes]], object]


def pack_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("folder")
        for name, content in files.items():
            archive.writestr(f"folder/{name}", content)
        archive.writestr("__MACOSX/._a.nc", b"\x00\x05\x16\x07")
        archive.writestr("readme.txt", b"Terms of use")


def pack_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"folder/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


PACK: dict[str, Pack] = {
    "zip": pack_zip,
    "tar": pack_tar,
    "tar.gz": lambda path, files: pack_tar(path, files, "w:gz"),
    "gz": lambda path, files: path.write_bytes(gzip.compress(*files.values())),
    "bz2": lambda path, files: path.write_bytes(bz2.compress(*files.values())),
    "xz": lambda path, files: path.write_bytes(lzma.compress(*files.values())),
    "gz in zip": lambda path, files: pack_zip(
        path, {f"{name}.gz": gzip.compress(content) for name, content in files.items()}
    ),
}
SEVERAL = sorted(set(PACK) - {"gz", "bz2", "xz"})


def contents(write: Write, **parts: xr.Dataset) -> dict[str, bytes]:
    return {f"{name}.nc": Path(write(part, f"{name}.nc")).read_bytes() for name, part in parts.items()}


@pytest.mark.parametrize("kind", PACK)
def test_one_file_is_read_as_if_it_were_unpacked(
    make_weather: Make, write: Write, tmp_path: Path, kind: str
) -> None:
    data, form = make_weather(times=40), "NETCDF3_64BIT" if kind == "gz" else "NETCDF4"
    archive = tmp_path / "era5.nc"  # whatever its name is
    PACK[kind](archive, {"a.nc": Path(write(data, "a.nc", format=form, engine="netcdf4")).read_bytes()})
    xr.testing.assert_equal(open_source(Source(path=str(archive))).compute(), data)
    xr.testing.assert_identical(read_file(str(archive), "fill.observations"), data)
    xr.testing.assert_identical(open_layout(Source(path=str(archive))).load(), data)


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_files_are_joined_as_several_files_are(
    make_weather: Make, write: Write, tmp_path: Path, kind: str
) -> None:
    data = make_weather(times=40)
    archive = tmp_path / "era5.nc"
    PACK[kind](archive, contents(write, accum=data[["msl"]], instant=data[["t2m"]]))
    xr.testing.assert_equal(open_source(Source(path=str(archive))).compute()[["t2m", "msl"]], data)
    PACK[kind](archive, contents(write, a=data.isel(time=slice(0, 25)), b=data.isel(time=slice(25, None))))
    xr.testing.assert_equal(open_source(Source(path=str(archive))).compute(), data)
    with pytest.raises(InputError, match=r"era5.nc' is a .* of 2 NetCDF files \(a.nc; b.nc\): unpack it"):
        open_file(str(archive))


def test_a_glob_of_compressed_files(make_weather: Make, write: Write, tmp_path: Path) -> None:
    data = make_weather(times=40)
    for i, (name, content) in enumerate(
        contents(write, a=data.isel(time=slice(0, 25)), b=data.isel(time=slice(25, None))).items()
    ):
        (tmp_path / f"{i}.gz").write_bytes(gzip.compress(content))
        assert [os.path.basename(file) for file in unpacked(str(tmp_path / f"{i}.gz"))] == [f"{i}"], name
    xr.testing.assert_equal(open_source(Source(path=str(tmp_path / "*.gz"))).compute(), data)


def test_an_archive_is_unpacked_once_and_again_when_it_has_changed(
    make_weather: Make, write: Write, tmp_path: Path
) -> None:
    archive = tmp_path / "a.zip"
    pack_zip(archive, contents(write, a=make_weather(times=40)))
    assert unpacked(str(archive)) == unpacked(str(archive))
    first = unpacked(str(archive))
    pack_zip(archive, contents(write, a=make_weather(times=41)))
    assert unpacked(str(archive)) != first
    assert open_source(Source(path=str(archive))).sizes["time"] == 41


BROKEN: dict[str, tuple[Callable[[Path, bytes], object], str]] = {
    "truncated gzip": (
        lambda path, content: path.write_bytes(gzip.compress(content)[:-500]),
        "is a gzip file, damaged or truncated .*: download it again",
    ),
    "damaged gzip": (
        lambda path, content: path.write_bytes(gzip.compress(content)[:200] + bytes(500)),
        "is a gzip file, damaged or truncated .*: download it again",
    ),
    "truncated zip": (
        lambda path, content: (
            pack_zip(path, {"a.nc": content}),
            path.write_bytes(path.read_bytes()[:-100]),
        ),
        "is a ZIP archive, damaged or truncated .*: download it again",
    ),
    "truncated xz": (
        lambda path, content: path.write_bytes(lzma.compress(content)[:-500]),
        "is an xz file, damaged or truncated .*: download it again",
    ),
    "truncated tar": (
        lambda path, content: (
            pack_tar(path, {"a.nc": content}),
            path.write_bytes(path.read_bytes()[:2000]),
        ),
        "is a tar archive, damaged or truncated .*: download it again",
    ),
    "empty zip": (
        lambda path, content: zipfile.ZipFile(path, "w").close(),
        "is a ZIP archive without any file: download it again",
    ),
    "zip of GRIB": (
        lambda path, content: pack_zip(path, {"data.grib": b"GRIB" + content}),
        "is a ZIP archive without a NetCDF file; 'data.grib' in it is a GRIB file: convert it to NetCDF first",
    ),
    "zip of Zarr": (
        lambda path, content: pack_zip(path, {"zarr.json": b"{}"}),
        "is a ZIP archive of a Zarr store: unpack it, and give the folder",
    ),
    "gzip of text": (
        lambda path, content: path.write_bytes(gzip.compress(b"time,t2m\n")),
        "is a gzip file without a NetCDF file; .* in it is no NetCDF file: give a NetCDF",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_archives(make_weather: Make, write: Write, tmp_path: Path, name: str) -> None:
    spoil, message = BROKEN[name]
    path = tmp_path / "era5.nc"
    spoil(path, Path(write(make_weather(), "a.nc")).read_bytes())
    for read in (
        lambda: open_source(Source(path=str(path))),
        lambda: read_file(str(path), "fill.observations"),
    ):
        with pytest.raises(InputError, match=message):
            read()


OTHERS = {
    b"GRIB\x00\x00\x00\x01": "a GRIB file: convert it .*grib_to_netcdf -o FILE.nc .*data.nc.*cfgrib",
    b"TTAA00 ABCD 010000\r\r\nGRIB\x00\x01": "a GRIB file: convert",
    b"\x0e\x03\x13\x01\x00": "an HDF4 file: convert it to NetCDF first, with `h4tonccf_nc4 .*data.nc FILE.nc`",
    b"II*\x00\x08\x00": r"a TIFF image \(GeoTIFF\): convert it .*rioxarray.open_rasterio\('.*data.nc'\)",
    b"MM\x00*\x00\x00": r"a TIFF image \(GeoTIFF\)",
    b"II+\x00\x08\x00": r"a TIFF image \(GeoTIFF\)",
    b"BUFR\x00\x01": "a BUFR file: ",
    b"\x28\xb5\x2f\xfd\x00": "a Zstandard file: unpack it with `zstd -d`",
    b"\x1f\x9d\x90": r"a file of `compress` \(.Z\): unpack",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack",
    b"Rar!\x1a\x07\x00": "a RAR archive: unpack",
    b"\x89PNG\r\n": "a picture: download the data again",
    b"\n<!DOCTYPE HTML><html>": "a web page, .*: download the data again",
    b"version https://git-lfs.github.com/spec/v1": "a pointer of Git LFS: fetch",
    b"MATLAB 7.3 MAT-file" + bytes(493) + b"\x89HDF\r\n\x1a\n": "a MATLAB file: write it",
}


@pytest.mark.parametrize("head", OTHERS, ids=[head[:8].hex() for head in OTHERS])
def test_other_formats_are_named_by_their_first_bytes(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "data.nc"
    path.write_bytes(head + bytes(100))
    for read in (open_file, lambda path: open_source(Source(path=path))):
        with pytest.raises(InputError, match=f"data.nc' is not NetCDF but {OTHERS[head]}") as caught:
            read(str(path))
        assert "\n" not in str(caught.value)
