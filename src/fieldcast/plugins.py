"""Plug-ins: other installed packages add to Fieldcast by entry points.

===================  =========================================================================================
`fieldcast.tasks`    an object `Task`; its package may bring experiments, environments and catalog entries in a
                     folder `conf`, and the stages that the task names as modules `pipelines.<stage>.pipeline`
`fieldcast.sources`  a function that makes fields, a choice of `ingestion.source`
`fieldcast.models`   a package whose classes a configuration may name, as `package:module.Class`
===================  =========================================================================================

Nothing but what a package advertises in its metadata can be reached from a configuration.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fieldcast.errors import InputError


@cache
def advertised(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name.

    Raises
    ------
    InputError
        For a name that two packages advertise.
    """
    by_name: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=group), key=lambda point: (point.name, point.value)):
        if by_name.setdefault(point.name, point).value != point.value:
            values = f"{by_name[point.name].value} and {point.value}"
            raise InputError(
                f"two installed packages provide '{point.name}' ({group}): {values}; uninstall one of them."
            )
    return by_name


def load(group: str, name: str) -> Any:
    """The object that an installed package advertises under a name.

    Raises
    ------
    InputError
        If it cannot be imported.
    """
    point = advertised(group)[name]
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"the plug-in '{name}' ({group}, {point.value}) cannot be imported: {error}; install it again, or "
            "uninstall it."
        ) from error


def packages() -> list[str]:
    """The packages that bring tasks."""
    return list(
        dict.fromkeys(point.module.partition(".")[0] for point in advertised("fieldcast.tasks").values())
    )


def configurations() -> list[Path]:
    """The folders `conf` of the packages that bring tasks; no package is imported."""
    specs = (find_spec(package) for package in packages())
    folders = (Path(folder) for spec in specs if spec for folder in spec.submodule_search_locations or ())
    return [folder / "conf" for folder in folders if (folder / "conf").is_dir()]
