"""Configuration is parsed once in a process, and read once for the same files and parameters, by Kedro's loader.

To read, merge and resolve the files of a hundred experiments takes most of a second, longer than many nodes on the tiny
planet. What results depends on the data root as text alone: it is resolved with a placeholder, in whose place each
session has its own data root.
"""

import io
import os
import pickle
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

PLACEHOLDER = "/the/data/root"
KINDS = ("catalog", "parameters", "tracking")  # not credentials: they depend on the environment
READ = OmegaConfigLoader.__getitem__
RESOLVED: dict[tuple[str, ...], bytes] = {}  # pickled: a collection of garbage does not look through them
PARSE = OmegaConf.load
PARSED: dict[str, bytes] = {}


def parsed(file: Any) -> Any:
    """Contents of a file, which a session may change, in a tenth of the time of parsing its text again."""
    if not isinstance(file, io.StringIO):
        return PARSE(file)
    text = file.getvalue()
    if text not in PARSED:
        PARSED[text] = pickle.dumps(PARSE(file))
    return pickle.loads(PARSED[text])


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
        place = os.getcwd() if kind == "catalog" else ""  # of the project, in which relative paths lie
        options = repr(loader).replace(f"conf_source={loader.conf_source}", "")
        described = kind, place, options, state(loader.conf_source, kind)
        if described not in RESOLVED:
            RESOLVED[described] = pickle.dumps(READ(loader, kind))
    finally:
        vars(loader).update(before)
    return with_root(pickle.loads(RESOLVED[described]), root)


def state(folder: str, kind: str) -> str:
    """Names, sizes and times of the files of one kind, the same for a copy of the folder."""
    files = sorted(os.path.join(part, name) for part, _, names in os.walk(folder) for name in names)
    names = {file: os.path.relpath(file, folder) for file in files}
    status = [(name, os.stat(file)) for file, name in names.items() if kind in name or "globals" in name]
    return repr([(name, each.st_mtime_ns, each.st_size) for name, each in status])


def with_root(thing: Any, root: str) -> Any:
    """A copy of dictionaries and lists with a data root in the place of `PLACEHOLDER`."""
    if isinstance(thing, dict):
        return {key: with_root(value, root) for key, value in thing.items()}
    if isinstance(thing, list):
        return [with_root(value, root) for value in thing]
    return thing.replace(PLACEHOLDER, root) if isinstance(thing, str) else thing


OmegaConf.load = parsed
OmegaConfigLoader.__getitem__ = resolved
if find_spec("ibis") is None:  # Kedro looks for it once for each parameter, a tenth of a second in a session
    sys.modules["ibis"] = None  # type: ignore[assignment]
