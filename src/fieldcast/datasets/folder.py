"""Files of one name under a folder."""

from collections.abc import Callable
from functools import partial
from typing import Any

from kedro.io.core import DatasetError

from fieldcast.datasets.base import FilesystemDataset


class FolderDataset(FilesystemDataset):
    """Files of one name under a folder, as {path of the file's folder: function that reads its bytes}.

    Files are read on demand, and written by other data sets; a missing folder holds none.
    """

    def __init__(self, *, name: str, **settings: Any) -> None:
        """name: the file name, such as `checkpoint.safetensors`."""
        super().__init__(**settings)
        self._name = name

    def load(self) -> dict[str, Callable[[], bytes]]:
        """List the files: functions that read them, by the path of their folder."""
        root, end = self._fs._strip_protocol(str(self._path)), f"/{self._name}"
        files = self._fs.find(root) if self._fs.isdir(root) else []
        return {
            file[len(root) :].removesuffix(end).strip("/"): partial(self._fs.cat_file, file)
            for file in files
            if file.endswith(end)
        }

    def save(self, data: Any) -> None:
        """Raise DatasetError: other data sets write the files."""
        raise DatasetError(f"'{self.location}' cannot be saved as a whole: its files are written one by one")

    def _exists(self) -> bool:
        return bool(self._fs.isdir(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "name": self._name}
