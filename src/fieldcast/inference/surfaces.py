"""Quantities of stations, such as their mean, kriged to other locations.

    y_i = m + f(p_i) + g_i + e_i,    e_i ~ N(0, v_i),    f ~ GP(0, a rho(D / L)),    g_i ~ N(0, w),

with points p on the unit sphere, their chord D, the Matern correlation rho of smoothness 3/2, the mean m of the
values, the nugget w (the variance of local effects g), and a given variance v_i of the error of each value (Rasmussen
and Williams 2006, section 2.2; regression as in scikit-learn). a, L and w maximise the marginal likelihood. The
prediction at another location is the mean of f, and its variance includes w: a station there has a local effect, too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

MIN_STATIONS = 10  # number of stations below which f = 0
MAX_FITTED = 400  # largest number of stations that a, L and w are fitted to
MAX_CONDITIONED = 2000  # largest number of stations that predictions are conditioned on
AMPLITUDE_RANGE, LENGTH_RANGE, NUGGET_RANGE = (
    (1e-3, 1e3),
    (1e-3, 10.0),
    (1e-4, 2.0),
)  # ranges of a, L and w in the fit
JITTER = 1e-8  # added to the variances of the errors, which keeps the covariance invertible


@dataclass(frozen=True, eq=False)
class Surface:
    """Several quantities that share one kernel.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of the values, by which they are normalised.
    regression
        Regression of the normalised values; None with few stations or for values that are all equal.
    values
        Estimates of m + f + g at the stations, without the errors e.
    """

    centre: Float[np.ndarray, " output"]
    scale: Float[np.ndarray, " output"]
    regression: Any
    values: Float[np.ndarray, "station output"]

    @classmethod
    def of(
        cls, points: Float[np.ndarray, "station 3"], values: Float[np.ndarray, "station output"],
        error: Float[np.ndarray, " station"] | None = None, kernel: Any = None,
    ) -> Surface:  # fmt: skip
        """Fit a surface to some values; `error` holds the variances of their errors, a given `kernel` is not fitted."""
        centre, scale = values.mean(0), values.std(0, ddof=1)
        if len(values) < MIN_STATIONS or not scale.any():
            return cls(centre, scale * np.sqrt(1 + 1 / len(values)), None, values)
        divisor = np.where(scale > 0, scale, 1.0)
        y = (values - centre) / divisor
        v = np.zeros(len(y)) if error is None else error / float(np.square(divisor).mean())
        order = np.random.default_rng(0).permutation(len(y))
        kernel = kernel or regression(None, points, y, v, order[:MAX_FITTED]).kernel_
        stations = order[:MAX_CONDITIONED]
        model = regression(kernel, points, y, v, stations)
        surface = cls(centre, divisor, model, values)
        return (
            surface
            if error is None
            else cls(centre, divisor, model, surface.without_errors(points, v, stations))
        )

    @property
    def kernel(self) -> Any:
        """The kernel with its a, L and w; None without a regression."""
        return None if self.regression is None else self.regression.kernel_

    def at(
        self, points: Float[np.ndarray, "location 3"]
    ) -> tuple[Float[np.ndarray, "location output"], Float[np.ndarray, "location output"]]:
        """The values predicted at other locations, and the variances of their errors."""
        shape = len(points), len(self.centre)
        if self.regression is None:
            return np.broadcast_to(self.centre, shape).copy(), np.broadcast_to(self.scale**2, shape).copy()
        mean, deviation = (
            moment.reshape(shape) for moment in self.regression.predict(points, return_std=True)
        )
        return self.centre + self.scale * mean, (self.scale * deviation) ** 2

    def without_errors(
        self, points: Float[np.ndarray, "station 3"], v: Float[np.ndarray, " station"], stations: np.ndarray
    ) -> Float[np.ndarray, "station output"]:
        """E[f + g] at all stations for normalised variances v; y - v K^-1 y at those that the regression used."""
        predicted, variance = self.at(points)
        weight = v[:, None] / (v[:, None] + variance / self.scale**2)
        values = self.values - weight * (self.values - predicted)
        dual = self.regression.alpha_.reshape(len(stations), -1)
        values[stations] = self.values[stations] - self.scale * v[stations, None] * dual
        return values


def regression(
    kernel: Any, points: Float[np.ndarray, "station 3"], y: Float[np.ndarray, "station output"],
    v: Float[np.ndarray, " station"], stations: np.ndarray,
) -> Any:  # fmt: skip
    """Fit the regression to some stations; without a kernel, its parameters maximise the marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    first = ConstantKernel(1.0, AMPLITUDE_RANGE) * Matern(0.5, LENGTH_RANGE, nu=1.5) + WhiteKernel(
        0.1, NUGGET_RANGE
    )
    options = {"alpha": v[stations] + JITTER, "optimizer": None if kernel else "fmin_l_bfgs_b"}
    with warnings.catch_warnings():  # a parameter at the end of its range is no failure
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel or first, **options).fit(points[stations], y[stations])
