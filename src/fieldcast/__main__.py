"""The command `fieldcast`, also `python -m fieldcast`: with a project around it, or installed alone."""

import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# folders of the configuration: of the project, beside the source, within a wheel
FOLDERS = (os.environ.get("FIELDCAST_CONF", "conf"), HERE.parents[1] / "conf", HERE / "conf")


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a command of `fieldcast`."""
    files = [file for folder in FOLDERS if (file := Path(folder, "logging.yml")).exists()]
    if files:  # before Kedro is imported, which by itself reads the file of the working folder alone
        os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(files[0]))
    from kedro.framework.project import configure_project

    configure_project("fieldcast")
    from fieldcast.cli import cli

    return cli(*args, **{"standalone_mode": not hasattr(sys, "ps1"), **kwargs})


if __name__ == "__main__":
    main()
