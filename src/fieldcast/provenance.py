"""Which code made a result: commit and versions."""

from __future__ import annotations

import importlib.metadata
import subprocess
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

PACKAGES = "fieldcast", "torch", "numpy", "scipy", "xarray"


@cache
def code() -> dict[str, object]:
    """Git commit (with + where the tree had changes; empty outside a checkout) and versions of what computes."""
    return {"commit": commit(), "versions": {name: importlib.metadata.version(name) for name in PACKAGES}}


def commit() -> str:
    def git(*words: str) -> str:
        here = Path(__file__).parent
        done = subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short", "HEAD")
        return f"{found}+" if found and git("status", "--porcelain", "--untracked-files=no") else found
    except OSError:
        return ""


def now() -> str:
    """The present moment, to the minute, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
