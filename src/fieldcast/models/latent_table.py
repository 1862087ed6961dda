"""A table of latents as encoder, one row for each training datum, learnt with the decoder (autodecoders).

    minimise over decoder and codes    misfit(x_i, decoder(z_i)) + KL(q_i || p),    z_i ~ q_i

(Park et al. 2019, section 4, for points; Zadeh et al. 2019 for distributions). Codes of other data are fitted in
the same way, by gradient descent with the decoder fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch
from fieldcast.models.distributions import Family, Posterior, posterior
from fieldcast.models.encoders import MAX_LOG_SCALE, StateEncoder
from fieldcast.models.options import Count, NonNegative, Positive
from fieldcast.models.random_streams import RandomStreams

# streams: initial codes, centres of classes, draws during the fit, spreads of classes
START, CENTRES, DESCENT, SIZES = range(4)


class LatentTable(StateEncoder):
    """q_i of `family`: codes ("point"), or the parameters of a code's distribution ("normal", "uniform", "laplace").

    `infer` fits each datum separately: its result does not depend on the rest of the batch.

    Parameters
    ----------
    latent
        Size of a code.
    family
        Family of q; "point" for codes without a distribution.
    start
        Standard deviation of the initial means, or with `by_class` of the points of the classes.
    spread
        Initial standard deviation of q.
    by_class
        Whether all means of a class start at one random point, and all spreads at one random size (`scatter`).
    jitter
        Standard deviation of the initial means around the point of their class.
    scatter
        Standard deviation over classes of the logarithm of the initial spread; 0: all classes start at `spread`.
    steps, rate
        Steps and learning rate of Adam (Kingma and Ba 2015) in `infer`.
    """

    def __init__(
        self, latent: Count, family: Family = "point", start: NonNegative = 0.1, spread: Positive = 0.1,
        by_class: bool = False, jitter: NonNegative = 0.0, scatter: NonNegative = 0.0, steps: Count = 300,
        rate: Positive = 0.05,
    ):  # fmt: skip
        super().__init__()
        self.latent, self.family, self.by_class, self.scatter = latent, family, by_class, scatter
        self.start, self.spread, self.jitter, self.steps, self.rate = start, spread, jitter, steps, rate
        self.location = nn.Parameter(torch.zeros(0, latent))
        self.log_scale = nn.Parameter(torch.zeros(0, latent), requires_grad=family != "point")
        self.of(self.location, self.log_scale)  # fail early for an unknown family

    def of(
        self, location: Float[Tensor, "batch latent"], log_scale: Float[Tensor, "batch latent"]
    ) -> Posterior:
        """The posterior of a location and a scale, whose logarithm is bounded."""
        return posterior(self.family, location, log_scale.clamp(-MAX_LOG_SCALE, MAX_LOG_SCALE))

    @torch.no_grad()
    def prepare(self, training: Batch, streams: RandomStreams) -> None:
        """Create a row for each training datum, at its `index`; indices may have gaps.

        Neither the states nor their shape are read; `streams` belong to the indices.
        """
        if training.index is None:
            raise ValueError("a table of latents needs the indices of the training data")
        location, log_scale = self.begin(streams)
        if self.by_class:
            centres = self.start * normal_by_class(training.label, streams, CENTRES, self.latent)
            location = centres + self.jitter * standard_normal(streams, self.latent)
            log_scale = log_scale + self.scatter * normal_by_class(
                training.label, streams, SIZES, self.latent
            )
        size = int(training.index.max()) + 1
        for table, start in ((self.location, location), (self.log_scale, log_scale)):
            table.data = start.new_zeros(size, self.latent).index_copy(0, training.index, start)

    def begin(
        self, streams: RandomStreams
    ) -> tuple[Float[Tensor, "batch latent"], Float[Tensor, "batch latent"]]:
        """Initial location and log scale of codes, functions of the seed and the datum."""
        location = self.start * standard_normal(streams, self.latent)
        return location, torch.full_like(location, self.spread).log()

    def forward(self, batch: Batch) -> Posterior:
        if batch.index is None:
            raise ValueError("a table holds the codes of training data only: infer those of other data")
        return self.of(self.location[batch.index], self.log_scale[batch.index])

    @torch.enable_grad()
    def infer(self, batch: Batch, vae: Any, streams: RandomStreams) -> Posterior:
        """Fit latents from new initial values to the loss of `vae`, its decoder fixed, with new draws at each step."""
        descent, training = streams.alone().fork(DESCENT), vae.training
        free = [start.clone().requires_grad_() for start in self.begin(streams)]
        optimiser = torch.optim.Adam(free, lr=self.rate)
        vae.eval()
        for step in range(self.steps):
            optimiser.param_groups[0]["lr"] = self.rate * (1 - step / self.steps)
            loss = vae.cost(batch, self.of(*free), descent.fork(step)).sum()
            # only the codes have gradients; those of points have no scale
            gradients = torch.autograd.grad(loss, free, allow_unused=True)
            for parameter, gradient in zip(free, gradients, strict=True):
                parameter.grad = gradient
            optimiser.step()
        vae.train(training)
        return self.of(*(parameter.detach() for parameter in free))

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Resize the table to the stored number of rows."""
        for name in ("location", "log_scale"):
            stored, table = state.get(prefix + name), getattr(self, name)
            if stored is not None and stored.shape != table.shape and stored.shape[1:] == table.shape[1:]:
                table.data = table.data.new_zeros(stored.shape)
        super()._load_from_state_dict(state, prefix, *rest)


def standard_normal(streams: RandomStreams, latent: int) -> Float[Tensor, "batch latent"]:
    """A standard normal point for each datum."""
    return streams.alone().fork(START).normal(latent)[:, 0]


def normal_by_class(
    label: Int[Tensor, " batch"] | None, streams: RandomStreams, stream: int, latent: int
) -> Float[Tensor, "batch latent"]:
    """Standard normal numbers of a stream, the same for all data of a class."""
    if label is None:
        raise InputError(
            "codes that start by class need labels, which these data do not have: set by_class: false."
        )
    return replace(streams.alone(), datum=label).fork(stream).normal(latent)[:, 0]
