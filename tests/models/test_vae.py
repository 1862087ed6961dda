import math
from dataclasses import replace

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal

from fieldcast.errors import InputError
from fieldcast.models.capabilities import HasDensity
from fieldcast.models.conditional import Decoder
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context
from fieldcast.models.distributions import Normal, StandardNormal
from fieldcast.models.encoders import StateEncoder
from fieldcast.models.layers.grid_convolutions import GridNearest
from fieldcast.models.likelihoods import Gaussian
from fieldcast.models.priors import prior_given_encoder
from fieldcast.models.random_streams import RandomStreams
from tests.models.networks import require_own_randomness


def observed(space, count=4, k=0.3):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, *space.state_shape, generator=generator)
    mask = (torch.rand(count, 1, *space.shape, generator=generator) < k).expand(-1, *space.state_shape)
    return Batch(x, Context(count, observed=x * mask, mask=mask, day=torch.linspace(0, 1, count)))


def make(space, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build({"type": "vae.ConditionalVAE", "latent": 5, **keywords}, space)


def of_states(space, **keywords):
    """A VAE whose encoder reads the state."""
    parts = {"encoder": {"type": "encoders.Network"}, "decoder": {"type": "decoders.DenseDecoder"}}
    return make(space, type="vae.VAE", **parts | keywords)


def test_the_divergence_is_the_closed_form_and_its_estimate_by_draws_agrees():
    """KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1) / 2 - log s (Kingma and Welling 2014, appendix B)."""
    mean, log_variance = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.4, -0.8]])
    q, p = Normal(mean, log_variance), StandardNormal(2)
    expected = ((log_variance.exp() + mean**2 - 1 - log_variance) / 2).sum()
    assert float(q.kl(p)) == pytest.approx(float(expected), rel=1e-6)
    z = q.draw(RandomStreams(0, torch.zeros(1, dtype=torch.long), 100_000))
    assert float((q.log_prob(z) - p.log_prob(z)).mean()) == pytest.approx(float(expected), abs=0.01)
    assert float(kl_divergence(TorchNormal(mean, q.deviation), TorchNormal(0.0, 1.0)).sum()) == pytest.approx(
        float(expected)
    )


def test_the_loss_is_the_stated_one(space):
    model, batch = (
        make(space, kl_weight=3.0, likelihood={"type": "likelihoods.Gaussian", "sigma": 0.5}),
        observed(space),
    )
    streams = RandomStreams(0, torch.arange(4))
    total, parts = model.loss(batch, streams)
    q = model.encoder(batch.context)
    mean = model.decoder(q.draw(RandomStreams(0, torch.arange(4))), batch.context)[:, 0]
    cells = math.prod(space.state_shape)
    misfit = (((batch.x - mean) ** 2) / (2 * 0.25) + math.log(0.5)).sum(dim=(1, 2, 3)).mean() / cells
    kl = q.kl(model.prior).mean() / cells
    assert float(parts["reconstruction"]) == pytest.approx(float(misfit), rel=1e-5)
    assert float(total) == pytest.approx(float(misfit + 3 * kl), rel=1e-5)


def test_cells_that_never_exist_do_not_count(space):
    gaussian, x = Gaussian(), torch.ones(1, *space.state_shape)
    exists = space.exists.clone()
    exists[0] = False
    lost = gaussian.misfit(x, torch.zeros_like(x), space.exists) - gaussian.misfit(
        x, torch.zeros_like(x), exists
    )
    assert float(lost) == pytest.approx(len(space.variables) * space.shape[1] / 2)


