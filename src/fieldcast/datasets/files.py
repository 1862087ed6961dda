"""Data sets of one file, or of a folder of files: NetCDF, tables, JSON, text, bytes."""

import io
import json
import os
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import pandas as pd
import xarray as xr
from kedro.io.core import DatasetError
from kedro_datasets._typing import JSONPreview, TablePreview

from fieldcast.datasets.base import Located, one_sentence
from fieldcast.datasets.checked import DamagedError, refusing_damage, warn_of_damage
from fieldcast.datasets.retired_stores import settle


class FileDataset(Located):
    """One file, replaced in one step; how it is read and written is the subclass's."""

    def __init__(self, *, missing: str = "error", damaged: str = "error", **settings: Any) -> None:
        """missing: what loading a file that is not there does: "error", or the subclass's own answer.

        damaged: likewise, of a file that cannot be decoded; the answer comes with a warning.
        """
        super().__init__(**settings)
        self._if_missing, self._if_damaged = missing, damaged

    @abstractmethod
    def _decode(self, content: bytes) -> Any:
        """What the file holds."""

    @abstractmethod
    def _encode(self, data: Any) -> bytes:
        """The file's new content."""

    def _nothing(self) -> Any:
        """What loading gives when the file is missing or damaged and that is no error."""
        return None

    def load(self) -> Any:
        """What the file holds."""
        if not self._exists():
            if self._if_missing != "error":
                return self._nothing()
            raise self._missing()
        content = self._fs.cat_file(str(self._path))
        try:
            with refusing_damage(str(self._path)):
                return self._decode(content)
        except DamagedError as error:
            if self._if_damaged == "error":
                raise
            warn_of_damage(error)
            return self._nothing()

    def save(self, data: Any) -> None:
        """Replaces the file."""
        content = self._encode(data)
        with one_sentence(str(self._path)):
            if self._local:
                replace(str(self._path), self._beside("partial"), content)
            else:
                self._fs.makedirs(str(self._path.parent), exist_ok=True)
                self._fs.pipe_file(str(self._path), content)

    def _exists(self) -> bool:
        return bool(self._fs.isfile(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "missing": self._if_missing, "damaged": self._if_damaged}


def replace(path: str, partial: str, content: bytes) -> None:
    """Writes beside, makes sure that it is on the disk, and renames."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        settle(os.path.dirname(path) or ".", deep=False)
    except OSError:
        if os.path.exists(partial):
            os.remove(partial)
        raise


class BytesDataset(FileDataset):
    """Bytes as they are; `missing: none` loads None when there is no file, and no bytes are no file."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: "error", or "none"."""
        super().__init__(missing=missing, **settings)

    def save(self, data: bytes) -> None:
        """Replaces the file, or takes it away."""
        if data:
            super().save(data)
        elif self._exists():
            self._fs.rm_file(str(self._path))

    def _decode(self, content: bytes) -> bytes:
        return content

    def _encode(self, data: bytes) -> bytes:
        return bytes(data)


class FolderDataset(Located):
    """Files of one name under a folder: {path of each file's folder: function that reads its bytes}.

    Nothing is read before it is asked for; a folder that is not there holds none. Other data sets write.
    """

    def __init__(self, *, name: str, **settings: Any) -> None:
        """name: of the files."""
        super().__init__(**settings)
        self._name = name

    def load(self) -> dict[str, Callable[[], bytes]]:
        """How each file is read, by the path from the folder to the file's own."""
        root, end = self._fs._strip_protocol(str(self._path)), f"/{self._name}"
        files = self._fs.find(root) if self._fs.isdir(root) else []
        return {
            file[len(root) :].removesuffix(end).strip("/"): partial(self._fs.cat_file, file)
            for file in files
            if file.endswith(end)
        }

    def save(self, data: Any) -> None:
        """Never."""
        raise DatasetError(f"'{self._path}' is read only here: its files are written one by one")

    def _exists(self) -> bool:
        return bool(self._fs.isdir(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "name": self._name}


class NetCDFDataset(FileDataset):
    """An `xarray.Dataset` in a NetCDF file, made whole in memory; coordinates have no fill value, as CF asks."""

    def _decode(self, content: bytes) -> xr.Dataset:
        return xr.load_dataset(content, engine="netcdf4", **self._load_args)

    def _encode(self, data: xr.Dataset) -> bytes:
        data = data.copy()
        for name in data.coords:
            data[name].encoding["_FillValue"] = None
        return bytes(data.to_netcdf(engine="netcdf4", **self._save_args))


class TextDataset(FileDataset):
    """Text in UTF-8, such as an HTML page."""

    def _decode(self, content: bytes) -> str:
        return content.decode("utf-8")

    def _encode(self, data: str) -> bytes:
        return data.encode("utf-8")


class JSONDataset(FileDataset):
    """JSON; `missing: none` loads None when there is no file."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: "error", or "none"."""
        super().__init__(missing=missing, **settings)

    def _decode(self, content: bytes) -> Any:
        return json.loads(content)

    def _encode(self, data: Any) -> bytes:
        options = {"indent": 1, "ensure_ascii": False, **self._save_args}
        return f"{json.dumps(data, **options)}\n".encode()

    def preview(self) -> JSONPreview:
        """The content, for kedro-viz."""
        return JSONPreview(json.dumps(self.load()))


class TableDataset(FileDataset):
    """A pandas table without its index, as CSV or Parquet by the suffix; numbers come back as they were.

    The pages of a Parquet file carry checksums; one that was damaged is refused with a DamagedError.
    `missing: empty` loads an empty table when there is no file, `damaged: empty` when there is a damaged one.
    """

    def __init__(
        self, *, missing: Literal["error", "empty"] = "error", damaged: Literal["error", "empty"] = "error",
        **settings: Any,
    ) -> None:  # fmt: skip
        """missing, damaged: "error", or "empty"."""
        super().__init__(missing=missing, damaged=damaged, **settings)
        if self._path.suffix not in (".csv", ".parquet"):
            raise DatasetError(f"'{self._path}' is neither .csv nor .parquet: choose one of the two")

    def _decode(self, content: bytes) -> pd.DataFrame:
        if self._path.suffix == ".parquet":
            return pd.read_parquet(
                io.BytesIO(content), **{"page_checksum_verification": True, **self._load_args}
            )
        if not content.strip():
            return pd.DataFrame()
        return pd.read_csv(io.BytesIO(content), **self._load_args)

    def _encode(self, data: pd.DataFrame) -> bytes:
        if self._path.suffix == ".parquet":
            return data.to_parquet(None, **{"index": False, "write_page_checksum": True, **self._save_args})
        return data.to_csv(**{"index": False, "lineterminator": "\n", **self._save_args}).encode("utf-8")

    def _nothing(self) -> pd.DataFrame:
        return pd.DataFrame()

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows, for kedro-viz."""
        return TablePreview(json.loads(self.load().head(nrows).to_json(orient="split", date_format="iso")))
