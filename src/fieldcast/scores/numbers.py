"""Numbers as text: significant digits, intervals with the decimals of their value, powers of ten."""

from __future__ import annotations

import math
from numbers import Real

MAX_SCORED = 1e15  # larger values count as infinite: their squares overflow in single precision
SCIENTIFIC_FROM = 1e7  # numbers from here on, such as those of a model that blew up, have a power of ten
SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def significant(value: float, digits: int = 3) -> str:
    """Round to significant digits; huge numbers have a power of ten, infinity its sign, NaN is a dash."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if math.isnan(value):
        return "–"
    if abs(value) >= SCIENTIFIC_FROM:
        return scientific(value, digits)
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 8)}f}".replace("-", "−")


def scientific(value: float, digits: int) -> str:
    """A number with a power of ten: 4.06 × 10²³."""
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{str(int(power)).translate(SUPERSCRIPTS)}".replace("-", "−")


def with_interval(value: float, low: float, high: float, digits: int = 3) -> list[str]:
    """A value and its interval with equally many decimals.

    The larger of the value and half the interval has `digits` significant digits; the interval leaves further digits
    uncertain. Numbers that are not finite are dashes.
    """
    finite = [number for number in (value, (high - low) / 2) if math.isfinite(number)]
    size = max(map(abs, finite), default=0.0)
    if size >= SCIENTIFIC_FROM:
        return [scientific(x, digits) if math.isfinite(x) else "–" for x in (value, low, high)]
    decimals = min(max(0, digits - 1 - math.floor(math.log10(size))) if size else 0, 8)
    return [f"{x:.{decimals}f}".replace("-", "−") if math.isfinite(x) else "–" for x in (value, low, high)]


def compact(value: float) -> str:
    """A number with three digits, or a power of ten if it is very small or very large."""
    ordinary = value == 0 or 1e-3 <= abs(value) < 1e4 or not math.isfinite(value)
    return significant(value) if ordinary else f"{value:.0e}".replace("-", "−")


def amount(value: object) -> str:
    """A cost: spaces between thousands, three significant digits where it is small, a dash where it is missing."""
    if not isinstance(value, Real) or math.isnan(value):
        return "–"
    number = float(value)
    is_whole = abs(number) >= 100 or number.is_integer()
    return f"{number:,.0f}".replace(",", " ") if is_whole else significant(number)


def plain(value: object) -> str:
    """A tuned value without needless digits."""
    return f"{value:g}" if isinstance(value, Real) else str(value)


def span(values: list[object]) -> str:
    """One whole number, or the smallest to the largest; empty without any."""
    numbers = sorted({int(float(str(value))) for value in values})
    return "" if not numbers else " to ".join(dict.fromkeys((str(numbers[0]), str(numbers[-1]))))


def is_known(value: object) -> bool:
    """Whether a stored value is neither missing, nor empty, nor NaN."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))
