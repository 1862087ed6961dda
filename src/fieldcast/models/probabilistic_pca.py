"""Probabilistic PCA: a Gaussian in a subspace plus noise (Tipping and Bishop 1999), of states scaled cell by cell.

    x = mean + D (W z + e),    z ~ N(0, I),    e ~ N(0, s^2 I),    so that    x ~ N(mean, D C D),    C = W W^T + s^2 I

D is diagonal, the standard deviations of the cells in training, or the identity. It is the linear VAE, whose evidence,
posterior and optimal parameters have closed forms: a baseline for learned models, with an exact density.
d: cells that exist, over all variables; q: columns of W.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import scipy.linalg
import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Density, Solved
from fieldcast.models.gaps.record import cells, state
from fieldcast.models.gaussian.modes import streamed_modes
from fieldcast.models.options import Number
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

# smallest D, as a share of its root mean square: cells that never varied have no deviation
MIN_DEVIATION = 1e-3
MIN_VARIANCE_SHARE = 1e-10  # axes with less than this share of the variance of the first are rounding errors
PIECE_SIZE = 256  # rows or columns of the training states that are converted to double precision together


class ProbabilisticPCA(Solved):
    """Probabilistic PCA from the eigenvalues l_1 >= l_2 ... and axes U of the covariance of D^-1 x in training:

        s^2 = (l_{q+1} + ... + l_d) / (d - q),    W = U_q (L_q - s^2 I)^(1/2)                              (eq. 7, 8)

    which maximises the likelihood; the covariance is divided by the number of states. q = `components`, or fewer if the
    states span fewer dimensions: at least one is left to the noise. All cells have equal weight, whatever their area:
    this is the density of a whole state.

    Parameters
    ----------
    space
        Grid of the states.
    components
        Maximum number q of axes.
    scaled
        Whether D holds the standard deviation of each cell, so that the noise is an equal share of the variance of
        every cell; otherwise it has the same variance in all cells, and swamps those that hardly vary.
    """

    conditional = False
    density: Density = "exact"

    mean: Tensor
    scale: Tensor
    weights: Tensor
    variance: Tensor

    def __init__(self, space: Space, components: Number = 512, scaled: bool = True):
        super().__init__(space)
        self.components, self.scaled = components, scaled
        self.register_buffer("mean", torch.zeros(space.state_shape))
        self.register_buffer("scale", torch.ones(space.state_shape))  # D
        self.register_buffer("weights", torch.zeros(0, *space.state_shape))  # W^T; zero where nothing exists
        self.register_buffer("variance", torch.tensor(1.0))  # s^2

    def solve(self, training: Iterable[Batch]) -> None:
        """Fit mean, axes and noise to the training states."""
        x = torch.cat([cells(self.space, batch.x) for batch in training])
        mean = torch.cat([x[:, columns].double().mean(dim=0) for columns in pieces(x.shape[1])])
        scale = self.deviations(x, mean)
        x /= scale.to(x)
        self._set(mean, scale, *principal_axes(x, mean / scale, self.components))

    def _set(
        self,
        mean: Float[Tensor, " cell"],
        scale: Float[Tensor, " cell"],
        axes: Float[Tensor, "axis cell"],
        size: Float[Tensor, " axis"],
        rest: Float[Tensor, ""],
    ) -> None:
        """Set the parameters from axes, their variances and the sum of all other variances (eq. 7, 8)."""
        if rest <= 0:
            raise InputError(
                "the training states are all the same, and no density fits them: give states that vary."
            )
        variance, dtype = rest / (axes.shape[1] - len(size)), self.mean.dtype
        self.mean, self.variance = state(self.space, mean.to(dtype)), variance.to(dtype)
        self.scale = state(self.space, scale.to(dtype))
        self.weights = state(self.space, (axes * (size - variance).clamp(min=0).sqrt()[:, None]).to(dtype))

    def solve_streamed(self, passes: Callable[[], Iterator[Batch]]) -> None:
        """Fit in two passes, or in four where a state has more values than `streamed_modes.MAX_EXACT_VALUES`."""
        n, first, second = 0, torch.zeros(()), torch.zeros(())
        for batch in passes():
            x = cells(self.space, batch.x).double()
            n, first, second = n + len(x), first.to(x) + x.sum(dim=0), second.to(x) + x.square().sum(dim=0)
        mean = first / n
        square = (second / n - mean.square()).clamp(min=0)
        scale = bounded_deviations(square) if self.scaled else torch.ones_like(mean)

        def states() -> Iterator[Tensor]:
            return ((cells(self.space, batch.x) - mean.float()) / scale.float() for batch in passes())

        f = streamed_modes(
            states, torch.ones_like(mean).float(), self.components + 1, MIN_VARIANCE_SHARE
        ).double()
        size = f.square().sum(dim=1)
        kept = min(self.components, max(len(f) - 1, 0))
        rest = remainder(square / scale.square(), size, kept)
        self._set(mean, scale, f[:kept] / size[:kept].sqrt()[:, None], size[:kept], rest)

    def deviations(
        self, x: Float[Tensor, "time cell"], mean: Float[Tensor, " cell"]
    ) -> Float[Tensor, " cell"]:
        """D: the standard deviations of the cells, at least `MIN_DEVIATION` of their root mean square; or ones."""
        if not self.scaled:
            return torch.ones_like(mean)
        square = torch.cat(
            [(x[:, columns].double() - mean[columns]).square().mean(dim=0) for columns in pieces(x.shape[1])]
        )
        return bounded_deviations(square)

    def log_prob(self, x: Float[Tensor, "batch variable y x"]) -> Float[Tensor, " batch"]:
        """log p(x), exact, in nats. Discrete data must be dequantised.

        With r = D^-1 (x - mean) and M = W^T W + s^2 I = F F^T, of q x q,
        r^T C^-1 r = (|r|^2 - |F^-1 W^T r|^2) / s^2 and log |C| = log |M| + (d - q) log s^2 (matrix inversion lemma),
        to which log |D|^2 is added.
        """
        scale = cells(self.space, self.scale).double()
        r = (cells(self.space, x).double() - cells(self.space, self.mean)) / scale
        w, variance = cells(self.space, self.weights).double(), self.variance.double()
        factor = torch.linalg.cholesky(w @ w.T + variance * torch.eye(len(w), dtype=w.dtype, device=w.device))
        explained = torch.linalg.solve_triangular(factor, w @ r.T, upper=False)
        square = ((r**2).sum(dim=1) - (explained**2).sum(dim=0)) / variance
        log_det = 2 * factor.diagonal().log().sum() + (w.shape[1] - len(w)) * variance.log()
        log_det = log_det + 2 * scale.log().sum()
        return (-(square + log_det + w.shape[1] * math.log(2 * math.pi)) / 2).to(x)

    def log_weights(self, batch: Batch, streams: RandomStreams) -> Float[Tensor, "batch members"]:
        """log p(x), equal for all draws."""
        return self.log_prob(batch.x)[:, None].expand(-1, streams.members)

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Draw mean + D (W z + s e) at the cells that exist."""
        e = streams.normal(*self.space.state_shape) * self.space.exists
        x = self.variance.sqrt() * e
        if len(self.weights):
            z = streams.normal(len(self.weights))
            x = x + (z @ self.weights.flatten(1)).unflatten(2, self.space.state_shape)
        return self.mean + self.scale * x


