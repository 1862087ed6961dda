"""Arguments of public functions, checked before anything is computed; and pydantic's complaints put into words.

A check returns the argument, as a plain number where it is one, or raises an InputError of one sentence: its name,
what was given, and what to give.
"""

from __future__ import annotations

import dataclasses
import difflib
import errno
import inspect
import math
import operator
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from fieldcast.atomic import write_atomically
from fieldcast.errors import InputError

MAX_WHOLE_NUMBER = 2**31 - 1  # largest seed or count
MAX_PATH_LENGTH = 200  # characters of a path that a message shows
MAX_SHOWN_CHARACTERS = 60  # largest number of characters of a value in a message


def whole_number(value: object, name: str, least: int = 0) -> int:
    """A whole number from `least` to `MAX_WHOLE_NUMBER`, of Python or NumPy; raises an InputError for another."""
    number = None
    if not _is_truth_value(value):
        try:
            number = operator.index(value)  # type: ignore[arg-type]  # whatever was given
        except TypeError:
            number = None
    if number is None or not least <= number <= MAX_WHOLE_NUMBER:
        raise InputError(f"{name} {as_given(value)}: give a whole number from {least} to {MAX_WHOLE_NUMBER}.")
    return number


def seed_number(value: object) -> int:
    """A seed, a whole number of the default range; raises an InputError for any other value."""
    return whole_number(value, "seed")


def real_number(value: object, name: str, below: float = math.inf) -> float:
    """A finite number of at least 0, and less than `below`; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or not 0 <= number < below:
        end = f" and below {below:g}" if below < math.inf else ""
        raise InputError(f"{name} {as_given(value)}: give a finite number of at least 0{end}.")
    return number


def positive_number(value: object, name: str) -> float:
    """A finite number above zero; raises an InputError for any other value."""
    number = _number(value)
    if not math.isfinite(number) or number <= 0:
        raise InputError(f"{name} {as_given(value)}: give a finite number above 0.")
    return number


def truth_value(value: object, name: str) -> bool:
    """True or False, of Python or NumPy; raises an InputError for another."""
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


def option_texts(kind: Any) -> tuple[str, dict[str, str]]:
    """The text of a class of options, and that of each option: in docstrings, its bases' included, or annotations."""
    texts = {name: field.description or "" for name, field in kind.__pydantic_fields__.items()}
    text = ""
    for each in reversed(kind.__mro__):
        text, _, listed = inspect.cleandoc(each.__doc__ or "").partition("\nParameters\n----------\n")
        for names, meaning in re.findall(r"^(\w[\w, ]*)\n((?:    .*\n?|\n(?=    ))+)", listed, re.M):
            texts |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return text.strip(), texts


def shorten(path: str) -> str:
    """A path for messages, without the end of a very long one."""
    return path if len(path) <= MAX_PATH_LENGTH else f"{path[:MAX_PATH_LENGTH]}..."


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


# Values against the types of options. Everything that pydantic complains about is put into words here.

# names of alternatives in the location of a complaint, such as `str` and `list[str]` of a path
ALTERNATIVE = re.compile(
    r"str|int|float|bool|none|(finite|constrained)-\w+|(list|dict|tuple|set|literal|nullable|function-[\w-]+)\[.*"
)
# requirements whose words in pydantic assume that the reader programs, by its types of error
REQUIREMENTS = {
    "dataclass_type": "should be a mapping of options",
    "model_type": "should be a mapping of options",
    "int_from_float": "should be a whole number",
}
UNKNOWN_OPTION = ("unexpected_keyword_argument", "extra_forbidden")  # pydantic's types of error
MISSING_OPTION = ("missing", "missing_argument", "missing_keyword_only_argument")


