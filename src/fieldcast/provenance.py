"""Commit and package versions of the code that computed a result."""

from __future__ import annotations

import importlib.metadata
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

PACKAGES = "fieldcast", "torch", "numpy", "scipy", "xarray"


@cache
def code() -> dict[str, object]:
    """Git commit, see `commit`, and versions of the packages that compute."""
    return {"commit": commit(), "versions": {name: importlib.metadata.version(name) for name in PACKAGES}}


def commit() -> str:
    """Short hash of the git commit, with + if tracked files had changes; empty outside a checkout."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        revision = git("rev-parse", "--short", "HEAD")
        return (
            f"{revision}+" if revision and git("status", "--porcelain", "--untracked-files=no") else revision
        )
    except OSError:
        return ""


def now() -> str:
    """The present moment, to the minute, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
