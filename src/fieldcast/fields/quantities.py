"""Quantities: mappings of the values of a variable to a space in which they are Gaussian, and back.

The fields stay in their own units. A model or method works on mapped values, of one part, or two for a circle; what it
predicts there, a mean and a spread of each part, is a distribution in own units:

    log        y = log x, for positive values
    root       y = sqrt x, for values from 0 on; x = 0 for y < 0
    quantiles  y = Phi^-1(F(x)), F the distribution of the values that the mapping is fitted to; values at a bound are
               a mass
    circle     y = (cos (x - c), sin (x - c)), for angles; c is their mean direction
    clip       y = x, and every draw is cut at the bounds

A variable without any of them is `none`: its numbers are used as they are. `meaning` says which a variable admits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from fieldcast.errors import InputError
from fieldcast.fields.conventions import time_varying

NONE, AUTO = "none", "auto"
Values = Float[np.ndarray, "*n"]
Parts = Float[np.ndarray, "part *n"]
CENTRAL = 0.05, 0.95  # ends of the interval of 90 %
MAX_FITTED = 10**6  # values whose quantiles are computed, evenly spaced among all
MAX_VALUES = 2 * 10**7  # values in memory to which a mapping is fitted
KNOTS = 200  # knots of the distribution of values, at most
NODES = 200  # equally likely values that stand for a distribution in scores
FEWER_NODES = 64  # values by which moments without a closed form are integrated
CHUNK = 2**14  # values whose nodes are in memory at once
FAR = -40.0  # where the standard normal distribution function is 0
TINY = 1e-100  # a spread of 0, whose ratios to other numbers have squares


class Moments(NamedTuple):
    """Statistics of a distribution in own units: mean, standard deviation, median, and ends of its 90 % interval.

    Those of an angle are about its mean direction: the spread is the root mean square of the wrapped difference from
    it, and low to high is the central arc, clockwise.
    """

    mean: Values
    spread: Values
    median: Values
    low: Values
    high: Values


@dataclass(frozen=True, kw_only=True)
class Quantity(ABC):
    """A mapping, and the range of valid values, to which every result is cut.

    Parameters
    ----------
    lowest, highest
        Ends of the range; infinite without one.
    """

    kind: ClassVar[str]
    parts: ClassVar[tuple[str, ...]] = ("",)  # what is added to a variable's name
    lowest: float = -np.inf
    highest: float = np.inf

    @classmethod
    def fit(cls, values: Float[np.ndarray, " n"], valid: tuple[float, float]) -> Quantity:
        """The mapping for some values, none of which is NaN, in a valid range."""
        return cls(lowest=valid[0], highest=valid[1])

    @abstractmethod
    def forward(self, x: Values) -> Parts:
        """Mapped values."""

    @abstractmethod
    def inverse(self, y: Parts) -> Values:
        """Values in own units, in the valid range."""

    def difference(
        self, x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """x minus a reference."""
        return x - reference

    def moments(self, mean: Parts, spread: Parts) -> Moments:
        """The distribution in own units of Gaussian mapped values."""
        ends = (self.inverse(mean + z * spread) for z in (0.0, *ndtri(CENTRAL)))
        first, deviation = self.mean_and_spread(mean, spread)
        return Moments(
            np.clip(first, self.lowest, self.highest), deviation, *ends
        )  # rounding may leave the range

    def of_members(self, members: Float[np.ndarray, "member *n"]) -> Moments:
        """Moments of draws in own units; their variance is unbiased."""
        spread = members.std(0, ddof=1) if len(members) > 1 else np.zeros_like(members[0])
        with np.errstate(invalid="ignore"):
            return Moments(members.mean(0), spread, *np.quantile(members, (0.5, *CENTRAL), axis=0))

    def mean_and_spread(self, mean: Parts, spread: Parts) -> tuple[Values, Values]:
        """Mean and standard deviation in own units, by the trapezoidal rule over five standard deviations."""
        z = np.linspace(-5, 5, FEWER_NODES)
        weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
        nodes = self.inverse(mean[:, None] + z.reshape(-1, *np.ones(mean.ndim - 1, int)) * spread[:, None])
        first = np.tensordot(weight, nodes, 1)
        return first, np.sqrt(np.tensordot(weight, np.square(nodes - first), 1))

    def nodes(self, mean: Parts, spread: Parts, number: int = NODES) -> Float[np.ndarray, "node *n"]:
        """Equally likely values in own units, in ascending order: quantiles of the distribution."""
        z = ndtri((np.arange(number) + 0.5) / number).reshape(-1, *np.ones(mean.ndim - 1, int))
        return self.inverse(mean[:, None] + z * spread[:, None])

    def crps(self, mean: Parts, spread: Parts, x: Values) -> Values:
        """CRPS in own units: twice the mean of the quantile losses (Gneiting and Raftery 2007, section 4.2)."""
        nodes, below = self.nodes(mean, spread), (np.arange(NODES) + 0.5) / NODES
        error = x - nodes
        weight = below.reshape(-1, *np.ones(x.ndim, int)) - (error < 0)
        return 2 * (weight * error).mean(0)

    def pit(self, mean: Parts, spread: Parts, x: Values) -> tuple[Values, Values]:
        """Probability of smaller values, and of smaller or equal ones, which differs at a mass.

        The randomised PIT value lies between them (Brockwell 2007).
        """
        low, high = self.inverse_bounds(x)
        return ndtr((low - mean[0]) / spread[0]), ndtr((high - mean[0]) / spread[0])

    @property
    def ends(self) -> tuple[float, float]:
        """Mapped values at the bounds, beyond which all are the same value; infinite if there is none."""
        return -np.inf, np.inf

    def inverse_bounds(self, x: Values) -> tuple[Values, Values]:
        """Smallest and largest mapped value of each value; they differ at a mass."""
        y = self.forward(x)[0]
        return np.where(x <= self.lowest, -np.inf, y), np.where(x >= self.highest, np.inf, y)

    def state(self) -> dict[str, Any]:
        """The mapping as plain numbers, from which `quantity_of` restores it; infinite ends are left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        finite = {name: value for name, value in values.items() if np.all(np.isfinite(value))}
        return {"kind": self.kind, **{name: np.asarray(value).tolist() for name, value in finite.items()}}


