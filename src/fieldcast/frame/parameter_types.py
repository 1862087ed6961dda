"""Types of parameters by dotted name, and complaints about values that do not fit them.

The types of Fieldcast's own parameters are listed, so that a wrong option is refused before a pipeline is built.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kedro.framework import project
from kedro.framework.project import pipelines
from kedro.validation.type_extractor import TypeExtractor
from pydantic import TypeAdapter, ValidationError

from fieldcast import pipeline_registry
from fieldcast.arguments import option_path
from fieldcast.errors import InputError
from fieldcast.experiments import experiments, nearest
from fieldcast.fields.paths import require

PACKAGE = "fieldcast"  # the package whose types are listed
# requirements whose words in pydantic assume that the reader programs, by its types of error
REQUIREMENTS = {
    "dataclass_type": "should be a mapping of options",
    "int_from_float": "should be a whole number",
}
UNKNOWN_OPTION = ("unexpected_keyword_argument", "extra_forbidden")  # pydantic's types of error


def listed_types(conf: Path) -> dict[str, Any]:
    """Types that need no pipeline: those of the sections, and of the options of experiments of Fieldcast's tasks.

    conf: the configuration folder, which lists the experiments.
    """
    if project.PACKAGE_NAME != PACKAGE:
        return {}
    from fieldcast.pipelines.parameters import TYPES, experiment_types  # here: pydantic builds each type
    from fieldcast.tasks import TASKS

    types = dict[str, Any](TYPES)
    for experiment in experiments(conf).values():
        task = TASKS.get(experiment.task)
        if task is not None:
            own_types = {"fit": TYPES["fit"], **experiment_types(task, experiment)}
            types |= {f"{experiment.address}.{name}": kind for name, kind in own_types.items()}
    return types


def annotated_types() -> dict[str, Any]:
    """Dataclasses and pydantic models in the annotations of nodes; builds every pipeline."""
    types = TypeExtractor(pipeline_registry.complete(pipelines)).extract_types_from_pipelines()
    return {
        key: kind
        for key, kind in types.items()
        if dataclasses.is_dataclass(kind) or hasattr(kind, "model_fields")
    }


def check_values(overrides: Iterable[str], parameters: Mapping[str, Any], conf: Path) -> None:
    """Raise InputError for a section or an experiment whose value, with these run-time parameters, does not fit.

    It is also raised for a file that a run-time parameter names and that does not exist.
    """
    keys = list(overrides)
    for name, kind in listed_types(conf).items():
        if any(key == name or key.startswith(f"{name}.") for key in keys):
            try:
                value = TypeAdapter(kind).validate_python(value_of(name, parameters))
            except ValidationError as error:
                raise InputError(complaint(name, kind, error)) from error
            except KeyError:
                continue
            for key, path in getattr(value, "files", ()):
                if key in keys:
                    require(path, key)


def value_of(name: str, parameters: Mapping[str, Any]) -> Any:
    """Value of a parameter by dotted name; raises KeyError if there is none."""
    value: Any = parameters
    for part in name.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(name)
        value = value[part]
    return value


def complaint(name: str, kind: Any, error: ValidationError) -> str:
    """Report the first complaint of pydantic, with the full name of the key."""
    first, *rest = of_entries(error.errors())
    option_names = option_path(first["loc"])
    key = ".".join([name, *option_names])
    alternatives = [
        other for other in rest if option_path(other["loc"]) == option_names and other["loc"] != first["loc"]
    ]
    more = len(rest) - len(alternatives)
    others = f" ({more} more)" if more else ""
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return f"{key}: {cause}{others}"
    if first["type"] in UNKNOWN_OPTION:
        options = _options(kind, first["loc"][:-1])
        *section, option = key.split(".")
        return f"{key}: there is no such option{nearest(option, options, '.'.join([*section, '']))}{others}"
    messages = dict.fromkeys(requirement_of(detail) for detail in (first, *alternatives))
    value, remedy = first["input"], ""
    if first["type"] == "list_type" and isinstance(value, str):
        remedy = f', as in "{key}=[{value}]"'
    return f"{key} = {value!r} {' or '.join(messages)}{others}{remedy}."


def of_entries(details: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Pydantic's complaints without those about a whole list or mapping, some entries of which are to blame.

    An option that takes a text or a list of texts is a text to the first complaint about a list with a number in it.
    """
    names = [option_path(detail["loc"]) for detail in details]

    def has_entry(own: list[str]) -> bool:
        return any(len(name) > len(own) and name[: len(own)] == own for name in names)

    return [
        detail
        for detail, name in zip(details, names, strict=True)
        if not (isinstance(detail["input"], list | tuple | Mapping) and has_entry(name))
    ]


def requirement_of(detail: Mapping[str, Any]) -> str:
    """Requirement of pydantic that a value does not meet: "should be a valid string"."""
    if detail["type"] in REQUIREMENTS:
        return REQUIREMENTS[detail["type"]]
    message: str = detail["msg"]
    return message.removeprefix("Input ").removeprefix("Value error, ").removeprefix("List ").rstrip(".")


def _options(kind: Any, path: tuple[int | str, ...]) -> list[str]:
    """List the options of a dataclass, or of the dataclass under a path within it."""
    if not dataclasses.is_dataclass(kind):
        return []
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    return _options(types.get(str(path[0])), path[1:]) if path else list(types)
