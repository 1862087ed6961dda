"""Results that the experiments of a task have stored, as one data set."""

from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from kedro.io.core import DatasetError

from fieldcast.datasets.base import FilesystemDataset
from fieldcast.datasets.files import BytesDataset, JSONDataset
from fieldcast.datasets.tables import TableDataset
from fieldcast.datasets.zarr_store import ZarrDataset

DATASETS: dict[str, type[FilesystemDataset]] = {
    ".csv": TableDataset,
    ".json": JSONDataset,
    ".parquet": TableDataset,
    ".safetensors": BytesDataset,
    ".zarr": ZarrDataset,
}


class ResultsDataset(FilesystemDataset):
    """Results under a data root, each read on demand.

    Other data sets write the files: parts of a result as `<layer>/<task>/<experiment>/<part>.<suffix>`, and what
    draws are scored on as `04_feature/<name>.<suffix>`.
    """

    def __init__(self, *, task: str, **settings: Any) -> None:
        """task: the name of a task; `filepath` is the data root, local or remote."""
        super().__init__(**settings)
        self._task = task

    def load(self) -> dict[str, Any]:
        """{part: {experiment: function that reads it}}, and {name: function} of what draws are scored on."""
        listed: dict[str, Any] = {path.stem: read for path, read in self._files("04_feature/*")}
        for path, read in self._files(f"*/{self._task}/*/*"):
            listed.setdefault(path.stem, {})[path.parent.name] = read
        return listed

    def save(self, data: Any) -> None:
        """Raise DatasetError: other data sets write the files."""
        raise DatasetError(f"'{self.location}' cannot be saved as a whole: its files are written one by one")

    def _files(self, pattern: str) -> list[tuple[PurePosixPath, Callable[[], Any]]]:
        paths = [PurePosixPath(self._path)]
        for part in pattern.split("/"):  # fsspec's own glob does not enter folders that are links
            paths = [entry for path in paths for entry in self._entries(path) if fnmatch(entry.name, part)]
        return [
            (path, DATASETS[path.suffix](filepath=self._located(path), fs_args=self._fs_args).load)
            for path in sorted(paths)
            if path.suffix in DATASETS
        ]

    def _entries(self, folder: PurePosixPath) -> list[PurePosixPath]:
        """Everything in a folder; nothing if it is a file or does not exist."""
        try:
            listed = [PurePosixPath(name) for name in self._fs.ls(str(folder), detail=False)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [entry for entry in listed if entry != folder]

    def _exists(self) -> bool:
        return bool(self._fs.isdir(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "task": self._task}
