"""Names that carry data through Kedro's flat keywords, and their inverses.

=====================  ==============================================================================
`public`               a data set of an experiment that the report reads: `<task>_<experiment>_<part>`
`of_task`              a data set that all experiments of a task share: `<part>_<task>`
`keyword`, `by_part`   the argument for one part of one experiment: `<experiment>__<part>`
`trained`              the arguments for how a checkpoint was trained: `fit`, and the address for the model
=====================  ==============================================================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any


def public(task: str, experiment: str, part: str) -> str:
    """The data set of an experiment that others read; a task's name has no underscore, so this is unique."""
    return f"{task}_{experiment}_{part}"


def of_task(task: str, part: str) -> str:
    """The data set that holds something of all experiments of a task."""
    return f"{part}_{task}"


def keyword(experiment: str, part: str) -> str:
    """The argument that takes a part of an experiment's results."""
    return f"{experiment}__{part}"


def by_part(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """{part: {experiment: value}} of arguments named by `keyword`, without what is empty."""
    results: dict[str, Any] = defaultdict(dict)
    for name, value in keywords.items():
        experiment, _, part = name.rpartition("__")
        if value is not None and len(value):
            results[part][experiment] = value
    return dict(results)


def trained(address: str) -> dict[str, str]:
    """The arguments that say how the experiment at an address is trained in this run, and their parameters."""
    return {"fit": f"params:{address}.fit", address: f"params:{address}.model"}
