"""Kedro data sets that are whole or absent: Zarr stores and NetCDF files with xarray, tables, JSON, text, bytes;
and folders of such files.

What is saved is written beside its place as `<name>.partial` and renamed when whole: `exists()` means
complete, and an interrupted or failed write harms nothing that was there. What a disk has damaged is refused by its
checksums, as a DamagedError. Paths may be local or remote
(fsspec).
"""

from fieldcast.datasets.checked import DamagedError
from fieldcast.datasets.files import (
    BytesDataset,
    FolderDataset,
    JSONDataset,
    NetCDFDataset,
    TableDataset,
    TextDataset,
)
from fieldcast.datasets.pictures import PicturesDataset
from fieldcast.datasets.zarr_store import ZarrDataset

__all__ = [
    "BytesDataset",
    "DamagedError",
    "FolderDataset",
    "JSONDataset",
    "NetCDFDataset",
    "PicturesDataset",
    "TableDataset",
    "TextDataset",
    "ZarrDataset",
]
