"""Optional capabilities of models besides sampling: a model has a capability if it has its methods, in any class.

At run time a protocol may have methods and plain attributes only: Python 3.12 and newer do not find the submodules,
parameters and buffers of a torch module, such as `space`, when they compare it with a protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from jaxtyping import Bool, Float, Int
from torch import Tensor

from fieldcast.models.core import Batch, Context, Density
from fieldcast.models.distributions import Posterior, Prior
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space


@runtime_checkable
class HasDensity(Protocol):
    """Has log p(x), or a bound on it."""

    if TYPE_CHECKING:
        space: Space
    density: Density  # "exact": log_weights are log p(x) itself, the same for every draw

    def log_weights(self, batch: Batch, streams: RandomStreams) -> Float[Tensor, "batch members"]:
        """Weights whose mean is log p(x), or the bound, in nats and in the units of x."""
        ...


@runtime_checkable
class HasLatents(Protocol):
    """Has latents: q(z | x), p(z), p(x | z)."""

    if TYPE_CHECKING:
        space: Space

    def posterior(self, batch: Batch, streams: RandomStreams) -> Posterior:
        """q(z | x) of each datum."""
        ...

    def latent_prior(self, c: Context) -> Prior:
        """p(z), the same for every context of a model of states."""
        ...

    def restore(
        self, z: Tensor, c: Context, streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """The mean of p(x | z)."""
        ...

    def log_parts(
        self, batch: Batch, streams: RandomStreams, q: Posterior | None = None
    ) -> tuple[Float[Tensor, "batch members"], Float[Tensor, "batch members"]]:
        """log p(x | z_k) and log p(z_k) - log q(z_k | x), z_k ~ q; for posteriors with a density."""
        ...


@runtime_checkable
class HasTrajectory(Protocol):
    """Samples by a chain whose intermediate states can be returned."""

    if TYPE_CHECKING:
        space: Space

    def snapshots(
        self, c: Context, streams: RandomStreams, at: Sequence[int]
    ) -> Mapping[int, Float[Tensor, "batch members variable y x"]]:
        """States at the requested times of the chain, keyed by time."""
        ...


@runtime_checkable
class ChecksObservations(Protocol):
    """Checks observations before it uses them; see `robustness`."""

    def suspects(self, c: Context) -> Bool[Tensor, "batch variable y x"]:
        """Mask of the observations that depart too far from their expected values and were down-weighted."""
        ...


@runtime_checkable
class ChecksPoints(Protocol):
    """Has a mean given points, and rejects points with gross errors."""

    def analysis(self, c: Context) -> tuple[Float[Tensor, "batch variable y x"], Bool[Tensor, " points"]]:
        """The mean of p(x | c), and the mask of the points that are rejected."""
        ...


@runtime_checkable
class HasSeason(Protocol):
    """Has states of the season: draws for a time without observations."""

    def season(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Training states drawn within 45 days of the day of the year of each datum."""
        ...


@runtime_checkable
class HasMoments(Protocol):
    """Has a mean and a spread besides its draws, and can leave out folds of the training data."""

    def moments(
        self, c: Context, streams: RandomStreams, fold: int | None = None
    ) -> tuple[
        Float[Tensor, "batch variable y x"],
        Float[Tensor, "batch variable y x"],
        Float[Tensor, "batch members variable y x"],
    ]:
        """Mean, spread and draws, from the training data outside `fold`."""
        ...

    def folds(self) -> Int[Tensor, " training"]:
        """Fold of each training datum."""
        ...


@runtime_checkable
class CyclesAlone(Protocol):
    """Is a filter that needs neither a forecast model nor initial members: its memory holds a distribution."""

    def draw_members(
        self, memory: Mapping[str, Tensor], streams: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """Members of the distribution in the memory."""
        ...
