"""The forward chain of a diffusion model: q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I), t = 1 .. T.

    q(x_t | x_0) = N(sqrt(abar_t) x_0, (1 - abar_t) I),    alpha_t = 1 - beta_t,    abar_t = alpha_1 ... alpha_t

(Ho, Jain and Abbeel 2020, eq. 4): noise adds in variance, 1 - prod (1 - beta), not in standard deviation. The chain
converges to N(0, I) for every x_0 if and only if abar_t tends to 0, that is if the sum of beta_t diverges (for beta < 1
log abar_t = sum log(1 - beta_t) <= -sum beta_t; conversely, as long as beta_t is bounded away from 1).

In code t counts from zero, 0 .. T - 1: x at t has been noised t + 1 times, and x before t = 0 is the data.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

MAX_BETA = 0.999  # largest beta of a short schedule


class Schedule(nn.Module):
    """beta rises linearly; in double precision, because abar_T and 1 - abar_1 are small.

    Parameters
    ----------
    steps
        Number T of steps.
    first, last
        beta_1 and beta_T.
    """

    beta: Tensor
    abar_by_step: Tensor

    def __init__(self, steps: int = 1000, first: float = 1e-4, last: float = 0.02):
        super().__init__()
        beta = torch.linspace(first, last, steps, dtype=torch.float64)
        self.register_buffer("beta", beta, persistent=False)
        self.register_buffer("abar_by_step", torch.cumprod(1 - beta, dim=0), persistent=False)  # abar_t

    @classmethod
    def of(cls, steps: int) -> Schedule:
        """A schedule of some number of steps: beta grows by 1000 / steps, so that abar_T stays near 0."""
        return cls(steps, *(min(beta * 1000 / steps, MAX_BETA) for beta in (1e-4, 0.02)))

    def __len__(self) -> int:
        return len(self.beta)

    def abar(self, t: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """abar_t; 1 before the first step, t = -1."""
        return torch.where(t < 0, 1.0, self.abar_by_step[t.clamp(min=0)])

    def noised(
        self, x: Float[Tensor, "batch *state"], t: Int[Tensor, " batch"], eps: Float[Tensor, "batch *state"]
    ) -> Float[Tensor, "batch *state"]:
        """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps. This eps is not x_t - x_{t-1}."""
        abar = per_datum(self.abar(t), x)
        return abar.sqrt() * x + (1 - abar).sqrt() * eps

    def posterior(
        self, t: Int[Tensor, " batch"], before: Int[Tensor, " batch"] | None = None
    ) -> tuple[Float[Tensor, " batch"], Float[Tensor, " batch"], Float[Tensor, " batch"]]:
        """a, b and v of q(x_s | x_t, x_0) = N(a x_0 + b x_t, v I), s = `before` < t, by default t - 1 (eq. 6, 7).

        It is Gaussian because x_0 is given; q(x_{t-1} | x_t) is not. For s = t - 1,
        a = sqrt(abar_s) beta_t / (1 - abar_t), b = sqrt(alpha_t) (1 - abar_s) / (1 - abar_t),
        v = beta_t (1 - abar_s) / (1 - abar_t).
        """
        now, then = self.abar(t), self.abar(t - 1 if before is None else before)
        alpha = now / then  # alpha_{s+1} ... alpha_t, all steps from s to t combined
        a = then.sqrt() * (1 - alpha) / (1 - now)
        b = alpha.sqrt() * (1 - then) / (1 - now)
        return a, b, (1 - alpha) * (1 - then) / (1 - now)

    def kl_to_standard(
        self, t: Int[Tensor, "*shape"], square: Float[Tensor, "*shape"] | float = 1.0
    ) -> Float[Tensor, "*shape"]:
        """KL(q(x_t | x_0) || N(0, I)) in nats per dimension, for x_0 of this mean square.

        ((1 - abar) + abar x_0^2 - 1 - log(1 - abar)) / 2. To first order in abar it is abar x_0^2 / 2.
        """
        abar = self.abar(t)
        return (abar * (square - 1) - torch.log1p(-abar)) / 2


def per_datum(value: Float[Tensor, " batch"], x: Float[Tensor, "batch *state"]) -> Tensor:
    """Broadcast a number of each datum to the rank and precision of its state."""
    return value.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
