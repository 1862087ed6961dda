"""A hook that passes the events of nodes on to another process."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from kedro.framework.hooks import hook_impl


class Relay:
    """Sends every event of a node and its data sets: tables as they are, other data by attributes and types."""

    def __init__(self, send: Callable[[str, dict[str, Any]], None]) -> None:
        self._send = send

    @hook_impl(trylast=True)
    def before_node_run(self, inputs: Mapping[str, Any]) -> None:
        """Send the inputs, which have been loaded."""
        self._send("before_node_run", {"inputs": messages_of(inputs)})

    @hook_impl
    def after_node_run(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Report that the function of the node has returned; a generator function returns before its first outputs."""
        self._send("after_node_run", {"inputs": messages_of(inputs), "outputs": messages_of(outputs)})

    @hook_impl
    def before_dataset_loaded(self, dataset_name: str) -> None:
        """Relay the event with the name of the data set."""
        self._send("before_dataset_loaded", {"dataset_name": dataset_name})

    @hook_impl(trylast=True)
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Relay the event with the name and the attributes of the data, which hooks read."""
        self._send("after_dataset_loaded", {"dataset_name": dataset_name, "data": message_of(data)})

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Relay the event with the name of the data set."""
        self._send("before_dataset_saved", {"dataset_name": dataset_name, "data": xr.Dataset()})

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Relay the event with the name and the attributes of the data, which hooks read."""
        self._send("after_dataset_saved", {"dataset_name": dataset_name, "data": message_of(data)})


def messages_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are, and data sets as `message_of` gives them, by name."""
    return {name: value if name.startswith("params:") else message_of(value) for name, value in data.items()}


def message_of(data: Any) -> Any:
    """A table itself; for anything else an empty data set with its attributes, and its variables without times.

    A pair of unfinished data and their state stays one, without the state.
    """
    if isinstance(data, pd.DataFrame):
        return data
    if isinstance(data, tuple) and data[0] is None:
        return None, None
    variables = {
        name: (array.dims, np.empty((0, *array.shape[1:]), array.dtype))
        for name, array in getattr(data, "data_vars", {}).items()
        if array.dims[:1] == ("time",)
    }
    return xr.Dataset(variables, attrs=dict(getattr(data, "attrs", {})))