def test_a_learned_sigma_finds_the_size_of_the_misfit(space):
    """The minimum of E[r^2] / (2 sigma^2) + log sigma is at sigma^2 = E[r^2]."""
    gaussian = Gaussian(sigma=3.0, learned=True)
    residual = 0.7 * torch.randn(64, *space.state_shape, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.Adam(gaussian.parameters(), lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        gaussian.misfit(residual, torch.zeros_like(residual), space.exists).mean().backward()
        optimiser.step()
    assert float(gaussian.log_sigma.exp()) == pytest.approx(float(residual.square().mean().sqrt()), rel=0.01)


def test_a_draw_is_the_decoders_mean_and_the_likelihood_adds_its_noise(space):
    batch, plain = observed(space), make(space)
    noisy = make(space, likelihood_noise=True, likelihood={"type": "likelihoods.Gaussian", "sigma": 2.0})
    a, b = (model.sample(batch.context, RandomStreams(0, torch.arange(4), 50)) for model in (plain, noisy))
    assert float((b - a).std()) == pytest.approx(2.0, rel=0.02)


def test_only_a_conditioned_decoder_reads_k(space):
    z, batch = torch.zeros(4, 1, 5), observed(space)
    more = Context(4, observed=batch.x, mask=torch.ones_like(batch.context.mask), day=batch.context.day)
    for conditioned in (True, False):
        decoder = {"type": "conditional.FieldDecoder", "conditioned": conditioned}
        model = make(space, decoder=decoder)
        same = torch.allclose(model.decoder(z, batch.context), model.decoder(z, more))
        assert same is not conditioned


def test_the_weight_of_the_kl_rises_with_the_steps_of_training_alone(space):
    model = make(space, kl_weight=2.0, kl_warm_up=[4, 8]).train()
    batch = observed(space)

    def weight(step):
        terms = model.loss(batch, RandomStreams(0, torch.arange(4), step=step))
        return float((terms.total - terms.parts["reconstruction"]) / terms.parts["kl"])

    assert [weight(step) for step in (0, 4, 5, 7, 8, 100)] == pytest.approx([0, 0, 0.5, 1.5, 2, 2], abs=5e-3)
    model.eval()  # validations and inferred codes have all of it
    assert [weight(step) for step in (0, 5, 100)] == pytest.approx([2, 2, 2], abs=5e-3)


@pytest.mark.parametrize("steps", [[8], [8, 4], [-1, 4]])
def test_a_warm_up_that_ends_before_it_begins_is_reported_in_one_sentence(space, steps):
    with pytest.raises(InputError, match=r"kl_warm_up is \[.*\]: give two steps"):
        make(space, kl_warm_up=steps)


def test_a_linear_gaussian_problem_is_learned(space):
    """Fields of one pattern, seen without noise: the VAE comes near the field."""
    generator = torch.Generator().manual_seed(1)
    pattern = torch.randn(*space.state_shape, generator=generator)
    model = make(space, kl_weight=0.01)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)

    def batch(step):
        x = torch.randn(32, 1, 1, 1, generator=generator) * pattern
        mask = torch.ones(32, *space.state_shape, dtype=torch.bool)
        return Batch(x, Context(32, observed=x, mask=mask, day=torch.zeros(32))), RandomStreams(
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


def test_days_without_observations_are_accepted(space):
    nothing = torch.zeros(2, *space.state_shape)
    c = Context(2, observed=nothing, mask=nothing > 0, day=torch.zeros(2))
    assert torch.isfinite(make(space).sample(c, RandomStreams(0, torch.arange(2), 3))).all()


class Readout(torch.nn.Module):
    """x = A z: with Gaussian noise, the one VAE whose evidence is known."""

    def __init__(self, space, latent):
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.matrix = 0.3 * torch.randn(*space.state_shape, latent, generator=generator)

    def forward(self, z, c):
        return torch.einsum("vyxl,bml->bmvyx", self.matrix, z)


class Inverse(StateEncoder):
    """q(z | x) of x = A z + sigma eps: a Gaussian at the exact mean, its standard deviation times `wide`."""

    def __init__(self, decoder, sigma, wide=1.0):
        super().__init__()
        a = decoder.matrix.flatten(0, 2)
        self.precision = torch.eye(a.shape[1]) + a.T @ a / sigma**2
        self.gain, self.wide = torch.linalg.solve(self.precision, a.T / sigma**2), wide

    def forward(self, batch):
        mean = batch.x.flatten(1) @ self.gain.T
        return Normal(mean, (self.wide**2 / self.precision.diagonal()).log().expand_as(mean))

    def infer(self, batch, vae, draws):
        return self(batch)


def linear(space, latent, wide=1.0, sigma=0.5):
    """A linear-Gaussian VAE, data of it, and their exact evidence."""
    model = of_states(space, likelihood={"type": "likelihoods.Gaussian", "sigma": sigma}, latent=latent)
    model.decoder = Readout(space, latent)
    model.encoder = Inverse(model.decoder, sigma, wide)
    a = model.decoder.matrix.flatten(0, 2)
    evidence = MultivariateNormal(torch.zeros(len(a)), a @ a.T + sigma**2 * torch.eye(len(a)))
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(6, latent, generator=generator) @ a.T + sigma * torch.randn(
        6, len(a), generator=generator
    )
    return model, Batch(x.unflatten(1, space.state_shape), Context(6)), evidence.log_prob(x)


def test_with_the_exact_posterior_every_weight_is_the_evidence(sized):
    model, batch, evidence = linear(sized(1, 4, 5), latent=1)
    weights = model.log_weights(batch, RandomStreams(0, torch.arange(6), 5))
    assert torch.allclose(weights, evidence[:, None].expand(6, 5), atol=1e-3)


def test_the_elbo_lies_below_iwae_which_rises_to_the_exact_evidence(sized):
    """ELBO = evidence - KL(q || exact posterior); IWAE_K rises in K (Burda et al. 2016, theorem 1)."""
    model, batch, evidence = linear(sized(1, 4, 5), latent=2, wide=1.6)
    weights = model.log_weights(batch, RandomStreams(0, torch.arange(6), 20_000))
    q, exact = model.encoder(batch), torch.linalg.inv(model.encoder.precision)
    gap = torch.distributions.kl_divergence(
        MultivariateNormal(q.mean, torch.diag_embed(q.deviation**2)), MultivariateNormal(q.mean, exact)
    )
    assert torch.allclose(weights.mean(1), evidence - gap, atol=0.05)
    bounds = [
        (torch.logsumexp(weights.unflatten(1, (-1, k)), dim=2) - math.log(k)).mean()
        for k in (1, 5, 50, 20_000)
    ]
    assert bounds == sorted(bounds)
    assert float(bounds[-1]) == pytest.approx(float(evidence.mean()), abs=0.02)


def test_both_terms_of_the_elbo_are_reported_separately(sized):
    model, batch, _ = linear(sized(1, 4, 5), latent=2, wide=1.6)
    streams = RandomStreams(0, torch.arange(6), 4000)
    reconstruction, ratio = model.log_parts(batch, streams)
    q = model.encoder(batch)
    assert torch.allclose(-ratio.mean(1), q.kl(model.prior), atol=0.1)
    constant = 20 * math.log(2 * math.pi) / 2
    single = model.cost(batch, q, RandomStreams(0, torch.arange(6), 1)) - q.kl(model.prior)
    assert torch.allclose(reconstruction[:, 0], -single - constant, atol=1e-3)


@pytest.mark.parametrize("prior", ["Mixture", "Vamp", "CouplingPrior"])
def test_a_divergence_without_closed_form_is_that_of_its_draw(space, prior):
    model = of_states(space, prior={"type": f"priors.{prior}"})
    x = torch.randn(4, *space.state_shape, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, Context(4))
    q = model.posterior(batch, RandomStreams(0, torch.arange(4)))
    z = q.draw(RandomStreams(0, torch.arange(4)))
    expected = (q.log_prob(z) - prior_given_encoder(model.prior, model.encoder).log_prob(z))[:, 0]
    assert torch.allclose(model.divergence(q, z, batch.context), expected)
    terms = model.loss(batch, RandomStreams(0, torch.arange(4)))
    assert float(terms.parts["kl"].detach()) == pytest.approx(
        float(expected.mean().detach()) / math.prod(space.state_shape), rel=1e-4
    )
    terms.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.prior.parameters())
    assert model.sample(Context(2), RandomStreams(0, torch.arange(2), 3)).shape == (2, 3, *space.state_shape)
    assert not any(name.startswith("prior.encoder") for name in model.state_dict())


def test_a_draw_from_the_prior_and_the_noise_beside_it_are_independent(space):
    model = of_states(space, likelihood_noise=True, prior={"type": "priors.Mixture"})
    model.decoder = Readout(space, 5)
    model.decoder.matrix = torch.ones(*space.state_shape, 5)
    with torch.no_grad():
        model.prior.means.zero_()
        x = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 20_000))
    assert torch.allclose(x.var(dim=1), torch.tensor(6.0), rtol=0.06)


