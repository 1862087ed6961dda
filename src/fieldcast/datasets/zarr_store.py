"""Zarr stores with xarray, complete or absent, written at once or piece by piece."""

import asyncio
import json
import os
import time
import warnings
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import fsspec
from kedro.io.core import DatasetError

from fieldcast.datasets.atomic import (
    flush_folder,
    publish_folder,
    readable_folder,
    readable_write_errors,
)
from fieldcast.datasets.base import (
    DamagedError,
    FilesystemDataset,
    JSONPreview,
    location,
    refusing_damage,
    warn_of_damage,
)

if TYPE_CHECKING:  # else imported where data are read or written: to look for a store takes no second then
    from collections.abc import Hashable

    import xarray as xr

# the consolidated metadata in format 3 and 2; a store without them is not there
METADATA = "zarr.json", ".zmetadata"


class ZarrDataset(FilesystemDataset):
    """An `xarray.Dataset` in a Zarr store.

    ```yaml
    forecasts:
      type: fieldcast.datasets.ZarrDataset
      filepath: data/07_model_output/forecasts.zarr
      append: lead                          # a stream of pieces along this dimension
      load_args: {lazy: true}               # dask-backed; {chunks: {time: 100}} likewise; eager by default
      save_args: {chunks: {time: 64}}       # chunks on disk; by default whole fields, about 8 MiB
    # load_args: {lazy: auto}               # eager if it takes at most a quarter of the memory available
    # load_args: {lazy: 0.05}               # or another share
    # save_args: {chunk_bytes: 2097152}     # chunks of a power of two of whole fields, for random access
    ```

    Streams: a generator node yields pieces, each with the attributes `piece` (0, 1, ...) and `pieces` (how
    many there will be). Piece 0 starts a new store, the last one publishes it; until then `exists()` and `load()`
    see only the old store. A piece after the last one, `piece` equal to `pieces`, leaves the store as it is. The two
    attributes are not stored. A save without them writes a whole store.
    An interrupted stream resumes at any of its pieces, which replaces the pieces from there on; `unfinished` counts
    those that it has written.

    Stores are written in Zarr format 3; those in format 2 are read as well. All chunks are written, each with a
    checksum: reading a chunk of a local store that is missing or was changed raises DamagedError. In a remote store a
    changed chunk raises an error, too, but a missing one counts as fill values. Local files are flushed to the disk
    before they are renamed.

    A data set that is open lazily cannot be read any more when its store has been saved over, which raises
    DatasetError: load it again.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        append: str | None = None,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Set the path and the options.

        Parameters
        ----------
        append
            The dimension along which pieces are added.
        load_args, save_args
            See above.
        filepath, fs_args, credentials, metadata
            See FilesystemDataset.
        """
        super().__init__(
            filepath=filepath, load_args=load_args, save_args=save_args, fs_args=fs_args, credentials=credentials,
            metadata=metadata,
        )  # fmt: skip
        self._append = append

    def load(self) -> "xr.Dataset":
        """Load the data set into memory, or lazily if `load_args` say so."""
        return self._opened(**self._load_args)

    def _opened(self, **options: Any) -> "xr.Dataset":
        if not self._exists():
            raise self._missing()
        import xarray as xr

        from fieldcast.datasets.encoding import any_year, decoded
        from fieldcast.datasets.parts import MEMORY_SHARE, loaded_if_small, opened_in_parts

        lazy = options.pop("lazy", "chunks" in options)
        with refusing_damage(location(self)):
            if isinstance(lazy, str | float):
                share = MEMORY_SHARE if lazy == "auto" else float(lazy)
                return loaded_if_small(decoded(opened_in_parts(self._reader())), location(self), share)
            options = {"chunks": {} if lazy else None, **options}
            with any_year():
                data = decoded(xr.open_zarr(self._reader(), **options))
                return data if lazy else data.load()

    def earlier(self) -> "xr.Dataset | None":
        """The data set if it is there and none of its chunks is damaged; a lazy one is read once to see that."""
        if not self._exists():
            return None
        from fieldcast.datasets.parts import with_dask

        try:
            data: "xr.Dataset" = self.load()
            for array in (array for array in with_dask(data).variables.values() if array.chunks):
                for block in array.data.blocks.ravel():
                    block.compute()
        except DamagedError as error:
            warn_of_damage(error)
            return None
        return data

    def unfinished(self) -> int:
        """Count the complete pieces of an interrupted stream, by its record: a kill may leave half a piece.

        A stream in format 2, of an earlier version, starts anew.
        """
        record, begun = self._beside("pieces"), f"{self._beside('partial')}/{METADATA[0]}"
        return (
            len(json.loads(self._fs.cat_file(record)))
            if self._fs.exists(record) and self._fs.exists(begun)
            else 0
        )

    def save(self, data: "xr.Dataset") -> None:
        """Write a whole data set, or the next piece of a stream."""
        from zarr.core.sync import sync

        from fieldcast.datasets.encoding import ORDER_ATTR, with_text
        from fieldcast.datasets.parts import with_dask

        piece, pieces = int(data.attrs.get("piece", 0)), int(data.attrs.get("pieces", 1))
        if piece == pieces:
            return
        data = with_text(with_dask(data).drop_encoding(), object)
        data.attrs = {key: value for key, value in data.attrs.items() if key not in ("piece", "pieces")}
        data.attrs[ORDER_ATTR] = [str(name) for name in data.data_vars]
        with readable_write_errors(location(self)):
            try:
                self._write(data, piece)
                if piece == pieces - 1:
                    self._publish()
            except OSError:
                sync(other_writes_end())
                self._remove(self._beside("partial"))
                raise

    def preview(self) -> JSONPreview:
        """Show dimensions, coordinates, variables with units, and attributes in kedro-viz."""
        data = self._opened(lazy=True)
        text = {
            "dimensions": {str(dim): size for dim, size in data.sizes.items()},
            "coordinates": {str(name): ends(data[name]) for name in data.coords},
            "variables": {str(name): summary(data[name]) for name in data.data_vars},
            "attributes": {str(key): str(value) for key, value in data.attrs.items()},
        }
        return JSONPreview(json.dumps(text))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "append": self._append}

    def _exists(self) -> bool:
        folder = readable_folder(str(self._path)) if self._local else self._path
        return any(self._fs.exists(f"{folder}/{name}") for name in METADATA)

    def _reader(self) -> Any:
        if not self._local:
            return self._store(self._path)
        from fieldcast.datasets.encoding import CheckedStore

        return CheckedStore(readable_folder(str(self._path)))

    def _store(self, path: str | PurePosixPath) -> Any:
        return str(path) if self._local else self._fs.get_mapper(str(path))

    def _write(self, data: "xr.Dataset", piece: int) -> None:
        """Write to the partial store: the first piece starts it, others are appended."""
        from fieldcast.datasets.encoding import evenly_chunked

        partial, before, begin = self._beside("partial"), [], time.time()
        if piece == 0:
            self._remove(self._beside("pieces"))
            self._remove(partial)
            self._make_folder()
            options: dict[str, Any] = {"mode": "w", "encoding": self._encoding(data)}
        elif self._append is None:
            raise DatasetError(f"'{location(self)}' is given a stream: its catalog entry needs 'append'")
        elif not self._fs.exists(partial):
            raise DatasetError(
                f"'{location(self)}' is given piece {piece} of a stream without its start: run it again"
            )
        else:
            # variables without the dimension are those of the first piece
            options = {"mode": "a-", "append_dim": self._append}
            before = self._cut(partial, piece)
        with warnings.catch_warnings():
            # xarray would store later times in another unit under the name of the first
            warnings.filterwarnings("error", "Times can't be serialized faithfully")
            evenly_chunked(data, self._save_args.get("chunk_bytes")).to_zarr(
                self._store(partial), consolidated=False, zarr_format=3, write_empty_chunks=True, **options
            )
        if self._append is not None:
            lengths = [*before, sum(before[-1:]) + data.sizes.get(self._append, 0)]
            if self._local:
                flush_folder(partial, since=begin)  # before a state is saved that relies on this piece
            self._fs.pipe_file(self._beside("pieces"), json.dumps(lengths).encode())

    def _cut(self, partial: str, piece: int) -> list[int]:
        """Cut off what an interrupted stream wrote from this piece on; returns the length after each earlier piece."""
        import zarr

        lengths: list[int] = json.loads(self._fs.cat_file(self._beside("pieces")))[:piece]
        if len(lengths) < piece:
            raise DatasetError(f"'{location(self)}' lacks a piece of its stream: run it again from its start")
        for _, array in zarr.open_group(self._store(partial), mode="r+").arrays():
            metadata: Any = array.metadata
            dims = metadata.dimension_names
            if self._append in dims:
                along = dims.index(str(self._append))
                if array.shape[along] > lengths[-1]:
                    array.resize((*array.shape[:along], lengths[-1], *array.shape[along + 1 :]))
        return lengths

    def _encoding(self, data: "xr.Dataset") -> "dict[Hashable, dict[str, Any]]":
        """Choose chunks and filters, and the unit of times, which all pieces share."""
        from fieldcast.datasets.encoding import COMPRESSORS, chunks_of, power_of_two, time_encoding

        encoding: dict[Hashable, dict[str, Any]] = {}
        for name, array in data.variables.items():
            encoding[name] = {"compressors": COMPRESSORS}
            size, requested = self._save_args.get("chunk_bytes"), self._save_args.get("chunks", {})
            if array.ndim and name not in data.indexes and (array.chunks is None or size):
                encoding[name]["chunks"] = power_of_two(array, size) if size else chunks_of(array, requested)
            if array.dtype.kind in "MO":
                encoding[name] |= time_encoding(array.values)
        return encoding

    def _publish(self) -> None:
        """Put the partial store in its place."""
        import zarr

        partial = self._beside("partial")
        if self._append is not None:
            self._remove(self._beside("pieces"))
        with warnings.catch_warnings():
            # a reader that does not know them, as the specification does not, opens each array by itself
            warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
            zarr.consolidate_metadata(self._store(partial), zarr_format=3)
        if self._local:
            publish_folder(partial, str(self._path))
        else:
            publish_objects(self._fs, partial, str(self._path))

    def _remove(self, path: str) -> None:
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)


