"""One run at a time in a data root: two would overwrite and remove each other's files.

The lock is the operating system's (flock), on the file `.lock` of the folder. It ends with its process, however that
ends, so a file that a killed run has left behind blocks no other run.
"""

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

from fieldcast.app import processes
from fieldcast.app.tracking import metadata
from fieldcast.errors import InputError
from fieldcast.pipelines.names import UNLOCKED

LOG = logging.getLogger(__name__)


class Lock:
    """Locks the data root while pipelines run, unless it is remote."""

    def __init__(self) -> None:
        self._root: Path | None = None
        self._new: list[Path] = []  # the data root and its parents, as far as this run has created them
        self._lock: tuple[Path, int] | None = None  # the data root, and the descriptor of its locked file
        os.register_at_fork(after_in_child=self._leave_to_parent)  # once: it cannot be taken back

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember the data root."""
        root = data_root(context)
        self._root = None if root is None or "://" in root else Path(context.project_path) / root

    @hook_impl(tryfirst=True)  # before tracking, and after the checks
    def before_pipeline_run(self, run_params: Mapping[str, Any]) -> None:
        self._release()  # that of an earlier run of this process, if it was interrupted
        names = run_params.get("pipeline_names") or ["__default__"]
        if self._root is None or set(names) <= set(UNLOCKED):
            return  # those only read the data root, also while a training runs
        self._new = [folder for folder in (self._root, *self._root.parents) if not folder.exists()]
        descriptor = take(self._root, metadata.command(run_params))
        if descriptor is None and not self._root.is_dir():
            raise InputError(
                f"data_root = '{self._root}' is not a folder, and none can be created there: choose another with "
                "--params data_root=FOLDER."
            )
        if descriptor is not None:
            self._lock = self._root, descriptor
            processes.register(self._release)  # Kedro calls no hook on Ctrl-C and SIGTERM

    @hook_impl
    def after_pipeline_run(self) -> None:
        self._release()

    @hook_impl
    def on_pipeline_error(self) -> None:
        self._release()

    def _release(self) -> None:
        if self._lock is None:
            return
        root, descriptor = self._lock
        with suppress(OSError):
            _file(root).unlink()
            for folder in self._new:
                folder.rmdir()  # possible only if the run has written nothing
        os.close(descriptor)
        self._lock = None
        processes.unregister(self._release)

    def _leave_to_parent(self) -> None:
        """Close the descriptor in a forked process: otherwise it would keep the lock of a parent that is killed."""
        if self._lock is not None:
            os.close(self._lock[1])
            self._lock = None


def take(root: Path, command: str) -> int | None:
    """Lock the data root and return the descriptor of its lock file; None where that is impossible, as if read-only."""
    while True:
        try:
            root.mkdir(parents=True, exist_ok=True)
            descriptor = _open(_file(root))
        except OSError as error:
            if isinstance(error, FileNotFoundError) and os.access(root, os.W_OK):
                continue  # another user's run has just released it
            return None  # the first data set that is written there reports the reason
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 10_000)
            os.close(descriptor)
            raise InputError(_refusal(root, owner)) from None
        except OSError:
            os.close(descriptor)
            LOG.warning("'%s' lies on a file system without locks: do not start a second run there.", root)
            return None
        if _is_in_place(descriptor, _file(root)):
            if _is_writable(descriptor):
                with suppress(OSError):  # a full disk is reported where more is written
                    os.ftruncate(descriptor, 0)
                    os.write(descriptor, _owner(command))
                return descriptor
            try:
                _file(root).unlink()  # left behind by a dead run of another user: replace it
            except OSError:
                return descriptor
        os.close(descriptor)  # the file was removed, by its owner or here


def _file(root: Path) -> Path:
    return root / ".lock"


def _open(file: Path) -> int:
    """Open the file to write or, if it is another user's, to read, which is enough to lock it."""
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        try:
            return os.open(file, os.O_RDONLY)
        except PermissionError:
            if not os.access(file.parent, os.W_OK | os.X_OK):
                raise
            raise InputError(
                f"'{file}' of another user cannot be read: ask them to remove it once none of their runs is "
                "in progress, or choose another folder with --params data_root=FOLDER."
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
    remedy = "wait until it ends, or choose another folder with --params data_root=FOLDER."
    try:
        run = json.loads(owner)
    except ValueError:  # it has only just begun, and not yet written who it is
        return f"'{root}' is in use by another run: {remedy}"
    minutes = (datetime.now() - datetime.fromisoformat(run["since"])).total_seconds() / 60
    return (
        f"'{root}' is in use by another run, `{run['command']}` (process {run['process']} on {run['host']}, since "
        f"{run['since']}, {minutes:.0f} min ago): {remedy}"
    )


def data_root(context: KedroContext) -> str | None:
    """The folder or address of everything that runs store; None if nothing sets it."""
    loader = context.config_loader
    try:
        configured = loader["globals"]
    except MissingConfigException:
        configured = {}
    root = (loader.runtime_params or {}).get("data_root") or configured.get("data_root")
    return None if root is None else str(root).removeprefix("file://")
