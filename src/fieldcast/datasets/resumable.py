"""A data set and, beside it, the state from which the node that makes it resumes."""

from typing import Any

from kedro.io.core import AbstractDataset

from fieldcast.datasets.files import BytesDataset


class ResumableDataset(AbstractDataset[Any, Any]):
    """Saves pairs (data, state), the state after the data; loads the data alone.

    ```yaml
    draws:
      type: fieldcast.datasets.ResumableDataset
      dataset: {type: fieldcast.datasets.ZarrDataset, filepath: data/draws.zarr, append: lead}
      state: data/state.safetensors
      metadata: {resume: true}              # the node is given what `earlier` returns
    ```
    """

    def __init__(
        self, *, dataset: dict[str, Any], state: str, metadata: dict[str, Any] | None = None
    ) -> None:
        """dataset: settings of the data set that holds the data; state: path of the file of the state."""
        self._dataset: Any = AbstractDataset.from_config("resumable", dict(dataset))
        self._state = BytesDataset(filepath=state, missing="none")
        self.metadata = metadata
        if hasattr(self._dataset, "preview"):
            self.preview = self._dataset.preview  # which kedro-viz looks for

    @property
    def _path(self) -> Any:
        return self._dataset._path

    def load(self) -> Any:
        """Load the data."""
        return self._dataset.load()

    def save(self, data: tuple[Any, bytes]) -> None:
        """Save the data, then the state; no bytes remove it."""
        content, state = data
        self._dataset.save(content)
        self._state.save(state)

    def earlier(self) -> tuple[int, bytes | None]:
        """Return what an interrupted run left: the number of complete pieces, and the state if there is one."""
        return self._dataset.unfinished(), self._state.load()

    def _exists(self) -> bool:
        return bool(self._dataset.exists())

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self._dataset._describe(), "state": str(self._state._path)}
