"""One run at a time in a data root: the second is refused and names the first; no ended run holds the lock."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from kedro.runner import ParallelRunner

from fieldcast.app.error_messages import sentence
from fieldcast.app.lock import Lock, take
from fieldcast.errors import InputError

pytestmark = pytest.mark.proof


@pytest.fixture
def root(toy: Path) -> Path:
    """The data root that the small project names in its configuration."""
    (toy / "conf/base/globals.yml").write_text("data_root: data\n")
    return toy / "data"


def is_free(root: Path) -> bool:
    """Tell whether a new run would get the lock."""
    if not (root / ".lock").exists():
        return True
    with open(root / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_the_second_of_two_runs_is_refused_with_the_name_of_the_first(
    root: Path, session: Any, kedro: Any
) -> None:
    first = kedro("run", "--pipelines", "sample.a", "--params", "sample.a.fit.end=endless")
    try:
        for _ in range(600):
            if (root.parent / "waiting").exists():
                break
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
        with pytest.raises(InputError) as caught:
            session("ingestion")
        text = sentence(caught.value) or ""
        for word in (
            str(root),
            f"process {first.pid} on {socket.gethostname()}",
            "--pipelines sample.a",
            "0 min ago",
        ):
            assert word in text, text
        assert "wait until it ends, or choose another folder with --params data_root=FOLDER" in text
        assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before
        session("ingestion", parameters={"data_root": str(root.parent / "elsewhere")})
    finally:
        first.kill()  # which leaves the file behind
        first.communicate()
    assert (root / ".lock").exists()
    session("ingestion")
    assert not (root / ".lock").exists()


@pytest.mark.parametrize("end", ["refused", "broken", "interrupted"])
def test_the_lock_ends_with_its_run(root: Path, session: Any, end: str) -> None:
    with pytest.raises((InputError, RuntimeError, KeyboardInterrupt)):
        session("sample.a", parameters={"sample": {"a": {"fit": {"end": end}}}})
    # no hook is called on an interruption: its lock ends with the process, or with the next run of that
    assert is_free(root) == (end != "interrupted")
    session("ingestion")
    assert not (root / ".lock").exists()


def test_an_interrupted_run_gives_back_its_own_folder(root: Path, session: Any) -> None:
    """The next run of the process may be in another folder, which somebody else holds."""
    with pytest.raises(KeyboardInterrupt):
        session("sample.a", parameters={"sample": {"a": {"fit": {"end": "interrupted"}}}})
    other = root.parent / "other"
    descriptor = take(other, "kedro run")
    with pytest.raises(InputError, match="is in use by another run"):
        session("ingestion", parameters={"data_root": str(other)})
    assert not is_free(other) and not (root / ".lock").exists()
    os.close(descriptor)


def test_processes_of_one_run_share_its_lock(root: Path, session: Any) -> None:
    session("sample.a", runner=ParallelRunner(max_workers=2))
    assert not (root / ".lock").exists()


def test_simultaneous_starters_take_the_lock_in_turn(tmp_path: Path) -> None:
    """Each counts while it holds the lock and gives it back; a count that is lost would be two at once."""
    code = """
import sys, time
from pathlib import Path
from fieldcast.errors import InputError
from fieldcast.app.lock import Lock, Lock
lock, root = Lock(), Path(sys.argv[1])
lock._root = root
for _ in range(20):
    while True:
        try:
            lock.before_pipeline_run({})
            break
        except InputError:
            time.sleep(0.001)
    count = int((root / "count").read_text())
    time.sleep(0.001)
    (root / "count").write_text(str(count + 1))
    lock.after_pipeline_run()
"""
    (tmp_path / "count").write_text("0")
    runs = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60" and not (tmp_path / ".lock").exists()


def test_workers_that_outlive_their_run_hold_nothing(tmp_path: Path) -> None:
    code = """
import os, signal, sys, time
from pathlib import Path
from fieldcast.app.lock import Lock, Lock
lock = Lock()
lock._root = Path(sys.argv[1])
lock.before_pipeline_run({})
worker = os.fork()
if not worker:
    time.sleep(60)
    os._exit(0)
