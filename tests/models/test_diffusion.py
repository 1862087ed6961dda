import math

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.configuration import build
from fieldcast.models.core import Batch, Context
from fieldcast.models.diffusion import Diffusion, sinusoids
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.schedule import Schedule
from tests.models.networks import require_own_randomness


class Exact(torch.nn.Module):
    """The noise that is expected for x_0 ~ N(mean, covariance): sqrt(1 - abar) C_t^-1 (x_t - sqrt(abar) mean)."""

    def __init__(self, schedule, mean, covariance):
        super().__init__()
        self.schedule, self.mean = schedule, mean.double()
        self.size, self.axes = torch.linalg.eigh(covariance.double())

    def forward(self, x, t, c):
        abar = self.schedule.abar(t)[:, None]
        away = x.double().flatten(1) - abar.sqrt() * self.mean
        scaled = away @ self.axes / (abar * self.size + 1 - abar)
        return ((1 - abar).sqrt() * scaled @ self.axes.T).view_as(x).to(x.dtype)


def gaussian(seed=0):
    generator = torch.Generator().manual_seed(seed)
    root = 0.6 * torch.randn(4, 4, generator=generator)
    return torch.randn(4, generator=generator), root @ root.T + 0.05 * torch.eye(4)


@pytest.fixture
def exact(sized):
    def make(mean, covariance, **keywords):
        model = Diffusion(sized(1, 2, 2, wraps=False), network=torch.nn.Identity(), **keywords)
        model.network = Exact(model.schedule, mean, covariance)
        return model

    return make


def make(space, **keywords):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build({"type": "diffusion.Diffusion", "channels": [8, 16], **keywords}, space)


@pytest.mark.parametrize(
    "keywords",
    [{}, {"sampler": "ddim", "ddim_steps": 100}, {"sampler": "ddim", "ddim_steps": 500, "eta": 1.0}],
)
def test_the_exact_denoiser_of_gaussian_data_draws_their_mean_and_covariance(exact, keywords):
    mean, covariance = gaussian()
    model = exact(mean, covariance, **keywords)
    x = model.sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 8000))[0].flatten(1)
    size = covariance.diagonal().max()
    assert torch.allclose(x.mean(0), mean, atol=0.05 * float(size.sqrt()))
    assert torch.allclose(torch.cov(x.T), covariance, atol=0.06 * float(size))


def test_the_sampler_adds_noise_at_every_step_but_the_last(exact):
    """A single point, whose exact network knows x0: a step back is q(x_{t-1} | x_t, x_0) with variance beta_t."""
    model = exact(torch.zeros(4), torch.zeros(4, 4), steps=20)
    streams = RandomStreams(0, torch.zeros(1, dtype=torch.long), 20_000)
    states = dict(model.trajectory(Context(1), streams))
    assert list(states) == list(range(20, -1, -1))
    assert states[0].abs().max() < 1e-4
    spread = 1.0
    for t in range(19, 0, -1):  # the variance of x after the step at t, from that before it
        spread = float(model.schedule.posterior(torch.tensor([t]))[1]) ** 2 * spread + float(
            model.schedule.beta[t]
        )
        assert float(states[t].var()) == pytest.approx(spread, rel=0.03)


def test_ddim_without_noise_is_a_function_of_its_start(exact):
    mean, covariance = gaussian()
    model = exact(mean, covariance, sampler="ddim", ddim_steps=10)
    n, c = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)), Context(3)
    a, b = (model.reverse_step(n, 500, 400, c, other) for other in (torch.zeros_like(n), torch.ones_like(n)))
    assert torch.equal(a, b)
    assert len(model.times()) == 10
    assert model.times()[0] == 999
    assert model.times()[-1] == 0


def test_a_jump_over_one_step_with_eta_one_has_the_mean_of_an_ancestral_step(exact):
    mean, covariance = gaussian()
    n, zero = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 1, 2, 2)
    models = [exact(mean, covariance), exact(mean, covariance, sampler="ddim", ddim_steps=1000, eta=1.0)]
    a, b = (model.reverse_step(n, 300, 299, Context(3), zero) for model in models)
    assert torch.allclose(a, b, atol=1e-6)
    x0 = models[0].denoise(n, torch.full((3,), 300), Context(3))
    first, second, _ = models[0].schedule.posterior(torch.tensor([300]))
    assert torch.allclose(a, (first * x0 + second * n).float(), atol=1e-5)


@pytest.mark.parametrize("steps", [5, 1000])
def test_the_bound_is_the_density_where_the_steps_back_are_exact(exact, steps):
    """Data ~ N(0, I), for which q(x_{t-1} | x_t) is Gaussian with variance beta_t: the bound is log p(x) for every x.

    With few steps much of it is the divergence of the end.
    """
    model = exact(torch.zeros(4), torch.eye(4), steps=steps)
    x = torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        results = model.log_weights(Batch(x, Context(4)), RandomStreams(0, torch.arange(4), 10_000))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=(1, 2, 3))
    error = results.std(dim=1) / math.sqrt(10_000)
    assert ((results.mean(dim=1) - expected).abs() < 4 * error + 1e-3).all()


