"""States as vectors of the values that exist, each scaled by its standard deviation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from fieldcast.models.core import Batch
from fieldcast.models.gaussian import robustness
from fieldcast.models.space import Space

MIN_DEVIATION = 1e-3  # smallest standard deviation of a value, as a share of the root mean square of all


def cells(space: Space, x: Shaped[Tensor, "*lead variable y x"]) -> Shaped[Tensor, "*lead cell"]:
    """Values of the cells that exist, over all variables."""
    return x[..., space.exists].flatten(-2)


def state(space: Space, values: Float[Tensor, "*lead cell"]) -> Float[Tensor, "*lead variable y x"]:
    """State with the given values, 0 where no cell exists."""
    x = values.new_zeros(*values.shape[:-1], *space.state_shape)
    x[..., space.exists] = values.unflatten(-1, (len(space.variables), -1))
    return x


def deviations(
    x: Float[Tensor, "time value"], observed: Bool[Tensor, "time value"]
) -> Float[Tensor, " value"]:
    """Standard deviation of each value about 0, shrunk towards their root mean square as by ten further observations.

    It is at least a thousandth of the root mean square, and 1 if all values are 0.
    """
    variance = robustness.MomentSums().add(torch.where(observed, x, 0.0), observed).variance
    least = MIN_DEVIATION * float(variance.mean().sqrt())
    return (variance.sqrt().clamp(min=least) if least > 0 else torch.ones_like(variance)).to(x)


class ScaledStates(NamedTuple):
    """Training states in units of their standard deviations."""

    x: Float[Tensor, "time value"]
    observed: Bool[Tensor, "time value"]
    deviation: Float[Tensor, " value"]


def scale_states(space: Space, training: Iterable[Batch]) -> ScaledStates:
    """The training states of all batches as vectors."""
    values, present = [], []
    for batch in training:
        observed = torch.ones_like(batch.x, dtype=torch.bool) if batch.observed is None else batch.observed
        values.append(cells(space, batch.x))
        present.append(cells(space, observed))
    x, o = torch.cat(values), torch.cat(present)
    deviation = deviations(x, o)
    return ScaledStates(x / deviation, o, deviation)
