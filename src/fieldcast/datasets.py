"""Kedro data sets that are whole or absent: Zarr stores and NetCDF files with xarray, tables, JSON, text, bytes.

What is saved is written beside its place as `<name>.partial` and renamed when whole: `exists()` means
complete, and an interrupted or failed write harms nothing that was there. Paths may be local or remote
(fsspec).
"""

import errno
import io
import json
import os
import shutil
import uuid
import weakref
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import fsspec
import numpy as np
import pandas as pd
import xarray as xr
import zarr
from kedro.io.core import AbstractDataset, DatasetError, get_protocol_and_path
from kedro_datasets._typing import JSONPreview, TablePreview
from zarr.storage import LocalStore

CHUNK_BYTES = 8 * 2**20
# the last object that a store gets: consolidated metadata of Zarr format 2
_LAST = ".zmetadata"
# the attribute that keeps the order of variables, which a Zarr group does not
_ORDER = "_variables"
# lazily opened local stores of this process, by path
_READERS: dict[str, list["weakref.ref[LocalStore]"]] = {}


@contextmanager
def _one_sentence(path: str) -> Iterator[None]:
    """Turns an operating system's error of a write into one sentence."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        todo = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder"
        raise DatasetError(
            f"'{path}' could not be written ({why}): {todo}, or set data_root to another place; "
            "what was there before is unharmed"
        ) from error


class _Located(AbstractDataset[Any, Any]):
    """A data set at a path of a filesystem; holds settings only, so it pickles."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """fs_args, credentials: given to fsspec; metadata: for plugins, such as kedro-viz."""
        protocol, path = get_protocol_and_path(os.fspath(filepath))
        self._protocol, self._path = protocol, PurePosixPath(path)
        self._load_args, self._save_args = dict(load_args or {}), dict(save_args or {})
        self._fs_args = {**(fs_args or {}), **(credentials or {})}
        self.metadata = metadata

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        return fsspec.filesystem(self._protocol, **self._fs_args)

    @property
    def _local(self) -> bool:
        return self._protocol == "file"

    def _beside(self, suffix: str) -> str:
        return str(self._path.with_name(f"{self._path.name}.{suffix}"))

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": str(self._path),
            "protocol": self._protocol,
            "load_args": self._load_args,
            "save_args": self._save_args,
        }

    def _missing(self) -> DatasetError:
        return DatasetError(f"'{self._path}' does not exist: run the stage that writes it first")


class ZarrDataset(_Located):
    """An `xarray.Dataset` in a Zarr store.

    ```yaml
    forecasts:
      type: fieldcast.datasets.ZarrDataset
      filepath: data/07_model_output/forecasts.zarr
      append: lead                          # a stream of pieces along this dimension
      load_args: {lazy: true}               # dask-backed; {chunks: {time: 100}} likewise; eager by default
      save_args: {chunks: {time: 64}}       # chunks on disk; by default whole fields, about 8 MiB
    ```

    Streams: a generator node yields pieces, each with the attributes `piece` (0, 1, ...) and `pieces` (how
    many there will be). Piece 0 starts anew, the last one publishes; until then `exists()` and `load()`
    know only what was there before. The two attributes are not stored. A save without them is a whole
    store. A stream that was interrupted is gone on from at any of its pieces, which replaces those from there
    on; what is there of it is loaded by an entry of the same path with `partial: true`.

    Saving over a store that is still open lazily in this process leaves its readers what they opened: the old
    store is moved aside, they are pointed there, and it is removed when the last of them is gone.
    """

    def __init__(
        self, *, append: str | None = None, missing: Literal["error", "none"] = "error", partial: bool = False,
        **settings: Any,
    ) -> None:  # fmt: skip
        """append: the dimension along which pieces are added; missing: "error", or "none" to load None.

        partial: load the pieces of a stream that has not ended.
        """
        super().__init__(**settings)
        self._append, self._if_missing, self._partial = append, missing, partial

    def load(self) -> xr.Dataset | None:
        """The stored data set: in memory, or lazy if asked."""
        if self._partial:
            return self._unfinished()
        self._recover()
        if not self._exists():
            if self._if_missing == "none":
                return None
            raise self._missing()
        options = dict(self._load_args)
        lazy = options.pop("lazy", "chunks" in options)
        if lazy:
            return _as_saved(xr.open_zarr(self._reader(), **{"chunks": {}, **options}))
        return _as_saved(xr.open_zarr(self._store(self._path), **{"chunks": None, **options})).load()

    def _unfinished(self) -> xr.Dataset | None:
        """What is there of a stream, lazily; None without any, or if its first piece is not whole."""
        try:
            return xr.open_zarr(self._store(self._beside("partial")), chunks=None, consolidated=False)
        except (OSError, KeyError, ValueError):
            return None

    def save(self, data: xr.Dataset) -> None:
        """Writes all of it, or the next piece of a stream."""
        piece, pieces = int(data.attrs.get("piece", 0)), int(data.attrs.get("pieces", 1))
        data = _with_words(data.drop_encoding(), object)
        data.attrs = {key: value for key, value in data.attrs.items() if key not in ("piece", "pieces")}
        data.attrs[_ORDER] = [str(name) for name in data.data_vars]
        self._recover()
        with _one_sentence(str(self._path)):
            try:
                self._write(data, piece)
                if piece == pieces - 1:
                    self._publish()
            except OSError:
                self._remove(self._beside("partial"))
                raise

    def preview(self) -> JSONPreview:
        """Dimensions, coordinates, variables with units, and attributes, for kedro-viz."""
        data = self._copy(_load_args={"lazy": True}).load()
        text = {
            "dimensions": {str(dim): size for dim, size in data.sizes.items()},
            "coordinates": {str(name): _ends(data[name]) for name in data.coords},
            "variables": {str(name): _summary(data[name]) for name in data.data_vars},
            "attributes": {str(key): str(value) for key, value in data.attrs.items()},
        }
        return JSONPreview(json.dumps(text))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "append": self._append, "missing": self._if_missing}

    def _exists(self) -> bool:
        self._recover()
        return bool(self._fs.exists(f"{self._path}/{_LAST}"))

    def _reader(self) -> Any:
        """The store to read lazily; a local one is remembered, to be pointed elsewhere when overwritten."""
        if not self._local:
            return self._store(self._path)
        store = LocalStore(str(self._path), read_only=True)
        living = [reader for reader in _READERS.get(str(self._path), []) if reader() is not None]
        _READERS[str(self._path)] = [*living, weakref.ref(store)]
        return store

    def _store(self, path: str | PurePosixPath) -> Any:
        return str(path) if self._local else self._fs.get_mapper(str(path))

    def _write(self, data: xr.Dataset, piece: int) -> None:
        """To the partial store: afresh for the first piece, else appended."""
        partial, before = self._beside("partial"), []
        if piece == 0:
            self._remove(partial)
            self._fs.makedirs(str(self._path.parent), exist_ok=True)
            how: dict[str, Any] = {"mode": "w", "encoding": self._encoding(data)}
        elif self._append is None:
            raise DatasetError(f"'{self._path}' is given a stream: its catalog entry needs 'append'")
        elif not self._fs.exists(partial):
            raise DatasetError(
                f"'{self._path}' is given piece {piece} of a stream without its start: run it again"
            )
        else:
            # variables without the dimension are those of the first piece
            how = {"mode": "a-", "append_dim": self._append}
            before = self._cut(partial, piece)
        _evenly_chunked(data).to_zarr(self._store(partial), consolidated=False, zarr_format=2, **how)
        if self._append is not None:
            lengths = [*before, sum(before[-1:]) + data.sizes.get(self._append, 0)]
            self._fs.pipe_file(self._beside("pieces"), json.dumps(lengths).encode())

    def _cut(self, partial: str, piece: int) -> list[int]:
        """Drops what an interrupted stream wrote from this piece on; how long it was after each one before."""
        lengths: list[int] = json.loads(self._fs.cat_file(self._beside("pieces")))[:piece]
        if len(lengths) < piece:
            raise DatasetError(f"'{self._path}' lacks a piece of its stream: run it again from its start")
        for _, array in zarr.open_group(self._store(partial), mode="r+").arrays():
            dims = [str(dim) for dim in np.ravel(array.attrs["_ARRAY_DIMENSIONS"])]
            if self._append in dims:
                along = dims.index(str(self._append))
                if array.shape[along] > lengths[-1]:
                    array.resize((*array.shape[:along], lengths[-1], *array.shape[along + 1 :]))
        return lengths

    def _encoding(self, data: xr.Dataset) -> dict[Hashable, dict[str, Any]]:
        """Chunks on disk; times in whole seconds where exact: the pieces of a stream share one unit."""
        encoding: dict[Hashable, dict[str, Any]] = {}
        for name, array in data.variables.items():
            encoding[name] = {}
            if array.ndim and name not in data.indexes and array.chunks is None:
                encoding[name]["chunks"] = _chunks(array, self._save_args.get("chunks", {}))
            if array.dtype.kind == "M" and _whole_seconds(array.values):
                encoding[name] |= {"units": "seconds since 1970-01-01", "dtype": "int64"}
        return encoding

    def _publish(self) -> None:
        """Makes the partial store the store."""
        partial, path = self._beside("partial"), str(self._path)
        if self._append is not None:
            self._remove(self._beside("pieces"))
        zarr.consolidate_metadata(self._store(partial), zarr_format=2)
        if not self._local:
            self._remove(path)
            self._copy_last_last(partial)
            self._remove(partial)
            return
        old = self._beside(f"old-{os.getpid()}-{uuid.uuid4().hex[:8]}")
        readers = [reader for known in _READERS.pop(path, []) if (reader := known()) is not None]
        if os.path.exists(path):
            os.rename(path, old)
        os.rename(partial, path)
        for reader in readers:
            reader.root = Path(old)
        _remove_after(old, readers)
        _sweep(self._path)

    def _copy_last_last(self, partial: str) -> None:
        """Object stores cannot rename: all is copied, the object that means completeness at the end."""
        names = [name for name in self._fs.find(partial) if not name.endswith(f"/{_LAST}")]
        root = self._fs._strip_protocol(partial)
        for name in [*names, f"{root}/{_LAST}"]:
            self._fs.copy(name, f"{self._path}{name[len(root) :]}")

    def _recover(self) -> None:
        """Puts the old store back if a kill fell between the two renames."""
        if self._local and not os.path.exists(str(self._path)):
            for old in sorted(Path(str(self._path.parent)).glob(f"{self._path.name}.old-*"))[:1]:
                os.rename(old, str(self._path))

    def _remove(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)


def _remove_after(path: str, readers: list[LocalStore]) -> None:
    """Removes a folder when its last reader is gone, at the latest when Python ends."""
    if not os.path.exists(path):
        return
    if not readers:
        shutil.rmtree(path)
        return
    left, owner = {id(reader) for reader in readers}, os.getpid()

    def gone(one: int) -> None:
        left.discard(one)
        if not left and os.getpid() == owner:  # not in a forked child, whose parent may read on
            shutil.rmtree(path, ignore_errors=True)

    for reader in readers:
        weakref.finalize(reader, gone, id(reader))


def _sweep(path: PurePosixPath) -> None:
    """Removes what processes that were killed have left behind."""
    for old in Path(path.parent).glob(f"{path.name}.old-*"):
        try:
            os.kill(int(old.name.split("-")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(old, ignore_errors=True)
        except (PermissionError, ValueError):
            continue  # another user's living process, or no store of ours


def _as_saved(data: xr.Dataset) -> xr.Dataset:
    """Variables in the order in which they were saved, words as numpy has them."""
    data = _with_words(data, str)
    order = data.attrs.pop(_ORDER, None)
    if not order or set(order) != set(data.data_vars):
        return data
    return data.drop_vars(order).assign({name: data[name] for name in order})


def _with_words(data: xr.Dataset, kind: type) -> xr.Dataset:
    """Text as this kind: `object` in the store, as a later piece may hold longer words; `str` here."""
    words: dict[Hashable, Any] = {
        name: (array.dims, np.array(array.values.tolist(), dtype=kind).reshape(array.shape), array.attrs)
        for name, array in data.variables.items()
        if array.dtype.kind in "UT"
    }
    return data.assign_coords({name: words[name] for name in words if name in data.coords}).assign(
        {name: words[name] for name in words if name in data.data_vars}
    )


def _whole_seconds(times: np.ndarray) -> bool:
    return not np.isnat(times).any() and bool(np.all(times == times.astype("M8[s]")))


def _chunks(array: xr.Variable, wanted: Mapping[str, int]) -> tuple[int, ...]:
    """As wanted; else whole fields, so many of the leading dimensions that a chunk holds about 8 MiB."""
    shape = [max(size, 1) for size in array.shape]
    if any(dim in wanted for dim in array.dims):
        return tuple(
            min(wanted.get(str(dim), size), size) for dim, size in zip(array.dims, shape, strict=True)
        )
    room = max(1, CHUNK_BYTES // max(array.dtype.itemsize, 1))
    chunks = []
    for size in reversed(shape):
        chunks.append(min(size, max(1, room)))
        room //= chunks[-1]
    return tuple(reversed(chunks))


def _evenly_chunked(data: xr.Dataset) -> xr.Dataset:
    """Zarr wants chunks of one size: the largest that dask has along each dimension."""
    chunked = {name: array for name, array in data.variables.items() if array.chunks is not None}
    if not chunked:
        return data
    largest = {
        name: {dim: max(sizes) for dim, sizes in zip(array.dims, array.chunks or (), strict=True)}
        for name, array in chunked.items()
    }
    even = {str(name): data[name].chunk(sizes) for name, sizes in largest.items()}
    return data.assign_coords({n: a for n, a in even.items() if n in data.coords}).assign(
        {n: a for n, a in even.items() if n in data.data_vars}
    )


def _ends(coordinate: xr.DataArray) -> str:
    values = coordinate.values.ravel()
    if not values.size:
        return "empty"
    return f"{values[0]} ... {values[-1]} ({values.size})" if values.size > 1 else str(values[0])


def _summary(array: xr.DataArray) -> str:
    dims = ", ".join(f"{dim}: {size}" for dim, size in array.sizes.items())
    return f"{array.dtype} ({dims}) {array.attrs.get('units', '')}".strip()


class _FileDataset(_Located):
    """One file, replaced in one step; how it is read and written is the subclass's."""

    def __init__(self, *, missing: str = "error", **settings: Any) -> None:
        """missing: what loading a file that is not there does: "error", or the subclass's own answer."""
        super().__init__(**settings)
        self._if_missing = missing

    @abstractmethod
    def _decode(self, content: bytes) -> Any:
        """What the file holds."""

    @abstractmethod
    def _encode(self, data: Any) -> bytes:
        """The file's new content."""

    def _nothing(self) -> Any:
        """What loading gives when the file is missing and that is no error."""
        return None

    def load(self) -> Any:
        """What the file holds."""
        if not self._exists():
            if self._if_missing != "error":
                return self._nothing()
            raise self._missing()
        return self._decode(self._fs.cat_file(str(self._path)))

    def save(self, data: Any) -> None:
        """Replaces the file."""
        content = self._encode(data)
        with _one_sentence(str(self._path)):
            if self._local:
                _replace(str(self._path), self._beside("partial"), content)
            else:
                self._fs.makedirs(str(self._path.parent), exist_ok=True)
                self._fs.pipe_file(str(self._path), content)

    def _exists(self) -> bool:
        return bool(self._fs.isfile(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "missing": self._if_missing}


def _replace(path: str, partial: str, content: bytes) -> None:
    """Writes beside, makes sure that it is on the disk, and renames."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        if os.path.exists(partial):
            os.remove(partial)
        raise


class BytesDataset(_FileDataset):
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


class FolderDataset(_Located):
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


class NetCDFDataset(_FileDataset):
    """An `xarray.Dataset` in a NetCDF file, made whole in memory; coordinates have no fill value, as CF asks."""

    def _decode(self, content: bytes) -> xr.Dataset:
        return xr.load_dataset(content, engine="netcdf4", **self._load_args)

    def _encode(self, data: xr.Dataset) -> bytes:
        data = data.copy()
        for name in data.coords:
            data[name].encoding["_FillValue"] = None
        return bytes(data.to_netcdf(engine="netcdf4", **self._save_args))


class TextDataset(_FileDataset):
    """Text in UTF-8, such as an HTML page."""

    def _decode(self, content: bytes) -> str:
        return content.decode("utf-8")

    def _encode(self, data: str) -> bytes:
        return data.encode("utf-8")


class JSONDataset(_FileDataset):
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


class TableDataset(_FileDataset):
    """A pandas table without its index, as CSV or Parquet by the suffix; numbers come back as they were.

    `missing: empty` loads an empty table when there is no file.
    """

    def __init__(self, *, missing: Literal["error", "empty"] = "error", **settings: Any) -> None:
        """missing: "error", or "empty"."""
        super().__init__(missing=missing, **settings)
        if self._path.suffix not in (".csv", ".parquet"):
            raise DatasetError(f"'{self._path}' is neither .csv nor .parquet: choose one of the two")

    def _decode(self, content: bytes) -> pd.DataFrame:
        if self._path.suffix == ".parquet":
            return pd.read_parquet(io.BytesIO(content), **self._load_args)
        if not content.strip():
            return pd.DataFrame()
        return pd.read_csv(io.BytesIO(content), **self._load_args)

    def _encode(self, data: pd.DataFrame) -> bytes:
        if self._path.suffix == ".parquet":
            return data.to_parquet(None, **{"index": False, **self._save_args})
        return data.to_csv(**{"index": False, "lineterminator": "\n", **self._save_args}).encode("utf-8")

    def _nothing(self) -> pd.DataFrame:
        return pd.DataFrame()

    def preview(self, nrows: int = 20) -> TablePreview:
        """The first rows, for kedro-viz."""
        return TablePreview(json.loads(self.load().head(nrows).to_json(orient="split", date_format="iso")))
