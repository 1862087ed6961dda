"""Groups of arguments for functions whose callers pass each field by itself, as the nodes of a Kedro graph do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from inspect import Parameter
from typing import Any, get_type_hints


class ArgumentGroup:
    """Base of frozen dataclasses that group arguments; no field of a group is a group."""


def by_field(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that each field of a group among its arguments is an argument itself.

    The new arguments keep names, types and defaults of the fields; those without a default come first. A name that
    several groups share is one argument. A generator function remains one.
    """
    types = get_type_hints(function)
    returned = types.pop("return", Any)
    groups = {
        name: kind
        for name, kind in types.items()
        if isinstance(kind, type) and issubclass(kind, ArgumentGroup)
    }
    arguments: dict[str, Parameter] = {}
    for name, argument in inspect.signature(function).parameters.items():
        inner = (
            arguments_of(groups[name]) if name in groups else {name: argument.replace(annotation=types[name])}
        )
        arguments |= {key: value for key, value in inner.items() if key not in arguments}
    in_order = sorted(arguments.values(), key=lambda argument: argument.default is not Parameter.empty)
    signature = inspect.Signature(in_order, return_annotation=returned)

    def grouped(*args: Any, **keywords: Any) -> dict[str, Any]:
        bound = signature.bind(*args, **keywords)
        bound.apply_defaults()
        values = bound.arguments
        ungrouped = {name: values[name] for name in types if name in values}
        return ungrouped | {
            name: kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]
            for name, kind in groups.items()
        }

    @functools.wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        return function(**grouped(*args, **keywords))

    @functools.wraps(function)
    def stream(*args: Any, **keywords: Any) -> Iterator[Any]:
        yield from function(**grouped(*args, **keywords))

    wrapper: Any = stream if inspect.isgeneratorfunction(function) else call
    wrapper.__signature__ = signature
    wrapper.__annotations__ = {argument.name: argument.annotation for argument in in_order}
    return wrapper


def arguments_of(group: type[ArgumentGroup]) -> dict[str, Parameter]:
    """The arguments of a group's constructor, with resolved types."""
    types = get_type_hints(group)
    parameters = inspect.signature(group).parameters
    return {name: parameter.replace(annotation=types[name]) for name, parameter in parameters.items()}


class PicklablePartial(functools.partial[Any]):
    """A partial function that has its name and signature in other processes, too.

    `multiprocessing` sends a mere `partial` without its attributes.
    """


class CollectingPartial(functools.partial[Any]):
    """A function with a mapping among its arguments, called with the entries of this mapping as keywords."""

    argument: str
    keys: tuple[str, ...]

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        entries = {key: keywords.pop(key) for key in self.keys}
        return super().__call__(*args, **keywords, **{self.argument: entries})


def collect_argument(function: Callable[..., Any], argument: str, keys: Iterable[str]) -> Any:
    """Replace the argument `argument` of a function, a mapping, by an argument for each of its keys."""
    bound: Any = CollectingPartial(function)
    bound.argument, bound.keys = argument, tuple(keys)
    signature = inspect.signature(function)
    remaining = [part for name, part in signature.parameters.items() if name != argument]
    entries = [Parameter(key, Parameter.KEYWORD_ONLY) for key in bound.keys]
    bound.__signature__ = signature.replace(parameters=[*remaining, *entries])
    bound.__annotations__ = {k: v for k, v in function.__annotations__.items() if k != argument}
    bound.__name__ = function.__name__
    return bound


def bind_arguments(function: Callable[..., Any], /, **values: Any) -> Any:
    """Bind some arguments of a function, and remove them from its signature and annotations.

    Kedro reads the types of parameters from these; a `partial`, unlike a closure, can be sent to another process.
    """
    bound: Any = PicklablePartial(function, **values)
    signature = inspect.signature(function)
    remaining = {name: argument for name, argument in signature.parameters.items() if name not in values}
    bound.__signature__ = signature.replace(parameters=list(remaining.values()))
    bound.__annotations__ = {k: v for k, v in function.__annotations__.items() if k not in values}
    bound.__name__ = function.__name__  # Kedro's messages quote the name
    return bound