print(worker, flush=True)
time.sleep(60)
"""
    run = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert run.stdout
    worker = int(run.stdout.readline())
    try:
        assert not is_free(tmp_path)  # the worker's birth has not ended it
        run.kill()
        run.wait()
        os.kill(worker, 0)
        late = time.monotonic() + 30
        while (
            not is_free(tmp_path) and time.monotonic() < late
        ):  # a worker born a moment ago may not have begun
            time.sleep(0.05)
        descriptor = take(tmp_path, "kedro run")
        assert descriptor is not None
        os.close(descriptor)
    finally:
        run.kill()
        os.kill(worker, signal.SIGKILL)


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock file of another user, which may be read and not written, in a folder that may be written."""
    file = tmp_path / ".lock"
    file.write_text('{"command": "kedro run", "process": 1, "host": "far", "since": "2001-01-01 00:00:00"}')
    number, opened = file.stat().st_ino, os.open

    def denied(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        descriptor = opened(path, flags, *args, **kwargs)
        if os.fstat(descriptor).st_ino == number and flags & os.O_RDWR:  # root would be let in
            os.close(descriptor)
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return descriptor

    monkeypatch.setattr(os, "open", denied)
    return file


def test_the_lock_of_another_user_holds(foreign: Path) -> None:
    with open(foreign) as owner:
        fcntl.flock(owner, fcntl.LOCK_EX)
        with pytest.raises(InputError, match=r"in use by another run, `kedro run` \(process 1 on far"):
            take(foreign.parent, "kedro run")
    assert foreign.exists()


@pytest.mark.parametrize("removable", [True, False], ids=["removable", "in a folder with the sticky bit"])
def test_what_a_dead_run_of_another_user_has_left_is_taken_over(
    foreign: Path, monkeypatch: pytest.MonkeyPatch, removable: bool
) -> None:
    if not removable:
        monkeypatch.setattr(Path, "unlink", Mock(side_effect=PermissionError(errno.EPERM, "not permitted")))
    descriptor = take(foreign.parent, "kedro run")
    assert descriptor is not None and not is_free(foreign.parent)
    assert not removable or json.loads(foreign.read_text())["process"] == os.getpid()
    os.close(descriptor)


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file of another user with a private umask does not reveal whether it is held."""
    (tmp_path / ".lock").touch()
    monkeypatch.setattr(os, "open", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(InputError, match=r"'.*/\.lock' of another user cannot be read: .* data_root=FOLDER"):
        take(tmp_path, "kedro run")


def test_a_lock_that_another_user_gives_back_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other user gives it back between this run's attempts to write it and to read it."""
    errors: list[OSError] = [PermissionError(errno.EACCES, ""), FileNotFoundError(errno.ENOENT, "")]
    opened = os.open

    def denied(*args: Any) -> int:
        if errors:
            raise errors.pop(0)
        return opened(*args)

    monkeypatch.setattr(os, "open", denied)
    descriptor = take(tmp_path, "kedro run")
    assert descriptor is not None
    os.close(descriptor)


def test_a_folder_that_cannot_be_entered_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", Mock(side_effect=PermissionError(errno.EACCES, "Permission denied")))
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert take(tmp_path, "kedro run") is None


def test_a_lock_has_the_mode_of_a_file(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        descriptor = take(tmp_path, "kedro run")
    finally:
        os.umask(before)
    assert descriptor is not None
    assert os.fstat(descriptor).st_mode & 0o777 == 0o664
    os.close(descriptor)


def test_what_a_lock_says(tmp_path: Path) -> None:
    descriptor = take(tmp_path, "kedro run")
    assert descriptor is not None
    owner = json.loads((tmp_path / ".lock").read_text())
    assert (owner["command"], owner["process"]) == ("kedro run", os.getpid())
    (tmp_path / ".lock").write_text("")  # as of one that has only just begun
    with pytest.raises(InputError, match="is in use by another run: wait until it ends"):
        take(tmp_path, "kedro run")
    os.close(descriptor)


def test_a_folder_that_cannot_be_created_needs_no_lock(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert take(tmp_path / "file" / "data", "kedro run") is None


def test_a_folder_that_cannot_be_written_needs_no_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(path: Any, flags: int, *args: Any) -> int:
        raise PermissionError(errno.EACCES, "") if flags & os.O_CREAT else FileNotFoundError(errno.ENOENT, "")

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert take(tmp_path, "kedro run") is None


def test_a_data_root_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    lock = Lock()
    for root in (tmp_path / "file" / "data", tmp_path / "file"):
        lock._root = root
        with pytest.raises(InputError, match=r"file.*' is not a folder.*data_root=FOLDER"):
            lock.before_pipeline_run({"pipeline_names": ["reconstruct"]})


@pytest.mark.parametrize(
    ("names", "locks"),
    [(["fill"], False), (["predict", "seeds"], False), (["fill", "training"], True), (None, True)],
)
def test_pipelines_that_only_read_the_folder_take_no_lock(
    tmp_path: Path, names: list[str] | None, locks: bool
) -> None:
    lock = Lock()
    lock._root = tmp_path
    lock.before_pipeline_run({"pipeline_names": names})
    assert (tmp_path / ".lock").exists() is locks
    lock.after_pipeline_run()


@pytest.mark.parametrize(
    ("before", "written", "stays"), [(False, False, False), (False, True, True), (True, False, True)]
)
def test_a_refused_run_leaves_no_empty_folder_behind(
    tmp_path: Path, before: bool, written: bool, stays: bool
) -> None:
    root = tmp_path / "data" / "mine" / "mistyped"
    if before:
        root.mkdir(parents=True)
    lock = Lock()
    lock._root = root
    lock.before_pipeline_run({"pipeline_names": ["ingestion"]})
    if written:
        (root / "fields").touch()
    lock.on_pipeline_error()
    assert root.exists() == stays and (tmp_path / "data").exists() == stays
