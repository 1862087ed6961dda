"""Kedro data sets that are complete or absent: what kedro-datasets lacks, and the file system under all of them.

A file is written beside its place and renamed at the end: `exists()` means complete, and an interrupted or failed
write leaves the old version unharmed. Checksums reveal what a disk has damaged; loading it raises DamagedError. Paths
may be local or remote (fsspec).

atomic       `atomic://`, the local file system with files that appear whole or not at all
base         paths, damage, and what an earlier run left
files        bytes, pictures, folders of pictures, NetCDF files
optional     data sets around others: a file that may be missing, what an earlier run left, data with a state, what the
             experiments of a task have stored
in_memory    what nodes of one run hand on
zarr_store   Zarr stores, written at once or piece by piece; encoding: their layout, and chunks that are checked
parts        data that may not fit in memory, and how much of it is available
"""

from fieldcast.datasets.base import DamagedError
from fieldcast.datasets.files import BytesDataset, NetCDFDataset, PictureDataset, PicturesDataset
from fieldcast.datasets.in_memory import InMemoryDataset
from fieldcast.datasets.optional import OptionalDataset, PreviousDataset, ResultsDataset, ResumableDataset
from fieldcast.datasets.zarr_store import ZarrDataset

__all__ = [
    "BytesDataset",
    "DamagedError",
    "InMemoryDataset",
    "NetCDFDataset",
    "OptionalDataset",
    "PictureDataset",
    "PicturesDataset",
    "PreviousDataset",
    "ResultsDataset",
    "ResumableDataset",
    "ZarrDataset",
]
