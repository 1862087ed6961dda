"""Functions that are imported when they are first called, so that a pipeline is built without torch.

nodes = Module("fieldcast.pipelines.training.nodes")
nodes.fit                       # nothing is imported
nodes.fit(task, data, ...)      # now the module is
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Mapping
from inspect import Parameter, Signature
from typing import Any

from fieldcast.arguments import PicklablePartial


class Module:
    """A module of which every attribute is a `Deferred` function."""

    def __init__(self, name: str) -> None:
        """name: the name of the module, with its packages."""
        self._name = name

    def __getattr__(self, name: str) -> Deferred:
        if name.startswith("_"):
            raise AttributeError(name)
        return Deferred(self._name, name)


class Deferred(functools.partial[Any]):
    """A function, by module and name; it is imported when it is first called, and can be sent to another process."""

    module: str
    __name__: str
    __signature__ = Signature()  # none before it is imported: `with_arguments` gives it one

    def __new__(cls, module: str, name: str) -> Deferred:
        """module: its full name; name: that of the function in it."""
        deferred = super().__new__(cls, call, module, name)
        deferred.module, deferred.__name__ = module, name  # Kedro's messages quote the name
        deferred.__annotations__ = {}
        return deferred

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.module, self.__name__)

    @property
    def func(self) -> Callable[..., Any]:
        """The function itself: Kedro looks through a `partial` to tell whether it runs a generator function."""
        return import_function(self.module, self.__name__)


def import_function(module: str, name: str) -> Callable[..., Any]:
    """The function of a module."""
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def call(module: str, name: str, /, *arguments: Any, **keywords: Any) -> Any:
    """Call a function of a module."""
    return import_function(module, name)(*arguments, **keywords)


def is_deferred(function: Callable[..., Any]) -> bool:
    """Tell whether a function, or the one of which it is a `partial`, is imported when it is called."""
    if isinstance(function, Deferred):
        return True
    return isinstance(function, functools.partial) and is_deferred(function.func)


def with_arguments(function: Any, types: Mapping[str, Any]) -> PicklablePartial:
    """A function with a signature of its own: these keyword arguments, by name, with their types.

    A deferred function has none before it is imported, and Kedro reads the types of parameters there.
    """
    bound: Any = PicklablePartial(function)
    bound.__signature__ = Signature(
        [Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind) for name, kind in types.items()]
    )
    bound.__annotations__ = dict(types)
    bound.__name__ = function.__name__
    given: PicklablePartial = bound
    return given
