"""What pyproject.toml cannot say: a wheel holds the configuration, so that it runs without the project."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConfiguration(build_py):
    """Copies `conf`, without what is local to this machine, into the package as `fieldcast/conf`."""

    def run(self) -> None:
        """Copy the modules, then the configuration."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "fieldcast/conf"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree("conf", target, ignore=of_this_machine)


def of_this_machine(folder: str, names: list[str]) -> set[str]:
    """Files that a wheel leaves out: the environment `local`, and credentials but for the empty ones of `base`."""
    return {
        name
        for name in names
        if name == "local" or (name.startswith("credentials") and Path(folder).name != "base")
    }


setup(cmdclass={"build_py": WithConfiguration})
