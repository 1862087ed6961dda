"""Quantities: mappings that are inverted, closed forms of their moments, and what numbers mean."""

import json

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

from fieldcast.errors import InputError
from fieldcast.fields.conventions import to_contract
from fieldcast.fields.ingest import ingest
from fieldcast.fields.meaning import Nature, nature_of
from fieldcast.fields.quantities import (
    NODES,
    Circle,
    Clip,
    Log,
    Quantiles,
    Quantity,
    Root,
    mapped,
    normal_points,
    parse,
    quantity_of,
)  # fmt: skip

RNG = np.random.default_rng(0)
GAUSSIAN = RNG.normal(size=5000)
RAIN = np.maximum(GAUSSIAN - 0.8, 0) ** 2
ICE = np.clip(0.5 + 0.6 * GAUSSIAN, 0, 1)
MONOTONE: dict[str, Quantity] = {
    "log": Log.fit(np.exp(GAUSSIAN), (0.0, np.inf)),
    "log within bounds": Log.fit(np.exp(GAUSSIAN), (0.3, 5.0)),
    "root": Root.fit(RAIN, (0.0, np.inf)),
    "root within bounds": Root.fit(RAIN, (0.2, 3.0)),
    "clip": Clip(lowest=0.0, highest=1.0),
    "clip from below": Clip(lowest=0.0),
    "quantiles of rain": Quantiles.fit(RAIN, (0.0, np.inf)),
    "quantiles of ice": Quantiles.fit(ICE, (0.0, 1.0)),
}
PREDICTED = [(0.4, 0.3), (1.2, 0.8), (-0.5, 0.6), (0.9, 1.5)]


def column(*values: float) -> np.ndarray:
    return np.array(values)[None]


@pytest.mark.parametrize("name", MONOTONE)
def test_mean_and_spread_are_those_of_the_mapped_distribution(name: str) -> None:
    quantity = MONOTONE[name]
    y = np.linspace(-12, 12, 400001)
    for m, s in PREDICTED:
        density = stats.norm.pdf(y)
        x = quantity.inverse((m + s * y)[None])
        mean = integrate.trapezoid(x * density, y)
        spread = np.sqrt(integrate.trapezoid((x - mean) ** 2 * density, y))
        moments = quantity.moments(column(m), column(s))
        tolerance = 1e-2 if "quantiles" in name else 1e-6  # which are integrated
        np.testing.assert_allclose(
            [moments.mean[0], moments.spread[0]], [mean, spread], rtol=tolerance, atol=1e-4
        )
        ends = quantity.inverse((m + s * stats.norm.ppf([0.5, 0.05, 0.95]))[None])
        np.testing.assert_allclose([moments.median[0], moments.low[0], moments.high[0]], ends)


def test_the_mean_of_a_lognormal_and_of_a_truncated_normal_are_those_of_scipy() -> None:
    moments = MONOTONE["log"].moments(column(0.5), column(0.7))
    expected = stats.lognorm(0.7, scale=np.exp(0.5))
    np.testing.assert_allclose(
        [moments.mean[0], moments.spread[0]], [expected.mean(), expected.std()], rtol=1e-10
    )
    below, above = stats.norm(0.4, 0.5).cdf(0.0), stats.norm(0.4, 0.5).sf(1.0)
    inner = stats.truncnorm(-0.8, 1.2, 0.4, 0.5).mean()
    mean = MONOTONE["clip"].moments(column(0.4), column(0.5)).mean[0]
    np.testing.assert_allclose(mean, (1 - below - above) * inner + above, rtol=1e-10)


@pytest.mark.parametrize("name", MONOTONE)
def test_the_crps_is_the_integral_of_the_squared_error_of_the_distribution(name: str) -> None:
    """The truth may be at a mass, where the distribution jumps."""
    quantity = MONOTONE[name]
    for m, s in PREDICTED:
        nodes = quantity.nodes(column(m), column(s), 20000)[:, 0]
        for truth in (float(nodes[2000]), float(nodes[15000])):
            grid = np.linspace(min(nodes[0], truth) - 0.1, max(nodes[-1], truth) + 0.1, 200001)
            below = np.searchsorted(nodes, grid, side="right") / nodes.size
            expected = integrate.trapezoid((below - (grid >= truth)) ** 2, grid)
            crps = quantity.crps(column(m), column(s), np.array([truth]))[0]
            np.testing.assert_allclose(crps, expected, rtol=2e-2, atol=1e-3 * nodes.std())


@pytest.mark.parametrize(("name", "values"), [("log", np.exp(GAUSSIAN)), ("quantiles of rain", RAIN),
                                              ("quantiles of ice", ICE), ("root", RAIN), ("clip", ICE)])  # fmt: skip
def test_values_come_back_at_masses_and_in_tails(name: str, values: np.ndarray) -> None:
    quantity = MONOTONE[name]
    beyond = np.append(values, [values.max() * 1.5] if quantity.highest == np.inf else [])
    back = quantity.inverse(quantity.forward(beyond))
    np.testing.assert_allclose(back, beyond, rtol=1e-6, atol=1e-9)
    assert quantity_of(json.loads(json.dumps(quantity.state()))) == quantity