def test_the_bound_of_other_gaussians_lies_below_their_density_and_near_it(exact):
    mean, covariance = gaussian()
    model = exact(mean, covariance)
    p = torch.distributions.MultivariateNormal(mean, covariance)
    x = (
        p.mean
        + torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        @ torch.linalg.cholesky(covariance).T
    )
    with torch.no_grad():
        bound = model.log_weights(
            Batch(x.view(-1, 1, 2, 2), Context(200)), RandomStreams(0, torch.arange(200), 4000)
        )
    gap = p.log_prob(x) - bound.mean(dim=1)
    error = float(gap.std()) / math.sqrt(200)  # error of the mean, mostly from noise of the draws: about 0.07
    assert -3 * error < float(gap.mean()) < 0.1 + 3 * error


def test_a_hundred_draws_suffice_for_the_bound(exact):
    """Data ~ N(0, I): with t uniform the standard error would be 8 nats; with sampled variance terms, too, about 40."""
    model = exact(torch.zeros(4), torch.eye(4))
    x = torch.randn(200, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        bound = model.log_weights(Batch(x, Context(200)), RandomStreams(0, torch.arange(200), 100)).mean(
            dim=1
        )
    error = bound - torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(dim=(1, 2, 3))
    assert abs(float(error.mean())) < 4 * float(error.std()) / math.sqrt(200) + 1e-3
    assert float(error.std()) < 3


def test_each_term_of_the_bound_is_the_divergence_of_its_two_gaussians(exact):
    """KL(q(x_{t-1} | x_t, x_0) || p) = beta^2 / (2 s^2 alpha (1 - abar)) |eps - eps'|^2 + const."""
    model = exact(torch.zeros(4), torch.eye(4))
    t, error = torch.tensor([1, 500, 999]), torch.tensor([0.3, 1.0, 2.0]).double()
    a, _, variance = model.schedule.posterior(t)
    beta, abar = model.schedule.beta[t], model.schedule.abar(t)
    # difference of the means: x_0 and x0 differ by that of the noise
    apart = a * ((1 - abar) / abar * error).sqrt()
    normal = torch.distributions.Normal
    both = normal(apart / 2, variance.sqrt()), normal(torch.zeros_like(apart), beta.sqrt())
    same = normal(torch.zeros_like(apart), variance.sqrt())
    kl = torch.distributions.kl_divergence
    expected = 4 * kl(same, both[1]) + apart**2 / (2 * beta)
    assert torch.allclose(model.mean_kl(t, error) + model.variance_kl(t), expected, rtol=1e-9)
    expected_kl = beta**2 / (2 * beta * (1 - beta) * (1 - abar)) * error
    assert torch.allclose(apart**2 / (2 * beta), expected_kl, rtol=1e-9)


def test_an_untrained_network_estimates_the_noise_of_white_data(sized):
    """eps - sqrt(1 - abar) x_t = abar eps - sqrt(abar (1 - abar)) x_0, of variance abar^2 + abar (1 - abar) = abar."""
    space, index = sized(1, 16, 16), torch.arange(256)
    model = make(space)  # starts at zero
    t = RandomStreams(0, index).integers(1000)[:, 0]
    x = torch.randn(256, *space.state_shape, generator=torch.Generator().manual_seed(0))
    loss = float(model.loss(Batch(x, Context(256)), RandomStreams(0, index)).total.detach())
    assert loss == pytest.approx(float(model.schedule.abar(t).mean()), abs=0.01)
    assert 0.1 < loss < 0.5


def test_an_untrained_network_stays_finite_at_high_noise(sized):
    """x0 = sqrt(abar) x_t, nearly nothing; a guess of no noise would be x_t / sqrt(abar), 158 times x_t."""
    space = sized(1, 16, 16)
    model = make(space)
    x = torch.randn(8, *space.state_shape, generator=torch.Generator().manual_seed(0))
    x0 = model.denoise(x, torch.full((8,), 999), Context(8)).detach()
    assert torch.allclose(x0, model.schedule.abar(torch.tensor(999)).sqrt().float() * x, atol=1e-4)


def test_a_network_learns_the_noise_and_draws_the_data(sized):
    """Data are two fields, opposite each other: so are draws, half of each."""
    space = sized(1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    pattern = torch.randn(*space.state_shape, generator=generator)
    pattern = pattern / pattern.square().mean().sqrt()
    model = make(space, steps=100, channels=[16, 32])
    model.schedule = model.network.schedule = Schedule(100, 1e-3, 0.2)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(200):
        x = torch.randn(32, 1, 1, 1, generator=generator).sign() * pattern
        optimiser.zero_grad()
        model.loss(Batch(x, Context(32)), RandomStreams(0, torch.arange(32), step=step)).total.backward()
        optimiser.step()
    with torch.no_grad():
        x = model.eval().sample(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long), 300))[0]
    along = (x * pattern).mean(dim=(1, 2, 3))
    assert float((along > 0).float().mean()) == pytest.approx(0.5, abs=0.25)
    assert float((along.abs() - 1).abs().median()) < 0.15
    rest = x - along.sign()[:, None, None, None] * pattern
    assert float(rest.square().mean(dim=(1, 2, 3)).median()) < 0.1


