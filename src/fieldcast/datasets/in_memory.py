"""Data that nodes of one run hand on, under every runner."""

import pickle
from typing import Any

from kedro.io import MemoryDataset, SharedMemoryDataset
from kedro.io.core import DatasetError


class InMemoryDataset(SharedMemoryDataset):
    """Data of one run, handed on without a copy, or between processes through the manager of `ParallelRunner`.

    Kedro's `MemoryDataset`, once declared in a catalog, is empty in all processes but the one that saves it. The
    manager holds bytes: it would otherwise import the classes of all data, in threads that can wait for each other.
    """

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        """metadata: for hooks and plugins, such as kedro-viz."""
        super().__init__()
        self._in_process = MemoryDataset(copy_mode="assign")
        self.metadata = metadata

    def load(self) -> Any:
        """Return what has been saved in this run; raises DatasetError if nothing has."""
        return self._in_process.load() if self.shared_memory_dataset is None else pickle.loads(super().load())

    def save(self, data: Any) -> None:
        """Keep the data until no node of the run needs them any more; raises DatasetError if they cannot be sent."""
        if self.shared_memory_dataset is None:
            self._in_process.save(data)
            return
        try:
            sent = pickle.dumps(data)
        except (AttributeError, TypeError, pickle.PicklingError) as error:
            raise DatasetError(
                f"{type(data).__name__} cannot be sent to another process ({error})"
            ) from error
        super().save(sent)

    def _exists(self) -> bool:
        return self._in_process.exists() if self.shared_memory_dataset is None else super()._exists()

    def _release(self) -> None:
        self._in_process.release()
