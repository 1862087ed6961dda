"""Formats of files by their first bytes; archives and compressed files of NetCDF, unpacked for this process."""

from __future__ import annotations

import atexit
import bz2
import gzip
import lzma
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fieldcast.errors import InputError, counted, listed

HEAD = 512  # bytes of a file that tell its format
NETCDF = "netcdf"  # NetCDF 4, which is HDF5
CLASSIC = "classic"  # NetCDF 3 and CDF-5
MAX_DEPTH = 3  # archives in archives
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"MATLAB ", "matlab"),  # of version 7.3, which is HDF5, too
    (257, b"ustar", "tar"),  # in which the first file begins at byte 512
    *((0, b"\x89HDF", NETCDF), (512, b"\x89HDF", NETCDF)),  # the second after a block of the user's
    *((0, b"CDF\x01", CLASSIC), (0, b"CDF\x02", CLASSIC), (0, b"CDF\x05", CLASSIC)),
    *((0, b"PK\x03\x04", "zip"), (0, b"PK\x05\x06", "zip"), (0, b"PK\x07\x08", "zip")),
    *((0, b"\x1f\x8b", "gzip"), (0, b"BZh", "bzip2"), (0, b"\xfd7zXZ\x00", "xz")),
    *((0, b"\x1f\x9d", "compress"), (0, b"\x28\xb5\x2f\xfd", "zstd")),
    *((0, b"7z\xbc\xaf\x27\x1c", "7z"), (0, b"Rar!\x1a\x07", "rar")),
    *((0, b"GRIB", "grib"), (0, b"BUFR", "bufr"), (0, b"\x0e\x03\x13\x01", "hdf4")),
    *((0, b"II*\x00", "tiff"), (0, b"MM\x00*", "tiff"), (0, b"II+\x00", "tiff"), (0, b"MM\x00+", "tiff")),
    *((0, b"\x89PNG", "picture"), (0, b"\xff\xd8\xff", "picture"), (0, b"GIF8", "picture")),
    *((0, b"%PDF", "pdf"), (0, b"PAR1", "parquet"), (0, b"\x93NUMPY", "numpy")),
)
_ARCHIVES = {
    "zip": "a ZIP archive",
    "tar": "a tar archive",
    "gzip": "a gzip file",
    "bzip2": "a bzip2 file",
    "xz": "an xz file",
}
_COMPRESSED: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
_UNPACK = "unpack it, and give the NetCDF file in it"
_DOWNLOAD = "download the data again, in NetCDF"
# what other files are, and what to do about them; {} is the path
_OTHERS = {
    "grib": (
        "a GRIB file",
        "convert it to NetCDF first, with `grib_to_netcdf -o FILE.nc {}` of ecCodes, or with the package cfgrib: "
        "xarray.open_dataset('{}', engine='cfgrib').to_netcdf('FILE.nc')",
    ),
    "bufr": ("a BUFR file", "it holds observations: write them to a table of stations"),
    "hdf4": (
        "an HDF4 file",
        "convert it to NetCDF first, with `h4tonccf_nc4 {} FILE.nc` of the HDF Group, or `gdal_translate -of netCDF`",
    ),
    "tiff": (
        "a TIFF image (GeoTIFF)",
        "convert it to NetCDF first, with the package rioxarray: join what rioxarray.open_rasterio('{}') gives for "
        "each date along a dimension time, and write it with to_netcdf",
    ),
    "compress": ("a file of `compress` (.Z)", "unpack it with `gzip -d`, and give the NetCDF file in it"),
    "zstd": ("a Zstandard file", "unpack it with `zstd -d`, and give the NetCDF file in it"),
    "7z": ("a 7z archive", _UNPACK),
    "rar": ("a RAR archive", _UNPACK),
    "picture": ("a picture", _DOWNLOAD),
    "pdf": ("a PDF document", _DOWNLOAD),
    "page": ("a web page, such as a server sends in place of data that need a login", _DOWNLOAD),
    "lfs": ("a pointer of Git LFS", "fetch the file itself with `git lfs pull`"),
    "parquet": ("a Parquet table", "write it to NetCDF, on a grid, with xarray"),
    "numpy": ("an array of NumPy", "write it to NetCDF, with its coordinates, with xarray"),
    "matlab": ("a MATLAB file", "write it to NetCDF, with its coordinates, with xarray"),
}
_PAGES = b"<!doctype", b"<html", b"<?xml"


