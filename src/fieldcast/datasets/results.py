"""Results that the experiments of a task have stored, as one data set."""

import os
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

from kedro.io.core import DatasetError

from fieldcast.datasets.base import FilesystemDataset, location
from fieldcast.datasets.optional import OptionalDataset


class ResultsDataset(FilesystemDataset):
    """Results under a data root, each read on demand.

    Other data sets write the files: parts of a result as `<layer>/<task>/<experiment>/<part>.<suffix>`, and what
    draws are scored on as `04_feature/<name>.<suffix>`.

    ```yaml
    stored:
      type: fieldcast.datasets.ResultsDataset
      filepath: data
      task: forecast
      datasets: {.csv: {type: pandas.CSVDataset}, .parquet: {type: pandas.ParquetDataset}}
    ```
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        task: str,
        datasets: Mapping[str, dict[str, Any]],
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Set the data root, local or remote, and what to list.

        Parameters
        ----------
        filepath
            The data root.
        task
            The name of a task.
        datasets
            Settings of the data set for each suffix; files with others are not listed.
        credentials, metadata
            See FilesystemDataset.
        """
        super().__init__(filepath=filepath, credentials=credentials, metadata=metadata)
        self._task, self._datasets = task, dict(datasets)

    def load(self) -> dict[str, Any]:
        """{part: {experiment: function that reads it}}, and {name: function} of what draws are scored on."""
        listed: dict[str, Any] = {path.stem: read for path, read in self._files("04_feature/*")}
        for path, read in self._files(f"*/{self._task}/*/*"):
            listed.setdefault(path.stem, {})[path.parent.name] = read
        return listed

    def save(self, data: Any) -> None:
        """Raise DatasetError: other data sets write the files."""
        raise DatasetError(f"'{location(self)}' cannot be saved as a whole: its files are written one by one")

    def _files(self, pattern: str) -> Iterator[tuple[PurePosixPath, Callable[[], Any]]]:
        paths = [PurePosixPath(self._path)]
        for part in pattern.split("/"):  # fsspec's own glob does not enter folders that are links
            paths = [entry for path in paths for entry in self._entries(path) if fnmatch(entry.name, part)]
        for path in sorted(paths):
            if path.suffix in self._datasets:
                settings = {**self._datasets[path.suffix], "filepath": f"{self._protocol}://{path}"}
                yield path, OptionalDataset(dataset=settings, credentials=self._fs_args).load

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
