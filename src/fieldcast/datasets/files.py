"""Data sets in one file: what they share, and bytes, text and JSON.

kedro-datasets has such classes, but none that replaces its file in one step, flushes it to the disk and refuses a
damaged one; wrapping them takes as many lines as these codecs, and text and empty CSV files do not survive them.
"""

import json
from abc import abstractmethod
from typing import Any, Literal

from kedro_datasets._typing import JSONPreview

from fieldcast.atomic import write_atomically
from fieldcast.datasets.base import FilesystemDataset, readable_write_errors
from fieldcast.datasets.damage import refusing_damage


class FileDataset(FilesystemDataset):
    """One file, replaced in one step; the subclass decodes and encodes its content."""

    def __init__(self, *, missing: str = "error", **settings: Any) -> None:
        """missing: loading an absent file raises ("error") or returns the subclass's substitute (any other value)."""
        super().__init__(**settings)
        self._if_missing = missing

    @abstractmethod
    def _decode(self, content: bytes) -> Any:
        """Turn the content of the file into data."""

    @abstractmethod
    def _encode(self, data: Any) -> bytes:
        """Turn data into the content of the file."""

    def _substitute(self) -> Any:
        """Substitute for a missing file."""
        return None

    def load(self) -> Any:
        """Read the file.

        Raises DatasetError if it is missing, DamagedError if it cannot be decoded.
        """
        if not self._exists():
            if self._if_missing != "error":
                return self._substitute()
            raise self._missing()
        content = self._fs.cat_file(str(self._path))
        with refusing_damage(self.location):
            return self._decode(content)

    def save(self, data: Any) -> None:
        """Replace the file."""
        content = self._encode(data)
        with readable_write_errors(self.location):
            if self._local:
                write_atomically(self._path, content)
            else:
                self._make_folder()
                self._fs.pipe_file(str(self._path), content)

    def _exists(self) -> bool:
        return bool(self._fs.isfile(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {**super()._describe(), "missing": self._if_missing}


class BytesDataset(FileDataset):
    """Bytes as they are; `missing: none` loads None if there is no file, and saving no bytes removes it."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: the result of loading without a file, an "error" or "none"."""
        super().__init__(missing=missing, **settings)

    def save(self, data: bytes) -> None:
        """Replace the file, or remove it if there are no bytes."""
        if data:
            super().save(data)
        elif self._exists():
            self._fs.rm_file(str(self._path))

    def _decode(self, content: bytes) -> bytes:
        return content

    def _encode(self, data: bytes) -> bytes:
        return bytes(data)


class TextDataset(FileDataset):
    """Text in UTF-8, such as an HTML page."""

    def _decode(self, content: bytes) -> str:
        return content.decode("utf-8")

    def _encode(self, data: str) -> bytes:
        return data.encode("utf-8")


class JSONDataset(FileDataset):
    """JSON; `missing: none` loads None if there is no file."""

    def __init__(self, *, missing: Literal["error", "none"] = "error", **settings: Any) -> None:
        """missing: the result of loading without a file, an "error" or "none"."""
        super().__init__(missing=missing, **settings)

    def _decode(self, content: bytes) -> Any:
        return json.loads(content)

    def _encode(self, data: Any) -> bytes:
        options = {"indent": 1, "ensure_ascii": False, **self._save_args}
        return f"{json.dumps(data, **options)}\n".encode()

    def preview(self) -> JSONPreview:
        """Show the content in kedro-viz."""
        return JSONPreview(json.dumps(self.load()))
