"""Configurations `{type: module.Class, keyword: value ...}`, which are checked before anything is built.

The annotations of the constructor are the schema. Parts of a model are configured in the same way.
"""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter
from pathlib import Path
from traceback import extract_tb
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from fieldcast.arguments import complaint
from fieldcast.errors import InputError
from fieldcast.models import source_code
from fieldcast.models.space import Space

STRICT = ConfigDict(strict=True)  # a number in quotes is not a number, and 1 is not true


def resolve(kind: str, key: str) -> type:
    """The class `module.Class` of `fieldcast.models`, or `package:module.Class` of a package that depends on fieldcast.

    A configuration, or the header of a checkpoint, can name no other class, so it cannot run arbitrary code.
    """
    package, _, qualified_name = kind.rpartition(":")
    module_name, _, class_name = qualified_name.rpartition(".")
    if package and not source_code.extends_fieldcast(package):  # nothing of it is imported
        raise InputError(
            f"{key}.type: no installed package '{package}' depends on fieldcast: install it with fieldcast among its "
            "dependencies, or write module.Class, such as vae.VAE."
        )
    try:
        module = importlib.import_module(f"{package or 'fieldcast.models'}.{module_name}")
        resolved = vars(module)[class_name]
        if not isinstance(resolved, type) or resolved.__module__ != module.__name__:
            raise KeyError(class_name)  # imported into the module, not defined there
        return resolved
    except Exception as error:
        if isinstance(error, ImportError) and not is_missing_module(
            error, package or "fieldcast.models", module_name
        ):
            raise InputError(f"{key}.type: the module of '{kind}' cannot be imported: {error}.") from error
        if place := place_of(error, source_code.source_of(f"{package or 'fieldcast.models'}.{module_name}")):
            raise InputError(f"{key}.type: {place}: correct it.") from error
        if not isinstance(error, ImportError | KeyError | ValueError):
            raise
        near = get_close_matches(kind, source_code.classes(package), n=1)
        hint = f"did you mean {near[0]}?" if near else "write module.Class, such as vae.VAE."
        raise InputError(
            f"{key}.type: there is no '{kind}' in {package or source_code.OURS}; {hint}"
        ) from None


def is_missing_module(error: ImportError, package: str, module: str) -> bool:
    """Whether an import failed because the module itself, or one of its parent packages, does not exist."""
    return isinstance(error, ModuleNotFoundError) and f"{package}.{module}.".startswith(f"{error.name}.")


