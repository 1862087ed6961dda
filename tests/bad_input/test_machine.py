"""A full or read-only disk, and a tracking server that is down, are reported in one sentence and harm nothing."""

import errno
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refusals import ROOT, only_a_sentence, refuse_to_write

pytestmark = pytest.mark.proof

STAND_IN = """
import builtins, io, os

opened, folder, number = io.open, {folder!r}, {number}

def refuse(file, mode="r", *args, **kwargs):
    if set(mode) & set("wax+") and str(file).startswith(folder):
        raise OSError(number, os.strerror(number), str(file))
    return opened(file, mode, *args, **kwargs)

io.open = builtins.open = refuse
"""
MOUNTS = {
    errno.ENOSPC: "mount -t tmpfs -o size=1m tmpfs {folder} && cp -r {folder}.before/. {folder}",
    errno.EROFS: "cp -r {folder}.before/. {folder} && mount --bind {folder} {folder} && "
    "mount -o remount,ro,bind {folder}",
}


def on_a_bad_disk(
    number: int, folder: Path, words: list[str]
) -> tuple[subprocess.CompletedProcess[str], str]:
    """A real command whose data folder is full or read-only, and the listing of that folder afterwards.

    A mount of a namespace of its own, which ends with it; where that is forbidden, an `open` that says the same.
    """
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = " ".join([sys.executable, "-m", "kedro", "run", "--env", "test", *words])
    listing = f"find {folder} -type f | sort | xargs sha256sum > {folder}.after"
    begin = MOUNTS[number].format(folder=folder)
    shell: list[str] = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*shell, begin], check=False).returncode:
        site = folder.with_suffix(".site")
        site.mkdir()
        (site / "sitecustomize.py").write_text(STAND_IN.format(folder=str(folder), number=number))
        environment["PYTHONPATH"] = str(site)
        shell, begin = ["sh", "-c"], f"cp -r {folder}.before/. {folder}"
    whole = f"{begin} && {{ {command}; code=$?; {listing}; exit $code; }}"
    done = subprocess.run(
        [*shell, whole], cwd=ROOT, env=environment, text=True, capture_output=True, timeout=300, check=False
    )
    return done, Path(f"{folder}.after").read_text()


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ("No space left on device", "free some space", "data_root")),
        (errno.EROFS, ("Read-only file system", "check the folder", "data_root")),
    ],
)
def test_a_full_disk_and_a_read_only_folder(tmp_path: Path, number: int, words: tuple[str, ...]) -> None:
    """A real process leaves the folder as it was."""
    folder, before = tmp_path / "data", tmp_path / "data.before"
    (before / "03_primary").mkdir(parents=True)
    (before / "03_primary/splits.json").write_text('{"train": ["older", "data"]}')
    done, after = on_a_bad_disk(
        number, folder, ["--pipelines", "ingestion", "--params", f"data_root={folder}"]
    )
    only_a_sentence(done, str(folder), *words)
    digest = hashlib.sha256((before / "03_primary/splits.json").read_bytes()).hexdigest()
    assert after.split() == [digest, str(folder / "03_primary/splits.json")]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("pipeline", ["training", "reconstruction", "evaluation", "reporting"])
def test_each_stage_on_a_bad_disk(
    message: Any, unharmed: Path, monkeypatch: pytest.MonkeyPatch, pipeline: str, number: int
) -> None:
    refuse_to_write(monkeypatch, unharmed, number)
    selected = {} if pipeline == "reporting" else {"namespaces": ["reconstruct.climatology"]}
    text = message(pipeline, **selected)
    assert str(unharmed) in text and "data_root" in text, text


def test_a_server_that_is_down_is_reported_and_the_run_continues(
    kedro: Any, file: Path, tmp_path: Path
) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "test/tracking.yml").write_text("tracking: true\n")
    with socket.socket() as item:
        item.bind(("127.0.0.1", 0))
        server = f"http://127.0.0.1:{item.getsockname()[1]}"  # bound, and nobody listens
        parameters = f"data_root={tmp_path / 'data'},ingestion.source=file,ingestion.path={file}"
        phrases = ["--conf-source", str(conf), "--pipelines", "ingestion", "--params", parameters]
        done = kedro(*phrases, MLFLOW_TRACKING_URI=server)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(f"tracking at {server} failed; the run continues without it") == 1, done.stderr
    assert (tmp_path / "data/03_primary/splits.json").exists()
