"""Quasi-geostrophic dynamics on three levels of a sphere, with seasons.

Marshall and Molteni (1993, J. Atmos. Sci. 50, 1792-1818), at 200, 500 and 800 hPa (i = 1, 2, 3):

    dq_i/dt = -J(psi_i, q_i) - (S (psi - psi*(t)))_i / tau_R - d_i3 lap psi_3 / tau_E
              - (n (n + 1) / (T (T + 1)))^4 (q_i - p_i) / tau_H,
    q_i = lap psi_i + (S psi)_i + p_i,    p_i = f (1 + d_i3 h / H0),

where d_i3 is 1 at 800 hPa and 0 above, psi* is the equilibrium for the day of the year, and S psi the stretching by the
two interfaces with deformation radii R1 and R2:

    S = [[-R1^-2,  R1^-2,         0     ],
         [ R1^-2, -R1^-2 - R2^-2, R2^-2 ],
         [ 0,      R2^-2,        -R2^-2 ]].

Every term but J is linear and acts on each (m, n) separately. The state is one array, q: coefficients of shape
(..., m, part, level, n), as in `sphere`. Units are SI; days are counted from 1 January, in years of 365 days.

Computations are in double precision, and q is rounded to multiples of 2^-33 s-1 once a day. The last digits of a matrix
product depend on the processor and the number of threads, and chaos would turn these differences into different weather
within weeks. They are so far below the rounding step that only one pair of machines in about a thousand rounds a number
differently within 13 years (`python -m benchmarks.machines`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from fieldcast.errors import InputError
from fieldcast.fields.planet.options import STATE_STEP, YEAR, Parameters
from fieldcast.fields.planet.sphere import Scratch, Sphere
from fieldcast.geometry import EARTH_RADIUS

OMEGA = 7.292e-5  # rotation rate [s-1]
GAS_CONSTANT = 287.05  # R, of dry air [J kg-1 K-1]
DAY = 86400.0  # [s]
F45 = 2 * OMEGA * math.sin(math.radians(45))  # f at 45 degrees [s-1]
PRESSURES = 200, 500, 800  # pressure levels [hPa]

State = Float[np.ndarray, "*batch m 2 3 n"]
# one for all states, or one for each
Day = int | float | Int[np.ndarray, "*batch"] | Float[np.ndarray, "*batch"]


class Moment(NamedTuple):
    """State q and its day; for a batch that begins on different days, the day of each."""

    day: int | Int[np.ndarray, "*batch"]
    q: State


def rounded(x: Float[np.ndarray, "*shape"], step: float) -> Float[np.ndarray, "*shape"]:
    """Round to multiples of a step that is a power of two, so that the product is exact; zeros lose their sign."""
    return np.rint(x / step) * step + 0.0


def over_levels(matrices: Float[np.ndarray, "n out level"]) -> Float[np.ndarray, "level_n out_n"]:
    """Combine the matrices of each n into a dense one for vectors (level, n): faster than T + 1 tiny products."""
    n, out, level = matrices.shape
    dense = np.zeros((level, n, out, n))
    index = np.arange(n)
    dense[:, index, :, index] = matrices.swapaxes(1, 2)
    return dense.reshape(level * n, out * n)


class Planet:
    """Quasi-geostrophic model: state, tendency and time steps.

    `run` yields the same states on any processor, with any number of threads and any other states in the batch, up to
    the probability given in the module. A single `tendency` or `advance` may differ in its last digits.

    Parameters
    ----------
    parameters
        Physical parameters.
    """

    def __init__(self, parameters: Parameters | None = None):
        self.parameters = par = parameters or Parameters()
        self.sphere = Sphere.gaussian(par.truncation)
        self.orography = self.sphere.analysis(self._relief(MOUNTAINS))
        above_ground = self.sphere.synthesis(self.orography) / par.scale_height
        f = 2 * OMEGA * self.sphere.mu
        self.planetary = self.sphere.analysis(f * (1 + np.array([0, 0, 1])[:, None] * above_ground))
        self.january, self.july = self._equilibrium(july=False), self._equilibrium(july=True)
        self._operators()

    def _relief(self, bumps: dict[str, Bump]) -> Float[np.ndarray, "longitude 1 latitude"]:
        return relief(bumps, self.sphere.longitude, self.sphere.latitude)[:, None]

    def _operators(self) -> None:
        """Build the linear part: matrices that multiply vectors (level, n), and their products with p and psi*."""
        par, p = self.parameters, self.planetary
        vectors = p.shape[0] * 2, -1
        n = np.arange(par.truncation + 1)
        identity = np.broadcast_to(np.eye(3), (n.size, 3, 3))
        laplacian = (-n * (n + 1) / EARTH_RADIUS**2)[:, None, None]
        upper, lower = par.radius_upper**-2, par.radius_lower**-2
        stretching = np.array([[-upper, upper, 0], [upper, -upper - lower, lower], [0, lower, -lower]])
        to_q = laplacian * identity + stretching
        to_psi = np.linalg.pinv(to_q, rcond=1e-12)  # psi has global mean 0
        relaxation = stretching / (par.relaxation * DAY)
        ekman = laplacian * np.diag([0, 0, 1]) / (par.drag * DAY)
        smoothing = (laplacian / laplacian[-1]) ** 4 / (par.diffusion * DAY)
        self._to_q, self._to_psi = over_levels(to_q), over_levels(to_psi)
        linear = -(relaxation + ekman) @ to_psi - smoothing * identity
        self._psi_and_linear = over_levels(np.concatenate([to_psi / EARTH_RADIUS**2, linear], axis=1))
        of_p = (p.reshape(vectors) @ self._psi_and_linear).reshape(*p.shape[:2], 6, -1)
        self._psi_of_p, linear_of_p = of_p[..., :3, :], of_p[..., 3:, :]
        # the part of the tendency independent of q: its annual mean and its deviation at midwinter
        relax = over_levels(relaxation @ identity)
        mean, swing = (self.january + self.july) / 2, (self.january - self.july) / 2
        self._forcing_mean = (mean.reshape(vectors) @ relax).reshape(p.shape) - linear_of_p
        self._forcing_swing = (swing.reshape(vectors) @ relax).reshape(p.shape)

    def _equilibrium(self, july: bool) -> State:
        """Equilibrium psi* in January or July.

        u1* is a Gaussian jet in each hemisphere, u2* half of it, u3* = 0. From
        u cos(latitude) = -(1 - mu^2) / a dpsi/dmu follows, by integration by parts,

            (lap psi)_n = 1/(2 a) int u cos(latitude) dP_n/dmu dmu.

        The heating Q is added as the thickness that relaxation converts to Q,

            f45 (psi_i - psi_j)* = R ln(p_j / p_i) tau_R Q.
        """
        par, sphere = self.parameters, self.sphere
        winter = (sphere.latitude > 0) != july
        speed = np.where(winter, par.jet_winter, par.jet_summer)
        centre = np.where(winter, par.latitude_winter, par.latitude_summer)
        jet = speed * np.exp(-(((abs(sphere.latitude) - centre) / par.jet_width) ** 2))
        zonal = (sphere.weights / 2 * np.sqrt(1 - sphere.mu**2) * jet) @ sphere.dp[0] / EARTH_RADIUS
        n = np.arange(1, par.truncation + 1)
        zonal[1:] /= -n * (n + 1) / EARTH_RADIUS**2
        sources = self._relief(HEAT_SOURCES)
        excess = par.relaxation * par.heating * winter * (sources - sources.mean(axis=0))
        thickness = GAS_CONSTANT / F45 * np.log(PRESSURES[2] / np.array(PRESSURES))[:, None]
        psi = sphere.analysis(np.sign(sphere.mu) * excess * thickness)
        psi[0, 0] += np.array([1, 0.5, 0])[:, None] * zonal
        return psi

    def vorticity(self, psi: State) -> State:
        """Potential vorticity q [s-1] of psi [m2 s-1]."""
        return (psi.reshape(*psi.shape[:-2], -1) @ self._to_q).reshape(psi.shape) + self.planetary

    def streamfunction(self, q: State) -> State:
        """Streamfunction psi [m2 s-1], with global mean 0, of q [s-1]."""
        return ((q - self.planetary).reshape(*q.shape[:-2], -1) @ self._to_psi).reshape(q.shape)

    def tendency(self, q: State, day: Day, scratch: Scratch | None = None) -> State:
        """Tendency dq/dt [s-2] on a day."""
        *batch, size, _, _, _ = q.shape
        products = q.reshape(*batch, 2 * size, 3 * size) @ self._psi_and_linear
        both = products.reshape(*batch, size, 2, 6, size)
        psi_and_q = np.concatenate([both[..., :3, :] - self._psi_of_p, q], axis=-2)  # psi / a^2
        slopes = self.sphere.gradient(psi_and_q, scratch)
        east, north = slopes[..., 0, :, :, :], slopes[..., 1, :, :, :]
        # -J(psi, q) = dpsi/dmu dq/dlambda - dpsi/dlambda dq/dmu
        product = north[..., :3, :] * east[..., 3:, :]
        product -= east[..., :3, :] * north[..., 3:, :]
        rate = self.sphere.analysis(product)
        rate += both[..., 3:, :]
        season = np.cos(2 * math.pi * (np.asarray(day) - self.parameters.midwinter) / YEAR)
        rate += self._forcing_mean + season[..., None, None, None, None] * self._forcing_swing
        return rate

    def advance(self, q: State, day: Day, scratch: Scratch | None = None) -> State:
        """State after one step of the classical Runge-Kutta method."""
        step = self.parameters.step
        dt = step * DAY
        k1 = self.tendency(q, day, scratch)
        k2 = self.tendency(q + dt / 2 * k1, day + step / 2, scratch)
        k3 = self.tendency(q + dt / 2 * k2, day + step / 2, scratch)
        k4 = self.tendency(q + dt * k3, day + step, scratch)
        return q + dt / 6 * (k1 + 2 * (k2 + k3) + k4)

    def start(self, seed: int) -> State:
        """January equilibrium q, perturbed by white noise of 1e-6 s-1, about f / 100."""
        shape = self.sphere.longitude.size, 3, self.sphere.latitude.size
        noise = self.sphere.analysis(np.random.default_rng([seed]).normal(0, 1e-6, shape))
        noise[0, 0, :, 0] = 0
        return self.vorticity(self.january) + noise

    def next_day(self, q: State, day: Day) -> State:
        """State q one day after `day`, not yet rounded."""
        steps = round(1 / self.parameters.step)
        scratch = self.sphere.scratch(6, q.shape[:-4])
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(steps):
                q = self.advance(q, day + k / steps, scratch)
        return q

    def run(self, q: State, day: int | Int[np.ndarray, "*batch"] = 0) -> Iterator[Moment]:
        """Yield the state on `day` and on every day after it, rounded to `STATE_STEP`, indefinitely.

        A run can be restarted exactly from any state that it yields, even in single precision.
        """
        while True:
            with np.errstate(over="ignore", invalid="ignore"):
                q = rounded(q, STATE_STEP)
            if not np.isfinite(q).all():
                raise InputError(
                    f"the simulated planet became unstable before day {np.min(day)}: make its step smaller than "
                    f"{self.parameters.step} days, or bring its other parameters closer to their defaults"
                )
            yield Moment(day, q)
            q, day = self.next_day(q, day), day + 1


# Geography of the simulated planet: mountains, and the sources that heat its winter air.


class Bump(NamedTuple):
    """Gaussian bump: centre and half-widths [degrees], and height of the top."""

    latitude: float
    longitude: float
    width_latitude: float
    width_longitude: float
    top: float


# tops in metres; tuned to the climate of the model, not taken from an atlas
MOUNTAINS = {
    "Rockies": Bump(46, 250, 16, 16, 2500),
    "Tibet": Bump(38, 95, 13, 26, 4000),
    "Greenland": Bump(73, 320, 9, 20, 2200),
    "Andes": Bump(-30, 290, 22, 8, 3000),
    "Antarctica": Bump(-85, 80, 14, 180, 2800),
}
# tops in units of the parameter `heating`
HEAT_SOURCES = {
    "Kuroshio": Bump(40, 155, 13, 28, 1.0),
    "Gulf Stream": Bump(43, 308, 13, 24, 1.0),
    "Siberia": Bump(55, 95, 14, 35, -0.7),
    "Canada": Bump(55, 255, 14, 22, -0.7),
    "Indian Ocean": Bump(-45, 50, 10, 35, 0.6),
}


def relief(
    bumps: dict[str, Bump],
    longitude: Float[np.ndarray, " longitude"],
    latitude: Float[np.ndarray, " latitude"],
) -> Float[np.ndarray, "longitude latitude"]:
    """Sum of bumps on a grid [degrees]."""
    total = np.zeros((longitude.size, latitude.size))
    for bump in bumps.values():
        east = (longitude[:, None] - bump.longitude + 180) % 360 - 180
        north = latitude - bump.latitude
        total += bump.top * np.exp(-((north / bump.width_latitude) ** 2) - (east / bump.width_longitude) ** 2)
    return total