@dataclass(frozen=True, kw_only=True)
class Log(Quantity):
    """y = log x; the log-normal tail goes on beyond the largest value, and has a finite variance.

    Parameters
    ----------
    least
        Value in place of smaller ones, whose logarithm would be out of all proportion.
    """

    kind = "log"
    least: float = np.finfo(float).tiny

    @classmethod
    def fit(cls, values: Float[np.ndarray, " n"], valid: tuple[float, float]) -> Log:
        """The mapping; half the smallest positive value stands for smaller ones."""
        positive = values[values > 0]
        if not positive.size:
            raise InputError(
                "no value is above 0, so that the logarithm cannot be taken: choose another mapping."
            )
        return cls(lowest=max(valid[0], 0.0), highest=valid[1], least=float(positive.min()) / 2)

    def forward(self, x: Values) -> Parts:
        return np.log(np.maximum(x, self.least))[None]

    def inverse(self, y: Parts) -> Values:
        with np.errstate(over="ignore"):
            return np.clip(np.exp(y[0]), self.lowest, self.highest)

    def mean_and_spread(self, mean: Parts, spread: Parts) -> tuple[Values, Values]:
        """exp(m + s^2 / 2), and its like for the square, of what lies within the valid range."""
        m, s = mean[0].astype(float), np.maximum(spread[0].astype(float), TINY)
        with np.errstate(divide="ignore"):
            ends = np.log([max(self.lowest, 0.0), self.highest])
        powers = []
        for k in (1, 2):
            below, above = ((end - m - k * s**2) / s for end in ends)
            with np.errstate(over="ignore", invalid="ignore"):
                inner = np.exp(k * m + (k * s) ** 2 / 2) * (ndtr(above) - ndtr(below))
            powers.append(np.where(above > below, inner, 0.0) + outside(m, s, ends, self, k))
        return from_powers((powers[0], powers[1]), self.inverse(mean), s)


