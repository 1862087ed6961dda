"""Data sets in one file, or in a folder of files: NetCDF, tables, JSON, text, bytes.

kedro-datasets has such classes, but none that replaces its file in one step, flushes it to the disk and refuses a
damaged one; wrapping them takes as many lines as these codecs, and text and empty CSV files do not survive them.
"""

import errno
import io
import json
import os
import shutil
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal

from kedro.io.core import DatasetError
from kedro_datasets._typing import JSONPreview, TablePreview

from fieldcast.datasets.base import FilesystemDataset, readable_write_errors
from fieldcast.datasets.damage import refusing_damage
from fieldcast.datasets.retired_stores import flush

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

FULL = 2**20  # bytes that are free on a disk where a write failed for want of space


class FileDataset(FilesystemDataset):
    """One file, replaced in one step; the subclass decodes and encodes its content."""

    def __init__(self, *, missing: str = "error", **settings: Any) -> None:
        """missing: loading an absent file raises ("error") or returns the subclass's substitute (any other value)."""
        super().__init__(**settings)
        self._if_missing = missing

    @abstractmethod
    def _decode(self, content: bytes) -> Any:
        """Turn the content of the file into data."""

    @abstractmethod
    def _encode(self, data: Any) -> bytes:
        """Turn data into the content of the file."""

    def _substitute(self) -> Any:
        """Substitute for a missing file."""
        return None

    def load(self) -> Any:
        """Read the file.

        Raises DatasetError if it is missing, DamagedError if it cannot be decoded.
        """
        if not self._exists():
            if self._if_missing != "error":
                return self._substitute()
            raise self._missing()
        content = self._fs.cat_file(str(self._path))
        with refusing_damage(self.location):
            return self._decode(content)

    def save(self, data: Any) -> None:
        """Replace the file."""
        content = self._encode(data)
        with readable_write_errors(self.location):
            if self._local:
                replace(str(self._path), self._beside("partial"), content)
            else:
                self._make_folder()
                self._fs.pipe_file(str(self._path), content)

    def _exists(self) -> bool:
        return bool(self._fs.isfile(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "missing": self._if_missing}


def replace(path: str, partial: str, content: bytes) -> None:
    """Write beside the file, flush to the disk, and rename."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with removed_if_broken(partial):
        with open(partial, "wb") as file:
            file.write(content)
        publish_file(partial, path)


def publish_file(partial: str, path: str) -> None:
    """Flush a file to the disk, and put it in the place of another."""
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, path)
    flush(os.path.dirname(path) or ".", deep=False)


@contextmanager
def removed_if_broken(partial: str) -> Iterator[None]:
    """Remove a file that could not be written, or whose writing was interrupted."""
    try:
        yield
    except BaseException:
        if os.path.exists(partial):
            os.remove(partial)
        raise


@contextmanager
def explained_hdf_errors(folder: PurePath) -> Iterator[None]:
    """Turn an error of the HDF library, which does not say why a write failed, into that of the operating system."""
    try:
        yield
    except RuntimeError as error:
        if shutil.disk_usage(folder).free < FULL:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(str(error)) from error


class BytesDataset(FileDataset):
    """Bytes as they are; `missing: none` loads None if there is no file, and saving no bytes removes it."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: "error", or "none"."""
        super().__init__(missing=missing, **settings)

    def save(self, data: bytes) -> None:
        """Replace the file, or remove it if there are no bytes."""
        if data:
            super().save(data)
        elif self._exists():
            self._fs.rm_file(str(self._path))

    def _decode(self, content: bytes) -> bytes:
        return content

    def _encode(self, data: bytes) -> bytes:
        return bytes(data)


class FolderDataset(FilesystemDataset):
    """Files of one name under a folder, as {path of the file's folder: function that reads its bytes}.

    Files are read on demand, and written by other data sets; a missing folder holds none.
    """

    def __init__(self, *, name: str, **settings: Any) -> None:
        """name: the file name, such as `checkpoint.safetensors`."""
        super().__init__(**settings)
        self._name = name

    def load(self) -> dict[str, Callable[[], bytes]]:
        """List the files: functions that read them, by the path of their folder."""
        root, end = self._fs._strip_protocol(str(self._path)), f"/{self._name}"
        files = self._fs.find(root) if self._fs.isdir(root) else []
        return {
            file[len(root) :].removesuffix(end).strip("/"): partial(self._fs.cat_file, file)
            for file in files
            if file.endswith(end)
        }

    def save(self, data: Any) -> None:
        """Raise DatasetError: other data sets write the files."""
        raise DatasetError(f"'{self.location}' is read only here: its files are written one by one")

    def _exists(self) -> bool:
        return bool(self._fs.isdir(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "name": self._name}


class NetCDFDataset(FileDataset):
    """An `xarray.Dataset` in a NetCDF file; its coordinates have no fill value (CF).

    It is read as a whole. Lazy data are written to a local file block by block.
    """

    def save(self, data: "xr.Dataset") -> None:
        """Replace the file."""
        if not self._local:
            super().save(data)
            return
        partial = self._beside("partial")
        with readable_write_errors(self.location), removed_if_broken(partial):
            os.makedirs(self._path.parent, exist_ok=True)
            with explained_hdf_errors(self._path.parent):
                self._bare(data).to_netcdf(partial, engine="netcdf4", **self._save_args)
            publish_file(partial, str(self._path))

    def _decode(self, content: bytes) -> "xr.Dataset":
        import xarray as xr  # here and below: an existing file is noticed without the second that these imports take

        return xr.load_dataset(content, engine="netcdf4", **self._load_args)

    def _encode(self, data: "xr.Dataset") -> bytes:
        return bytes(self._bare(data).to_netcdf(engine="netcdf4", **self._save_args))

    def _bare(self, data: "xr.Dataset") -> "xr.Dataset":
        """The data without fill values of the coordinates."""
        data = data.copy()
        for name in data.coords:
            data[name].encoding["_FillValue"] = None
        return data


class TextDataset(FileDataset):
    """Text in UTF-8, such as an HTML page."""

    def _decode(self, content: bytes) -> str:
        return content.decode("utf-8")

    def _encode(self, data: str) -> bytes:
        return data.encode("utf-8")


class JSONDataset(FileDataset):
    """JSON; `missing: none` loads None if there is no file."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: "error", or "none"."""
        super().__init__(missing=missing, **settings)

    def _decode(self, content: bytes) -> Any:
        return json.loads(content)

    def _encode(self, data: Any) -> bytes:
        options = {"indent": 1, "ensure_ascii": False, **self._save_args}
        return f"{json.dumps(data, **options)}\n".encode()

    def preview(self) -> JSONPreview:
        """Show the content in kedro-viz."""
        return JSONPreview(json.dumps(self.load()))


DIGESTS = {"data": str, "model": str, "scored": str}  # columns that hold one: 48213e905716 is no number


class TableDataset(FileDataset):
    """A pandas table without its index, as CSV or Parquet according to the suffix; numbers keep every digit.

    The pages of a Parquet file carry checksums, so that loading a damaged file raises DamagedError.
    `missing: empty` loads an empty table if there is no file.
    """

    def __init__(self, *, missing: Literal["error", "empty"] = "error", **settings: Any) -> None:
        """missing: "error", or "empty"."""
        super().__init__(missing=missing, **settings)
        if self._path.suffix not in (".csv", ".parquet"):
            raise DatasetError(f"'{self.location}' is neither .csv nor .parquet: choose one of the two")

    def _decode(self, content: bytes) -> "pd.DataFrame":
        import pandas as pd

        if self._path.suffix == ".parquet":
            return pd.read_parquet(
                io.BytesIO(content), **{"page_checksum_verification": True, **self._load_args}
            )
        if not content.strip():
            return pd.DataFrame()
        options = {"dtype": DIGESTS, "float_precision": "round_trip", **self._load_args}
        return pd.read_csv(io.BytesIO(content), **options)

    def _encode(self, data: "pd.DataFrame") -> bytes:
        if self._path.suffix == ".parquet":
            return data.to_parquet(None, **{"index": False, "write_page_checksum": True, **self._save_args})
        return data.to_csv(**{"index": False, "lineterminator": "\n", **self._save_args}).encode("utf-8")

    def _substitute(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame()

    def preview(
        self, nrows: int = 20, where: Mapping[str, Sequence[Any]] | None = None, sort: str | None = None
    ) -> TablePreview:
        """Show the first rows in kedro-viz.

        where: show only rows with one of these values in a column; sort: order rows by this column. Columns that the
        table lacks are ignored, so that one catalog pattern serves tables of several layouts.
        """
        table = self.load()
        for column, values in (where or {}).items():
            table = table[table[column].isin(values)] if column in table else table
        table = table.sort_values(sort) if sort in table else table
        return TablePreview(json.loads(table.head(nrows).to_json(orient="split", date_format="iso")))