def format_of(path: str) -> str:
    """The format of a file: `netcdf`, `classic`, an archive, another that is named, or "" for none of them."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD + 8)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}): check its permissions") from error
    if not head:
        raise InputError(f"'{path}' is empty (0 bytes): copy or download it again")
    for offset, signature, kind in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return kind
    if head.lstrip().lower().startswith(_PAGES):
        return "page"
    if head.startswith(b"version https://git-lfs"):
        return "lfs"
    return "grib" if b"GRIB" in head and b"\x00" in head else ""  # after the heading of a bulletin


def is_netcdf(kind: str) -> bool:
    """Whether a format is NetCDF, of any version."""
    return kind in (NETCDF, CLASSIC)


def is_archive(path: str) -> bool:
    """Whether a path is a file that `unpacked` reads."""
    return os.path.isfile(path) and os.path.getsize(path) > 0 and format_of(path) in _ARCHIVES


def refusal(path: str, kind: str) -> str:
    """Sentence on a file of another format than NetCDF."""
    if kind not in _OTHERS:
        return f"'{path}' is not NetCDF: give a NetCDF file or Zarr store"
    name, remedy = _OTHERS[kind]
    return f"'{path}' is not NetCDF but {name}: {remedy.replace('{}', path)}"


def only_file(path: str) -> str:
    """The one NetCDF file in an archive."""
    files = unpacked(path)
    if len(files) > 1:
        names = listed([os.path.basename(file) for file in files], len(files))
        raise InputError(
            f"'{path}' is {_ARCHIVES[format_of(path)]} of {counted(len(files), 'NetCDF file')} ({names}): unpack it, "
            "and give one of them"
        )
    return files[0]


# Unpacked files are kept until the process ends: data are read from them lazily, and a source is opened more than once.

_unpacked: dict[tuple[str, int, int], list[str]] = {}


def unpacked(path: str) -> list[str]:
    """Paths of the NetCDF files in an archive or compressed file, in the order of their names.

    Each path ends in the name of the archive and that of the file. Members are recognised by their first bytes.
    """
    state = os.stat(path)
    key = (os.path.abspath(path), state.st_size, state.st_mtime_ns)
    if key not in _unpacked or not all(map(os.path.exists, _unpacked[key])):
        _unpacked[key] = _netcdf_in(path)
    return _unpacked[key]


def _netcdf_in(path: str) -> list[str]:
    root = Path(tempfile.mkdtemp(prefix="fieldcast_"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    kind = _ARCHIVES[format_of(path)]
    try:
        files = sorted(_members(path, root, MAX_DEPTH))
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the system, such as a full disk
            raise InputError(
                f"'{path}' cannot be unpacked in '{root.parent}' ({error.strerror}): unpack it yourself, and give the "
                "NetCDF file in it, or name another folder by the variable TMPDIR"
            ) from error
        cause = str(error) or type(error).__name__
        raise InputError(f"'{path}' is {kind}, damaged or truncated ({cause}): download it again") from error
    except (RuntimeError, NotImplementedError) as error:  # a password, or another method of compression
        raise InputError(
            f"'{path}' is {kind} that cannot be unpacked here ({error}): unpack it yourself, and give the NetCDF file "
            "in it"
        ) from error
    inside = [file for file in files if is_netcdf(_format_inside(file))]
    if inside:
        return inside
    if any(os.path.basename(file) in ("zarr.json", ".zgroup", ".zmetadata", ".zarray") for file in files):
        raise InputError(f"'{path}' is {kind} of a Zarr store: unpack it, and give the folder")
    if not files:
        raise InputError(f"'{path}' is {kind} without any file: download it again")
    first = next((file for file in files if _format_inside(file)), files[0])
    name, remedy = _OTHERS.get(_format_inside(first), ("no NetCDF file", "give a NetCDF file or Zarr store"))
    raise InputError(
        f"'{path}' is {kind} without a NetCDF file; '{os.path.basename(first)}' in it is {name}: "
        f"{remedy.replace('{}', os.path.basename(first))}"
    )


def _format_inside(file: str) -> str:
    return format_of(file) if os.path.getsize(file) else ""


def _members(path: str, root: Path, depth: int) -> Iterator[str]:
    """Write all files of an archive, and of archives in it, below a folder, and yield their paths."""
    folder = root / os.path.basename(path)
    for name, member in _opened_members(path, format_of(path)):
        target = folder / name
        for number in range(2, 10**6):  # two folders of an archive may hold files of one name
            if not target.exists():
                break
            target = folder / f"{number}_{name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with member, open(target, "wb") as file:
            shutil.copyfileobj(member, file, 2**20)
        if depth > 1 and is_archive(str(target)):
            yield from _members(str(target), root / "inside", depth - 1)
        else:
            yield str(target)


def _opened_members(path: str, kind: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield name and stream of each file; folders of an archive are left out, and so are files that systems add."""
    if kind in _COMPRESSED:
        name = os.path.basename(path)
        stem, suffix = os.path.splitext(name)
        yield (stem if suffix.lower() in (".gz", ".bz2", ".xz") else name), _COMPRESSED[kind](path, "rb")
    elif kind == "zip":
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                name = os.path.basename(entry.filename)
                if name and not entry.is_dir() and "__MACOSX" not in entry.filename:
                    yield name, archive.open(entry)
    else:
        with tarfile.open(path) as tar:
            for member in tar:
                name = os.path.basename(member.name)
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is not None and not name.startswith("._"):
                    yield name, stream
