"""The model against its invariants, an exact wave, its own equation, and itself."""

from itertools import islice

import numpy as np
import pytest
from pydantic import ValidationError

from fieldcast.errors import InputError
from fieldcast.fields.planet.dynamics import DAY, OMEGA, Planet, rounded
from fieldcast.fields.planet.options import STATE_STEP, YEAR, Parameters
from fieldcast.fields.planet.sphere import Sphere
from fieldcast.geometry import EARTH_RADIUS

NEVER = {"relaxation": 1e30, "drag": 1e30, "diffusion": 1e30, "heating": 0.0}
FLAT = {"scale_height": 1e30}


def planet_with(**changes: float) -> Planet:
    return Planet(Parameters(**changes))


def mean_product(a: np.ndarray, b: np.ndarray) -> float:
    """Global mean of the product of two real fields."""
    return float(2 * np.sum(a * b) - np.sum(a[0] * b[0]))


@pytest.fixture(scope="module")
def turbulent() -> np.ndarray:
    """q of developed weather."""
    planet = Planet()
    return next(islice(planet.run(planet.start(0), 0), 25, None)).q


def invariants(planet: Planet, q: np.ndarray) -> np.ndarray:
    """Energy, and the potential enstrophy of each level."""
    energy = -mean_product(planet.streamfunction(q), q - planet.planetary) / 2
    return np.array([energy, *(mean_product(q[:, :, i], q[:, :, i]) / 2 for i in range(3))])


def test_unforced_tendencies_conserve_energy_and_potential_enstrophy(turbulent: np.ndarray) -> None:
    planet = planet_with(**NEVER)
    rate, psi = planet.tendency(turbulent, 0.0), planet.streamfunction(turbulent)
    rates = [-mean_product(psi, rate)]
    rates += [mean_product(turbulent[:, :, i], rate[:, :, i]) for i in range(3)]
    assert abs(np.array(rates) * DAY / invariants(planet, turbulent)).max() < 1e-14
    assert mean_product(rate, rate) ** 0.5 * DAY > 1e-6  # and yet it moves