def test_a_bernoulli_draws_its_mean_unless_noise_is_requested(space):
    for noise in (False, True):
        likelihood = {"type": "likelihoods.Bernoulli"}
        model = of_states(space, latent=2, likelihood=likelihood, likelihood_noise=noise)
        x = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 8))
        assert (set(x.unique().tolist()) == {0.0, 1.0}) is noise


def test_a_plain_autoencoder_has_no_divergence_and_no_weights(space):
    model = of_states(space, latent=2, encoder={"type": "encoders.Network", "family": "point"})
    assert model.density is None and of_states(space).density == "lower bound"
    batch = Batch(torch.zeros(2, *space.state_shape), Context(2))
    assert not model.loss(batch, RandomStreams(0, torch.arange(2))).parts["kl"].any()
    with pytest.raises(ValueError, match="no density"):
        model.log_weights(batch, RandomStreams(0, torch.arange(2)))


@pytest.mark.parametrize("family", ["normal", "uniform", "laplace", "point"])
def test_the_global_generator_is_neither_read_nor_moved(space, family):
    encoder = {"type": "latent_table.LatentTable", "family": family, "steps": 3}
    model = of_states(space, encoder=encoder, prior={"type": "priors.Mixture"})
    require_own_randomness(model, Batch(torch.zeros(2, *space.state_shape), Context(2)))


