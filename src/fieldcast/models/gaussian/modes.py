"""Modes of states in memory: empirical orthogonal functions across all variables.

`streamed_modes` computes those of a record that does not fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

MIN_VARIANCE_SHARE = 1e-6  # modes with less than this share of the variance of the first are rounding errors


def modes(
    x: Float[Tensor, "time cell"], area: Float[Tensor, " cell"], count: int
) -> Float[Tensor, "mode cell"]:
    """F^T: the leading modes of x, orthogonal under `area`, times the deviations of their coefficients.

    F F^T is the best approximation of the covariance x^T x / T with `count` modes, cells weighted by area. The
    smaller of the two Gram matrices is used; nothing is divided by the area, which almost vanishes at a pole.
    """
    times, cells = x.shape
    root = area.sqrt()
    weighted = x * root
    if times <= cells:
        variance, u = torch.linalg.eigh((weighted @ weighted.T).double() / times)
        del weighted  # states of many cells take much of the memory, and so do the modes
        keep = slice(max(times - count, 0), None)
        f = (u[:, keep] / times**0.5).T.to(x) @ x
    else:
        variance, v = torch.linalg.eigh((weighted.T @ weighted).double() / times)
        keep = slice(max(cells - count, 0), None)
        score = weighted @ (v[:, keep] / variance[keep].clamp(min=1e-30).sqrt()).to(x)
        f = score.T @ x / times
    f = f[variance[keep] > MIN_VARIANCE_SHARE * variance[-1]]
    return f.flip(0)


# Leading modes of states that are not in memory together, from a few passes over them.
#
# With up to `MAX_EXACT_VALUES` values in a state, one pass sums the second moment S = x^T x / n, from which the modes
# follow exactly. Larger states take three passes (Halko, Martinsson and Tropp 2011, "Finding structure with
# randomness", algorithm 4.4, with the covariance as the matrix): two iterate a subspace Q that begins at random,
#
#     Q <- orthonormal basis of sum_t x_t^T (x_t Q),
#
# and the third sums (x Q)^T (x Q) and (x Q)^T x. Q has `OVERSAMPLING` more columns than there are modes. It holds 2 Q
# and one batch in memory.


MAX_EXACT_VALUES = 4096  # largest number of values of a state for the exact modes: a second moment of 128 MB
ITERATIONS = 2  # passes that iterate the subspace
OVERSAMPLING = 20  # columns of the subspace beyond the number of modes
STATES_PER_PRODUCT = 32  # states that are multiplied together
CELLS_PER_PIECE = 8192  # cells that are processed together

Pieces = Iterator[Float[Tensor, "time cell"]]


def streamed_modes(
    states: Callable[[], Pieces], area: Float[Tensor, " cell"], count: int, rank: float
) -> Float[Tensor, "mode cell"]:
    """F^T as in `modes.modes`, whose signs are arbitrary; `states` begins a pass.

    Modes with less than the share `rank` of the variance of the first are left out.
    """
    root = area.double().sqrt()
    if len(area) <= MAX_EXACT_VALUES:
        moment = second_moment(states())
        variance, u = torch.linalg.eigh(root[:, None] * moment * root)
        covariances = root[:, None] * moment
    else:
        q = subspace(states, root.to(area), min(count + OVERSAMPLING, len(area)))
        variance, u, covariances = projected(states(), root.to(area), q)
        del q
    keep = slice(max(len(variance) - count, 0), None)
    rows = (u.T[keep] / variance[keep, None].clamp(min=1e-30).sqrt())[variance[keep] > rank * variance[-1]]
    modes = area.new_empty(len(rows), len(area))
    for piece, of_piece in zip(
        covariances.split(CELLS_PER_PIECE, 1), modes.split(CELLS_PER_PIECE, 1), strict=True
    ):
        of_piece.copy_(rows.flip(0) @ piece.double())  # by pieces: double precision takes twice the memory
    return modes


def second_moment(states: Pieces) -> Float[Tensor, "cell cell"]:
    """x^T x / n, in double precision."""
    x = next(states)
    moment, n = x.double().T @ x.double(), len(x)
    for x in states:
        moment.addmm_(x.double().T, x.double())
        n += len(x)
    return moment / n


def subspace(
    states: Callable[[], Pieces], root: Float[Tensor, " cell"], size: int
) -> Float[Tensor, "cell size"]:
    """An orthonormal basis that nearly holds the leading eigenvectors of the weighted covariance."""
    q = torch.randn(len(root), size, generator=torch.Generator().manual_seed(0)).to(root)
    for _ in range(ITERATIONS):
        image = torch.zeros_like(q)
        for x in (piece for batch in states() for piece in batch.split(STATES_PER_PRODUCT)):
            weighted = x * root
            image.addmm_(weighted.T, weighted @ q)
        del q
        q = orthonormal_(image)
    return q


def orthonormal_(x: Float[Tensor, "cell size"]) -> Float[Tensor, "cell basis"]:
    """An orthonormal basis of the columns of x, in their place: x V L^(-1/2) with x^T x = V L V^T, twice.

    The second time makes directions orthogonal that the first finds among rounding errors. x^T x is summed in double
    precision; directions of less than 1e-7 of the largest are left out. A QR decomposition would take three times the
    memory of x.
    """
    for _ in range(2):
        pieces = x.split(CELLS_PER_PIECE)
        gram = sum((piece.double().T @ piece.double() for piece in pieces), x.new_zeros(()).double())
        variance, v = torch.linalg.eigh(gram)
        resolved = variance >= 1e-14 * variance[-1].clamp(min=torch.finfo(torch.double).tiny)
        if not resolved.any():
            raise ValueError("the states have no variance, so they have no modes")
        basis = v[:, resolved] / variance[resolved].sqrt()
        for piece in pieces:
            piece[:, : basis.shape[1]] = (piece.double() @ basis).to(x)
        x = x[:, : basis.shape[1]]
    return x


def projected(
    states: Pieces, root: Float[Tensor, " cell"], q: Float[Tensor, "cell size"]
) -> tuple[Float[Tensor, " size"], Float[Tensor, "size size"], Float[Tensor, "size cell"]]:
    """Variances along the principal axes within a subspace, ascending; these axes, as columns; and Q^T S.

    Q^T S, with S weighted on its left, are the covariances of the coordinates with the cells.
    """
    n, inner, outer = 0, torch.zeros(q.shape[1], q.shape[1]).to(q).double(), torch.zeros_like(q.T)
    for x in (piece for batch in states for piece in batch.split(STATES_PER_PRODUCT)):
        y = (x * root) @ q
        inner.addmm_(y.double().T, y.double())
        outer.addmm_(y.T, x)
        n += len(x)
    variance, u = torch.linalg.eigh(inner / n)
    return variance, u, outer.div_(n)