def publish_objects(fs: fsspec.AbstractFileSystem, partial: str, path: str) -> None:
    """Move a remote store to its place, object by object, because object stores cannot rename.

    The metadata of the whole are the first object that is removed, and the last that is copied: whenever this is cut
    short, the store is complete or counts as missing.
    """
    for name in METADATA:
        if fs.exists(f"{path}/{name}"):
            fs.rm_file(f"{path}/{name}")
    if fs.exists(path):
        fs.rm(path, recursive=True)
    root = fs._strip_protocol(partial)
    last = f"{root}/{METADATA[0]}"
    names = [name for name in fs.find(partial) if name != last]
    fs.copy(names, [f"{path}{name[len(root) :]}" for name in names])  # in parallel, if the store supports it
    fs.copy(last, f"{path}/{METADATA[0]}")
    fs.rm(partial, recursive=True)


async def other_writes_end() -> None:
    """Wait for the other writes: when one fails, zarr raises while the others go on, into a store to be removed."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)


def ends(coordinate: "xr.DataArray") -> str:
    """Describe a coordinate by its first and last value and its length."""
    values = coordinate.values.ravel()
    if not values.size:
        return "empty"
    return f"{values[0]} ... {values[-1]} ({values.size})" if values.size > 1 else str(values[0])


def summary(array: "xr.DataArray") -> str:
    """Describe a variable by type, dimensions and unit."""
    dims = ", ".join(f"{dim}: {size}" for dim, size in array.sizes.items())
    return f"{array.dtype} ({dims}) {array.attrs.get('units', '')}".strip()
