"""Scripts that make the documents' tables and pictures, or answer one question each: `python -m studies.<name>`."""

from argparse import ArgumentTypeError
from pathlib import Path


def finished(data_root: str) -> Path:
    """The folder of a run, for the argument of a script; refused in a sentence if it holds no fields."""
    if not (Path(data_root) / "03_primary" / "fields.zarr").is_dir():
        raise ArgumentTypeError(f"'{data_root}' holds no run: run `make run` first, or name its data_root")
    return Path(data_root)
