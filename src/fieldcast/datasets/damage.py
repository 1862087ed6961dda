"""Errors and warnings about damaged data; imports no library of data."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kedro.io.core import DatasetError

LOG = logging.getLogger(__name__)


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
        reason = (str(error).splitlines() or [""])[0][:100].rstrip(".:") or type(error).__name__
        raise DamagedError(path, reason) from error


def warn_of_damage(error: DamagedError) -> None:
    """Log the damage instead of raising, where damaged data count as missing."""
    LOG.warning("'%s' is damaged (%s): it will be recreated.", error.path, error.reason)