PARTS = {
    "vae.ConditionalVAE": [
        {"encoder": {"type": "conditional.PriorEncoder"}},
        {"encoder": {"type": "conditional.ContextEncoder"}},
        {"prior": {"type": "priors.Mixture"}},
        {"decoder": {"type": "conditional.FieldDecoder"}},
    ],
    "vae.VAE": [
        {"encoder": {"type": "encoders.Network"}},
        {"prior": {"type": "priors.CouplingPrior"}},
        {"decoder": {"type": "decoders.DenseDecoder"}},
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "part"), [(kind, part) for kind, parts in PARTS.items() for part in parts])
def test_the_size_of_the_latent_is_set_once(space, kind, part):
    """A part has the size of its model; one that states another size is refused."""
    parts = {"encoder": {"type": "encoders.Network"}, "decoder": {"type": "decoders.DenseDecoder"}}
    config = {"type": kind, "latent": 4, **(parts if kind == "vae.VAE" else {}), **part}
    ((name, inner),) = part.items()
    assert any(4 in weight.shape for weight in build(config, space).parameters()) or name == "encoder"
    with pytest.raises(InputError, match=rf"{name}.latent = 5, but model.latent = 4: set it there alone"):
        build({**config, name: {**inner, "latent": 5}}, space)


def test_only_what_is_drawn_from_the_prior_has_a_density(space):
    """The bound of a conditional VAE is not the likelihood of its draws, which start at q(z | c)."""
    assert isinstance(of_states(space), HasDensity)
    assert make(space).density is None and not isinstance(make(space), HasDensity)


def test_random_numbers_need_a_decoder_that_reads_them(space):
    history = {"history": 1, "random": 2}
    model = make(space, **history, decoder={"type": "conditional.PastDecoder"})
    assert model.decoder.random == 2
    with pytest.raises(InputError, match="random is 2, but DenseDecoder reads no such numbers"):
        make(space, **history, decoder={"type": "decoders.DenseDecoder"})


def preceded(space, history, count=3):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, history, *space.state_shape, generator=generator)


@pytest.mark.parametrize("history", [1, 2])
def test_a_vector_decoder_is_a_network_of_latent_random_and_past_in_one_vector(space, history):
    """The first layer is linear in [z, r, x_(t-l), ..., x_(t-1)]: its weights, applied by hand, give the output."""
    model = make(space, history=history, random=1, decoder={"type": "conditional.VectorDecoder"})
    past, z = preceded(space, history), torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(2))
    x = model.decoder(z, Context(3, past=past, day=torch.zeros(3)))
    network = model.decoder.network
    weight, bias = network.linear.weight, network.linear.bias
    assert weight.shape == (8 * 3 * 4, 6 + history * math.prod(space.state_shape))
    first = z @ weight[:, :6].T + (past.flatten(1) @ weight[:, 6:].T)[:, None] + bias
    coarse = torch.relu(first).unflatten(2, (8, 3, 4)).flatten(0, 1)
    by_hand = network.layers[1](torch.relu(network.layers[0](coarse)))[..., :9, :16]
    assert torch.allclose(x.flatten(0, 1), by_hand, atol=1e-5)