def test_beyond_the_largest_value_quantiles_have_a_gaussian_tail() -> None:
    """The largest hundredth is hidden: the mapping goes on, and its values have a finite variance."""
    kept = np.sort(GAUSSIAN)[:-50]
    quantity = Quantiles.fit(kept, (-np.inf, np.inf))
    hidden = np.sort(GAUSSIAN)[-50:]
    y = quantity.forward(hidden)[0]
    assert (np.diff(y) > 0).all() and y[-1] < 5
    draws = quantity.inverse(RNG.normal(size=(1, 100000)))
    assert draws.max() < 2 * hidden.max() and draws.std() < 1.1 * GAUSSIAN.std()


def test_members_and_means_are_never_outside_the_valid_range() -> None:
    extreme = RNG.normal(0, 5, (1, 1000))
    for quantity in MONOTONE.values():
        moments = quantity.moments(extreme, np.abs(extreme))
        assert all(np.isfinite(x).all() for x in moments) and moments.spread.min() >= 0
        for x in (quantity.inverse(extreme), moments.mean, moments.median, moments.low, moments.high):
            assert x.min() >= quantity.lowest and x.max() <= quantity.highest


def test_the_randomised_pit_is_uniform_at_masses_too() -> None:
    for name in ("clip", "quantiles of ice", "root", "quantiles of rain"):
        quantity = MONOTONE[name]
        draws = quantity.inverse(RNG.normal(0.3, 0.7, (1, 20000)))
        low, high = quantity.pit(np.full((1, 20000), 0.3), np.full((1, 20000), 0.7), draws)
        pit = low + (high - low) * RNG.uniform(size=20000)
        assert stats.kstest(pit, "uniform").pvalue > 1e-3, name


CIRCLE = Circle(lowest=0.0)


def test_angles_have_a_mean_direction_and_a_spread_along_the_shorter_arc() -> None:
    """The spread of nearly certain components is that of an angle, and that of no idea is that of a uniform one."""
    mean, spread = CIRCLE.forward(np.array([357.0])), np.full((2, 1), 0.05)
    moments = CIRCLE.moments(mean, spread)
    assert abs(CIRCLE.difference(moments.mean, np.array(357.0))[0]) < 1e-3
    np.testing.assert_allclose(moments.spread, np.rad2deg(0.05), rtol=0.02)
    width = CIRCLE.difference(moments.high, moments.low)[0]
    np.testing.assert_allclose(width, 2 * 1.645 * np.rad2deg(0.05), rtol=0.05)
    assert moments.low[0] > moments.high[0]  # clockwise through north
    no_idea = CIRCLE.moments(np.zeros((2, 1)), np.ones((2, 1)))
    np.testing.assert_allclose(no_idea.spread, 360 / np.sqrt(12), rtol=0.05)  # of a uniform angle


def test_angles_are_in_their_circle_and_do_not_depend_on_its_zero() -> None:
    x = np.append(RNG.uniform(0, 360, 500), [0.0, 359.99999]).astype(np.float32)
    back = CIRCLE.inverse(CIRCLE.forward(x))
    assert np.abs(CIRCLE.difference(back, x)).max() < 1e-3 and back.min() >= 0 and back.max() < 360
    signed = Circle(lowest=-180.0).inverse(CIRCLE.forward(x))
    assert signed.min() >= -180 and signed.max() < 180
    radians = Circle(lowest=0.0, period=2 * np.pi)
    np.testing.assert_allclose(np.rad2deg(radians.inverse(CIRCLE.forward(x[:500]))), back[:500], atol=1e-3)
    one, other = (
        CIRCLE.crps(CIRCLE.forward(np.array([float(d)])), np.full((2, 1), 0.3), np.array([d + 20.0]))
        for d in (30, 350)
    )
    np.testing.assert_allclose(one, other, rtol=0.05)


def test_the_crps_on_the_circle_is_that_of_draws() -> None:
    draws = CIRCLE.inverse(np.array([[0.9], [-0.2]]) + 0.3 * RNG.normal(size=(2, 200000)))
    truth = np.array([10.0])
    distance = np.abs(CIRCLE.difference(draws, truth)).mean()
    expected = distance - np.abs(CIRCLE.difference(draws[::2], draws[1::2])).mean() / 2
    crps = CIRCLE.crps(np.array([[0.9], [-0.2]]), np.full((2, 1), 0.3), truth)
    np.testing.assert_allclose(crps, expected, rtol=0.03)
    np.testing.assert_allclose(np.cov(normal_points(NODES).T, bias=True), np.eye(2), atol=1e-12)