def test_snapshots_are_states_on_the_way(space):
    model = make(space, steps=30)
    streams = RandomStreams(0, torch.arange(2), 3)
    shots = model.snapshots(Context(2), RandomStreams(0, torch.arange(2), 3), at=(20, 10, 0))
    assert list(shots) == [20, 10, 0]
    assert list(model.snapshots(Context(2), streams, at=(30, 29, 0))) == [30, 29, 0]
    assert torch.equal(shots[0], model.sample(Context(2), streams))
    jumping = make(space, sampler="ddim", ddim_steps=5)
    assert list(jumping.snapshots(Context(1), RandomStreams(0, torch.arange(1)), at=(200, 0))) == [251, 0]
    fine = make(space, sampler="ddim", ddim_steps=50)
    assert list(fine.snapshots(Context(1), RandomStreams(0, torch.arange(1)))) == [
        1000,
        200,
        100,
        50,
        20,
        10,
        0,
    ]
    assert 48 <= len(fine.times()) <= 50


def test_a_state_of_the_trajectory_has_been_noised_as_often_as_its_time_says(exact):
    """A single point at 0 and DDIM without noise: x_t = sqrt((1 - abar_t) / (1 - abar_T)) x_T, exactly."""
    model = exact(torch.zeros(4), torch.zeros(4, 4), sampler="ddim", ddim_steps=10)
    states = dict(model.trajectory(Context(1), RandomStreams(0, torch.zeros(1, dtype=torch.long))))
    assert len(states) == 11 and states[0].abs().max() < 1e-4
    for t in (t for t in states if t):
        ratio = (1 - model.schedule.abar(torch.tensor(t - 1))) / (1 - model.schedule.abar(torch.tensor(999)))
        assert torch.allclose(states[t], ratio.sqrt().float() * states[1000], rtol=1e-3), t


def test_ddim_takes_the_weights_of_ddpm(space):
    model, other = make(space), make(space, sampler="ddim", ddim_steps=3, clip=1.0)
    generator = torch.Generator().manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2, generator=generator)
    x, t, c = torch.randn(2, *space.state_shape, generator=generator), torch.tensor([10, 900]), Context(2)
    with torch.no_grad():
        expected, clipped = model.network(x, t, c), other.network(x, t, c)
        drawn = other.sample(c, RandomStreams(0, torch.arange(2)))
        other.load_state_dict(model.state_dict())
        assert torch.equal(other.network(x, t, c), expected)
        again = other.sample(c, RandomStreams(0, torch.arange(2)))
    assert (clipped - expected).abs().max() > 0.1
    assert (again - drawn).abs().max() > 0.1
    assert again.abs().max() <= 1


def test_four_levels_on_images_of_28(sized):
    image = sized(1, 28, 28, wraps=False)
    with torch.random.fork_rng():
        model = build({"type": "diffusion.Diffusion"}, image)
    assert len(model.network.correction.down) == 3
    assert model.network.correction.mixing.dense.in_features == 16
    assert model.network(torch.zeros(2, 1, 28, 28), torch.zeros(2).long(), Context(2)).shape == (2, 1, 28, 28)


def test_four_halvings_of_28_padded_to_32(sized):
    image = sized(1, 28, 28, wraps=False)
    config = {"type": "diffusion.Diffusion", "channels": [8, 8, 8, 8, 8], "padded": True}
    with torch.random.fork_rng():
        model = build(config, image)
    assert len(model.network.correction.down) == 4 and model.network.correction.coarsest == (2, 2)
    assert model.network(torch.zeros(2, 1, 28, 28), torch.zeros(2).long(), Context(2)).shape == (2, 1, 28, 28)


def test_times_have_their_own_embedding():
    e = sinusoids(torch.arange(1000), 64)
    assert e.shape == (1000, 64)
    assert torch.cdist(e, e).fill_diagonal_(9).min() > 0.1


def test_draws_do_not_depend_on_batching(space):
    model = make(space, steps=5)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.05, generator=torch.Generator().manual_seed(0))
    whole = model.sample(Context(4), RandomStreams(0, torch.arange(4), 3))
    piece = model.sample(Context(1), RandomStreams(0, torch.tensor([2]), 2, first=1))
    assert torch.allclose(piece, whole[[2]][:, 1:], atol=1e-5)


def test_another_sampler_is_named(space):
    with pytest.raises(ValueError, match="euler"):
        make(space, sampler="euler")


def test_the_global_generator_is_neither_read_nor_moved(space):
    require_own_randomness(make(space, steps=5), Batch(torch.zeros(2, *space.state_shape), Context(2)))


def test_a_chain_of_one_step_is_refused(sized):
    with pytest.raises(
        InputError, match=r"model\.steps = 1: a chain from data to noise takes 2 steps or more"
    ):
        Diffusion(sized(), steps=1)