@pytest.mark.parametrize("kind", ["PastDecoder", "VectorDecoder"])
def test_a_decoder_of_a_forecast_refines_by_the_nearest_value_on_request(space, kind):
    decoder = {"type": f"conditional.{kind}", "upsample": "nearest"}
    model = make(space, history=1, decoder=decoder)
    assert {type(layer) for layer in model.decoder.network.layers} == {GridNearest}
    c = Context(3, past=preceded(space, 1), day=torch.zeros(3))
    assert model.decoder(torch.randn(3, 2, 5), c).shape == (3, 2, *space.state_shape)
    with pytest.raises(InputError, match="upsample"):
        make(space, history=1, decoder={**decoder, "upsample": "bilinear"})


def test_the_encoder_of_the_report_depends_on_the_sparse_field_alone(space):
    """Neither mask, season nor static fields: with another mask of the same sparse field nothing changes."""
    batch = observed(space)
    full = replace(batch.context, mask=torch.ones_like(batch.context.mask), day=torch.full((4,), 0.5))
    literal = make(space, encoder={"type": "conditional.ContextEncoder", "extra_channels": []})
    assert torch.equal(literal.encoder(batch.context).mean, literal.encoder(full).mean)
    masked = make(space, encoder={"type": "conditional.ContextEncoder", "extra_channels": ["mask"]})
    assert not torch.equal(masked.encoder(batch.context).mean, masked.encoder(full).mean)
    later = replace(batch.context, day=torch.full((4,), 0.5))
    assert torch.equal(masked.encoder(batch.context).mean, masked.encoder(later).mean)
    assert not torch.equal(make(space).encoder(batch.context).mean, make(space).encoder(later).mean)


@pytest.mark.parametrize(
    ("decoder", "history", "sentence"),
    [
        ("FieldDecoder", 1, "reads the fraction observed, which a context of last states lacks"),
        ("PastDecoder", 0, "reads the last states, which a context of a sparse field lacks"),
        ("VectorDecoder", 0, "reads the last states, which a context of a sparse field lacks"),
    ],
)
def test_a_decoder_of_another_context_is_refused(space, decoder, history, sentence):
    with pytest.raises(InputError, match=sentence):
        make(space, history=history, decoder={"type": f"conditional.{decoder}"})


def test_a_vae_of_states_refuses_what_reads_a_context_or_encodes_no_states(space):
    with pytest.raises(InputError, match="FieldDecoder reads a context"):
        of_states(space, decoder={"type": "conditional.FieldDecoder"})
    with pytest.raises(InputError, match="a table of latents has none"):
        of_states(space, encoder={"type": "latent_table.LatentTable"}, prior={"type": "priors.Vamp"})
    with pytest.raises(InputError, match="density of a VampPrior of uniform posteriors is 0"):
        of_states(
            space, encoder={"type": "encoders.Network", "family": "uniform"}, prior={"type": "priors.Vamp"}
        )


def test_the_divergence_is_exact_in_half_precision(space):
    """Terms of the divergence near 1 cancel: with those of half precision it would be wrong by a tenth."""
    model = build({"type": "vae.ConditionalVAE", "latent": 200}, space)
    zero = torch.zeros(4, *space.state_shape)
    c = Context(4, observed=zero + 0.1, mask=zero == 0, day=torch.linspace(0, 0.9, 4))
    with torch.autocast("cpu", torch.bfloat16):
        q = model.encoder(c)
        kl = q.kl(StandardNormal(200))
    mean, variance = q.mean.double(), q.log_variance.double().exp()
    exact = (mean.square() + variance - 1 - variance.log()).sum(1) / 2
    torch.testing.assert_close(kl.double(), exact, rtol=1e-4, atol=0)


