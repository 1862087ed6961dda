"""Quantities of stations, such as their mean, kriged to other locations, with a drift in elevation where it helps.

    y_i = m + f(p_i) + g_i + e_i,    e_i ~ N(0, v_i),    f ~ GP(0, a rho(D / L)),    g_i ~ N(0, w),

with points p on the unit sphere, their chord D, the Matern correlation rho of smoothness 3/2, the mean m of the
values, the nugget w (the variance of local effects g), and a given variance v_i of the error of each value
(Rasmussen and Williams 2006, section 2.2; regression as in scikit-learn). a, L and w maximise the marginal
likelihood. The prediction at another location is the mean of f, and its variance includes w: a station there has a
local effect, too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_solve

from fieldcast.inference.stations.suspects import places

FOLDS = 10  # parts into which places are divided to judge a drift
MIN_STATIONS = 10  # number of stations below which f = 0
MAX_FITTED = 400  # largest number of stations that a, L and w are fitted to
MAX_CONDITIONED = 2000  # largest number of stations that predictions are conditioned on
# ranges of a, L and w in the fit
AMPLITUDE_RANGE, LENGTH_RANGE, NUGGET_RANGE = (1e-3, 1e3), (1e-3, 10.0), (1e-4, 2.0)
MIN_STATIONS_OF_DRIFT = 5  # number of stations below which no dependence on elevation is estimated
MIN_CERTAINTY = 2.0  # standard errors by which it differs from 0
JITTER = 1e-8  # added to the variances of the errors, which keeps the covariance invertible


class Drift(NamedTuple):
    """Linear dependence of the values of a surface on elevation, b h, h in km from the mean of the stations.

    b is the estimate of generalised least squares with the covariance of the surface, whose values then are those
    minus b h (universal kriging: Chiles and Delfiner 2012, section 3.4). It is `helpful` if it is more than two
    standard errors from 0 and leaves smaller errors at left-out stations.
    """

    slope: Float[np.ndarray, " output"]
    variance: Float[np.ndarray, " output"]
    centre: float  # mean elevation [m]
    dual: Float[np.ndarray, " conditioned"]  # K^-1 h
    rmse: tuple[float, float]  # at left-out stations, with the drift and without it, in units of the values

    @property
    def helpful(self) -> bool:
        """Whether the drift is removed."""
        certain = np.square(self.slope) > MIN_CERTAINTY**2 * self.variance
        return bool(certain.any()) and self.rmse[0] < self.rmse[1]

    def height(self, elevation: Float[np.ndarray, " location"]) -> Float[np.ndarray, " location"]:
        """h."""
        return (elevation - self.centre) / 1000.0


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
    stations
        Numbers of the stations that the regression uses.
    drift
        Dependence on elevation, estimated if elevations are given.
    drifts
        Whether the drift is part of the surface.
    """

    centre: Float[np.ndarray, " output"]
    scale: Float[np.ndarray, " output"]
    regression: Any
    values: Float[np.ndarray, "station output"]
    stations: Int[np.ndarray, " conditioned"] | None = None
    drift: Drift | None = None
    drifts: bool = False

    @classmethod
    def of(
        cls, points: Float[np.ndarray, "station 3"], values: Float[np.ndarray, "station output"],
        error: Float[np.ndarray, " station"] | None = None, kernel: Any = None,
        elevation: Float[np.ndarray, " station"] | None = None, drifts: bool | None = None,
    ) -> Surface:  # fmt: skip
        """Fit a surface to some values; `error` holds the variances of their errors, a given `kernel` is not fitted.

        With elevations, a drift is removed if it helps, or as `drifts` says.
        """
        if (
            elevation is None
            or drifts is False
            or len(values) < MIN_STATIONS_OF_DRIFT
            or not np.ptp(elevation)
        ):
            return cls.without_drift(points, values, error, kernel)
        h = (elevation - elevation.mean()) / 1000.0
        slope = np.linalg.lstsq(np.stack([np.ones_like(h), h], 1), values, rcond=None)[0][1]
        first = cls.without_drift(points, values - np.outer(h, slope), error, kernel)
        slope, variance, dual = first.generalised_slope(values, h)
        surface = cls.without_drift(points, values - np.outer(h, slope), error, first.kernel)
        rmse = np.nan, np.nan
        if drifts is None:
            plain = cls.without_drift(points, values, error, kernel)
            design = np.stack([np.ones_like(h), h], 1)
            rmse = (
                surface.left_out(values, points, design),
                plain.left_out(values, points, design[:, :1]),
            )
        drift = Drift(slope, variance, float(elevation.mean()), dual, rmse)
        if drifts is None and not drift.helpful:
            return replace(plain, drift=drift)
        return replace(surface, values=surface.values + np.outer(h, slope), drift=drift, drifts=True)

    @classmethod
    def without_drift(
        cls, points: Float[np.ndarray, "station 3"], values: Float[np.ndarray, "station output"],
        error: Float[np.ndarray, " station"] | None, kernel: Any,
    ) -> Surface:  # fmt: skip
        """Fit a surface to some values whatever the elevation."""
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
        surface = cls(centre, divisor, model, values, stations)
        if error is None:
            return surface
        return replace(surface, values=surface.without_errors(points, v, stations))

    @property
    def kernel(self) -> Any:
        """The kernel with its a, L and w; None without a regression."""
        return None if self.regression is None else self.regression.kernel_

    def at(
        self, points: Float[np.ndarray, "location 3"], elevation: Float[np.ndarray, " location"] | None = None
    ) -> tuple[Float[np.ndarray, "location output"], Float[np.ndarray, "location output"]]:
        """The values predicted at other locations, and the variances of their errors."""
        shape = len(points), len(self.centre)
        if self.regression is None:
            mean, variance = (
                np.broadcast_to(self.centre, shape).copy(),
                np.broadcast_to(self.scale**2, shape).copy(),
            )
        else:
            normal, deviation = (
                moment.reshape(shape) for moment in self.regression.predict(points, return_std=True)
            )
            mean, variance = self.centre + self.scale * normal, (self.scale * deviation) ** 2
        if self.drifts and self.drift is not None and elevation is not None:
            h = self.drift.height(elevation)
            mean = mean + np.outer(h, self.drift.slope)
            if self.regression is not None:
                h = h - self.kernel(points, self.regression.X_train_) @ self.drift.dual
            variance = variance + np.outer(h**2, self.drift.variance)
        return mean, variance

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

    def precision(self, count: int) -> Float[np.ndarray, "conditioned conditioned"]:
        """K^-1 of the normalised values at the stations of the regression; without one, the identity of all."""
        return (
            np.eye(count) if self.regression is None else cho_solve((self.regression.L_, True), np.eye(count))
        )

    def generalised_slope(
        self, values: Float[np.ndarray, "station output"], h: Float[np.ndarray, " station"]
    ) -> tuple[Float[np.ndarray, " output"], Float[np.ndarray, " output"], Float[np.ndarray, " conditioned"]]:
        """Slope of values in h by generalised least squares, its variance, and K^-1 h."""
        used = np.arange(len(h)) if self.stations is None else self.stations
        design = np.stack([np.ones(len(used)), h[used]], 1)
        weighted = self.precision(len(used)) @ design
        information = design.T @ weighted
        slope = np.linalg.solve(information, weighted.T @ values[used])[1]
        variance = np.linalg.inv(information)[1, 1] * self.scale**2
        return slope, variance, weighted[:, 1]

    def left_out(
        self, values: Float[np.ndarray, "station output"], points: Float[np.ndarray, "station 3"],
        design: Float[np.ndarray, "station term"],
    ) -> float:  # fmt: skip
        """RMSE at places that are left out in folds, with all terms of the mean estimated from the others.

        e = (P_ff)^-1 (P y)_f, P = K^-1 - K^-1 F (F^T K^-1 F)^-1 F^T K^-1, of the stations f of a fold (Dubrule 1983).
        """
        used = np.arange(len(values)) if self.stations is None else self.stations
        design, precision = design[used], self.precision(len(used))
        weighted = precision @ design
        projected = precision - weighted @ np.linalg.solve(design.T @ weighted, weighted.T)
        place = places(points[used])
        folds = min(FOLDS, int(place.max()) + 1)
        fold = np.random.default_rng(0).permutation(int(place.max()) + 1)[place] % folds
        dual, errors = projected @ values[used], []
        for number in range(folds):
            out = fold == number
            errors.append(np.linalg.lstsq(projected[np.ix_(out, out)], dual[out], rcond=None)[0])
        return float(np.sqrt(np.mean(np.square(np.concatenate(errors)))))


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
