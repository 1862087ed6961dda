"""Place of the configuration: the project around the working folder, else the installed package."""

import os
from pathlib import Path

from kedro.utils import find_kedro_project

import fieldcast
from fieldcast.errors import InputError

INSTALLED = Path(fieldcast.__file__).parent / "conf"  # which a wheel holds, see setup.py


def conf_source() -> str:
    """FIELDCAST_CONF, else `conf` of the project if it has one, else the installed configuration.

    `conf` is relative to the project, as Kedro expects, also where there is no configuration at all.
    """
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    has_own = (project / "conf/base").is_dir() or not INSTALLED.is_dir()
    return os.environ.get("FIELDCAST_CONF") or ("conf" if has_own else str(INSTALLED))


def require_configuration(conf: Path) -> None:
    """Raise InputError for a folder without configuration."""
    if not (conf / "base").is_dir():
        raise InputError(
            f"there is no configuration in {conf}: go to the project's folder, or name the folder that holds `base` "
            "with --conf-source or FIELDCAST_CONF."
        )
