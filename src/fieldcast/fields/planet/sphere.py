"""Spherical harmonics of triangular truncation, computed as products with real matrices.

A real field A of longitude lambda and mu = sin(latitude) is the sum

    A(lambda, mu) = sum_{m=-T}^{T} sum_{n=|m|}^{T} A_mn P_mn(mu) exp(i m lambda),

with 1/2 int P_mn^2 dmu = 1, so that the global mean of A^2 is the sum of |A_mn|^2.

Coefficients are real arrays (..., m, part, k, n): only m >= 0 is stored, `part` is 0 for the real and 1 for the
imaginary part of A_mn, k counts fields that are transformed together, and entries with n < m are zero. Fields
on a grid have the shape (..., longitude, k, latitude). Leading axes are a batch. With this order both halves of
a transform, the Legendre sum of each m and the Fourier sum, are matrix products without a copy between them;
at moderate truncations (a few tens) the Fourier matrix is faster than many short FFTs.
"""

import numpy as np
from jaxtyping import Float

Coefficients = Float[np.ndarray, "*batch m 2 k n"]
OnGrid = Float[np.ndarray, "*batch longitude k latitude"]
Gradient = Float[np.ndarray, "*batch 2 longitude k latitude"]
Scratch = tuple[
    Float[np.ndarray, "*batch 2 m part_k latitude"], Float[np.ndarray, "*batch 2 longitude k_latitude"]
]
Axis = Float[np.ndarray, " points"]
Table = Float[np.ndarray, "m points n"]


def gaussian_latitudes(n_latitude: int) -> tuple[Axis, Axis]:
    """Latitudes [degrees, south to north] and weights (sum 2) of the Gauss-Legendre rule."""
    mu, weights = np.polynomial.legendre.leggauss(n_latitude)
    return np.degrees(np.arcsin(mu)), weights


def equiangular_latitudes(n_latitude: int) -> Axis:
    """Latitudes [degrees, south to north] of the centres of cells of equal height."""
    return -90 + 180 / n_latitude * (np.arange(n_latitude) + 0.5)


def couplings(truncation: int) -> Float[np.ndarray, "m n_plus_1"]:
    """Coefficients e_mn = sqrt((n^2 - m^2) / (4 n^2 - 1)), n <= T + 1: mu P_mn = e_mn P_m,n-1 + e_m,n+1 P_m,n+1."""
    m, n = np.arange(truncation + 1)[:, None], np.arange(truncation + 2)
    return np.sqrt(np.maximum(n**2 - m**2, 0) / (4 * n**2 - 1.0))


def legendre(truncation: int, mu: Axis) -> tuple[Table, Table]:
    """Normalised associated Legendre functions P_mn and dP_mn/dmu at mu (poles excluded).

    With e_mn of `couplings`,

        e_mn P_mn = mu P_m,n-1 - e_m,n-1 P_m,n-2,
        (1 - mu^2) dP_mn/dmu = (n + 1) e_mn P_m,n-1 - n e_m,n+1 P_m,n+1.
    """
    size, e = truncation + 1, couplings(truncation)
    p = np.zeros((size, size + 1, mu.size))
    sectoral = np.ones_like(mu)
    for m in range(size):
        if m:
            sectoral = sectoral * np.sqrt((2 * m + 1) / (2 * m) * (1 - mu**2))
        p[m, m] = sectoral
        p[m, m + 1] = mu * sectoral / e[m, m + 1]
        for n in range(m + 2, size + 1):
            p[m, n] = (mu * p[m, n - 1] - e[m, n - 1] * p[m, n - 2]) / e[m, n]
    dp = np.zeros((size, size, mu.size))
    for n in range(size):
        dp[:, n] = -n * e[:, n + 1, None] * p[:, n + 1]
        if n:
            dp[:, n] += (n + 1) * e[:, n, None] * p[:, n - 1]
    dp /= 1 - mu**2
    return p[:, :size].swapaxes(1, 2), dp.swapaxes(1, 2)


