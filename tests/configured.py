"""Configuration is read once in a process for the same files and parameters, by Kedro's loader.

To read, merge and resolve the files of a hundred experiments takes most of a second, longer than many nodes on the tiny
planet. What results depends on the data root as text alone: it is resolved with a placeholder, in whose place each
session has its own data root.
"""

import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

PLACEHOLDER = "/the/data/root"
KINDS = ("catalog", "parameters", "tracking")  # not credentials: they depend on the environment
READ = OmegaConfigLoader.__getitem__
RESOLVED: dict[tuple[str, ...], Any] = {}


def resolved(loader: OmegaConfigLoader, kind: str) -> Any:
    """Configuration of one kind, in copies that a session may change."""
    if kind in loader.data or kind not in KINDS or not Path(loader.conf_source).is_dir():
        return READ(loader, kind)
    given = loader.runtime_params or {}
    root = str(given.get("data_root"))
    if re.fullmatch(r"(/[\w.-]+)+", root):
        given = {**given, "data_root": PLACEHOLDER}
    before = dict(vars(loader))
    vars(loader).update(runtime_params=given, _runtime_params_oc=None)
    try:
        described = kind, os.getcwd(), repr(loader), state(loader.conf_source)
        if described not in RESOLVED:
            RESOLVED[described] = READ(loader, kind)
    finally:
        vars(loader).update(before)
    return with_root(RESOLVED[described], root)


def state(folder: str) -> str:
    """Names, sizes and times of all files of a folder."""
    files = [os.path.join(part, name) for part, _, names in os.walk(folder) for name in sorted(names)]
    return repr([(file, (stat := os.stat(file)).st_mtime_ns, stat.st_size) for file in files])


def with_root(thing: Any, root: str) -> Any:
    """A copy of dictionaries and lists with a data root in the place of `PLACEHOLDER`."""
    if isinstance(thing, dict):
        return {key: with_root(value, root) for key, value in thing.items()}
    if isinstance(thing, list):
        return [with_root(value, root) for value in thing]
    return thing.replace(PLACEHOLDER, root) if isinstance(thing, str) else thing


OmegaConfigLoader.__getitem__ = resolved
if find_spec("ibis") is None:  # Kedro looks for it once for each parameter, a tenth of a second in a session
    sys.modules["ibis"] = None  # type: ignore[assignment]
