"""Names of data sets and of arguments that several pipelines share."""

from __future__ import annotations


def of_task(task: str, part: str) -> str:
    """The data set that holds something of all experiments of a task; a task's name has no underscore."""
    return f"{part}_{task}"


def handed_on(name: str) -> bool:
    """Tell whether a data set is handed on within a run only, so that it is not on the disk for a later one."""
    return name.startswith(("results_", "gathered_")) or name.endswith(".results")


def trained(address: str) -> dict[str, str]:
    """The arguments that say how the experiment at an address is trained in this run, and their parameters."""
    return {"fit": f"params:{address}.fit", address: f"params:{address}.model"}
