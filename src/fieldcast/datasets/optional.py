"""Data sets around others: a file that may be missing, what an earlier run left, data with a state, stored results."""

import inspect
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatch
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.io.core import AbstractDataset, DatasetError
from kedro.utils import load_obj

from fieldcast.datasets.base import FilesystemDataset, TablePreview, earlier, location
from fieldcast.datasets.files import BytesDataset

if TYPE_CHECKING:
    import pandas as pd


class Around(AbstractDataset[Any, Any]):
    """A data set around another one, whose preview it has."""

    _dataset: Any

    @property
    def preview(self) -> Callable[..., Any]:
        """The preview of the data set within; kedro-viz looks for its type in the annotation of its result."""
        preview = self._dataset.preview
        kind = inspect.signature(preview).return_annotation  # a class, or its name
        is_table = getattr(kind, "__name__", kind) == TablePreview.__name__
        return partial(table_preview, self.load) if is_table else preview

    def _exists(self) -> bool:
        self._dataset.release()  # which forgets listings: another data set may have written since
        return bool(self._dataset.exists())

    def _release(self) -> None:
        self._dataset.release()

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self._dataset._describe()}


class OptionalDataset(Around):
    """Any data set whose file may be missing.

    ```yaml
    history:
      type: fieldcast.datasets.OptionalDataset
      dataset: {type: pandas.CSVDataset, filepath: data/history.csv}
      missing: pandas.DataFrame             # made without arguments and loaded instead; without this key None
    ```
    """

    def __init__(
        self,
        *,
        dataset: dict[str, Any],
        missing: str | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the data set within.

        Parameters
        ----------
        dataset
            Settings of the data set.
        missing
            Class of the object that is loaded if there is no file.
        credentials
            Passed to fsspec: Kedro prints catalogs without credentials only at this level.
        metadata
            For hooks and plugins, such as kedro-viz.
        """
        self._dataset = within(dataset, credentials)
        self._missing, self.metadata = missing, metadata

    def load(self) -> Any:
        """Load the data, or what stands in for them."""
        data = self._stored()
        return load_obj(self._missing)() if data is None and self._missing else data

    def save(self, data: Any) -> None:
        self._dataset.save(data)

    def _stored(self) -> Any:
        try:
            return self._dataset.load() if self._exists() else None
        except DatasetError as error:
            if (
                type(error.__cause__).__name__ == "EmptyDataError"
            ):  # of pandas: earlier versions wrote no columns
                return None
            raise


class PreviousDataset(Around):
    """Loads a function that reads what an earlier run has stored by another entry of the catalog.

    The function returns None if there is nothing, or if it is damaged; of a `ResumableDataset` it returns the complete
    pieces of an interrupted stream, its state, and the complete data. For a node that resumes: an acyclic graph has no
    other way to its own output. Named as a parameter, such an entry is no box of kedro-viz's graph; kedro-viz loads all
    parameters, and a function costs it nothing.

    ```yaml
    draws: &draws {type: fieldcast.datasets.ZarrDataset, filepath: data/draws.zarr}
    previous_draws: {type: fieldcast.datasets.PreviousDataset, dataset: *draws, metadata: {optional: true}}
    ```
    """

    def __init__(self, *, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """dataset: the other entry; metadata: for hooks and plugins, such as kedro-viz."""
        self._dataset = within(
            {key: dataset[key] for key in dataset if key not in ("metadata", "validator")}, None
        )
        self.metadata = metadata

    def load(self) -> Any:
        """Load a function that reads what is stored, as the entry itself gives it to a run that resumes."""
        return partial(earlier, self._dataset)

    def save(self, data: Any) -> None:
        """Raise DatasetError: the other entry writes the file."""
        raise DatasetError("what an earlier run left is read only")


class ResumableDataset(Around):
    """Saves pairs (data, state), the state after the data; loads the data alone.

    A part of the pair that is None leaves what is stored: the last finished data, until new ones are finished.

    ```yaml
    draws:
      type: fieldcast.datasets.ResumableDataset
      dataset: {type: fieldcast.datasets.ZarrDataset, filepath: data/draws.zarr, append: lead}
      state: data/state.safetensors
    ```
    """

    def __init__(
        self,
        *,
        dataset: dict[str, Any],
        state: str,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Create the data set within and the file of its state.

        Parameters
        ----------
        dataset
            Settings of the data set that holds the data.
        state
            Path of the file of the state.
        credentials
            Passed to fsspec, for data and state: Kedro prints catalogs without credentials only at this level.
        metadata
            For hooks and plugins, such as kedro-viz.
        """
        self._dataset = within(dataset, credentials)
        self._state = BytesDataset(filepath=state, credentials=credentials)
        self.metadata = metadata

    def load(self) -> Any:
        """Load the data."""
        return self._dataset.load()

    def save(self, data: tuple[Any, bytes | None]) -> None:
        """Save the data, then the state, which no bytes remove; None leaves either as it is.

        The first of several pieces removes the state of an earlier stream, which would continue the new one.
        """
        content, state = data
        attrs = getattr(content, "attrs", {})
        if attrs.get("piece") == 0 and attrs.get("pieces", 1) > 1:
            self._state.save(b"")
        for dataset, part in ((self._dataset, content), (self._state, state)):
            if part is not None:
                dataset.save(part)

    def earlier(self) -> tuple[int, bytes | None, Any]:
        """Return what an earlier run left: the complete pieces of an interrupted one, the state, the complete data."""
        pieces = self._dataset.unfinished() if hasattr(self._dataset, "unfinished") else 0
        return pieces, self._state.load() if self._state.exists() else None, earlier(self._dataset)

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "state": self._state._describe()["filepath"]}


def within(dataset: dict[str, Any], credentials: dict[str, Any] | None) -> Any:
    """The data set of these settings, with the credentials of the one around it."""
    return AbstractDataset.from_config(
        "dataset", {**dataset, **({"credentials": credentials} if credentials else {})}
    )


def table_preview(
    load: Callable[[], "pd.DataFrame"],
    nrows: int = 20,
    where: Mapping[str, Sequence[Any]] | None = None,
    sort: str | None = None,
) -> TablePreview:
    """Show the first rows of a table in kedro-viz.

    where: show only rows with one of these values in a column; sort: order rows by this column. Columns that the table
    lacks are ignored, so that one catalog pattern serves tables of several layouts.
    """
    table = load()
    for column, values in (where or {}).items():
        table = table[table[column].isin(values)] if column in table else table
    table = table.sort_values(sort) if sort in table else table
    return TablePreview(json.loads(table.head(nrows).to_json(orient="split", date_format="iso")))


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