def place_of(error: Exception, file: Path | None) -> str | None:
    """The line of a module at which its import failed, and why; None for an error that is not the module's."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{file}, line {lines[-1]}: {type(error).__name__}: {error}" if lines else None


def check_model(
    config: Any, key: str, expected: Any = Any, set_at: Mapping[str, str] = MappingProxyType({})
) -> type:
    """Check a configuration and return the class that it names, which must satisfy the annotation `expected`.

    `set_at` gives the keys of options that a part inherits: messages name the key that the user can set.
    """
    if not isinstance(config, Mapping):
        raise InputError(f"{key} = {config!r} should be {{type: module.Class, keyword: value ...}}.")
    kind = resolve(str(config.get("type", "")), key)
    if not fits(kind, expected):
        named = inspect.formatannotation(expected).removesuffix(" | None")
        requirement = named.replace("fieldcast.models.", "").replace("core.model.", "core.")
        raise InputError(f"{key}.type: {config['type']} is not a {requirement}.")
    accepted, given = options(kind), keywords(config, kind, key)
    key_of = {name: set_at.get(name, f"{key}.{name}") for name in (*accepted, *given)}
    shared = {name: key_of[name] for name in getattr(kind, "shares", ())}
    for name, value in given.items():
        if name not in accepted:
            near = get_close_matches(str(name), accepted, n=1, cutoff=0)
            hint = f"; did you mean '{near[0]}'?" if near else ", which takes no options."
            raise InputError(f"{key}.{name}: unknown option of {config['type']}{hint}")
        as_written: Any = config[name] if is_part(value) else {}
        inherited = {option: at for option, at in shared.items() if option not in as_written}
        check_value(value, accepted[name].annotation, key_of[name], inherited)
    for name, option in accepted.items():
        if option.default is Parameter.empty and name not in given:
            raise InputError(f"{key_of[name]} is not set, and {config['type']} has no default for it.")
    return kind


def build(config: Mapping[str, Any], space: Space, key: str = "model", expected: Any = Any) -> Any:
    """Build the object that `{type: module.Class, keyword: value ...}` describes, and its parts.

    A class with a parameter `space` receives it. `expected` is the class or annotation that the object must satisfy.
    """
    kind = check_model(config, key, expected)
    arguments = {
        name: with_built_parts(value, space, f"{key}.{name}")
        for name, value in keywords(config, kind, key).items()
    }
    if "space" in inspect.signature(kind).parameters:
        arguments["space"] = space
    try:
        return kind(**arguments)
    except InputError:
        raise
    except (TypeError, ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        raise InputError(f"{key}: {config['type']} cannot be built: {error}.") from None


def with_built_parts(value: Any, space: Space, key: str) -> Any:
    """Replace the parts that a value of a configuration describes by the objects themselves."""
    if is_part(value):
        return build(value, space, key)
    if are_parts(value):
        return {name: build(part, space, f"{key}.{name}") for name, part in value.items()}
    return value


def options(kind: type) -> dict[str, Parameter]:
    """Options of a class: all keyword parameters of its constructor except `space`."""
    parameters = inspect.signature(kind, eval_str=True).parameters
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return {
        name: parameter
        for name, parameter in parameters.items()
        if parameter.kind in named and name != "space"
    }


def keywords(config: Mapping[str, Any], kind: type, key: str) -> dict[str, Any]:
    """Keywords that a configuration sets; parts inherit the options that its class `shares` unless they set them."""
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


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """A valid configuration with the default of each option that it leaves out, in its parts as well."""
    kind = resolve(str(config["type"]), "model")
    given = keywords(config, kind, "model")
    named = {
        name: given.get(name, option.default)
        for name, option in options(kind).items()
        if name in given or option.default is not Parameter.empty
    }
    return {"type": config["type"], **{name: _completed(value) for name, value in named.items()}}


def _completed(value: Any) -> Any:
    if is_part(value):
        return with_defaults(value)
    if are_parts(value):
        return {name: with_defaults(part) for name, part in value.items()}
    return value


def fits(kind: type, annotation: Any) -> bool:
    """Whether a class satisfies an annotation, as far as this can be decided without an object."""
    try:
        return annotation in (Any, Parameter.empty) or issubclass(kind, annotation)
    except TypeError:  # a protocol with attributes, which only objects have
        return True


def is_part(value: Any) -> bool:
    """Whether a value configures a part of a model."""
    return isinstance(value, Mapping) and "type" in value


def are_parts(value: Any) -> bool:
    """Whether a value configures several parts, by name."""
    return isinstance(value, Mapping) and any(map(is_part, value.values()))


def check_value(
    value: Any, annotation: Any, key: str, set_at: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Raise an InputError for a value that does not fit the annotation of its keyword; `set_at` as in `check_model`."""
    if is_part(value):
        check_model(value, key, annotation, set_at)
        return
    if are_parts(value) and get_origin(annotation) is Mapping:
        for name, part in value.items():
            check_model(part, f"{key}.{name}", get_args(annotation)[1])
        return
    try:  # validate JSON, which does not distinguish lists from tuples
        TypeAdapter(Any if annotation is Parameter.empty else annotation, config=STRICT).validate_json(
            json.dumps(value, default=str)
        )
    except PydanticUserError:  # a class, of which only a part can be an instance
        if value is not None or NoneType not in get_args(annotation):
            check_model(value, key, annotation)
    except ValidationError as error:
        raise InputError(complaint(error, key)) from None
