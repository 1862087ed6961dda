"""Errors of observed values, as an option gives them.

The option `noise` gives the standard deviation of the error, for all variables or for each by its name:

    0.1                        anomaly standard deviations
    0.3 degC                   a number with a unit
    35%                        a share of the value
    sses_standard_deviation    a variable of the same data, in the units of the values

GHRSST's sses_bias is the expected error of a value, and is subtracted with it (GHRSST Data Specification 2.0).
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtri

from fieldcast.errors import InputError
from fieldcast.fields.conventions import is_error, short, time_varying
from fieldcast.fields.quantities import Quantity
from fieldcast.fields.units import Conversion, conversion
from fieldcast.geometry import GRID

LOG = logging.getLogger(__name__)
QUANTITY = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(.*?)\s*")
DEVIATION, BIAS = "standard_deviation", "bias"
VALUES = 16  # equally likely values of an observation that stand for its distribution
Given = float | str | Mapping[str, float | str] | None


class Errors(NamedTuple):
    """Errors of observed values, by the name of the variable.

    Parameters
    ----------
    deviation
        Standard deviation: a number of anomaly standard deviations, or an array in the units of the variable.
    bias
        Mean, which was subtracted.
    """

    deviation: Mapping[str, float | xr.DataArray] = MappingProxyType({})
    bias: Mapping[str, xr.DataArray] = MappingProxyType({})

    def of_source(self, name: str) -> tuple[xr.DataArray | None, xr.DataArray | None]:
        """Standard deviation and mean of the error of a variable, None where no variable of the source gives them."""
        deviation = self.deviation.get(name)
        given = isinstance(deviation, xr.DataArray) and deviation.name != name  # not a number or a share
        return deviation if given else None, self.bias.get(name)


NO_ERRORS = Errors()


def separate_errors(
    fields: xr.Dataset, noise: Given, key: str = "noise", say: bool = True, keep: Sequence[str] = ()
) -> tuple[xr.Dataset, Errors]:
    """Separate fields from the variables that hold their errors; subtract the bias.

    Values whose error is missing become NaN. A variable that looks like the error of another one is left out.
    An option that holds for all variables holds for those whose unit fits; the others count as exact.

    Parameters
    ----------
    fields
        Fields that ingestion made.
    noise
        The option; None if errors are not known.
    key
        Name of the option in messages.
    say
        Whether what is done is logged.
    keep
        Variables that are none of these errors, whatever their names.
    """
    names = time_varying(fields)
    if noise is None:
        return without_errors(fields, key, say, keep), NO_ERRORS
    of_each = dict(noise) if isinstance(noise, Mapping) else dict.fromkeys(names, noise)
    of_each = {name if name in names else short(name): each for name, each in of_each.items()}
    if unknown := sorted(set(of_each) - set(names)):
        raise InputError(f"{key} names {', '.join(unknown)}, but the variables are {', '.join(names)}.")
    used = [name for name in holders(noise) if name in names]
    without = fields.drop_vars(used)
    if not time_varying(without):
        raise InputError(f"{key} names the only variable of the data: it gives the error of another one.")
    without = without_errors(without, key, say, keep)
    remaining = time_varying(without)
    if not isinstance(noise, Mapping):
        fitting = [name for name in remaining if unit_fits(fields, name, noise)]
        if fitting and say and len(fitting) < len(remaining):
            exact = ", ".join(name for name in remaining if name not in fitting)
            LOG.info("%s %s is the error of %s; %s has another unit.", key, noise, ", ".join(fitting), exact)
        of_each = {name: each for name, each in of_each.items() if name in fitting or not fitting}
    errors: dict[str, float | xr.DataArray] = {}
    bias: dict[str, xr.DataArray] = {}
    for name, given in of_each.items():
        if name not in remaining:
            continue
        array = without[name]
        error = errors[name] = standard_deviation(fields, name, given, key)
        mean = (named_variable(fields, given) or "").replace(DEVIATION, BIAS)
        if mean in used and mean != named_variable(fields, given):
            bias[name] = in_units_of(fields[mean], array, key)
            if say:
                LOG.info("%s is subtracted from %s.", mean, name)
            array = (array - bias[name].fillna(0.0)).astype(array.dtype).assign_attrs(array.attrs)
        if isinstance(error, xr.DataArray):
            lacking = array.notnull() & ~(error >= 0)
            if bool(lacking.any()):
                if say:
                    LOG.warning("%d values of %s have no error and are left out.", int(lacking.sum()), name)
                array = array.where(~lacking).assign_attrs(array.attrs)
        without = without.assign({name: array})
    return without, Errors(errors, bias)


def names_variables(noise: Given) -> bool:
    """Whether an option names variables of the data as errors."""
    of_each = noise.values() if isinstance(noise, Mapping) else [noise]
    return any(isinstance(each, str) and QUANTITY.fullmatch(each) is None for each in of_each)


def holders(noise: Given) -> list[str]:
    """Names of variables that an option may refer to, and of their bias."""
    of_each = noise.values() if isinstance(noise, Mapping) else [noise]
    named = [name for each in of_each if isinstance(each, str) for name in candidates(each)]
    return list(dict.fromkeys([*named, *(name.replace(DEVIATION, BIAS) for name in named)]))


def without_errors(fields: xr.Dataset, key: str, say: bool, keep: Sequence[str]) -> xr.Dataset:
    """Fields without the variables that look like errors of others; constant ones come through ingestion for these."""
    names = time_varying(fields)
    errors = [name for name in names if is_error(fields[name]) and name not in keep]
    if errors and len(errors) == len(names):
        errors = [name for name in errors if float(fields[name].max()) == float(fields[name].min())]
        if len(errors) == len(names):
            raise InputError(
                f"variable '{errors[0]}' is constant, as the error of another variable may be, and there is no other: "
                "choose another file."
            )
    if say:
        for name in errors:
            LOG.warning(
                "Variable '%s' looks like the error of another one and is not used: name it by %s (--noise).",
                name,
                key,
            )
    return fields.drop_vars(errors)


def unit_fits(fields: xr.Dataset, name: str, given: float | str) -> bool:
    """Whether the unit of an error converts to that of a variable; other faults are said later."""
    units = str(fields[name].attrs.get("units", "1"))
    if (holder := named_variable(fields, given)) is not None:
        given_units = (
            str(fields[each].attrs.get("units", units))
            for each in {holder, holder.replace(DEVIATION, BIAS)}
            if each in fields
        )
        return all(conversion(each, units) is not None for each in given_units)
    match = QUANTITY.fullmatch(str(given))
    return match is None or match[2] in ("", "%") or conversion(match[2], units) is not None


def named_variable(fields: xr.Dataset, given: float | str) -> str | None:
    """The variable that an option names, if it names one."""
    if not isinstance(given, str):
        return None
    names = time_varying(fields)
    return next((name for name in candidates(given) if name in names), None)


def candidates(given: str) -> tuple[str, ...]:
    """The names that ingestion may give to a variable of a file (`conventions.short`, `conventions.unreserved`)."""
    name = given.strip()
    return name, short(name), f"{name}_value"


def given_for(name: str, noise: Given) -> float | str | None:
    """The part of an option that is of a variable."""
    if not isinstance(noise, Mapping):
        return noise
    return noise.get(name, next((each for key, each in noise.items() if short(key) == short(name)), None))


def standard_deviation(fields: xr.Dataset, name: str, given: float | str, key: str) -> float | xr.DataArray:
    """Standard deviation of the error of a variable: anomaly standard deviations, or an array in its units."""
    array, units = fields[name], str(fields[name].attrs.get("units", "1"))
    if (holder := named_variable(fields, given)) is not None:
        return in_units_of(fields[holder], array, key)
    match = QUANTITY.fullmatch(str(given))
    number = float(match[1]) if match and match[1].count(".") <= 1 and match[1] != "." else math.nan
    if match is None or not math.isfinite(number):
        others = ", ".join(other for other in time_varying(fields) if other != name) or "none"
        raise InputError(
            f"{key} '{given}' is neither a number of at least 0, such as 0.1, 0.3 {units} or 35%, nor a variable of "
            f"the data beside '{name}' ({others}): give one of these, or name it in ingestion.variables, too, if the "
            "file has it."
        )
    if not match[2]:
        return number
    if match[2] == "%":
        return number / 100 * abs(array)
    converted = conversion(match[2], units)
    if converted is None:
        raise InputError(
            f"{key} '{given}': '{match[2]}' cannot be converted to '{units}', the unit of '{name}': give the error in "
            "that unit."
        )
    return xr.full_like(array, number * converted.scale)


def in_units_of(error: xr.DataArray, array: xr.DataArray, key: str) -> xr.DataArray:
    """A variable of errors in the units of the values; without a unit it is taken to have them."""
    units = str(array.attrs.get("units", "1"))
    converted = conversion(str(error.attrs.get("units", units)), units)
    if converted is None:
        raise InputError(
            f"{key}: '{error.name}' is in '{error.attrs['units']}', which cannot be converted to '{units}', the unit "
            f"of '{array.name}': correct the unit in the file."
        )
    return error * converted.scale


def error_variance(
    fields: xr.Dataset, errors: Errors, own: Iterable[tuple[str, Quantity | None, Sequence[int]]],
    deviation: Float[np.ndarray, " variable"], conversions: Mapping[str, Conversion] = MappingProxyType({}),
) -> Float[np.ndarray, "time variable y x"]:  # fmt: skip
    """Variance of the errors of the values of some fields as standardised anomalies; 0 where nothing is observed.

    Parameters
    ----------
    fields, errors
        Values in their own units, and their errors.
    own
        Each variable with its mapping, and the numbers of its parts among the mapped variables.
    deviation
        Standard deviation of the anomalies of the mapped variables.
    conversions
        Conversions from the units in which a variable is mapped to those of the fields, where they differ.
    """
    shape = fields[time_varying(fields)[0]].transpose("time", *GRID).shape
    variance = np.zeros((shape[0], len(deviation), *shape[1:]), np.float32)
    for name, quantity, parts in own:
        error = errors.deviation.get(name, 0.0)
        if not isinstance(error, xr.DataArray):
            variance[:, list(parts)] = error**2
            continue
        x, e = (array.transpose("time", *GRID).values.astype(float) for array in (fields[name], error))
        if quantity is None:
            of_parts = np.square(e)[None]
        else:
            change = conversions.get(name, Conversion())
            of_parts = mapped_variance(quantity, change.inverse.of(x), e / abs(change.scale))
        for v, of_part in zip(parts, of_parts, strict=True):
            variance[:, v] = of_part / deviation[v] ** 2
    return np.nan_to_num(variance, copy=False)


def mapped_variance(
    quantity: Quantity, x: Float[np.ndarray, "*n"], error: Float[np.ndarray, "*n"]
) -> Float[np.ndarray, "part *n"]:
    """Variance of the mapped value of x + e, e ~ N(0, error^2), cut to the valid range.

    It is the variance of `VALUES` equally likely values, relative to that of e itself.
    """
    z = ndtri((np.arange(VALUES) + 0.5) / VALUES)
    first, second = 0.0, 0.0
    for node in z / z.std():
        value = np.asarray(x + node * error)
        if len(quantity.parts) == 1:
            value = np.clip(value, quantity.lowest, quantity.highest)
        y = quantity.forward(value).astype(float)
        first, second = first + y / VALUES, second + y**2 / VALUES
    return np.maximum(second - np.square(first), 0.0)