def bounded_deviations(square: Float[Tensor, " cell"]) -> Float[Tensor, " cell"]:
    """Standard deviations from variances, at least `MIN_DEVIATION` of their root mean square; ones where all are 0."""
    least = MIN_DEVIATION * square.mean().sqrt()
    return torch.where(least > 0, square.sqrt().clamp(min=float(least)), 1.0)


def principal_axes(
    x: Float[Tensor, "time cell"], mean: Float[Tensor, " cell"], count: int
) -> tuple[Float[Tensor, "axis cell"], Float[Tensor, " axis"], Float[Tensor, ""]]:
    """Orthonormal axes of the largest variances, these variances in descending order, and the sum of all others.

    There are at most `count` axes, and at least one fewer than the states span. The smaller of the two Gram matrices
    is used, in double precision.
    """
    times, size = x.shape
    of_cells = size < times
    if of_cells:
        gram = gram_matrix(lambda piece: x[piece].double() - mean, times) / times
    else:
        gram = gram_matrix(lambda columns: (x[:, columns].double() - mean[columns]).T, size) / times
    order, diagonal = len(gram), gram.diagonal().clone()
    first = max(order - count - 1, 0)  # one more than requested, to test whether variance is left
    solution = scipy.linalg.eigh(gram.cpu().numpy(), subset_by_index=[first, order - 1], overwrite_a=True)
    variance, vectors = (torch.from_numpy(array).to(mean).flip(-1) for array in solution)
    kept = min(count, max(int((variance > MIN_VARIANCE_SHARE * variance[0]).sum()) - 1, 0))
    rest = remainder(diagonal, variance, kept)
    variance, vectors = variance[:kept], vectors[:, :kept]
    if of_cells:
        return vectors.T, variance, rest
    axes = [vectors.T @ (x[:, columns].double() - mean[columns]) for columns in pieces(size)]
    return torch.cat(axes, dim=1) / (times * variance).sqrt()[:, None], variance, rest


def remainder(
    diagonal: Float[Tensor, " size"], variances: Float[Tensor, " axis"], kept: int
) -> Float[Tensor, ""]:
    """The variance beyond the axes kept, of a matrix with this diagonal and these leading eigenvalues.

    If all eigenvalues are given, it is the sum of those not kept: where hardly any variance is left, the difference
    from the trace would be a rounding error of either sign.
    """
    left = variances[kept:].sum()
    return (
        left
        if len(variances) == len(diagonal)
        else torch.maximum(diagonal.sum() - variances[:kept].sum(), left)
    )


def pieces(length: int) -> list[slice]:
    """Slices of `PIECE_SIZE` that make up `length`."""
    return [slice(start, start + PIECE_SIZE) for start in range(0, length, PIECE_SIZE)]


def gram_matrix(
    block: Callable[[slice], Float[Tensor, "row column"]], length: int
) -> Float[Tensor, "column column"]:
    """A^T A of a matrix, from blocks of its rows."""
    blocks = (block(piece) for piece in pieces(length))
    first = next(blocks)
    gram = first.T @ first
    for rows in blocks:
        gram.addmm_(rows.T, rows)
    return gram
