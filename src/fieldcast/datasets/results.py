"""The results of all experiments of a task, as one data set."""

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io import MemoryDataset
from kedro.io.core import get_protocol_and_path

from fieldcast.datasets.base import FilesystemDataset
from fieldcast.datasets.files import BytesDataset, JSONDataset, TableDataset
from fieldcast.datasets.zarr_store import ZarrDataset

DATASETS: dict[str, type[FilesystemDataset]] = {
    ".csv": TableDataset,
    ".json": JSONDataset,
    ".parquet": TableDataset,
    ".safetensors": BytesDataset,
    ".zarr": ZarrDataset,
}


class ResultsDataset(MemoryDataset):
    """Results in memory; those of earlier runs are in the files of the experiments, under a data root.

    Other data sets write the files: parts of a result as `<layer>/<task>/<experiment>/<part>.<suffix>`, and what
    draws are scored on as `04_feature/<name>.<suffix>`.
    """

    def __init__(self, *, filepath: str, task: str, metadata: dict[str, Any] | None = None) -> None:
        """filepath: the data root, local or remote; task: the name of a task."""
        super().__init__(copy_mode="assign", metadata=metadata)
        self._root, self._task = filepath, task

    def earlier(self) -> dict[str, Any]:
        """{part: {experiment: function that reads it}}, and {name: function} of what draws are scored on."""
        listed: dict[str, Any] = {path.stem: read for path, read in self._files("04_feature/*")}
        for path, read in self._files(f"*/{self._task}/*/*"):
            listed.setdefault(path.stem, {})[path.parent.name] = read
        return listed

    def _files(self, pattern: str) -> list[tuple[PurePosixPath, Callable[[], Any]]]:
        protocol, root = get_protocol_and_path(self._root)
        scheme = "" if protocol == "file" else f"{protocol}://"
        paths = [
            PurePosixPath(name) for name in sorted(fsspec.filesystem(protocol).glob(f"{root}/{pattern}"))
        ]
        return [
            (path, DATASETS[path.suffix](filepath=f"{scheme}{path}").load)
            for path in paths
            if path.suffix in DATASETS
        ]

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._root, "task": self._task}