def of_next_states(space, **keywords):
    encoder = {"type": "conditional.ContextEncoder", "extra_channels": []}
    parts = {"encoder": {**encoder, "target": True}, "prior": encoder}
    return make(
        space, type="vae.LearnedPriorVAE", decoder={"type": "conditional.VectorDecoder"}, **parts | keywords
    )


def with_past(space, count):
    x, past = torch.randn(2, count, *space.state_shape, generator=torch.Generator().manual_seed(0))
    return Batch(x, Context(count, past=past[:, None], day=torch.zeros(count)))


def test_a_learned_prior_is_drawn_from_in_forecasts_and_the_posterior_sees_the_state(space):
    model, batch = of_next_states(space), with_past(space, 4)
    streams = RandomStreams(0, torch.arange(4), 3)
    q, p = model.posterior(batch, streams), model.latent_prior(batch.context)
    other = model.posterior(replace(batch, x=batch.x + 1), streams)
    assert not torch.allclose(q.mean, other.mean)
    expected = torch.distributions.kl_divergence(
        TorchNormal(q.mean, q.deviation), TorchNormal(p.mean, p.deviation)
    ).sum(dim=1)
    assert torch.allclose(model.divergence(q, q.draw(streams), batch.context), expected, rtol=1e-5)
    decoded = model.decoder(p.draw(RandomStreams(0, torch.arange(4), 3)), batch.context)
    assert torch.equal(model.sample(batch.context, RandomStreams(0, torch.arange(4), 3)), decoded)


class Linear(Decoder):
    """mean = W z + b, with W and b of each datum."""

    def __init__(self, weights, offset, space):
        super().__init__()
        self.weights, self.offset, self.shape = weights, offset, space.state_shape

    def forward(self, z, c):
        return (self.offset[:, None] + z @ self.weights.transpose(1, 2)).unflatten(2, self.shape)


def test_the_bound_of_a_learned_prior_is_reached_by_the_exact_posterior(space):
    """The loss of a linear Gaussian model is -log p(x | c), on average over draws, if q is its posterior."""
    model, batch = of_next_states(space, latent=2), with_past(space, 3)
    generator = torch.Generator().manual_seed(1)
    cells = math.prod(space.state_shape)
    scale = torch.zeros(3, cells, 2)
    scale[:, :5, 0], scale[:, 5:9, 1] = (
        1.0,
        2.0,
    )  # orthogonal columns: the exact posterior has independent components
    offset = torch.randn(3, cells, generator=generator)
    model.decoder = Linear(scale, offset, space)
    with torch.no_grad():
        p, sigma = model.latent_prior(batch.context), torch.exp(model.likelihood.log_sigma)
        precision = p.deviation**-2 + scale.square().sum(dim=1) / sigma**2
        misfit = (batch.x.flatten(1) - offset)[:, None] @ scale / sigma**2
        mean = (p.mean * p.deviation**-2 + misfit[:, 0]) / precision
        q = Normal(mean, -precision.log())
        streams = RandomStreams(0, torch.arange(3), 20000)
        z = q.draw(streams)
        decoded = model.decode(z, batch.context, streams)
        likelihood = model.likelihood.log_prob(batch.x[:, None], decoded, space.exists).mean(dim=1)
        bound = likelihood - model.divergence(q, z, batch.context)
        covariance = scale @ torch.diag_embed(p.deviation**2) @ scale.transpose(1, 2)
        covariance = covariance + sigma**2 * torch.eye(cells)
        center = offset + (scale @ p.mean[..., None])[..., 0]
        exact = MultivariateNormal(center.double(), covariance.double()).log_prob(batch.x.flatten(1).double())
    assert torch.allclose(bound.double(), exact, atol=0.05)


def test_an_encoder_without_the_state_and_a_prior_with_it_are_refused(space):
    encoder = {"type": "conditional.ContextEncoder"}
    for parts in ({"encoder": encoder}, {"prior": {**encoder, "target": True}}):
        with pytest.raises(InputError, match=r"set model\.encoder\.target to true"):
            of_next_states(space, **parts)
