import math

import pytest
import torch
from torch.distributions import Normal as TorchNormal
from torch.distributions import kl_divergence

from fieldcast.models.core import Batch, Context, build
from fieldcast.models.distributions import Normal, StandardNormal
from fieldcast.models.draws import Draws
from fieldcast.models.vae import Gaussian


def observed(space, rows=4, k=0.3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, *space.state, generator=generator)
    mask = (torch.rand(rows, 1, *space.shape, generator=generator) < k).expand(-1, *space.state)
    return Batch(x, Context(rows, observed=x * mask, mask=mask, day=torch.linspace(0, 1, rows)))


def make(space, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build({"type": "vae.VAE", "latent": 5, **keywords}, space)


def test_the_divergence_is_the_closed_form_and_its_estimate_by_draws_agrees():
    """KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1) / 2 - log s (Kingma and Welling 2014, appendix B)."""
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.4, -0.8]])
    q, p = Normal(mean, log_variance), StandardNormal(2)
    expected = ((log_variance.exp() + mean**2 - 1 - log_variance) / 2).sum()
    assert float(q.kl(p)) == pytest.approx(float(expected), rel=1e-6)
    z = q.draw(Draws(0, torch.zeros(1, dtype=torch.long), 100_000))
    assert float((q.log_prob(z) - p.log_prob(z)).mean()) == pytest.approx(float(expected), abs=0.01)
    assert float(kl_divergence(TorchNormal(mean, q.deviation), TorchNormal(0.0, 1.0)).sum()) == pytest.approx(
        float(expected)
    )


def test_the_loss_is_the_stated_one(space):
    model, batch = (
        make(space, kl_weight=3.0, likelihood={"type": "vae.Gaussian", "sigma": 0.5}),
        observed(space),
    )
    draws = Draws(0, torch.arange(4))
    total, parts = model.loss(batch, draws)
    q = model.encoder(batch.context)
    mean = model.decoder(q.draw(Draws(0, torch.arange(4))), batch.context)[:, 0]
    cells = math.prod(space.state)
    misfit = (((batch.x - mean) ** 2) / (2 * 0.25) + math.log(0.5)).sum(dim=(1, 2, 3)).mean() / cells
    kl = q.kl(model.prior).mean() / cells
    assert float(parts["reconstruction"]) == pytest.approx(float(misfit), rel=1e-5)
    assert float(total) == pytest.approx(float(misfit + 3 * kl), rel=1e-5)


def test_cells_that_never_exist_do_not_count(space):
    gaussian, x = Gaussian(), torch.ones(1, *space.state)
    exists = space.exists.clone()
    exists[0] = False
    lost = gaussian.misfit(x, torch.zeros_like(x), space.exists) - gaussian.misfit(
        x, torch.zeros_like(x), exists
    )
    assert float(lost) == pytest.approx(len(space.variables) * space.shape[1] / 2)


def test_a_learned_sigma_finds_the_size_of_the_misfit(space):
    """The minimum of E[r^2] / (2 sigma^2) + log sigma is at sigma^2 = E[r^2]."""
    gaussian = Gaussian(sigma=3.0, learned=True)
    residual = 0.7 * torch.randn(64, *space.state, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(gaussian.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        gaussian.misfit(residual, torch.zeros_like(residual), space.exists).mean().backward()
        optimiser.step()
    assert float(gaussian.log_sigma.exp()) == pytest.approx(float(residual.square().mean().sqrt()), rel=0.01)


def test_a_draw_is_the_decoders_mean_and_the_likelihood_adds_its_noise(space):
    batch, plain = observed(space), make(space)
    noisy = make(space, likelihood_noise=True, likelihood={"type": "vae.Gaussian", "sigma": 2.0})
    a, b = (model.sample(batch.context, Draws(0, torch.arange(4), 50)) for model in (plain, noisy))
    assert float((b - a).std()) == pytest.approx(2.0, rel=0.02)


def test_only_a_conditioned_decoder_is_told_k(space):
    z, batch = torch.zeros(4, 1, 5), observed(space)
    more = Context(4, observed=batch.x, mask=torch.ones_like(batch.context.mask), day=batch.context.day)
    for conditioned in (True, False):
        decoder = {"type": "vae.FieldDecoder", "latent": 5, "conditioned": conditioned}
        model = make(space, decoder=decoder)
        same = torch.allclose(model.decoder(z, batch.context), model.decoder(z, more))
        assert same is not conditioned


def test_a_linear_gaussian_problem_is_learned(space):
    """Fields of one pattern, seen without noise: the VAE comes near the field."""
    generator = torch.Generator().manual_seed(1)
    pattern = torch.randn(*space.state, generator=generator)
    model = make(space, kl_weight=0.01)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

    def batch(step):
        x = torch.randn(32, 1, 1, 1, generator=generator) * pattern
        mask = torch.ones(32, *space.state, dtype=torch.bool)
        return Batch(x, Context(32, observed=x, mask=mask, day=torch.zeros(32))), Draws(
            0, torch.arange(32), step=step
        )

    for step in range(150):
        b, draws = batch(step)
        optimiser.zero_grad()
        model.loss(b, draws).total.backward()
        optimiser.step()
    b, draws = batch(1000)
    error = (model.sample(b.context, draws)[:, 0] - b.x).square().mean() / b.x.square().mean()
    assert float(error) < 0.1


def test_a_day_on_which_nothing_was_seen_is_no_fault(space):
    nothing = torch.zeros(2, *space.state)
    c = Context(2, observed=nothing, mask=nothing > 0, day=torch.zeros(2))
    assert torch.isfinite(make(space).sample(c, Draws(0, torch.arange(2), 3))).all()
