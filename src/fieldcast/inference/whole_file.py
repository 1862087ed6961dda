"""Write a file at once: under another name, which is renamed when it is complete."""

from __future__ import annotations

from pathlib import Path


def write_whole(path: str | Path, content: bytes) -> None:
    """Put a file in place of an earlier one, of which nothing is lost if writing fails; folders are made.

    Raises
    ------
    OSError
        If the file cannot be written, for example because the disk is full; nothing is left beside it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
