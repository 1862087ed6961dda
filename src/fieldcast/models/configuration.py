"""What `{type: module.Class, keyword: value ...}` may say: checked before anything is built, and without a Space.

The annotations of the constructor are the rule. Parts of a model are described the same way.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter
from types import NoneType
from typing import Any, get_args

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from fieldcast.errors import InputError
from fieldcast.models.space import Space
from fieldcast.plugins import advertised

STRICT = ConfigDict(strict=True)  # a number in quotes is no number, and 1 is not true


def resolve(kind: str, key: str) -> type:
    """The class `module.Class` of `fieldcast.models`, or `package:module.Class` of a package that advertises models.

    A closed world: a configuration can run nothing else.
    """
    package, _, place = kind.rpartition(":")
    module_name, _, class_name = place.rpartition(".")
    try:
        if package and package not in advertised("fieldcast.models"):
            raise KeyError(package)
        module = importlib.import_module(f"{package or 'fieldcast.models'}.{module_name}")
        found = vars(module)[class_name]
        if not isinstance(found, type) or found.__module__ != module.__name__:
            raise KeyError(class_name)  # what a module imports is not of this world
        return found
    except (ImportError, KeyError, ValueError):
        raise InputError(
            f"{key}.type: there is no '{kind}' in fieldcast.models; write module.Class, such as vae.VAE."
        ) from None


def check(config: Any, key: str, wanted: Any = Any) -> type:
    """The class that a configuration describes, which must be of the class or the annotation `wanted`.

    Raises
    ------
    InputError
        For an unknown type or keyword, naming the nearest valid one; for a value that is not what the annotation of
        its keyword says; for a keyword that is missing. The same of each part.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"{key} = {config!r} should be {{type: module.Class, keyword: value ...}}.")
    kind = resolve(str(config.get("type", "")), key)
    if not fits(kind, wanted):
        asked = inspect.formatannotation(wanted).replace("fieldcast.models.", "").removesuffix(" | None")
        raise InputError(f"{key}.type: {config['type']} is not a {asked}.")
    known, given = options(kind), keywords(config, kind, key)
    for name, value in given.items():
        if name not in known:
            near = get_close_matches(str(name), known, n=1, cutoff=0)
            hint = f"; did you mean '{near[0]}'?" if near else ", which takes no options."
            raise InputError(f"{key}.{name}: unknown option of {config['type']}{hint}")
        check_value(value, known[name].annotation, f"{key}.{name}")
    for name, option in known.items():
        if option.default is Parameter.empty and name not in given:
            raise InputError(f"{key}.{name} is not set, and {config['type']} has no default for it.")
    return kind


def build(config: Mapping[str, Any], space: Space, key: str = "model", wanted: Any = Any) -> Any:
    """The object that `{type: module.Class, keyword: value ...}` describes; parts are described the same way.

    A class whose first parameter is `space` receives it. `wanted` is the class that it must be of.

    Raises
    ------
    InputError
        For what `configuration.check` refuses, and for what the constructor does.
    """
    kind = check(config, key, wanted)
    arguments = {
        name: build(value, space, f"{key}.{name}") if is_part(value) else value
        for name, value in keywords(config, kind, key).items()
    }
    if "space" in inspect.signature(kind).parameters:
        arguments["space"] = space
    try:
        return kind(**arguments)
    except InputError:
        raise
    except (TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise InputError(f"{key}: {config['type']} cannot be built: {error}.") from None


def options(kind: type) -> dict[str, Parameter]:
    """What a configuration may set of a class: all that its constructor takes by name, but the Space."""
    parameters = inspect.signature(kind, eval_str=True).parameters
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {name: one for name, one in parameters.items() if one.kind in named and name != "space"}


def keywords(config: Mapping[str, Any], kind: type, key: str) -> dict[str, Any]:
    """What a configuration sets of a class; a part also has what the class `shares` with it and it leaves out.

    Raises
    ------
    InputError
        For a part with another value of what is shared.
    """
    given = {name: value for name, value in config.items() if name != "type"}
    shared = {name: given.get(name, options(kind)[name].default) for name in getattr(kind, "shares", ())}
    for name, part in given.items():
        if shared and is_part(part):
            takes = options(resolve(str(part["type"]), f"{key}.{name}"))
            inherited = {option: value for option, value in shared.items() if option in takes}
            for option, value in inherited.items():
                if part.get(option, value) != value:
                    raise InputError(
                        f"{key}.{name}.{option} = {part[option]!r}, but {key}.{option} = {value!r}: set it there alone."
                    )
            given[name] = {**inherited, **part}
    return given


def fits(kind: type, wanted: Any) -> bool:
    """Whether a class is of an annotation, where that can be asked of classes."""
    try:
        return wanted in (Any, Parameter.empty) or issubclass(kind, wanted)
    except TypeError:  # of a protocol with attributes, which only objects have
        return True


def is_part(value: Any) -> bool:
    """Whether a value describes a part of a model."""
    return isinstance(value, Mapping) and "type" in value


def check_value(value: Any, wanted: Any, key: str) -> None:
    """Raise an InputError for a value that is not what the annotation of its keyword says."""
    if is_part(value):
        check(value, key, wanted)
        return
    try:  # as JSON, in which a list is as good as a tuple
        TypeAdapter(Any if wanted is Parameter.empty else wanted, config=STRICT).validate_json(
            json.dumps(value, default=str)
        )
    except PydanticUserError:  # a class, which only a part can be of
        if value is not None or NoneType not in get_args(wanted):
            check(value, key, wanted)
    except ValidationError as error:
        raise InputError(f"{key}{complaint(error)}") from None


def complaint(error: ValidationError) -> str:
    """The end of a sentence: where in a list, what stands there, and all that might stand there."""
    first = error.errors()[0]
    place = "".join(f".{part}" for part in first["loc"] if isinstance(part, int))
    said = " or ".join(dict.fromkeys(one["msg"] for one in error.errors()))
    wanted = said.removeprefix("Input ").replace("or Input should be", "or")
    return f"{place} = {first['input']!r} {wanted}."
