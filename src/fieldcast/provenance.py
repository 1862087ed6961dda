"""Commit and package versions of the code that computed a result."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

PACKAGES = "fieldcast", "torch", "numpy", "scipy", "xarray"


@cache
def code() -> dict[str, object]:
    """Git commit, see `commit`, and versions of the packages that compute."""
    return {"commit": commit(), "versions": versions(PACKAGES)}


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that are installed."""
    installed = {}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            installed[name] = importlib.metadata.version(name)
    return installed


def commit() -> str:
    """Short hash of the git commit of this code, with + if files were changed or added; empty outside a checkout."""
    head, changed = revision(Path(__file__).parent)
    return f"{head[:7]}+" if changed else head[:7]


def revision(folder: Path) -> tuple[str, bool]:
    """Hash of the git commit of a folder, and whether files were changed or added; empty outside a repository."""
    try:
        head, changes = (
            subprocess.run(
                ["git", *command], cwd=folder, capture_output=True, text=True, check=True, timeout=10
            ).stdout
            for command in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):
        return "", False
    return head.strip(), bool(changes.strip())


def now() -> str:
    """The present moment, to the minute, in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