@dataclass(frozen=True, kw_only=True)
class Root(Quantity):
    """y = sqrt x, x = max(y, 0)^2."""

    kind = "root"

    @property
    def ends(self) -> tuple[float, float]:
        return float(np.sqrt(self.lowest)), float(np.sqrt(self.highest))

    @classmethod
    def fit(cls, values: Float[np.ndarray, " n"], valid: tuple[float, float]) -> Root:
        return cls(lowest=max(valid[0], 0.0), highest=valid[1])

    def forward(self, x: Values) -> Parts:
        return np.sqrt(np.maximum(x, 0.0))[None]

    def inverse(self, y: Parts) -> Values:
        return np.clip(np.square(np.maximum(y[0], 0.0)), self.lowest, self.highest)

    def mean_and_spread(self, mean: Parts, spread: Parts) -> tuple[Values, Values]:
        """Moments of order 2 and 4 of a Gaussian between the ends of the valid range."""
        m, s = mean[0].astype(float), np.maximum(spread[0].astype(float), TINY)
        ends = np.sqrt([self.lowest, self.highest])
        powers = [
            partial_moment(m, s, ends[0], ends[1], 2 * k) + outside(m, s, ends, self, k) for k in (1, 2)
        ]
        return from_powers((powers[0], powers[1]), self.inverse(mean), s)


@dataclass(frozen=True, kw_only=True)
class Clip(Quantity):
    """y = x; every draw is cut at the bounds."""

    kind = "clip"

    @property
    def ends(self) -> tuple[float, float]:
        return self.lowest, self.highest

    def forward(self, x: Values) -> Parts:
        return np.asarray(x)[None]

    def inverse(self, y: Parts) -> Values:
        return np.clip(y[0], self.lowest, self.highest)

    def mean_and_spread(self, mean: Parts, spread: Parts) -> tuple[Values, Values]:
        """Moments of a censored Gaussian (Tobin 1958)."""
        m, s = mean[0].astype(float), np.maximum(spread[0].astype(float), TINY)
        ends = np.array([self.lowest, self.highest])
        # about the mean, so that nothing cancels where it is large beside the spread
        first, second = (partial_moment(0.0 * m, s, ends[0] - m, ends[1] - m, k) for k in (1, 2))
        for end, share in zip(ends, (ndtr((ends[0] - m) / s), ndtr((m - ends[1]) / s)), strict=True):
            if np.isfinite(end):
                first, second = first + (end - m) * share, second + (end - m) ** 2 * share
        return m + first, np.sqrt(np.maximum(second - first**2, 0.0))

    def crps(self, mean: Parts, spread: Parts, x: Values) -> Values:
        """CRPS of a censored Gaussian (Thorarinsdottir and Gneiting 2010): integrals of F^2 and (1 - F)^2."""
        m, s = mean[0].astype(float), np.maximum(spread[0].astype(float), TINY)
        low, at, high = ((np.clip(end, self.lowest, self.highest) - m) / s for end in (-np.inf, x, np.inf))
        return s * (squared_below(at) - squared_below(low) + squared_below(-at) - squared_below(-high))


