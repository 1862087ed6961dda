"""The linear inverse model: a stochastically driven linear system, fitted to the covariances of the training states.

    x = F a + r,    a_{t+1} = G z_t + e,  e ~ N(0, Q),    r_{t+1} = p r_t + sqrt(1 - p^2) d.

Penland and Sardeshmukh (1995, "The optimal growth of tropical sea surface temperature anomalies") with one state,
z_t = a_t, in discrete form; with two, z_t = (a_t, a_{t-1}), an autoregression of order two. F: the leading `truncation`
modes of the training states across all variables (empirical orthogonal functions under the area), scaled so that their
coefficients a have variance 1. With lagged covariances over the n_k pairs of states k steps apart, n the number of all
states,

    C_k = (1 - k/n) sum_t a_{t+k} a_t^T / n_k,
    G = C_1z (C_zz + R)^-1,    Q = C_0 - G C_zz G^T,    C_1z = (C_1, C_2),    C_zz = ((C_0, C_1), (C_1^T, C_0)).

A record without gaps has n - k pairs, so its C_k = sum_t a_{t+k} a_t^T / n are the covariances of a series with zeros
before and after it: C_zz is positive semi-definite, G is stable, and Q, which is no less than the Schur complement C_0
- C_1z C_zz^-1 C_1z^T, has no negative eigenvalue. With gaps there are fewer pairs, and all this may fail. C_1 and C_2
are then divided by 1 + m, -m the lowest eigenvalue of the block Toeplitz matrix of the C_k in use, which restores it
because C_0 is the identity. Division by n would instead shrink G by the share of the pairs that the gaps have cost.

A series driven by this Q keeps the covariance C_0 (with one state whatever R; with two where R = 0, and nearly so
elsewhere): variance that the ridge leaves unpredicted becomes noise.

R = ridge m L^-1, L the variances of the modes and m their mean: a ridge that is equal for all modes in units of
the fields, so that modes of little variance, which are estimated worst, are damped most. On the simulated planet it was
better at 2 to 5 days than an equal ridge for scaled modes.

The residual r beyond the modes is larger for new states than for the training states: on the simulated planet, with
8192 values, 8 years of training and 300 modes, a quarter of the variance against 17 %. It also persists longer, with a
correlation of .5 from day to day against .3. So p cannot be estimated from the training states, and is tuned. d has the
patterns of the modes beyond the truncation, which are stored for this purpose, scaled in each cell to the residual
variance: independent draws for each cell would be white in space, as no field is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fieldcast.models.core import Batch, Context, Derived, Solved
from fieldcast.models.gaussian.modes import MIN_VARIANCE_SHARE, modes, streamed_modes
from fieldcast.models.gaussian.training_series import SeriesPart, followed, series, series_parts
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

STORED_MODES = 1000  # more than the largest truncation, since the modes beyond it are the patterns of d
LAGS = 3  # number of lagged covariances: C_0, C_1 and C_2
MAX_ROUNDING = 1e-9  # of the lowest eigenvalue of the matrix of the C_k, which is 0 or more without gaps
MIN_RIDGE = 1e-6  # added to R, because C_zz of a record with fewer times than modes is singular
# share of a cell's variance below which the modes beyond the truncation have no variance there, and d is 0
MIN_RESIDUAL_SHARE = 1e-6


class Operators(NamedTuple):
    """Operators derived from the covariances and the current tuned values; symbols as in the module."""

    G: Float[Tensor, "mode past_mode"]
    Q: Float[Tensor, "mode mode"]
    root: Float[Tensor, "mode mode"]  # root root^T = Q
    # factor that gives draws from the modes beyond the truncation the variance of d
    scale: Float[Tensor, " cell"]
    L: Float[Tensor, " mode"]  # variances of the modes
    C: Float[Tensor, "lag mode mode"]  # C_0, C_1 and, for two states, C_2, from which G and Q are computed


def lagged_covariances(
    a: Float[Tensor, "time mode"], stretch: Int[Tensor, " time"], lags: int = LAGS
) -> Float[Tensor, "lag mode mode"]:
    """C_k of the module, over the pairs within a stretch; 0 for a lag without pairs."""
    n, covariances = len(a), []
    for lag in range(lags):
        first = followed(stretch, lag).nonzero()[:, 0]
        divisor = n * max(len(first), 1) / max(n - lag, 1)  # n for a single stretch, without rounding
        covariances.append(a[first + lag].T @ a[first] / divisor)
    return torch.stack(covariances)


def stationary_covariances(covariances: Float[Tensor, "lag mode mode"]) -> Float[Tensor, "lag mode mode"]:
    """Covariances that a stationary series can have: C_1, C_2 ... divided by 1 + m, if the lowest eigenvalue is -m < 0.

    The eigenvalue is that of the block Toeplitz matrix of all C_k. With C_0 the identity, it is 0 after the division.
    """
    lags, k = covariances.shape[:2]
    rows = [
        [covariances[j - i] if j >= i else covariances[i - j].T for j in range(lags)] for i in range(lags)
    ]
    block_toeplitz = torch.cat([torch.cat(row, dim=1) for row in rows])
    rounding = MAX_ROUNDING * torch.eye(lags * k).to(covariances)
    if not torch.linalg.cholesky_ex(block_toeplitz + rounding).info:  # an order faster than the eigenvalues
        return covariances
    lowest = torch.linalg.eigvalsh(block_toeplitz)[0]
    return torch.cat([covariances[:1], covariances[1:] / (1 - lowest)])


def autoregression(
    covariances: Float[Tensor, "lag mode mode"], ridge: Float[Tensor, " mode"], states: int
) -> tuple[Float[Tensor, "mode past_mode"], Float[Tensor, "mode mode"]]:
    """G and Q for one or two states, from C_0, C_1 and, for two, C_2, with diag(ridge) added to C_0 for each state."""
    c0, c1 = covariances[:2]
    ahead = torch.cat(list(covariances[1 : states + 1]), dim=1)
    past = c0 if states == 1 else torch.cat([torch.cat([c0, c1], 1), torch.cat([c1.T, c0], 1)])
    g = torch.linalg.solve(past + torch.diag(ridge.repeat(states)), ahead.T).T
    return g, c0 - g @ past @ g.T


class LinearInverseModel(Derived, Solved):
    """The linear inverse model; see the module for the equations.

    Tuned: `states`, one or two; `truncation`, the number of modes, at most all of them; `ridge`, as a share of the mean
    variance of the modes; `persistence` p of the residual beyond the modes.

    Parameters
    ----------
    space
        Grid of the states.
    stochastic
        Whether e and d are drawn; otherwise every draw is the mean of the next state.
    """

    history = 2
    choices = MappingProxyType(
        {
            "states": (1.0, 2.0),
            "truncation": (30.0, 60.0, 120.0, 200.0, 300.0, 450.0, 700.0),
            "ridge": (0.0, 0.01, 0.03, 0.1, 0.3, 1.0),
            "persistence": (0.0, 0.2, 0.4, 0.6, 0.8),
        }
    )
    features: Tensor
    variance: Tensor
    covariances: Tensor

    def __init__(self, space: Space, stochastic: bool = True):
        super().__init__(space)
        self.deterministic = not stochastic
        self.register_buffer("features", torch.zeros(0, *space.state_shape))  # F^T, of all stored modes
        self.register_buffer("variance", torch.zeros(space.state_shape))
        self.register_buffer("covariances", torch.zeros(LAGS, 0, 0, dtype=torch.double))
        for name, value in {"states": 1.0, "truncation": 200.0, "ridge": 0.1, "persistence": 0.4}.items():
            self.register_buffer(name, torch.tensor(value))

    def solve(self, training: Iterable[Batch]) -> None:
        """Compute modes, variances and lagged covariances of the training states."""
        record = series(training, self.space.exists)
        x = record.states.flatten(1)
        self.variance = x.square().mean(0).unflatten(0, self.space.state_shape)
        self.features = modes(x, self._area(), STORED_MODES).unflatten(1, self.space.state_shape)
        a = self.coefficients(x, self.mode_variances()[: int(max(self.choices["truncation"]))])
        self.covariances = lagged_covariances(a.double(), record.stretch)

    def solve_streamed(self, passes: Callable[[], Iterator[Batch]]) -> None:
        """Solve in two passes, or in four where a state has more values than `streamed_modes.MAX_EXACT_VALUES`."""

        def states() -> Iterator[Tensor]:
            return (self._vectors(part) for part in series_parts(passes()))

        f = streamed_modes(states, self._area(), STORED_MODES, MIN_VARIANCE_SHARE)
        self.features = f.unflatten(1, self.space.state_shape)
        leading = self.mode_variances()[: int(max(self.choices["truncation"]))]
        squares, pieces = f.new_zeros(f.shape[1], dtype=torch.double), []
        for part in series_parts(passes()):
            x = self._vectors(part)
            squares += x.double().square().sum(0)
            pieces.append((self.coefficients(x, leading), part.stretch, part.number))
        a, stretch, number = (torch.cat(values) for values in zip(*pieces, strict=True))
        self.variance = (squares / len(a)).float().unflatten(0, self.space.state_shape)
        order = torch.argsort(number)
        self.covariances = lagged_covariances(a[order].double(), stretch[order])

    def _vectors(self, part: SeriesPart) -> Float[Tensor, "time cell"]:
        """States as vectors; cells that do not exist are 0."""
        return torch.where(self.space.exists, part.states, 0.0).flatten(1)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        if self.deterministic:
            return self.mean(c)[:, None].expand(-1, streams.members, -1, -1, -1)
        operators, f = self.operators(), self.features.flatten(1)
        k, p = len(operators.L), float(self.persistence)
        b, persisting = self.ahead(c)
        e, d = streams.normal(len(f)).split([k, len(f) - k], dim=-1)
        x = (b[:, None] + e @ operators.root.T) @ f[:k] + persisting[:, None]
        x = x + (1 - p**2) ** 0.5 * operators.scale * (d @ f[k:])
        return x.unflatten(-1, self.space.state_shape)

    def mean(self, c: Context) -> Float[Tensor, "batch variable y x"]:
        """The mean of the next state."""
        b, persisting = self.ahead(c)
        f = self.features.flatten(1)[: b.shape[1]]
        return (b @ f + persisting).unflatten(-1, self.space.state_shape)

    def ahead(self, c: Context) -> tuple[Float[Tensor, "batch mode"], Float[Tensor, "batch cell"]]:
        """The mean of the next state, F G z + p r with r = x - F a, as b and p x: it is F b + p x.

        This form saves a product with F.
        """
        operators, p = self.operators(), float(self.persistence)
        past = torch.where(self.space.exists, c.states()[:, -int(self.states) :], 0.0).flatten(2)
        a = self.coefficients(past, operators.L)  # (B, 1 or 2, K), oldest first
        return a.flip(1).flatten(1) @ operators.G.T - p * a[:, -1], p * past[:, -1]

    def coefficients(
        self, x: Float[Tensor, "*batch cell"], variances: Float[Tensor, " mode"]
    ) -> Float[Tensor, "*batch mode"]:
        """Coefficients a of the leading modes: x = F a + r with r orthogonal to F under the area.

        Their variances are an argument: computing them would cost as much as the product.
        """
        f = self.features[: len(variances)].flatten(1)
        return (x * self._area()) @ f.T / variances

    def operators(self) -> Operators:
        """G, Q and the noise operators, cached for each choice of values and each solution."""
        key = float(self.states), float(self.truncation), float(self.ridge)
        return self.derived(key, self._operators, self.features)

    def _operators(self) -> Operators:
        k = min(int(self.truncation), self.covariances.shape[-1])
        variances = self.mode_variances()[:k]
        ridge = MIN_RIDGE + float(self.ridge) * variances.double().mean() / variances.double()
        covariances = stationary_covariances(self.covariances[: int(self.states) + 1, :k, :k])
        g, q = autoregression(covariances, ridge, int(self.states))
        eigenvalues, u = torch.linalg.eigh((q + q.T) / 2)
        root = u * eigenvalues.clamp(min=0).sqrt()
        f, total = self.features.flatten(1), self.variance.flatten()
        left, beyond = (total - f[:k].square().sum(0)).clamp(min=0), f[k:].square().sum(0)
        scale = torch.where(beyond > MIN_RESIDUAL_SHARE * total, left / beyond, 0.0).sqrt()
        return Operators(g.float(), q, root.float(), scale, variances, covariances)

    def _area(self) -> Float[Tensor, " cell"]:
        return self.space.existing_area.expand(self.space.state_shape).flatten()

    def mode_variances(self) -> Float[Tensor, " mode"]:
        """L: the variances of the modes, as area-weighted sums over cells and variables."""
        return self.features.flatten(1).square() @ self._area()
