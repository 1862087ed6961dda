"""Errors of observed values: the ways to give them, and their variance after a mapping against closed forms."""

import logging

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.fields.observation_error import mapped_variance, separate_errors
from fieldcast.fields.quantities import Circle, Clip, Log, Root

AXES = {"time": pd.date_range("2001-01-01", periods=3), "latitude": [10.0, 20.0], "longitude": [0.0, 5.0]}


def fields(**others: float) -> xr.Dataset:
    def array(values: float | np.ndarray, units: str) -> xr.DataArray:
        return xr.DataArray(np.full((3, 2, 2), values, np.float32), AXES, tuple(AXES), attrs={"units": units})

    data = xr.Dataset({"sst": array(np.arange(12.0).reshape(3, 2, 2) + 10, "degC")})
    return data.assign({name: array(value, "kelvin") for name, value in others.items()})


@pytest.mark.parametrize(
    ("given", "expected"), [("0.3 degC", 0.3), ("300 mK", 0.3), ("0.3 K", 0.3), ("0.9 degF", 0.5)]
)
def test_a_number_with_a_unit_is_converted_as_a_difference(given: str, expected: float) -> None:
    _, errors = separate_errors(fields(), given)
    np.testing.assert_allclose(errors.deviation["sst"], expected, rtol=1e-5)


def test_a_bare_number_is_in_anomaly_standard_deviations_and_a_share_is_of_the_value() -> None:
    assert separate_errors(fields(), 0.2)[1].deviation == {"sst": 0.2}
    assert separate_errors(fields(), "0.2")[1].deviation == {"sst": 0.2}
    of_values = separate_errors(fields(), "35%")[1].deviation["sst"]
    np.testing.assert_allclose(of_values, 0.35 * fields()["sst"].values, rtol=1e-6)
    assert separate_errors(fields(), None)[1].deviation == {}


def test_the_error_of_ghrsst_is_a_variable_and_its_bias_is_subtracted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = fields(sses_standard_deviation=0.4, sses_bias=0.1)
    with caplog.at_level(logging.INFO):
        separated, errors = separate_errors(data, "sses_standard_deviation")
    assert list(separated) == ["sst"] and "sses_bias is subtracted from sst" in caplog.text
    np.testing.assert_allclose(separated["sst"], data["sst"] - np.float32(0.1))
    np.testing.assert_allclose(errors.deviation["sst"], 0.4, rtol=1e-6)
    np.testing.assert_allclose(errors.bias["sst"], 0.1, rtol=1e-6)


def test_a_value_without_an_error_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    data = fields(uncertainty=0.4)
    data["uncertainty"][1, 0, 0] = np.nan
    separated, _ = separate_errors(data, {"sst": "uncertainty"})
    assert int(separated["sst"].isnull().sum()) == 1 and bool(separated["sst"][1, 0, 0].isnull())
    assert "1 values of sst have no error" in caplog.text


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("0.3 m", "'m' cannot be converted to 'degC', the unit of 'sst'"),
        ("sses", "neither a number .* nor a variable of the data beside 'sst'"),
        ({"t2m": 0.1}, "noise names t2m, but the variables are sst"),
        ("-0.3", "neither a number of at least 0"),
        ("sst", "names the only variable of the data"),
    ],
)
def test_an_error_that_does_not_fit_is_refused_in_one_sentence(given: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        separate_errors(fields(), given)  # type: ignore[arg-type]


def test_a_constant_error_that_no_option_names_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    for noise in (None, {"sst": 0.1}):
        separated, _ = separate_errors(fields(sses_bias=0.1), noise)
        assert list(separated) == ["sst"] and "'sses_bias' looks like the error of another one" in caplog.text
        caplog.clear()
    separate_errors(fields(sses_bias=0.1), None, say=False)
    assert not caplog.text
    with pytest.raises(InputError, match=r"'sses_bias' is constant, .* there is no other"):
        separate_errors(fields(sses_bias=0.1).drop_vars("sst"), None)


def test_errors_that_vary_are_left_out_beside_other_variables() -> None:
    varying = fields(sses_standard_deviation=0.3)
    varying["sses_standard_deviation"][0] = 0.4
    assert list(separate_errors(varying, None)[0]) == ["sst"]
    assert list(separate_errors(varying, None, keep=["sses_standard_deviation"])[0]) == list(varying)
    alone = varying.drop_vars("sst")
    assert list(separate_errors(alone, None)[0]) == ["sses_standard_deviation"]


@pytest.mark.parametrize("noise", ["0.3 degC", "sses_standard_deviation"])
def test_an_error_with_a_unit_is_that_of_the_variables_that_it_fits(noise: str) -> None:
    """A GHRSST file holds the wind as well, whose error nothing gives."""
    data = fields(sses_standard_deviation=0.3)
    data = data.assign(wind_speed=(data["sst"] / 3).assign_attrs(units="m s-1"))
    separated, errors = separate_errors(data, noise)
    assert list(separated) == ["sst", "wind_speed"] and list(errors.deviation) == ["sst"]
    np.testing.assert_allclose(errors.deviation["sst"], 0.3, rtol=1e-6)


def test_an_error_without_a_unit_is_that_of_the_variables_that_its_bias_fits() -> None:
    data = fields(sses_standard_deviation=0.3, sses_bias=0.1)
    data["sses_standard_deviation"].attrs.pop("units", None)
    data = data.assign(wind_speed=(data["sst"] / 3).assign_attrs(units="m s-1"))
    _, errors = separate_errors(data, "sses_standard_deviation")
    assert list(errors.deviation) == ["sst"] == list(errors.bias)


def test_the_variance_of_mapped_values_is_that_of_closed_forms() -> None:
    x = np.array([1.0, 4.0, 9.0])
    identity = mapped_variance(Clip(), x, 0.5 * np.ones(3))
    np.testing.assert_allclose(identity, [[0.25, 0.25, 0.25]], rtol=1e-6)
    root = mapped_variance(Root(lowest=0.0), x, 0.05 * np.ones(3))
    np.testing.assert_allclose(root[0], 0.05**2 / (4 * x), rtol=0.01)
    log = mapped_variance(Log(lowest=0.0), x, 0.05 * x)
    np.testing.assert_allclose(log[0], 0.05**2, rtol=0.01)
    assert np.isfinite(mapped_variance(Log(lowest=0.01, least=0.005), x, 2.0 * x)).all()


def test_the_components_of_an_angle_lose_what_a_wrapped_normal_says() -> None:
    """The variances of cos and sin of a wrapped normal add up to 1 - exp(-s^2) (Mardia and Jupp 2000)."""
    angle, error = np.array([0.0, 90.0, 359.0]), np.array([5.0, 20.0, 20.0])
    total = mapped_variance(Circle(period=360.0), angle, error).sum(0)
    np.testing.assert_allclose(total, 1 - np.exp(-(np.deg2rad(error) ** 2)), rtol=0.02)
