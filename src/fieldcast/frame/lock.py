"""One run at a time in a data root: two would write the same files and take each other's away.

The lock is the operating system's (flock), on the file `.lock` of the folder. It ends with its process however that
ends, so a file that a killed run has left behind holds nobody up.
"""

import atexit
import fcntl
import json
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl

from fieldcast.errors import InputError
from fieldcast.frame.tracking import metadata

logger = logging.getLogger(__name__)


class Lock:
    """Holds the data root while pipelines run; a remote one is not locked."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._held: tuple[Path, int] | None = None  # the data root, and the descriptor of its locked file
        atexit.register(self._release)  # Ctrl-C and SIGTERM reach no hook of Kedro's
        os.register_at_fork(after_in_child=self._leave_to_parent)

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the data are."""
        root = _data_root(context)
        self._root = None if root is None or "://" in root else Path(context.project_path) / root

    @hook_impl(tryfirst=True)  # before tracking, and after the checks
    def before_pipeline_run(self, run_params: Mapping[str, Any]) -> None:
        """Take the lock."""
        self._release()  # of an earlier run of this process, if it was interrupted
        if self._root is None:
            return
        descriptor = take(self._root, metadata.title(run_params))
        self._held = None if descriptor is None else (self._root, descriptor)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Give it back."""
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Give it back."""
        self._release()

    def _release(self) -> None:
        if self._held is None:
            return
        root, descriptor = self._held
        with suppress(OSError):
            _file(root).unlink()
        os.close(descriptor)
        self._held = None

    def _leave_to_parent(self) -> None:
        """Close the descriptor in a forked process, which would keep the lock of a parent that is killed."""
        if self._held is not None:
            os.close(self._held[1])
            self._held = None


def take(root: Path, command: str) -> int | None:
    """The descriptor of the locked file; None where there can be none, as in a folder that is read only.

    Raises
    ------
    InputError
        Where another run holds it (who, and since when), or may hold it.
    """
    while True:
        try:
            root.mkdir(parents=True, exist_ok=True)
            descriptor = _open(_file(root))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and os.access(root, os.W_OK):
                continue  # another user's run has just given it back
            return None  # what is to be written there says so itself
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 10_000)
            os.close(descriptor)
            raise InputError(_refusal(root, owner)) from None
        except OSError:
            os.close(descriptor)
            logger.warning("'%s' lies on a file system without locks: start no second run there.", root)
            return None
        if _is_in_place(descriptor, _file(root)):
            if _is_writable(descriptor):
                with suppress(OSError):  # a full disk is said where more is written
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, _owner(command))
                return descriptor
            try:
                _file(root).unlink()  # a dead run of another user has left it: one of our own is to be locked
            except OSError:
                return descriptor
        os.close(descriptor)  # it has been removed, by its owner or here


def _file(root: Path) -> Path:
    return root / ".lock"


def _open(file: Path) -> int:
    """The descriptor of the file, to write or, where it is another user's, to read: that is enough to lock it."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        try:
            return os.open(file, os.O_RDONLY)
        except PermissionError:
            if not os.access(file.parent, os.W_OK | os.X_OK):
                raise
            raise InputError(
                f"'{file}' of another user cannot be read: have it removed if none of their runs goes on, or choose "
                "another folder with --params data_root=FOLDER."
            ) from None


def _is_writable(descriptor: int) -> bool:
    return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_RDWR)


def _is_in_place(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False


def _owner(command: str) -> bytes:
    since = datetime.now().isoformat(" ", "seconds")
    owner = {"command": command, "process": os.getpid(), "host": socket.gethostname(), "since": since}
    return json.dumps(owner).encode()


def _refusal(root: Path, owner: bytes) -> str:
    todo = "wait until it ends, or choose another folder with --params data_root=FOLDER."
    try:
        run = json.loads(owner)
    except ValueError:  # it has only just begun
        return f"'{root}' is in use by another run: {todo}"
    minutes = (datetime.now() - datetime.fromisoformat(run["since"])).total_seconds() / 60
    return (
        f"'{root}' is in use by another run, `{run['command']}` (process {run['process']} on {run['host']}, since "
        f"{run['since']}, {minutes:.0f} min ago): {todo}"
    )


def _data_root(context: KedroContext) -> str | None:
    loader = context.config_loader
    try:
        stored = loader["globals"]
    except MissingConfigException:
        stored = {}
    root = (loader.runtime_params or {}).get("data_root") or stored.get("data_root")
    return None if root is None else str(root).removeprefix("file://")
