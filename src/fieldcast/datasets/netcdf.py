"""An xarray data set in a NetCDF file."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING

from fieldcast.atomic import atomic
from fieldcast.datasets.base import readable_write_errors
from fieldcast.datasets.files import FileDataset

if TYPE_CHECKING:
    import xarray as xr

MIN_FREE_BYTES = 2**20  # free space below which a failed write is explained by a full disk


class NetCDFDataset(FileDataset):
    """An `xarray.Dataset` in a NetCDF file; its coordinates have no fill value (CF).

    It is read as a whole. Lazy data are written to a local file block by block.
    """

    def save(self, data: "xr.Dataset") -> None:
        """Replace the file."""
        if not self._local:
            super().save(data)
            return
        with (
            readable_write_errors(self.location),
            atomic(self._path) as partial,
            explained_hdf_errors(self._path.parent),
        ):
            self._bare(data).to_netcdf(partial, engine="netcdf4", **self._save_args)

    def _decode(self, content: bytes) -> "xr.Dataset":
        import xarray as xr  # here: an existing file is noticed without the second that this import takes

        return xr.load_dataset(content, engine="netcdf4", **self._load_args)

    def _encode(self, data: "xr.Dataset") -> bytes:
        return bytes(self._bare(data).to_netcdf(engine="netcdf4", **self._save_args))

    def _bare(self, data: "xr.Dataset") -> "xr.Dataset":
        """The data without fill values of the coordinates."""
        data = data.copy()
        for name in data.coords:
            data[name].encoding["_FillValue"] = None
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
