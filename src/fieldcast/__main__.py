"""`python -m fieldcast`: `kedro run`, also where the package is installed without its project."""

import sys
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run pipelines; takes the options of `kedro run`."""
    configure_project("fieldcast")
    run = find_run_command("fieldcast")
    return run(*args, **{"standalone_mode": not hasattr(sys, "ps1"), **kwargs})


if __name__ == "__main__":
    main()
