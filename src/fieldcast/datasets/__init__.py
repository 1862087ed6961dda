"""Kedro data sets that are complete or absent: Zarr stores and NetCDF files with xarray, tables, JSON, text, bytes,
folders of such files, and memory.

`save` writes beside the target as `<name>.partial` and renames at the end: `exists()` means complete, and an
interrupted or failed write leaves the old version unharmed (a folder of pictures is replaced file by file). Checksums
reveal what a disk has damaged; loading it raises DamagedError. Paths may be local or remote (fsspec).

files        bytes, text, JSON; tables, netcdf: other formats; folder: files of one name in its subfolders
zarr_store   Zarr stores; encoding: their layout; retired_stores: their replacement while they are read
remote_stores  the replacement of stores object by object
parts        data that may not fit in memory, which `memory` measures
resumable    a data set with the state from which its node resumes
results      what the experiments of a task have stored
pictures     PNG files
in_memory    what nodes of one run hand on
base         paths, and readable errors of writing
damage       errors of damaged data; checked: detection in a Zarr store
"""

from fieldcast.datasets.damage import DamagedError
from fieldcast.datasets.files import BytesDataset, JSONDataset, TextDataset
from fieldcast.datasets.folder import FolderDataset
from fieldcast.datasets.in_memory import InMemoryDataset
from fieldcast.datasets.netcdf import NetCDFDataset
from fieldcast.datasets.pictures import PictureDataset, PicturesDataset
from fieldcast.datasets.results import ResultsDataset
from fieldcast.datasets.resumable import ResumableDataset
from fieldcast.datasets.tables import TableDataset
from fieldcast.datasets.zarr_store import ZarrDataset

__all__ = [
    "BytesDataset",
    "DamagedError",
    "FolderDataset",
    "InMemoryDataset",
    "JSONDataset",
    "NetCDFDataset",
    "PictureDataset",
    "PicturesDataset",
    "ResultsDataset",
    "ResumableDataset",
    "TableDataset",
    "TextDataset",
    "ZarrDataset",
]