def fourier(truncation: int, longitude: Axis) -> tuple[Float[np.ndarray, "points waves"], ...]:
    """Matrices from the parts (re, im of m = 0 .. T) of a real series to its values and its slopes."""
    m = np.arange(truncation + 1)
    angle = np.radians(longitude)[:, None] * m
    twice = np.where(m > 0, 2.0, 1.0)
    cosine, sine = twice * np.cos(angle), twice * np.sin(angle)
    value = np.stack([cosine, -sine], axis=-1)
    slope = np.stack([-m * sine, -m * cosine], axis=-1)
    return value.reshape(longitude.size, -1), slope.reshape(longitude.size, -1)


class Sphere:
    """Transforms between coefficients and a grid of longitudes from 0 and given latitudes.

    Parameters
    ----------
    truncation
        T. A quadratic product is free of aliasing when n_longitude >= 3 T + 1 and, on Gaussian latitudes,
        n_latitude >= (3 T + 1) / 2: T21 needs 64 x 32.
    n_longitude
        Number of equidistant longitudes.
    latitude
        Degrees, poles excluded.
    weights
        Gaussian weights of the latitudes. Without them `analysis` fits the coefficients by least squares over the
        areas of cells, of least norm where the grid is too coarse to determine them.
    """

    def __init__(self, truncation: int, n_longitude: int, latitude: Axis, weights: Axis | None = None):
        self.truncation, self.latitude = truncation, latitude
        self.longitude = 360 / n_longitude * np.arange(n_longitude)
        self.mu = np.sin(np.radians(latitude))
        p, self.dp = legendre(truncation, self.mu)
        value, slope = fourier(truncation, self.longitude)
        self._legendre = np.ascontiguousarray(np.stack([p, self.dp]).swapaxes(-1, -2))
        self._fourier = np.stack([slope, value])
        if weights is not None:
            self.weights = weights
            halved = value / np.where(np.arange(value.shape[1]) < 2, 1, 2)
            self._to_waves = np.ascontiguousarray(halved.T / n_longitude)
            self._to_modes = weights[:, None] / 2 * p
        else:
            share = np.sqrt(np.cos(np.radians(latitude)))[:, None]
            self._to_waves = np.linalg.pinv(value)
            self._to_modes = np.linalg.pinv(share * p, rcond=1e-9).swapaxes(1, 2) * share

    @classmethod
    def gaussian(cls, truncation: int) -> "Sphere":
        """Smallest standard grid free of aliasing for quadratic products."""
        n_latitude = (3 * truncation + 2) // 2
        return cls(truncation, 2 * n_latitude, *gaussian_latitudes(n_latitude))

    def synthesis(self, c: Coefficients) -> OnGrid:
        """Field on the grid for given coefficients."""
        *batch, size, _, k, _ = c.shape
        waves = c.reshape(*batch, size, 2 * k, size) @ self._legendre[0]
        field = self._fourier[1] @ waves.reshape(*batch, 2 * size, -1)
        return field.reshape(*batch, self.longitude.size, k, -1)

    def scratch(self, k: int, batch: tuple[int, ...] = ()) -> Scratch:
        """Work arrays for `gradient` of k fields; allocating them at each call can cost more than the transform."""
        size, columns = self.truncation + 1, k * self.mu.size
        waves = np.empty((*batch, 2, size, 2 * k, self.mu.size))
        return waves, np.empty((*batch, 2, self.longitude.size, columns))

    def gradient(self, c: Coefficients, scratch: Scratch | None = None) -> Gradient:
        """Derivatives dA/dlambda and dA/dmu; if `scratch` is given, they are valid until its next use."""
        *batch, size, _, k, _ = c.shape
        waves, field = scratch or self.scratch(k, tuple(batch))
        np.matmul(c.reshape(*batch, 1, size, 2 * k, size), self._legendre, out=waves)
        np.matmul(self._fourier, waves.reshape(*batch, 2, 2 * size, -1), out=field)
        return field.reshape(*batch, 2, self.longitude.size, k, -1)

    def analysis(self, field: OnGrid) -> Coefficients:
        """Coefficients of a field, truncated to T."""
        *batch, n_longitude, k, n_latitude = field.shape
        waves = self._to_waves @ field.reshape(*batch, n_longitude, -1)
        modes = waves.reshape(*batch, self.truncation + 1, 2 * k, n_latitude) @ self._to_modes
        return modes.reshape(*batch, self.truncation + 1, 2, k, -1)
