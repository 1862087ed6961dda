"""Data sets of files that kedro-datasets lacks: bytes, pictures, folders of pictures, NetCDF with checksums."""

import base64
import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from fieldcast.atomic import atomic
from fieldcast.datasets.atomic import publish_folder, readable_write_errors
from fieldcast.datasets.base import FilesystemDataset, HTMLPreview, ImagePreview, location, refusing_damage

if TYPE_CHECKING:
    import xarray as xr

FIGURE = (
    '<figure style="margin: 0 0 16px"><figcaption>{title}</figcaption>'
    '<img alt="{title}" style="width: 100%" src="data:image/png;base64,{content}"></figure>'
)
MIN_FREE_BYTES = 2**20  # free space below which a failed write is explained by a full disk


class BytesDataset(FilesystemDataset):
    """A file as bytes, such as safetensors. Saving no bytes removes it."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """See FilesystemDataset."""
        super().__init__(filepath=filepath, fs_args=fs_args, credentials=credentials, metadata=metadata)

    def load(self) -> bytes:
        """Read the file; raises DatasetError if it is missing."""
        if not self._exists():
            raise self._missing()
        return bytes(self._fs.cat_file(str(self._path)))

    def save(self, data: bytes) -> None:
        """Replace the file, or remove it if there are no bytes."""
        if data:
            self._make_folder()
            self._fs.pipe_file(str(self._path), data)
        elif self._exists():
            self._fs.rm_file(str(self._path))


class PictureDataset(BytesDataset):
    """One picture, as the bytes of its file, which kedro-viz shows."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """See FilesystemDataset."""
        super().__init__(filepath=filepath, fs_args=fs_args, credentials=credentials, metadata=metadata)

    def preview(self) -> ImagePreview:
        """The picture (base64 of the file)."""
        return ImagePreview(base64.b64encode(self.load()).decode())


class PicturesDataset(FilesystemDataset):
    """PNG files in one folder: saves {name: content} in place of all earlier files, loads {name: function}.

    A local folder whose writing was interrupted is not there.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """filepath: the folder; the others: see FilesystemDataset."""
        super().__init__(filepath=filepath, fs_args=fs_args, credentials=credentials, metadata=metadata)

    def load(self) -> dict[str, Callable[[], bytes]]:
        """List the files: functions that read them, by name; none if there is no file."""
        files = self._fs.glob(f"{self._path}/*.png")
        return {PurePath(file).stem: partial(self._fs.cat_file, file) for file in files}

    def save(self, data: Mapping[str, bytes]) -> None:
        """Replace all files; the folder is there also if there are none."""
        folder = self._beside("partial") if self._local else str(self._path)  # remote ones cannot be renamed
        with readable_write_errors(location(self)):
            if self._fs.exists(folder):
                self._fs.rm(folder, recursive=True)
            self._fs.makedirs(folder, exist_ok=True)
            for name, content in data.items():
                self._fs.pipe_file(f"{folder}/{name}.png", content)
            if self._local:
                publish_folder(folder, str(self._path))

    def _exists(self) -> bool:
        return bool(self._fs.isdir(str(self._path)))

    def preview(self) -> HTMLPreview:
        """Show each picture below its name in kedro-viz, in the order of the names."""
        figures = []
        for name, load in sorted(self.load().items()):
            # kedro-viz reads underscores as Markdown, in attributes too
            title = escape(name.replace("_", " "))
            figures.append(FIGURE.format(title=title, content=base64.b64encode(load()).decode()))
        return HTMLPreview("".join(figures))


class NetCDFDataset(FilesystemDataset):
    """An `xarray.Dataset` in a NetCDF file with checksums; its coordinates have no fill value (CF).

    It is read as a whole. Lazy data are written to a local file block by block.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Set the path and the options.

        Parameters
        ----------
        load_args, save_args
            Options of `xarray.load_dataset` and of `to_netcdf`.
        filepath, fs_args, credentials, metadata
            See FilesystemDataset.
        """
        super().__init__(
            filepath=filepath, load_args=load_args, save_args=save_args, fs_args=fs_args, credentials=credentials,
            metadata=metadata,
        )  # fmt: skip

    def load(self) -> "xr.Dataset":
        """Read the file; raises DatasetError if it is missing, DamagedError if it cannot be decoded."""
        import xarray as xr  # here: an existing file is noticed without the second that this import takes

        if not self._exists():
            raise self._missing()
        with refusing_damage(location(self)):
            source = str(self._path) if self._local else self._fs.cat_file(str(self._path))
            return xr.load_dataset(source, engine="netcdf4", **self._load_args)

    def save(self, data: "xr.Dataset") -> None:
        """Replace the file."""
        data, options = encoded(data), {"engine": "netcdf4", **self._save_args}
        with readable_write_errors(location(self)):
            if not self._local:
                self._make_folder()
                self._fs.pipe_file(str(self._path), bytes(data.to_netcdf(**options)))
                return
            with atomic(self._path) as unfinished, explained_hdf_errors(self._path.parent):
                data.to_netcdf(unfinished, **options)


def encoded(data: "xr.Dataset") -> "xr.Dataset":
    """The data with a checksum for each array of numbers, and without fill values of the coordinates."""
    data = data.copy()
    for name, array in data.variables.items():
        if name in data.coords:
            data[name].encoding["_FillValue"] = None
        if array.ndim and array.size and array.dtype.kind in "fiub":
            data[name].encoding["fletcher32"] = True
            data[name].encoding.pop("contiguous", None)
    return data


@contextmanager
def explained_hdf_errors(folder: PurePath) -> Iterator[None]:
    """Turn an error of the HDF library, which does not say why a write failed, into that of the operating system."""
    try:
        yield
    except RuntimeError as error:
        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise OSError(str(error)) from error
