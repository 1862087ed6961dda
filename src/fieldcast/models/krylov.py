"""Linear systems whose matrix is known by its products alone, for a batch of right-hand sides."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

Rows = Float[Tensor, "rows variable y x"]


def gmres(matrix: Callable[[Tensor], Tensor], b: Rows, iterations: int) -> Rows:
    """Minimise |b - A z| over the Krylov space of b, A b, A^2 b ..., for each row by itself.

    Saad and Schultz (1986, algorithm 1). The matrix need not be symmetric, and that of a network is not quite.

    Parameters
    ----------
    matrix
        z -> A z, each row by itself; a function, since A is never formed.
    b
        Right-hand sides, one per row.
    iterations
        Dimension of the Krylov space, which is also the number of products with A.
    """
    rows, basis = len(b), [b / norms(b)]
    h = b.new_zeros(rows, iterations + 1, iterations)
    for j in range(iterations):
        w = matrix(basis[j])
        for i, v in enumerate(basis):
            h[:, i, j] = (w * v).flatten(1).sum(dim=1)
            w = w - h[:, i, j].view(-1, 1, 1, 1) * v
        h[:, j + 1, j] = norms(w).flatten()
        basis.append(w / norms(w))
    right = b.new_zeros(rows, iterations + 1, 1)
    right[:, 0, 0] = norms(b).flatten()
    coefficients = torch.linalg.pinv(h) @ right
    return (torch.stack(basis[:-1], dim=1) * coefficients[..., None, None]).sum(dim=1)


def norms(x: Rows) -> Float[Tensor, "rows 1 1 1"]:
    """Euclidean norm of each row, at least a tiny number."""
    return x.flatten(1).norm(dim=1).clamp(min=1e-20).view(-1, 1, 1, 1)
