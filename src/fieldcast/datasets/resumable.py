"""A data set and, beside it, the state from which the node that makes it resumes."""

from typing import Any

from kedro.io.core import AbstractDataset

from fieldcast.datasets.files import BytesDataset


class ResumableDataset(AbstractDataset[Any, Any]):
    """Saves pairs (data, state), the state after the data; loads the data alone.

    A part of the pair that is None leaves what is stored: the last finished data, until new ones are finished.

    ```yaml
    draws:
      type: fieldcast.datasets.ResumableDataset
      dataset: {type: fieldcast.datasets.ZarrDataset, filepath: data/draws.zarr, append: lead}
      state: data/state.safetensors
      metadata: {resume: true}              # the node is given what `earlier` returns
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
        """Create the data set and the file of its state.

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
        settings = {**dataset, **({"credentials": credentials} if credentials else {})}
        self._dataset: Any = AbstractDataset.from_config("resumable", settings)
        self._state = BytesDataset(filepath=state, missing="none", credentials=credentials)
        self.metadata = metadata
        if hasattr(self._dataset, "preview"):
            self.preview = self._dataset.preview  # which kedro-viz looks for

    @property
    def _path(self) -> Any:
        return self._dataset._path

    @property
    def location(self) -> str:
        """The path of the data, with its protocol if it is remote."""
        return str(self._dataset.location)

    def load(self) -> Any:
        """Load the data."""
        return self._dataset.load()

    def save(self, data: tuple[Any, bytes | None]) -> None:
        """Save the data, then the state, which no bytes remove; None leaves either as it is.

        The first of several pieces removes the state of an earlier stream, which would continue the new one.
        """
        attrs = getattr(data[0], "attrs", {})
        if attrs.get("piece") == 0 and attrs.get("pieces", 1) > 1:
            self._state.save(b"")
        for dataset, part in zip((self._dataset, self._state), data, strict=True):
            if part is not None:
                dataset.save(part)

    def earlier(self) -> tuple[int, bytes | None, Any]:
        """Return what an earlier run left: the complete pieces of an interrupted one, the state, the complete data."""
        return self._dataset.unfinished(), self._state.load(), self._dataset.earlier()

    def _exists(self) -> bool:
        return bool(self._dataset.exists())

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self._dataset._describe(), "state": str(self._state._path)}
