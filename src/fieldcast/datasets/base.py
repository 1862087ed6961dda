"""What all data sets share: a path of a filesystem, and one sentence for what goes wrong there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io.core import AbstractDataset, DatasetError, get_protocol_and_path


@contextmanager
def one_sentence(path: str) -> Iterator[None]:
    """Turns an operating system's error of a write into one sentence."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        todo = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder"
        raise DatasetError(
            f"'{path}' could not be written ({why}): {todo}, or set data_root to another place; "
            "what was there before is unharmed"
        ) from error


class Located(AbstractDataset[Any, Any]):
    """A data set at a path of a filesystem; holds settings only, so it pickles."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike,
        load_args: dict[str, Any] | None = None,
        save_args: dict[str, Any] | None = None,
        fs_args: dict[str, Any] | None = None,
        credentials: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """fs_args, credentials: given to fsspec; metadata: for plugins, such as kedro-viz."""
        protocol, path = get_protocol_and_path(os.fspath(filepath))
        self._protocol, self._path = protocol, PurePosixPath(path)
        self._load_args, self._save_args = dict(load_args or {}), dict(save_args or {})
        self._fs_args = {**(fs_args or {}), **(credentials or {})}
        self.metadata = metadata

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        return fsspec.filesystem(self._protocol, **self._fs_args)

    @property
    def _local(self) -> bool:
        return self._protocol == "file"

    def _beside(self, suffix: str) -> str:
        return str(self._path.with_name(f"{self._path.name}.{suffix}"))

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": str(self._path),
            "protocol": self._protocol,
            "load_args": self._load_args,
            "save_args": self._save_args,
        }

    def _missing(self) -> DatasetError:
        return DatasetError(f"'{self._path}' does not exist: run the stage that writes it first")