def validated(kind: Any, value: Any, name: str = "") -> Any:
    """A value in the type of options that it should have; raises an InputError of one sentence.

    `name` is that of the option, before those within it.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise InputError(complaint(error, name, kind)) from error


def complaint(error: Any, name: str = "", kind: Any = None) -> str:
    """The first complaint of a pydantic `ValidationError` as a sentence with the full name of the option.

    `kind` is the type, whose options are compared with an unknown one.
    """
    first, *rest = _of_entries(error.errors())
    path = _option_path(first["loc"])
    key = ".".join([*([name] if name else []), *path])
    same = [other for other in rest if _option_path(other["loc"]) == path and other["loc"] != first["loc"]]
    others = f" ({len(rest) - len(same)} more)" if len(rest) > len(same) else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        named = str(cause).startswith((f"{key} ", f"{key}."))
        return f"{cause}{others}" if named else f"{key}: {cause}{others}"
    section, _, option = key.rpartition(".")
    if first["type"] in UNKNOWN_OPTION:
        hint = nearest(option, _options(kind, first["loc"][:-1]), f"{section}." if section else "")
        return f"{key}: there is no such option{hint}{others}"
    if first["type"] in MISSING_OPTION:
        return f"{key} is not set: give it a value{others}."
    requirement = " or ".join(dict.fromkeys(_requirement(detail) for detail in (first, *same)))
    requirement = requirement.replace("or should be", "or").replace(
        " a valid integer or a valid number", " a valid number"
    )
    requirement = requirement.replace(" a valid number or a valid integer", " a valid number")
    remedy = ""
    if first["type"] == "list_type" and isinstance(first["input"], str):
        remedy = f', as in "{key}=[{first["input"]}]"'
    return f"{key} = {first['input']!r} {requirement}{others}{remedy}."


def nearest(word: str, options: Iterable[str], section: str = "") -> str:
    """End of a sentence about an unknown name: '; did you mean this or that?', or a full stop.

    `section` begins the names in the sentence, such as `ingestion.`
    """
    close = difflib.get_close_matches(word, list(options), n=2, cutoff=0.6)
    return f"; did you mean {' or '.join(section + name for name in close)}?" if close else "."


def _option_path(location: Sequence[int | str]) -> list[str]:
    """Pydantic's location of a value without the names of alternatives."""
    return [str(part) for part in location if not ALTERNATIVE.fullmatch(str(part))]


def _of_entries(details: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Pydantic's complaints without those about a whole list or mapping, some entries of which are to blame.

    An option that takes a text or a list of texts is a text to the first complaint about a list with a number in it.
    """
    names = [_option_path(detail["loc"]) for detail in details]

    def has_entry(own: list[str]) -> bool:
        return any(len(name) > len(own) and name[: len(own)] == own for name in names)

    return [
        detail
        for detail, name in zip(details, names, strict=True)
        if not (isinstance(detail["input"], list | tuple | Mapping) and has_entry(name))
    ]


def _requirement(detail: Mapping[str, Any]) -> str:
    """Requirement of pydantic that a value does not meet: "should be a valid string"."""
    if detail["type"] in REQUIREMENTS:
        return REQUIREMENTS[detail["type"]]
    if detail["type"] == "too_short":
        least = detail["ctx"]["min_length"]
        return f"should have at least {least} item{'s' if least > 1 else ''}"
    message: str = detail["msg"].partition(", unable to")[0]
    return message.removeprefix("Input ").removeprefix("Value error, ").removeprefix("List ").rstrip(".")


def _options(kind: Any, path: Sequence[int | str]) -> list[str]:
    """List the options of a dataclass or a pydantic model, or of the one under a path within it."""
    if get_origin(kind) in (Union, UnionType):
        kind = next((each for each in get_args(kind) if _options(each, ())), None)
    if path and get_origin(kind) is dict:
        return _options(get_args(kind)[1], path[1:])
    if dataclasses.is_dataclass(kind):
        types = {field.name: field.type for field in dataclasses.fields(kind)}
    else:
        types = {name: field.annotation for name, field in getattr(kind, "model_fields", {}).items()}
    return _options(types.get(str(path[0])), path[1:]) if path else list(types)
