"""Arguments of public functions, checked before anything is computed; and of nodes, gathered into groups.

A check returns the argument, as a plain number where it is one, or raises an InputError of one sentence: its name,
what was given, and what to give.
"""

from __future__ import annotations

import errno
import functools
import inspect
import math
import operator
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter
from pathlib import Path
from typing import Any, get_type_hints

from fieldcast.atomic import write_atomically
from fieldcast.errors import InputError

MAX_WHOLE_NUMBER = 2**31 - 1  # largest seed or count
ALTERNATIVE = re.compile(
    r"str|int|float|bool|none|(finite|constrained)-\w+|(list|dict|tuple|set|literal|nullable|function-[\w-]+)\[.*"
)
MAX_PATH_LENGTH = 200  # characters of a path that a message shows
MAX_SHOWN_CHARACTERS = 60  # largest number of characters of a value in a message


def whole_number(value: object, name: str, least: int = 0, most: int = MAX_WHOLE_NUMBER) -> int:
    """A whole number from `least` to `most`, of Python or NumPy; raises an InputError for any other value."""
    number = None
    if not _is_truth_value(value):
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # whatever was given
        except TypeError:
            number = None
    if number is None or not least <= number <= most:
        raise InputError(f"{name} {as_given(value)}: give a whole number from {least} to {most}.")
    return number


def seed_number(value: object, name: str = "seed") -> int:
    """A seed, a whole number of the default range; raises an InputError for any other value."""
    return whole_number(value, name)


def real_number(value: object, name: str, least: float = 0.0, below: float = math.inf) -> float:
    """A finite number of at least `least`, and less than `below`; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or not least <= number < below:
        end = f" and below {below:g}" if below < math.inf else ""
        raise InputError(f"{name} {as_given(value)}: give a finite number of at least {least:g}{end}.")
    return number


def positive_number(value: object, name: str) -> float:
    """A finite number above zero; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or number <= 0:
        raise InputError(f"{name} {as_given(value)}: give a finite number above 0.")
    return number


def truth_value(value: object, name: str) -> bool:
    """True or False, of Python or NumPy; raises an InputError for any other value."""
    if not _is_truth_value(value):
        raise InputError(f"{name} {as_given(value)}: give True or False.")
    return bool(value)


def choice(value: object, name: str, choices: Sequence[str]) -> str:
    """One of `choices`; raises an InputError for any other value."""
    if not isinstance(value, str) or value not in choices:
        listed = " or ".join(f'"{choice}"' for choice in choices)
        raise InputError(f"{name} {as_given(value)}: give {listed}.")
    return value


def text(value: object, name: str, example: str) -> str:
    """A string, such as `example`; raises an InputError for any other value."""
    if not isinstance(value, str):
        raise InputError(f'{name} {as_given(value)}: give a string, such as "{example}".')
    return value


def mapping(value: object, name: str, example: str) -> Mapping[str, Any]:
    """A mapping whose keys are strings, such as `example`; raises an InputError for any other value."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f"{name} {as_given(value)}: give a dictionary such as {example}.")
    return value


def path(value: object, name: str, example: str) -> str:
    """The name of a file or folder, such as `example`; raises an InputError for any other value."""
    given = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(given, str) or not given.strip() or "\0" in given:
        raise InputError(f'{name} {as_given(value)}: give the name of a file or folder, such as "{example}".')
    return given


def write_named(path: str, content: bytes) -> None:
    """Write a file as `atomic.write_atomically` does, at a path that a user has chosen."""
    refuse_special_file(path)
    try:
        write_atomically(path, content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"'{shorten(path)}' cannot be written ({reason}): name a file in a folder that can be written to."
        ) from error


def refuse_special_file(path: str | os.PathLike[str], name: str = "") -> None:
    """Raise an InputError if there is something other than a file at a path, which the option `name` sets."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):  # nothing is there
        return
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe" if stat.S_ISFIFO(mode) else "device"
        raise InputError(f"{name} '{path}' is a {kind}, not a file: name a file.".lstrip())


def refuse_unwritable(path: str | os.PathLike[str], name: str) -> None:
    """Raise an InputError if no file can be written at a path, which the option `name` sets."""
    refuse_special_file(path, name)
    label = f"{name} '{shorten(str(path))}'"
    try:
        os.lstat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{label} is too long a name for this file system: shorten it.") from None
    except ValueError:
        raise InputError(f"{label} holds a character that no name may have: name a file.") from None
    folder = next(parent for parent in Path(path).absolute().parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise InputError(f"{label} cannot be written ('{folder}' is not a folder): name a file in a folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        cause = "is on a read-only file system" if read_only else "does not permit it"
        raise InputError(
            f"{label} cannot be written (the folder '{folder}' {cause}): name a file in another folder."
        )


def shorten(path: str) -> str:
    """A path for messages, without the end of a very long one."""
    return path if len(path) <= MAX_PATH_LENGTH else f"{path[:MAX_PATH_LENGTH]}..."


def option_path(location: Sequence[int | str]) -> list[str]:
    """Pydantic's location of a value without the names of alternatives, such as `str` and `list[str]` of a path."""
    return [str(part) for part in location if not ALTERNATIVE.fullmatch(str(part))]


def as_given(value: object) -> str:
    """A value as the predicate of a sentence: "= 1.5", or "is a Dataset"."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        written = repr(value)
        return (
            f"= {written}"
            if len(written) <= MAX_SHOWN_CHARACTERS
            else f"= {written[:MAX_SHOWN_CHARACTERS]}..."
        )
    try:
        return f"= {_number(value):g}" if not math.isnan(_number(value)) else f"is a {type(value).__name__}"
    except OverflowError:
        return f"is a {type(value).__name__}"


def _number(value: object) -> float:
    """The value as a number; NaN if it is none."""
    if _is_truth_value(value) or isinstance(value, str | bytes | bytearray | complex):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]  # whatever was given
    except (TypeError, ValueError, RuntimeError, OverflowError):  # several numbers, or one beyond all floats
        return math.nan


def _is_truth_value(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # NumPy's, too


# Groups of arguments for functions whose callers pass each field by itself, as the nodes of a Kedro graph do.


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
