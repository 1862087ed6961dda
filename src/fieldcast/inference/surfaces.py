"""Quantities of stations, such as their mean, kriged to other places.

    y_i = m + f(p_i) + g_i + e_i,    e_i ~ N(0, v_i),    f ~ GP(0, a rho(D / L)),    g_i ~ N(0, w),

with points p on the unit sphere, their chord D, the Matern correlation rho of smoothness 3/2, the mean m of the
values, the variance w of what is peculiar to a place, and a given variance v_i of the error of each value (Rasmussen
and Williams 2006, section 2.2; regression as in scikit-learn). a, L and w maximise the marginal likelihood. The
prediction at another place is that of f, and its variance includes w: a station there would have a peculiarity, too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

FEWEST = 10  # stations, below which f = 0
FITTED = 400  # stations at most that determine a, L and w
CONDITIONED = 2000  # stations at most from which values are predicted
AMPLITUDE, LENGTH, PECULIAR = (1e-3, 1e3), (1e-3, 10.0), (1e-4, 2.0)  # ranges of a, L and w
JITTER = 1e-8


@dataclass(frozen=True, eq=False)
class Surface:
    """Several quantities of one kernel.

    Parameters
    ----------
    centre, scale
        Mean and standard deviation of the values, by which they are normalised.
    regression
        Regression of the normalised values; None with few stations or for values that are all equal.
    values
        The values without their errors, as far as these are predicted: of f and g at the stations.
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
        """The surface of some values with the variances `error` of their errors; with a kernel, if it is given."""
        centre, scale = values.mean(0), values.std(0, ddof=1)
        if len(values) < FEWEST or not scale.any():
            return cls(centre, scale * np.sqrt(1 + 1 / len(values)), None, values)
        divisor = np.where(scale > 0, scale, 1.0)
        y = (values - centre) / divisor
        v = np.zeros(len(y)) if error is None else error / float(np.square(divisor).mean())
        order = np.random.default_rng(0).permutation(len(y))
        kernel = kernel or regression(None, points, y, v, order[:FITTED]).kernel_
        used = order[:CONDITIONED]
        fitted = regression(kernel, points, y, v, used)
        surface = cls(centre, divisor, fitted, values)
        return (
            surface
            if error is None
            else cls(centre, divisor, fitted, surface.without_errors(points, v, used))
        )

    @property
    def kernel(self) -> Any:
        """The kernel with its a, L and w; None without one."""
        return None if self.regression is None else self.regression.kernel_

    def at(
        self, points: Float[np.ndarray, "place 3"]
    ) -> tuple[Float[np.ndarray, "place output"], Float[np.ndarray, "place output"]]:
        """The values predicted at other places, and the variances of their errors."""
        shape = len(points), len(self.centre)
        if self.regression is None:
            return np.broadcast_to(self.centre, shape).copy(), np.broadcast_to(self.scale**2, shape).copy()
        mean, deviation = (part.reshape(shape) for part in self.regression.predict(points, return_std=True))
        return self.centre + self.scale * mean, (self.scale * deviation) ** 2

    def without_errors(
        self, points: Float[np.ndarray, "station 3"], v: Float[np.ndarray, " station"], used: np.ndarray
    ) -> Float[np.ndarray, "station output"]:
        """E[f + g] at the stations, given the normalised variances v: y - v K^-1 y where the regression used y."""
        predicted, variance = self.at(points)
        weight = v[:, None] / (v[:, None] + variance / self.scale**2)
        values = self.values - weight * (self.values - predicted)
        dual = self.regression.alpha_.reshape(len(used), -1)
        values[used] = self.values[used] - self.scale * v[used, None] * dual
        return values


def regression(
    kernel: Any, points: Float[np.ndarray, "station 3"], y: Float[np.ndarray, "station output"],
    v: Float[np.ndarray, " station"], used: np.ndarray,
) -> Any:  # fmt: skip
    """The regression on some stations, with a kernel or with the one that maximises their marginal likelihood."""
    from sklearn.exceptions import ConvergenceWarning  # slow to import
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    first = ConstantKernel(1.0, AMPLITUDE) * Matern(0.5, LENGTH, nu=1.5) + WhiteKernel(0.1, PECULIAR)
    options = {"alpha": v[used] + JITTER, "optimizer": None if kernel else "fmin_l_bfgs_b"}
    with warnings.catch_warnings():  # a kernel at the end of its range is no failure
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianProcessRegressor(kernel or first, **options).fit(points[used], y[used])
