"""Reasons why the variables of a file cannot be decoded: units, packing, attributes and times."""

import numpy as np
import xarray as xr

from fieldcast.calendars import CALENDARS
from fieldcast.fields.packing import misfit


def undecodable(raw: xr.Dataset, path: str) -> str | None:
    """Describe the first variable of an undecoded file that cannot be decoded; None if all can."""
    for name, array in raw.variables.items():
        if text := misfit(array.attrs, str(name), f"'{path}'"):
            return text
        if not isinstance(named := array.attrs.get("coordinates", ""), str):
            return (
                f"the attribute coordinates of '{name}' in '{path}' is {named}: make it a text, or remove it"
            )
        units, calendar = (array.attrs.get(key) for key in ("units", "calendar"))
        if " since " in str(units) and calendar is not None and str(calendar).lower() not in CALENDARS:
            return (
                f"'{name}' of '{path}' has the unknown calendar '{calendar}': correct its attribute calendar, to one "
                f"of {', '.join(CALENDARS)}"
            )
        if text := _one_huge_time(str(name), array, path):
            return text
        try:
            xr.conventions.decode_cf_variable(name, array, decode_timedelta=False)
        except Exception:
            limits = f"{array.values.min():g} to {array.values.max():g}" if array.size else "nothing"
            return (
                f"the times of '{path}' cannot be decoded ('{name}' runs from {limits} '{units}'"
                f"{f', calendar {calendar!r}' if calendar else ''}): give dates in units such as "
                "'days since 2001-01-01'"
            )
    return None


def are_float_times(array: xr.Variable) -> bool:
    """Whether times of one dimension were stored as numbers that are not whole."""
    stored = np.dtype(array.encoding.get("dtype", int))
    return array.ndim == 1 and stored.kind == "f" and " since " in str(array.encoding.get("units"))


def _one_huge_time(name: str, array: xr.Variable, path: str) -> str | None:
    """Sentence on the largest of some times if it alone cannot be decoded; None otherwise."""
    units = str(array.attrs.get("units"))
    if " since " not in units or array.ndim != 1 or array.dtype.kind not in "fiu" or not array.size:
        return None

    def decodable(number: float) -> bool:
        variable = xr.Variable(array.dims, np.array([number]), array.attrs)
        try:
            xr.conventions.decode_cf_variable(name, variable, decode_timedelta=False).load()
        except Exception:
            return False
        return True

    largest = int(np.nanargmax(np.abs(array.values.astype(float)))) if array.notnull().any() else 0
    value = float(array.values[largest])
    if decodable(value) or not decodable(float(np.nanmedian(array.values))):
        return None
    return f"{name} {largest + 1} of '{path}' is {value:g} '{units}': correct it"
