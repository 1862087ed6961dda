"""Conversions between units, against their definitions."""

import pytest

from fieldcast.fields.units import conversion


@pytest.mark.parametrize(
    ("units", "target", "scale", "offset"),
    [
        ("degC", "K", 1, 273.15),
        ("°C", "K", 1, 273.15),
        ("K", "degF", 9 / 5, -459.67),
        ("hPa", "Pa", 100, 0),
        ("m**2 s**-2", "m2 s-2", 1, 0),
        ("knot", "m s-1", 1852 / 3600, 0),
        ("%", "1", 0.01, 0),
        ("gpm", "gpm", 1, 0),  # equal, if unknown to UDUNITS
    ],
)
def test_scale_and_offset(units: str, target: str, scale: float, offset: float) -> None:
    result = conversion(units, target)
    assert result is not None
    assert (result.scale, result.offset) == (pytest.approx(scale), pytest.approx(offset))


@pytest.mark.parametrize(
    ("units", "target"),
    [
        ("kg", "K"),
        ("C", "K"),  # the coulomb
        ("gpm", "m"),
        ("(0 - 1)", "1"),
        ("unknown", "K"),
        ("dBZ", "mm6 m-3"),  # a logarithm
        ("days since 2000-01-01", "days"),
    ],
)
def test_without_a_scale_there_is_no_conversion(
    units: str, target: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert conversion(units, target) is None
    assert capfd.readouterr() == ("", "")  # UDUNITS writes to the standard error
