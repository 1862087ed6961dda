"""Location of the configuration: the project around the working folder, else what was installed."""

import os
from pathlib import Path

from kedro.utils import find_kedro_project

import fieldcast
from fieldcast.errors import InputError

PACKAGE = Path(fieldcast.__file__).parent
CHECKOUT = PACKAGE.parents[1] / "conf"
# within a wheel (see setup.py), or beside the source that was installed with -e
INSTALLED = CHECKOUT if (CHECKOUT / "base").is_dir() else PACKAGE / "conf"


def conf_source() -> str:
    """FIELDCAST_CONF, else `conf` of the project if it has one, else the installed configuration.

    `conf` is relative to the project, as Kedro expects, also where there is no configuration at all.
    """
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    has_own = (project / "conf/base").is_dir() or not INSTALLED.is_dir()
    return os.environ.get("FIELDCAST_CONF") or ("conf" if has_own else str(INSTALLED))


def configuration_folder() -> Path:
    """The folder of configuration as seen from the working folder."""
    folder = named_folder()
    require_configuration(folder)
    return folder


def named_folder() -> Path:
    """The folder of configuration as seen from the working folder, whether or not it is there."""
    return (find_kedro_project(Path.cwd()) or Path.cwd()) / conf_source()


def require_configuration(conf: Path) -> None:
    """Raise InputError for a folder without configuration."""
    if not (conf / "base").is_dir():
        raise InputError(
            f"there is no configuration in {conf}: go to the project's folder, or name the folder that holds `base` "
            "with --conf-source or FIELDCAST_CONF."
        )
