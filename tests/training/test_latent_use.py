"""Whether a decoder uses its latent: a decoder that ignores z, and a linear one with known errors."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fieldcast.models.conditional import Decoder, Encoder
from fieldcast.models.core import Batch, Context
from fieldcast.models.distributions import Normal
from fieldcast.models.ensemble import Ensemble
from fieldcast.models.space import Space
from fieldcast.models.stepped import Stepped
from fieldcast.models.vae import ConditionalVAE
from fieldcast.training.batches import ForecastWindows
from fieldcast.training.loop import LATENT_DRAWS, latent_use
from fieldcast.training.state_source import InMemory

COUNT = 6


@pytest.fixture
def space(world: Any) -> Space:
    space: Space = world.space
    return space


class Means(Encoder):
    """q(z | c) = N(area mean of the first variable of the last state, exp(-12))."""

    def forward(self, c: Context) -> Normal:
        mean = c.states()[:, -1, 0].mean(dim=(1, 2))[:, None]
        return Normal(mean, torch.full_like(mean, -12.0))


class Shift(Decoder):
    """z times a weight, in every cell."""

    reads = "past"

    def __init__(self, weight: float, space: Space):
        super().__init__()
        self.weight, self.shape = weight, space.state_shape

    def forward(self, z, c):
        return (self.weight * z)[..., None, None].expand(*z.shape[:2], *self.shape)


class Alternating(ForecastWindows):
    """Flat states of 3, -1, -2, 3, -1 and -2, each followed by itself plus its value times the tendency."""

    def __init__(self, space: Space):
        super().__init__(InMemory.undated(torch.zeros(COUNT, *space.state_shape)), space, history=1)

    def __len__(self) -> int:
        return COUNT

    def batch(self, index, draws, shared_mask=False, steps=1):
        values = torch.tensor([3.0, -1.0, -2.0])[index % 3]
        past = values[:, None, None, None].expand(-1, *self.space.state_shape)
        x = past + past * self.space.tendency[:, None, None]
        return Batch(x, Context(len(index), past=past[:, None], day=torch.zeros(len(index))), index=index)


def make(space: Space, weight: float, scheme: str = "euler") -> Stepped:
    vae = ConditionalVAE(space, encoder=Means(), decoder=Shift(weight, space), latent=1, history=1)
    return Stepped(space, vae, scheme)


def test_a_decoder_that_ignores_its_latent_has_the_same_error_with_any(space):
    use = latent_use(make(space, 0.0), Alternating(space), 0, COUNT)
    assert use["rmse_posterior"] == use["rmse_other"] == use["rmse_prior"] > 1


@pytest.mark.parametrize("scheme", ["euler", "rk4"])
def test_errors_of_a_decoder_that_is_its_latent(space, scheme):
    """x - base = tendency * z is exact with the latent of the datum; two data on it is that of another value."""
    use = latent_use(make(space, 1.0, scheme), Alternating(space), 0, COUNT)
    tendency = space.tendency.square().mean()
    assert use["rmse_posterior"] < 0.01
    squares = torch.tensor([3.0 + 2.0, -1.0 - 3.0, -2.0 + 1.0]).square().mean()
    assert use["rmse_other"] == pytest.approx(math.sqrt(squares * tendency), rel=1e-3)
    values = torch.tensor([3.0, -1.0, -2.0])
    expected = math.sqrt((values.square().mean() + 1) * tendency)  # E (z - value)^2, z ~ N(0, 1)
    assert use["rmse_prior"] == pytest.approx(expected, rel=3 / math.sqrt(6 * LATENT_DRAWS))
    kl = [(value**2 + math.exp(-12.0) + 12.0 - 1) / 2 for value in values.tolist()]
    assert use["latent_kl"] == pytest.approx(sum(kl) / 3, rel=1e-4)


def test_models_without_an_encoder_have_no_such_table(space):
    assert latent_use(Stepped(space, Ensemble(space, history=1)), Alternating(space), 0, COUNT) == {}