WEATHER = [
    ("chlor_a", "mg m-3", {}, np.exp(GAUSSIAN), "positive", True),
    ("chl_concentration", "", {}, np.exp(GAUSSIAN), "positive", True),
    ("tp", "mm", {"standard_name": "precipitation_amount"}, RAIN, "positive", True),
    ("sst", "mg m-3", {}, np.exp(GAUSSIAN), "positive", True),
    ("x", "m", {"valid_min": 0.0}, np.exp(GAUSSIAN), "positive", True),
    ("x", "m", {}, RAIN, "positive", False),
    ("x", "m", {}, np.exp(GAUSSIAN), "linear", True),
    ("p", "hPa", {"valid_min": 850.0}, 1000 + 10 * GAUSSIAN, "linear", True),
    ("siconc", "1", {}, ICE, "bounded", True),
    ("siconc", "%", {}, 100 * ICE, "bounded", True),
    ("cdr_seaice_conc", "1", {}, ICE, "bounded", True),
    ("t2m", "K", {"valid_min": 0.0}, 280 + GAUSSIAN, "linear", True),
    ("t2m", "degree Celsius", {"long_name": "temperature in wind direction"}, GAUSSIAN, "linear", True),
    ("wdir", "degree", {"standard_name": "wind_from_direction"}, 180 + 90 * np.sin(GAUSSIAN), "angle", True),
    ("wind_from_direction", "degrees", {}, 180 + 90 * np.sin(GAUSSIAN), "angle", True),
    ("u10", "m s-1", {}, GAUSSIAN, "linear", True),
    ("ws10", "m s-1", {"long_name": "wind speed"}, np.abs(GAUSSIAN), "positive", True),
    ("lat", "degree", {}, np.abs(GAUSSIAN), "linear", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "units", "attrs", "values", "meaning", "known"), WEATHER)
def test_numbers_mean_what_names_units_and_values_say(
    name: str, units: str, attrs: dict[str, object], values: np.ndarray, meaning: str, known: bool
) -> None:
    array = xr.DataArray(values, dims="n", name=name, attrs={"units": units, **attrs})
    nature = nature_of(array, values)
    assert (nature.meaning, nature.known) == (meaning, known)
    scaled = nature_of(array.copy(data=values), values)
    assert scaled == nature


def test_zero_is_physical_in_a_logarithm_only_by_name_or_declared_range() -> None:
    assert Nature("positive", 0.0).candidates == ("root", "log", "quantiles")
    assert Nature("positive", 0.0, known=False).candidates == ("quantiles",)
    assert Nature("bounded", 0.0, 1.0).candidates == ("quantiles",)
    assert Nature("linear").candidates == Nature("angle").candidates == ()


def fields(**attrs: object) -> xr.Dataset:
    values = np.exp(RNG.normal(size=(40, 3, 4)))
    axes = {
        "time": np.datetime64("2001-01-01", "ns") + np.arange(40) * np.timedelta64(1, "D"),
        "latitude": ("latitude", [0.0, 1, 2], {"units": "degrees_north"}),
        "longitude": ("longitude", [0.0, 1, 2, 3], {"units": "degrees_east"}),
    }
    dims = ("time", "latitude", "longitude")
    return xr.Dataset({"chl": (dims, values, {"units": "mg m-3", **attrs})}, axes)


def test_parts_are_variables_of_the_mapped_fields() -> None:
    own = fields().assign(wdir=lambda data: (data["chl"] * 100 % 360).assign_attrs(units="degree"))
    both = mapped(own, {"wdir": CIRCLE, "chl": MONOTONE["log"]})
    assert list(both) == ["chl", "wdir_cos", "wdir_sin"] and both["chl"].dtype == np.float32
    np.testing.assert_allclose(both["chl"], np.log(own["chl"]), rtol=1e-5)
    np.testing.assert_allclose(both["wdir_cos"] ** 2 + both["wdir_sin"] ** 2, 1.0, rtol=1e-5)
    assert mapped(own, {}).identical(own)


def test_the_range_that_a_file_declares_is_known_after_ingestion(tmp_path: object) -> None:
    read, _ = ingest(fields(valid_min=np.float32(0.001), valid_max=np.float32(100)), "the data")
    assert read["chl"].attrs["valid_min"] == pytest.approx(0.001) and read["chl"].attrs["valid_max"] == 100
    packed = fields(valid_min=np.int16(0), valid_max=np.int16(10000))
    packed["chl"].encoding = {"dtype": "int16", "scale_factor": 0.01, "add_offset": 0.0, "_FillValue": -1}
    values = to_contract(packed, "the data")["chl"]
    assert (values.attrs["valid_min"], values.attrs["valid_max"]) == (0.0, pytest.approx(100.0))


def test_mappings_are_named_for_all_variables_or_for_each() -> None:
    data = ingest(fields(), "the data")[0]
    assert dict(parse("none", data)) == {"chl": "none"} and dict(parse({}, data)) == {"chl": "auto"}
    for given in ({"t": "log"}, {"chl": "cube"}):
        with pytest.raises(InputError, match=r"variables are chl|choose one of auto, none, root, log"):
            list(parse(given, data))
