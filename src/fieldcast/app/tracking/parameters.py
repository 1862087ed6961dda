"""Parameters of a run as MLflow keeps them: those that its nodes read, and that their models use."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from fieldcast.lineage import leaves

FIT = "fit"  # options of the training of an experiment, beside its model
TUNING = "tuning"  # the one among them for a model in closed form: the number of states on which it is tuned


def as_text(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Parameters by dotted name, as MLflow keeps them: in the notation of the YAML files, in one line."""
    return {name: notation(value) for name, value in leaves(parameters)}


def notation(value: Any) -> str:
    """A value as a YAML file would hold it: `null` for None, `[1, 2]` for a tuple, `.inf`; a text as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}".replace("inf", ".inf").replace("nan", ".nan")
    in_yaml = value is None or isinstance(value, bool | int | float | list | tuple | dict)
    return json.dumps(value, ensure_ascii=False, default=str) if in_yaml else str(value)


def parameters_in_use(parameters: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Parameters that nodes read, by dotted name, as `as_text` gives them; a model with the defaults of its class.

    Names without a value, options that a source or the fit of a model does not read, and parameters of the report alone
    (all experiments of a task, and lists of named comparisons) are left out.
    """
    values = {name: options_in_use(value_in_use(parameters, name)) for name in sorted(names)}
    return as_text(
        {
            name: with_default_options(value) if names_a_class(value) else value
            for name, value in values.items()
            if value is not None and not is_task(value) and not is_listing(value)
        }
    )


def value_in_use(parameters: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name; of the `fit` of an experiment, the options that its model uses."""
    value, (address, _, key) = within(parameters, name), name.rpartition(".")
    model = within(parameters, f"{address}.model")
    is_fit = key == FIT and value is not None and names_a_class(model)
    return fit_in_use(value, model) if is_fit else value


def fit_in_use(fit: Any, model: Mapping[str, Any]) -> Any:
    """Options of a fit that a model uses: all if gradient steps train it, else those of its tuning, if it is tuned."""
    from fieldcast.models.configuration import resolve  # here: torch takes a second to import
    from fieldcast.models.core import Model, Solved, Trained

    kind = resolve(str(model["type"]), "model")
    if issubclass(kind, Trained):
        return fit
    is_tuned = issubclass(kind, Solved) and (kind.choices or kind.tuned_values is not Model.tuned_values)
    tuning = within({FIT: fit}, f"{FIT}.{TUNING}")
    return {} if tuning is None or not is_tuned else {TUNING: tuning}


def options_in_use(options: Any) -> Any:
    """Options without those that they list as unused."""
    unused = getattr(options, "unused", ())
    return {name: value for name, value in vars(options).items() if name not in unused} if unused else options


def names_a_class(value: Any) -> bool:
    """Whether a parameter configures a model."""
    return isinstance(value, Mapping) and "." in str(value.get("type", ""))


def with_default_options(model: Mapping[str, Any]) -> dict[str, Any]:
    """A model's configuration with the default of each option that it leaves out."""
    from fieldcast.models.configuration import with_defaults  # here: torch takes a second to import

    return with_defaults(model)


def is_task(value: Any) -> bool:
    """Whether a parameter is a task with its experiments."""
    return isinstance(value, Mapping) and any(
        isinstance(body, Mapping) and "model" in body for body in value.values()
    )


def is_listing(value: Any) -> bool:
    """Whether a parameter lists things that have several keys each."""
    return isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value)


def within(parameters: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in nested parameters, mappings or dataclasses; None where it is absent."""
    value: Any = parameters
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value
