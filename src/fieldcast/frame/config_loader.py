"""Kedro's configuration loader, which also reads what task plug-ins bring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kedro.config import OmegaConfigLoader

from fieldcast import plugins


class ConfigLoader(OmegaConfigLoader):
    """Reads each environment from the folders `conf` of plug-ins and from the project's.

    A key belongs to one file of an environment, so a plug-in adds and never overrides. An environment may be a
    plug-in's alone.
    """

    def _read_dir_configs(self, conf_path: str, *arguments: Any) -> dict[Path, Any]:
        environment = os.path.relpath(conf_path, self.conf_source)
        folders = [folder / environment for folder in plugins.configurations()] + [Path(conf_path)]
        present = [folder for folder in folders if folder.is_dir()] or [Path(conf_path)]
        configs: dict[Path, Any] = {}
        for folder in present:
            configs |= super()._read_dir_configs(str(folder), *arguments)
        return configs
