"""Gappy PCA: a field is a sum of the leading modes of the training data, fitted to what was observed.

    x = F a,    a = argmin (y - F_o a)^T R^-1 (y - F_o a) + |a|^2 = (F_o^T R^-1 F_o + I)^-1 F_o^T R^-1 y,
    R = ridge + noise^2 + U^2

F: the modes (empirical orthogonal functions across all variables), each times the standard deviation of its
coefficient in the training data, so that a ~ N(0, I) a priori. F_o: the observed rows of F. `ridge` is the variance
of observation errors and of the residual beyond the modes; `robustness` defines U^2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.models.core import Batch, Context, Solved, observed_values
from fieldcast.models.gaps.expectation_maximisation import RANKS, fit_best_rank
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.modes import CELLS_PER_PIECE, MIN_VARIANCE_SHARE, modes, streamed_modes
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


class GappyPCA(Solved):
    """x = F (F_o^T R^-1 F_o + I)^-1 F_o^T R^-1 y.

    Everson and Sirovich (1995, "Karhunen-Loeve procedure for gappy data") have R = 0, which amplifies noise
    as soon as there are as many modes as observations. The number of modes and the ridge are tuned; one
    modes x modes system is factorised for each distinct mask.
    """

    deterministic = True
    learns_from_gaps = True
    modes: Tensor
    ridge: Tensor
    features: Tensor
    rare: Tensor
    choices = MappingProxyType(
        {
            "modes": (10.0, 20.0, 50.0, 100.0, 200.0, 400.0),
            "ridge": (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0),
        }
    )

    def __init__(self, space: Space):
        super().__init__(space)
        self.register_buffer("modes", torch.tensor(50.0))
        self.register_buffer("ridge", torch.tensor(0.1))
        # F^T, for the largest choice of `modes`
        self.register_buffer("features", torch.zeros(0, *space.state_shape))
        self.register_buffer("rare", torch.zeros(space.state_shape))  # U^2

    def solve(self, training: Iterable[Batch]) -> None:
        """Compute the modes of the training states, over the cells that exist.

        With missing values they are the axes of probabilistic PCA, fitted by expectation-maximisation.
        """
        exists, batches = self.space.exists, list(training)
        x = torch.cat([torch.where(exists, b.x, 0.0) for b in batches]).flatten(1)
        observed = observed_values(batches)
        self.rare.copy_(robustness.MomentSums().add(x, observed).rare.view(self.space.state_shape))
        area = (self.space.area * exists).expand(self.space.state_shape).flatten()
        if observed is None:
            features = modes(x, area, int(max(self.choices["modes"])))
        else:
            features = fit_best_rank(x, observed, RANKS).axes(area)
        self.features = features.unflatten(1, self.space.state_shape)

    def solve_streamed(self, passes: Callable[[], Iterator[Batch]]) -> None:
        """Compute the modes in two passes, or four for more than `streamed_modes.MAX_EXACT_VALUES` values in a state.

        States with missing values are held in memory.
        """
        exists, moments = self.space.exists, robustness.MomentSums()
        for batch in passes():
            if batch.observed is not None:
                return super().solve_streamed(passes)
            moments.add(torch.where(exists, batch.x, 0.0).flatten(1))
        self.rare.copy_(moments.rare.view(self.space.state_shape))
        area = (self.space.area * exists).expand(self.space.state_shape).flatten()

        def states() -> Iterator[Tensor]:
            return (torch.where(exists, batch.x, 0.0).flatten(1) for batch in passes())

        features = streamed_modes(states, area, int(max(self.choices["modes"])), MIN_VARIANCE_SHARE)
        self.features = features.unflatten(1, self.space.state_shape)
        return None

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """The fitted field, the same for every member; zero, the climatology, if nothing is observed."""
        observations, masks = c.observations()
        f = self.features[: int(self.modes)].flatten(1)
        r = float(self.ridge) + c.noise**2
        rare = self.rare.double().flatten()
        # scaled by this factor, all rows of F have the same error variance r
        share = torch.where(rare > 0, r / (r + rare), 1.0).sqrt()
        y = observations.flatten(1).double() * share
        a = y.new_zeros(c.count, len(f))
        distinct, inverse = torch.unique(masks.flatten(1), dim=0, return_inverse=True)
        ridge = r * torch.eye(len(f), dtype=a.dtype, device=f.device)
        for number, mask in enumerate(distinct):
            datum, observed = (inverse == number).nonzero()[:, 0], f[:, mask].double() * share[mask]
            factor = torch.linalg.cholesky(observed @ observed.T + ridge)
            a[datum] = torch.cholesky_solve(observed @ y[datum][:, mask].T, factor).T
        # the modes of all cells in double precision would take several times the memory of the model
        pieces = [(a @ piece.double()).to(observations) for piece in f.split(CELLS_PER_PIECE, 1)]
        x = torch.cat(pieces, 1).unflatten(1, self.space.state_shape)
        return x[:, None].expand(-1, streams.members, -1, -1, -1)
