"""Data that the tests of data sets store, what a broken write leaves, and a disk that is full."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml
from kedro.io import AbstractDataset

CATALOG = yaml.safe_load((Path(__file__).parents[1] / "conf/base/catalog.yml").read_text())


def dataset(kind: str, path: Path | str, **settings: Any) -> Any:
    """A data set as the catalog declares it: csv, parquet, text, json, ...; a path is one of the local file system."""
    place = str(path) if "://" in str(path) else f"atomic://{path}"
    declared = {key: value for key, value in CATALOG[f"_{kind}"].items() if key != "credentials"}
    return AbstractDataset.from_config(kind, {**declared, "filepath": place, **settings})


def weather(n: int = 12, calendar: str = "noleap") -> xr.Dataset:
    rng = np.random.default_rng(n)
    return xr.Dataset(
        {
            "z": (("time", "y", "x"), rng.standard_normal((n, 4, 5)).astype(np.float32), {"units": "m"}),
            "a": (("variable",), [1.5, -2.0]),
        },
        {
            "time": xr.date_range(
                "2001-01-01", periods=n, calendar=calendar, use_cftime=calendar == "noleap"
            ),
            "variable": ["t650", "z"],
            "pattern": ("y", ["random", "blocks", "ø", ""]),
        },
        {"digest": "0123456789ab", "step_hours": 24.0, "wraps": 1},
    )


def leftovers(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if ".partial" in name or ".old" in name)


def full_disk(*args: Any, **kwargs: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def piece(number: int, value: float, pieces: int = 4) -> xr.Dataset:
    data = xr.Dataset({"z": (("lead", "x"), np.full((1, 3), value, "f4"))}, {"lead": [float(number)]})
    return data.assign_attrs(piece=number, pieces=pieces)
