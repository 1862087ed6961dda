"""Base class of the data sets: a path on a filesystem, and readable errors of writing there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any

import fsspec
from kedro.io.core import AbstractDataset, DatasetError, get_protocol_and_path

from fieldcast.datasets.damage import DamagedError, warn_of_damage

OBJECT_STORES = (
    "s3",
    "s3a",
    "gs",
    "gcs",
    "abfs",
    "az",
)  # without folders; creating one would create a bucket


@contextmanager
def readable_write_errors(path: str) -> Iterator[None]:
    """Turn an operating system's error of a write into a DatasetError of one sentence."""
    try:
        yield
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else str(error)
        remedy = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the folder"
        raise DatasetError(
            f"'{path}' could not be written ({cause}): {remedy}, or choose another data_root or output; "
            "the previous file is unchanged"
        ) from error


def flattened(config: dict[str, Any]) -> dict[str, Any]:
    """Configuration of a data set without nested keywords.

    Kedro nests those that a constructor passes on (`settings`), and all of an inherited constructor (`kwargs`).
    """
    config.pop("args", None)
    nested = {**config.pop("settings", {}), **config.pop("kwargs", {})}
    return {**config, **{key: value for key, value in nested.items() if key != "metadata"}}


class FilesystemDataset(AbstractDataset[Any, Any]):
    """A data set at a path of a filesystem; it holds settings only, so it can be pickled."""

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
        """Set the path and the options.

        Parameters
        ----------
        filepath
            Local, or remote with a protocol (`s3://...`).
        load_args, save_args
            Options of loading and saving; the subclass says which.
        fs_args, credentials
            Passed to fsspec.
        metadata
            For hooks and plugins, such as kedro-viz.
        """
        protocol, path = get_protocol_and_path(os.fspath(filepath))
        if protocol == "memory":  # where Kedro takes the first folder for the name of a host
            path = fsspec.get_filesystem_class(protocol)._strip_protocol(os.fspath(filepath))
        self._protocol, self._path = protocol, PurePosixPath(path)
        self._load_args, self._save_args = dict(load_args or {}), dict(save_args or {})
        self._fs_args = {**(fs_args or {}), **(credentials or {})}
        self.metadata = metadata

    @property
    def _fs(self) -> fsspec.AbstractFileSystem:
        # without the cache of listings, so that files that another process has written since are visible
        fresh = {"use_listings_cache": False} if self._protocol in OBJECT_STORES else {}
        try:
            return fsspec.filesystem(self._protocol, **{**fresh, **self._fs_args})
        except ImportError as error:  # its text names the package
            raise DatasetError(
                f"'{self._protocol}://{self._path}' needs a package that is not installed ({error}): install it, or "
                "set data_root to another place"
            ) from error

    @property
    def _local(self) -> bool:
        return self._protocol == "file"

    @property
    def location(self) -> str:
        """The path, with its protocol if it is remote."""
        return self._located(self._path)

    def _located(self, path: PurePosixPath) -> str:
        return str(path) if self._local else f"{self._protocol}://{path}"

    def earlier(self) -> Any:
        """Load what an earlier run left; None if there is nothing, or if it is damaged, which logs a warning."""
        if not self.exists():
            return None
        try:
            return self.load()
        except DamagedError as error:
            warn_of_damage(error)
            return None

    def unfinished(self) -> int:
        """Count the complete pieces of an interrupted stream; 0 for data sets that are written at once."""
        return 0

    def _make_folder(self) -> None:
        """Create the folder that the path lies in, where there are folders."""
        if self._protocol not in OBJECT_STORES:
            self._fs.makedirs(str(self._path.parent), exist_ok=True)

    def _beside(self, suffix: str) -> str:
        return str(self._path.with_name(f"{self._path.name}.{suffix}"))

    def _init_config(self) -> dict[str, Any]:
        return flattened(super()._init_config())

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": str(self._path),
            "protocol": self._protocol,
            "load_args": self._load_args,
            "save_args": self._save_args,
        }

    def _missing(self) -> DatasetError:
        return DatasetError(f"'{self.location}' does not exist: run the stage that writes it first")