def squared_below(z: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """The integral of the square of Phi, the standard normal distribution function, up to z."""
    z = np.maximum(z, FAR)
    density = np.exp(-np.square(z) / 2) / (2 * np.pi) ** 0.5
    return z * ndtr(z) ** 2 + 2 * ndtr(z) * density - ndtr(2**0.5 * z) / np.pi**0.5


@dataclass(frozen=True, kw_only=True)
class Quantiles(Quantity):
    """y = Phi^-1(F(x)), with F piecewise linear between quantiles of the values.

    The values at a bound are a mass: y is the median of the Gaussian values that stand for it. Beyond the last knots
    the line through the outermost knots that are apart goes on, so that the tail is Gaussian.

    Parameters
    ----------
    x, y
        Knots, ascending.
    """

    kind = "quantiles"
    x: tuple[float, ...] = (0.0, 1.0)
    y: tuple[float, ...] = (0.0, 1.0)

    @classmethod
    def fit(cls, values: Float[np.ndarray, " n"], valid: tuple[float, float]) -> Quantiles:
        """The mapping by quantiles of the values, whose masses at the ends of the valid range are kept."""
        values = values[:: max(1, values.size // MAX_FITTED)]
        low, high = float((values <= valid[0]).mean()), float((values >= valid[1]).mean())
        inner = values[(values > valid[0]) & (values < valid[1])].astype(float)
        if np.unique(inner).size < 2:
            raise InputError(
                "fewer than two values lie within the bounds, too few for quantiles: choose clip."
            )
        number = min(KNOTS, inner.size)
        p = (np.arange(number) + 0.5) / number
        x, keep = np.unique(np.quantile(inner, p), return_index=True)
        y = ndtri(low + (1 - low - high) * p[keep])
        if low:
            x, y = np.append(valid[0], x), np.append(ndtri(low), y)
        if high:
            x, y = np.append(x, valid[1]), np.append(y, ndtri(1 - high))
        return cls(lowest=valid[0], highest=valid[1], x=tuple(x.tolist()), y=tuple(y.tolist()))

    @property
    def ends(self) -> tuple[float, float]:
        low, high = self.x[0] == self.lowest, self.x[-1] == self.highest
        return self.y[0] if low else -np.inf, self.y[-1] if high else np.inf

    def forward(self, x: Values) -> Parts:
        y = extended(x, np.array(self.x), np.array(self.y))
        for bound, end, sign in ((self.lowest, self.y[0], 1), (self.highest, self.y[-1], -1)):
            if self.x[0 if sign > 0 else -1] == bound:
                at_bound = x <= bound if sign > 0 else x >= bound
                y = np.where(at_bound, sign * ndtri(ndtr(sign * end) / 2), y)
        return y[None]

    def inverse(self, y: Parts) -> Values:
        return np.clip(extended(y[0], np.array(self.y), np.array(self.x)), self.lowest, self.highest)

    def inverse_bounds(self, x: Values) -> tuple[Values, Values]:
        y = extended(x, np.array(self.x), np.array(self.y))
        low, high = np.where(x <= self.lowest, -np.inf, y), np.where(x >= self.highest, np.inf, y)
        return low, high


@dataclass(frozen=True, kw_only=True)
class Circle(Quantity):
    """y = (cos (x - c), sin (x - c)): both components are predicted, and x - c is their angle.

    Parameters
    ----------
    period
        Length of the circle in the units of the variable: 360, or 2 pi.
    centre
        Mean direction c, so that nothing depends on the zero of the angles.
    """

    kind = "circle"
    parts = ("_cos", "_sin")
    period: float = 360.0
    centre: float = 0.0

    @classmethod
    def fit_to(cls, values: Float[np.ndarray, " n"], lowest: float, period: float) -> Circle:
        """The mapping about the mean direction of some values, on a circle that begins at the lowest value."""
        circle = cls(lowest=lowest, period=period)
        mean = circle.forward(values.astype(float)).mean(1, keepdims=True)
        return cls(lowest=lowest, period=period, centre=float(circle.inverse(mean)[0]))

    def forward(self, x: Values) -> Parts:
        radians = (np.asarray(x) - x.dtype.type(self.centre)) * (2 * np.pi / self.period)
        return np.stack([np.cos(radians), np.sin(radians)]).astype(x.dtype)

    def inverse(self, y: Parts) -> Values:
        return self.within(np.arctan2(y[1], y[0]) * (self.period / (2 * np.pi)) + self.centre)

    def within(self, x: Values) -> Values:
        """Angles of the circle that begins at the lowest value, which no rounding takes out of it."""
        start = self.lowest if np.isfinite(self.lowest) else 0.0
        turned = np.asarray(start + (x - start) % self.period).astype(np.float32)
        return np.where(turned >= np.float32(start + self.period), np.float32(start), turned)

    def difference(
        self, x: Float[np.ndarray, "..."], reference: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """The signed difference along the shorter arc."""
        half = self.period / 2
        return (np.asarray(x, float) - reference + half) % self.period - half

    def nodes(self, mean: Parts, spread: Parts, number: int = NODES) -> Float[np.ndarray, "node *n"]:
        """Angles of points that are spread evenly over the Gaussian of both components, in pairs about its mean."""
        points = normal_points(number).reshape(number, 2, *np.ones(mean.ndim - 1, int))
        y = mean + points * spread
        return self.inverse(np.moveaxis(y, 1, 0))

    def moments(self, mean: Parts, spread: Parts) -> Moments:
        """Moments about the mean direction, that of the mean unit vector (Mardia and Jupp 2000, section 2.2)."""
        return self.about_mean(self.nodes(mean, spread, FEWER_NODES))

    def of_members(self, members: Float[np.ndarray, "member *n"]) -> Moments:
        moments, number = self.about_mean(members), len(members)
        return moments._replace(spread=moments.spread * np.sqrt(number / max(number - 1, 1)))

    def about_mean(self, x: Float[np.ndarray, "draw *n"]) -> Moments:
        """Moments of equally likely angles about their mean direction."""
        direction = self.inverse(self.forward(x).mean(1))
        difference = self.difference(x, direction)
        middle, low, high = np.quantile(difference, (0.5, *CENTRAL), axis=0)
        turned = (self.within(direction + arc) for arc in (middle, low, high))
        return Moments(direction, np.sqrt(np.square(difference).mean(0)), *turned)

    def crps(self, mean: Parts, spread: Parts, x: Values) -> Values:
        """E d(X, x) - E d(X, X') / 2, d the length of the shorter arc (Grimit et al. 2006)."""
        nodes = self.nodes(mean, spread, FEWER_NODES)
        distance = np.abs(self.difference(nodes, x)).mean(0)
        pairs = [np.abs(self.difference(nodes, np.roll(nodes, k, 0))).mean(0) for k in range(1, len(nodes))]
        return distance - np.sum(pairs, axis=0) / len(nodes) / 2

    def pit(self, mean: Parts, spread: Parts, x: Values) -> tuple[Values, Values]:
        """Share of the distribution before x, counted clockwise from the point opposite to the mean direction."""
        nodes = self.nodes(mean, spread)
        direction = self.inverse(self.forward(nodes).mean(1))
        share = (self.difference(nodes, direction) < self.difference(x, direction)).mean(0)
        return share, share


KINDS: Mapping[str, type[Quantity]] = {each.kind: each for each in (Root, Log, Quantiles, Circle, Clip)}
Quantities = Mapping[str, Quantity]  # by name of the variable; others are used as they are


def quantity_of(state: Mapping[str, Any]) -> Quantity:
    """Restore a quantity from its `state`."""
    options: dict[str, Any] = {
        name: tuple(x) if isinstance(x, list) else x for name, x in state.items() if name != "kind"
    }
    return KINDS[state["kind"]](**options)


def outside(
    m: Float[np.ndarray, "*n"], s: Float[np.ndarray, "*n"], ends: Float[np.ndarray, "2"], of: Quantity, k: int
) -> Float[np.ndarray, "*n"]:
    """Share of the k-th moment in own units of the mapped values beyond both ends, which are cut to the range."""
    total = np.zeros_like(m)
    for bound, end, sign in zip((of.lowest, of.highest), ends, (1, -1), strict=True):
        if np.isfinite(bound) and bound:
            total += bound**k * ndtr(sign * (end - m) / s)
    return total


def from_powers(
    powers: tuple[Values, Values], centre: Values, s: Float[np.ndarray, "*n"]
) -> tuple[Values, Values]:
    """Mean and spread from the first two moments; a spread of 0 leaves the centre as it is."""
    certain, (first, second) = s <= TINY, powers
    spread = np.sqrt(np.maximum(second - first**2, 0.0))
    return np.where(certain, centre, first), np.where(certain, 0.0, spread)


def partial_moment(
    m: Float[np.ndarray, "*n"], s: Float[np.ndarray, "*n"], low: Any, high: Any, order: int
) -> Float[np.ndarray, "*n"]:
    """Integral of y^order N(y; m, s^2) from low to high, by recursion over the order (integration by parts).

    I_k = m I_(k-1) + (k - 1) s^2 I_(k-2) - s (high^(k-1) phi(high) - low^(k-1) phi(low)).
    """
    alpha, beta = (low - m) / s, (high - m) / s
    densities = [np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi) for z in (alpha, beta)]
    ends = [np.where(np.isfinite(end), end, 0.0) for end in (low, high)]
    before, now = np.zeros_like(m), ndtr(beta) - ndtr(alpha)
    for k in range(1, order + 1):
        edge = ends[1] ** (k - 1) * densities[1] - ends[0] ** (k - 1) * densities[0]
        before, now = now, m * now + (k - 1) * s**2 * before - s * edge
    return now


def extended(
    x: Values, at: Float[np.ndarray, " knot"], values: Float[np.ndarray, " knot"]
) -> Float[np.ndarray, "*n"]:
    """Linear interpolation between knots; beyond them the line through the outermost tenth of the knots goes on."""
    tenth = max(1, len(at) // 10)
    y = np.interp(x, at, values)
    for end, inner, beyond in ((0, tenth, x < at[0]), (-1, -1 - tenth, x > at[-1])):
        slope = (values[end] - values[inner]) / (at[end] - at[inner])
        y = np.where(beyond, values[end] + slope * (x - at[end]), y)
    return y


def normal_points(number: int) -> Float[np.ndarray, "number 2"]:
    """Points that are spread evenly over a Gaussian of two dimensions, in pairs about 0, with a variance of 1.

    A spiral of the golden angle, at radii of equal probability.
    """
    half = np.arange(number // 2)
    radius = np.sqrt(-2 * np.log(1 - (half + 0.5) / len(half)))
    angle = half * np.pi * (3 - np.sqrt(5))
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    points = np.concatenate([points, -points])
    return points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T, bias=True))).T


def in_chunks(quantity: Quantity, mean: Parts, spread: Parts) -> Moments:
    """Moments of many values, with bounded memory, in single precision."""
    pieces = [
        quantity.moments(mean[:, i : i + CHUNK], spread[:, i : i + CHUNK])
        for i in range(0, max(1, mean.shape[1]), CHUNK)
    ]
    return Moments(*(np.concatenate(values).astype(np.float32) for values in zip(*pieces, strict=True)))


# Fields of mapped values, and quantities as options name them.


def mapped(own: xr.Dataset, chosen: Quantities) -> xr.Dataset:
    """Fields of mapped values, in which each part of a variable is a variable; others are as they are.

    They are lazy where the fields are.
    """
    variables: dict[str, xr.DataArray] = {}
    for name, array in own.data_vars.items():
        quantity = chosen.get(str(name))
        if quantity is None:
            variables[str(name)] = array
            continue
        for number, part in enumerate(part_names(str(name), quantity)):
            values = array.data.map_blocks(part_of, quantity, number) if array.chunks else None
            values = part_of(array.values, quantity, number) if values is None else values
            variables[part] = array.copy(data=values).rename(part).assign_attrs(units="1")
    return own.drop_vars(list(own.data_vars)).assign(variables)


def near(quantity: Quantity | None, x: Values, reference: Float[np.ndarray, "..."]) -> Values:
    """The values; those of an angle within half a circle of a reference."""
    if not isinstance(quantity, Circle):
        return x
    return (reference + quantity.difference(x, reference)).astype(x.dtype)


def part_of(x: Values, quantity: Quantity, number: int) -> Float[np.ndarray, "*n"]:
    """One part of mapped values."""
    return quantity.forward(x)[number].astype(np.float32)


def part_names(name: str, quantity: Quantity | None) -> tuple[str, ...]:
    """Names of the parts of a variable in mapped fields."""
    return (name,) if quantity is None else tuple(name + part for part in quantity.parts)


def parse(given: str | Mapping[str, str], variables: xr.Dataset) -> Iterator[tuple[str, str]]:
    """Yield each variable and the mapping that an option names for it: `auto`, `none`, or a mapping for each name."""
    names = time_varying(variables)
    of_each = (
        dict.fromkeys(names, given) if isinstance(given, str) else {**dict.fromkeys(names, AUTO), **given}
    )
    for name, kind in of_each.items():
        if name not in names:
            raise InputError(f"quantities name '{name}', but the variables are {', '.join(names)}.")
        if kind not in (AUTO, NONE, *KINDS):
            raise InputError(
                f"the quantity of '{name}' is '{kind}': choose one of {', '.join((AUTO, NONE, *KINDS))}."
            )
        yield name, kind
