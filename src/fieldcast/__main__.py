"""The command `fieldcast`, also `python -m fieldcast`: with a project around it, or installed alone."""

import os
import sys
from typing import Any

from fieldcast.frame.conf_source import named_folder

# before Kedro is imported, which by itself reads the file of a project alone
if (logging := named_folder() / "logging.yml").exists():
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(logging))

from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run a command of `fieldcast`; without a command, options that select nodes go to `run`, as in Kedro."""
    configure_project("fieldcast")
    from fieldcast.cli import cli

    return cli(*args, **{"standalone_mode": not hasattr(sys, "ps1"), **kwargs})


if __name__ == "__main__":
    main()