def test_the_error_of_a_step_is_of_fifth_order(turbulent: np.ndarray) -> None:
    drift = []
    for steps in (16, 32):
        planet, q = planet_with(**NEVER, step=1 / steps), turbulent
        for _ in range(steps // 4):
            q = planet.advance(q, 0.0)
        drift.append(abs(invariants(planet, q) / invariants(planet, turbulent) - 1))
    assert drift[0].max() < 1e-5
    assert (np.log2(drift[0] / drift[1]) > 4.3).all()


def test_rossby_haurwitz_wave_travels_at_its_speed(m: int = 4, n: int = 5, days: int = 2) -> None:
    """psi = A Y_mn + solid rotation w, the same on all levels, turns by w - 2 (Omega + w) / (n (n + 1)).

    An exact solution of any amplitude (Haurwitz 1940).
    """
    planet, w = planet_with(**NEVER, **FLAT), 20 / EARTH_RADIUS
    psi = np.zeros((22, 2, 3, 22))
    psi[m, 0, :, n] = 1e7
    psi[0, 0, :, 1] = -w * EARTH_RADIUS**2 / np.sqrt(3)
    q = planet.vorticity(psi)
    for _ in range(16 * days):
        q = planet.advance(q, 0.0)
    after = planet.streamfunction(q)
    turned = -np.arctan2(after[m, 1, :, n], after[m, 0, :, n]) / m
    np.testing.assert_allclose(turned / (days * DAY), w - 2 * (OMEGA + w) / (n * (n + 1)), rtol=1e-6)
    np.testing.assert_allclose(np.hypot(after[m, 1, :, n], after[m, 0, :, n]), 1e7, rtol=1e-6)


@pytest.mark.parametrize(("day", "winter"), [(15.0, True), (15.0 + YEAR, True), (15.0 + YEAR / 2, False)])
def test_zonal_flow_feels_relaxation_drag_and_diffusion(day: float, winter: bool) -> None:
    """Zonal flow has J = 0, and the test writes the remaining equation for each n."""
    planet = planet_with(heating=0.0, **FLAT)
    par, upper, lower = planet.parameters, 700e3**-2, 450e3**-2
    psi = np.zeros((22, 2, 3, 22))
    psi[0, 0] = np.random.default_rng(0).normal(0, 1e6, (3, 22))
    psi[0, 0, :, 0] = 0
    rate = planet.tendency(planet.vorticity(psi), day)
    psi, off = psi[0, 0], psi[0, 0] - (planet.january if winter else planet.july)[0, 0]
    for n in range(1, 22):
        laplacian = -n * (n + 1) / EARTH_RADIUS**2

        def stretched(p: np.ndarray) -> np.ndarray:
            upward, downward = upper * (p[1] - p[0]), lower * (p[2] - p[1])
            return np.array([upward, downward - upward, -downward])

        expected = -stretched(off[:, n]) / (par.relaxation * DAY)
        expected[2] -= laplacian * psi[2, n] / (par.drag * DAY)
        smoothing = (n * (n + 1) / (21 * 22)) ** 4 / (par.diffusion * DAY)
        expected -= smoothing * (laplacian * psi[:, n] + stretched(psi[:, n]))
        np.testing.assert_allclose(rate[0, 0, :, n], expected, rtol=1e-9)
    assert abs(rate[1:]).max() < 1e-12 * abs(rate).max()


@pytest.mark.parametrize(("july", "speeds"), [(False, (60, 42)), (True, (42, 60))])
def test_the_equilibrium_has_its_jets(july: bool, speeds: tuple[float, float]) -> None:
    planet = planet_with(heating=0.0)
    psi, sphere = (planet.july if july else planet.january), planet.sphere
    u = -np.sqrt(1 - sphere.mu**2) / EARTH_RADIUS * sphere.gradient(psi)[1].mean(axis=0)
    north = sphere.latitude > 0
    assert u[0, north].max() == pytest.approx(speeds[0], abs=2)
    assert u[0, ~north].max() == pytest.approx(speeds[1], abs=2)
    np.testing.assert_allclose(u[1], u[0] / 2)
    np.testing.assert_allclose(u[2], 0, atol=1e-9)


@pytest.mark.parametrize(
    ("july", "latitude", "longitude", "strength"),
    [(False, 40, 155, 1.0), (True, -45, 50, 0.6), (False, 55, 255, -0.7)],
)
def test_heating_warms_the_air_in_winter(july: bool, latitude: int, longitude: int, strength: float) -> None:
    """f45 (psi_i - psi_j)* = R ln(p_j / p_i) tau_R Q, with the sign of f: over warm air psi rises."""
    heated, unheated = planet_with(heating=3.0), planet_with(heating=0.0)
    place = Sphere(21, 360, np.array([float(latitude)]))
    january = place.synthesis(heated.january - unheated.january)[longitude, :, 0]
    midyear = place.synthesis(heated.july - unheated.july)[longitude, :, 0]
    winter, summer = (midyear, january) if july else (january, midyear)
    full = 287.05 * np.log(800 / 200) * 30 * 3 * strength / (2 * OMEGA * np.sin(np.radians(45)))
    assert 0.5 < np.sign(latitude) * (winter[0] - winter[2]) / full < 1.1  # the zonal mean is taken out
    np.testing.assert_allclose((winter[0] - winter[2]) / (winter[1] - winter[2]), np.log(4) / np.log(1.6))
    assert abs(summer).max() < 0.1 * abs(full)


def test_mountains_are_felt_by_the_lowest_level_only() -> None:
    """p_3 = f (1 + h / H0) over Tibet, within what the truncation smooths; f elsewhere."""
    planet = Planet()
    p = Sphere(21, 360, np.array([38.0])).synthesis(planet.planetary)[:, :, 0] / (
        2 * OMEGA * np.sin(np.radians(38))
    )
    np.testing.assert_allclose(p[:, :2], 1, rtol=1e-9)
    assert p[95, 2] == pytest.approx(1 + 4000 / 3500, abs=0.1)
    assert p[340, 2] == pytest.approx(1, abs=0.1)


def test_seasons_pass_while_it_runs() -> None:
    planet = Planet()
    q = rounded(planet.start(0), STATE_STEP)
    one_day = list(islice(planet.run(q, 100), 2))[-1].q
    for k in range(16):
        q = planet.advance(q, 100 + k / 16)
    assert np.array_equal(one_day, rounded(q, STATE_STEP))
    assert not np.array_equal(one_day, list(islice(planet.run(planet.start(0), 101), 2))[-1].q)


def test_streamfunction_inverts_vorticity() -> None:
    planet, psi = Planet(), np.random.default_rng(0).normal(0, 1e7, (22, 2, 3, 22))
    psi[..., 0] = 0  # n = 0: a global mean has no part in the flow
    np.testing.assert_allclose(planet.streamfunction(planet.vorticity(psi)), psi, atol=1e-4)


def test_rounding_is_exact_and_knows_no_negative_zero() -> None:
    x = np.array([-0.3, 0.5, 1.5, -1.25, 2.0**20 + 0.6]) * STATE_STEP
    steps = rounded(x, STATE_STEP) / STATE_STEP
    assert steps.tolist() == [0, 0, 2, -1, 2**20 + 1] and not np.signbit(steps[0])


def test_single_precision_holds_a_state_exactly(turbulent: np.ndarray) -> None:
    assert turbulent.dtype == np.float64 and abs(turbulent).max() < 2**-9
    assert np.array_equal(turbulent.astype(np.float32), turbulent)
    assert np.array_equal(turbulent, rounded(turbulent, STATE_STEP))


def test_the_rounding_of_a_day_is_far_below_an_error_of_the_initial_state(turbulent: np.ndarray) -> None:
    """Within a thousandth of what the perfect model starts with, a twentieth of the weather's departures."""
    planet = Planet()
    change = planet.next_day(turbulent, 25) - turbulent
    lost = planet.next_day(turbulent, 25) - list(islice(planet.run(turbulent, 25), 2))[1].q
    assert 0 < mean_product(lost, lost) ** 0.5 < 1e-3 * 0.05 * mean_product(change, change) ** 0.5


def test_a_restart_is_exact() -> None:
    planet = Planet()
    whole = list(islice(planet.run(planet.start(3), 40), 5))
    assert [moment.day for moment in whole] == [40, 41, 42, 43, 44]
    again = islice(Planet().run(whole[2].q.copy(), whole[2].day), 3)
    for (day, q), (day_again, q_again) in zip(whole[2:], again, strict=True):
        assert day == day_again
        assert np.array_equal(q, q_again)


def test_a_member_does_not_depend_on_the_others() -> None:
    planet = Planet()
    states = np.stack([planet.start(seed) for seed in range(3)])
    together = list(islice(planet.run(states, 0), 3))[-1].q
    for start, after in zip(states, together, strict=True):
        alone = list(islice(planet.run(start, 0), 3))[-1].q
        assert np.array_equal(alone, after)


def test_each_state_of_a_batch_has_its_own_season() -> None:
    planet, days = Planet(), np.array([15, 100, 197])
    states = np.stack([planet.start(seed) for seed in range(3)])
    moment = list(islice(planet.run(states, days), 3))[-1]
    assert moment.day.tolist() == [17, 102, 199]
    for start, day, after in zip(states, days.tolist(), moment.q, strict=True):
        assert np.array_equal(list(islice(planet.run(start, day), 3))[-1].q, after)


def test_a_seed_determines_the_initial_state() -> None:
    planet = Planet()
    assert np.array_equal(planet.start(1), Planet().start(1))
    assert not np.array_equal(planet.start(1), planet.start(2))


def test_an_unstable_step_is_refused_in_one_sentence() -> None:
    planet = Planet(Parameters(step=1.0))
    with pytest.raises(InputError, match=r"unstable before day .* step smaller than 1\.0") as refusal:
        for _ in islice(planet.run(planet.start(0), 0), 60):
            pass
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("wrong", [{"step": 0.3}, {"drags": 2.0}, {"truncation": 0}, {"drag": -1.0}])
def test_wrong_parameters_are_refused(wrong: dict) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Parameters(**wrong)


def test_a_state_that_overflows_the_rounding_is_refused_without_a_warning() -> None:
    planet = Planet()
    with pytest.raises(InputError, match="unstable before day 7"):
        next(planet.run(planet.start(0) * 1e305, 7))
