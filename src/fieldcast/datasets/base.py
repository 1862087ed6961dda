"""Shared by the data sets: a path on a file system, damage, and what an earlier run left."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, NewType

import fsspec
from kedro.io.core import AbstractDataset, DatasetError, get_protocol_and_path

from fieldcast.datasets.atomic import PROTOCOL

LOG = logging.getLogger(__name__)

LOCAL = ("file", PROTOCOL)
# without folders; creating one would create a bucket
OBJECT_STORES = "s3", "s3a", "gs", "gcs", "abfs", "az"

# kedro-viz recognises the results of `preview` by these names
HTMLPreview = NewType("HTMLPreview", str)
ImagePreview = NewType("ImagePreview", str)
JSONPreview = NewType("JSONPreview", str)
TablePreview = NewType("TablePreview", dict)


class DamagedError(DatasetError):
    """A stored file or folder is damaged; the message gives the reason and the remedy."""

    def __init__(self, path: str, reason: str) -> None:
        """path: the path of the whole data set; reason: the damage, in a few words."""
        super().__init__(f"'{path}' is damaged ({reason}): remove it, and run the stage that writes it again")
        self.path, self.reason = path, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.reason)  # pickled where a worker process raises it


@contextmanager
def refusing_damage(path: str) -> Iterator[None]:
    """Turn errors of decoding into DamagedError; errors of memory and of the operating system pass unchanged."""
    try:
        yield
    except (DatasetError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DamagedError(path, in_brief(error)) from error


def in_brief(error: BaseException) -> str:
    """The first words of an error."""
    return (str(error).splitlines() or [""])[0][:100].rstrip(".:") or type(error).__name__


def location(dataset: Any) -> str:
    """The path of a data set, with its protocol if it is remote; empty for one in memory."""
    described = dataset._describe()
    while isinstance(within := described.get("dataset"), dict):  # of a data set around another
        described = within
    place = str(described.get("filepath") or described.get("path") or "")
    protocol, path = get_protocol_and_path(place)
    protocol = described.get("protocol", protocol)
    return path if protocol in LOCAL else place if "://" in place else f"{protocol}://{path}"


def damage_of(dataset: Any, error: DatasetError) -> DamagedError | None:
    """The damage of which loading a data set has complained; None if that was another error.

    pandas, pyarrow and json raise ValueError, or OSError without a number, for a file that they cannot decode.
    """
    cause = error.__cause__
    if isinstance(cause, ValueError) or (isinstance(cause, OSError) and cause.errno is None):
        return DamagedError(location(dataset), in_brief(cause))
    return error if isinstance(error, DamagedError) else None


def earlier(dataset: Any) -> Any:
    """Load what an earlier run left; None if there is nothing, or if it is damaged, which logs a warning."""
    if hasattr(dataset, "earlier"):
        return dataset.earlier()
    if not dataset.exists():
        return None
    try:
        return dataset.load()
    except DatasetError as error:
        if (damage := damage_of(dataset, error)) is None:
            raise
        warn_of_damage(damage)
        return None


def warn_of_damage(error: DamagedError) -> None:
    """Log the damage instead of raising, where damaged data count as missing."""
    LOG.warning("'%s' is damaged (%s): it will be recreated.", error.path, error.reason)


class FilesystemDataset(AbstractDataset[Any, Any]):
    """A data set at a path of a file system; it holds settings only, so it can be pickled."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
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
        return self._protocol in LOCAL

    def _make_folder(self) -> None:
        """Create the folder that the path lies in, where there are folders."""
        if self._protocol not in OBJECT_STORES:
            self._fs.makedirs(str(self._path.parent), exist_ok=True)

    def _beside(self, suffix: str) -> str:
        return str(self._path.with_name(f"{self._path.name}.{suffix}"))

    def _exists(self) -> bool:
        return bool(self._fs.exists(str(self._path)))

    def _describe(self) -> dict[str, Any]:
        return {
            "filepath": str(self._path),
            "protocol": self._protocol,
            "load_args": self._load_args,
            "save_args": self._save_args,
        }

    def _missing(self) -> DatasetError:
        return DatasetError(f"'{location(self)}' does not exist: run the stage that writes it first")
