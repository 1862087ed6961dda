import math

import pytest
import torch
from torch import nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Terms, Trained
from fieldcast.models.ensemble import Ensemble
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.stepped import Stepped, step


class Decay(Trained):
    """dx/dt = -rate x (1 + noise)."""

    def __init__(self, space, rate=1.0, noisy=False):
        super().__init__(space)
        self.rate, self.noisy = nn.Parameter(torch.tensor(rate)), noisy

    def loss(self, batch, draws):
        error = (batch.x + self.rate * batch.context.base()).square().mean()
        return Terms(error, {"error": error})

    def sample(self, c, draws):
        noise = draws.normal(1, 1, 1) if self.noisy else torch.zeros(c.count, 1, 1, 1, 1)
        return -self.rate * c.base()[:, None] * (1 + noise)


def past(space, count=2):
    return Context(count, past=torch.ones(count, 1, *space.state_shape))


@pytest.mark.parametrize(("scheme", "order"), [("euler", 1), ("rk4", 4)])
def test_order_of_convergence(space, scheme, order):
    """exp(-1) by 4 and by 8 steps: the error falls by 2 ** order."""

    def error(steps):
        c, scale = past(space, 1), torch.full((2, 1, 1), 1 / steps, dtype=torch.float64)
        c = Context(1, past=c.past.double())
        model = Decay(space).double()
        for _ in range(steps):
            c = c.advance(
                step(model, c, RandomStreams(0, torch.zeros(1, dtype=torch.long)).per_row(), scale, scheme),
                0.0,
            )
        return abs(float(c.base().flatten()[0]) - math.exp(-1))

    assert math.log2(error(4) / error(8)) == pytest.approx(order, abs=0.25)


def test_runge_kutta_holds_one_draw_over_its_four_evaluations(space):
    """RK4 with held noise: the step is the one of a constant rate: 1 - r + r^2/2 - r^3/6 + r^4/24."""
    model = Stepped(space, Decay(space, 0.5, noisy=True), "rk4", scale=1)
    x = model.sample(past(space), RandomStreams(0, torch.arange(2), 3))[:, :, 0, 0, 0]
    r = 0.5 * (1 + RandomStreams(0, torch.arange(2), 3).normal(1)[..., 0])
    assert torch.allclose(x, 1 - r + r**2 / 2 - r**3 / 6 + r**4 / 24, atol=1e-6)
    assert x.flatten().unique().numel() == 6


def test_the_mean_of_several_draws_is_the_right_hand_side_of_every_stage(space):
    """The step with the mean of ten rates r, held over the stages, is 1 - r + r^2/2 - r^3/6 + r^4/24."""
    model = Stepped(space, Decay(space, 0.5, noisy=True), "rk4", scale=1, averaged_draws=10)
    x = model.sample(past(space), RandomStreams(0, torch.arange(2), 3))[:, :, 0, 0, 0]
    noise = RandomStreams(0, torch.arange(2), 30).normal(1)[..., 0].unflatten(1, (3, 10))
    r = 0.5 * (1 + noise).mean(dim=2)
    assert torch.allclose(x, 1 - r + r**2 / 2 - r**3 / 6 + r**4 / 24, atol=1e-6)
    assert model.evaluations == 40


def test_the_tendency_scales_the_step_and_the_loss(space):
    model = Stepped(space, Decay(space), "euler")
    x = model.sample(past(space), RandomStreams(0, torch.arange(2)))
    assert torch.allclose(x[0, 0, :, 0, 0], 1 - space.tendency)
    right = past(space).base() * (1 - space.tendency[:, None, None])
    assert float(
        model.loss(Batch(right, past(space)), RandomStreams(0, torch.arange(2))).total
    ) == pytest.approx(0, abs=1e-10)


def test_one_step_differences_of_a_flow_are_exact_by_euler_and_not_by_runge_kutta(space):
    """Trained on x(1) - x(0) of dx/dt = -x the network is (exp(-1) - 1) x: an Euler step is exact."""
    rate = 1 - math.exp(-1)
    by = {
        s: Stepped(space, Decay(space, rate), s, scale=1).sample(
            past(space), RandomStreams(0, torch.arange(2))
        )
        for s in ("euler", "rk4")
    }
    assert float(by["euler"].flatten()[0]) == pytest.approx(math.exp(-1), abs=1e-6)
    assert abs(float(by["rk4"].flatten()[0]) - math.exp(-1)) > 0.1


def test_the_base_of_a_reconstruction_is_the_sparse_field(space):
    observed = torch.zeros(2, *space.state_shape)
    observed[:, :, 3] = 2.0
    c = Context(2, observed=observed, mask=observed != 0)
    x = Stepped(space, Decay(space, 0.5), "euler", scale=1).sample(c, RandomStreams(0, torch.arange(2)))
    assert torch.allclose(x[:, 0], observed / 2)


class Constant(Trained):
    """x = shift: draws do not depend on the context."""

    ensemble = True

    compares_draws = True

    def __init__(self, space):
        super().__init__(space)
        self.shift = nn.Parameter(torch.tensor(0.5))

    def loss(self, batch, draws):
        return self.compare(batch.x, self.sample(batch.context, draws), batch.context, draws)

    def compare(self, x, drawn, c, draws):
        error = (drawn - x[:, None]).square().mean()
        return Terms(error, {"error": error})

    def sample(self, c, draws):
        return self.shift + 0 * draws.normal(1, 1, 1) + torch.zeros_like(c.base())[:, None]


def test_trained_through_runge_kutta_the_right_rate_is_the_one_of_the_equation(space):
    """dx/dt = -x takes 1 to exp(-1): rate 1 is exact up to RK4's own error, the rate of an Euler step is not."""

    class Compared(Decay):
        compares_draws = True

        def compare(self, x, drawn, c, draws):
            error = (drawn[:, 0] - x).square().mean()
            return Terms(error, {"error": error})

    truth = torch.full((2, *space.state_shape), math.exp(-1))
    loss = {
        rate: Stepped(space, Compared(space, rate), "rk4", scale=1, train_through_step=True).loss(
            Batch(truth, past(space)), RandomStreams(0, torch.arange(2))
        )
        for rate in (1.0, 1 - math.exp(-1))
    }
    exact, of_euler = (float(values.total.detach()) for values in loss.values())
    assert exact < 1e-4
    assert of_euler > 1e-2


def test_a_rollout_continues_from_its_own_draws(space):
    """x grows by shift * scale a step: after t steps it is off by t times what one step is off."""
    model = Stepped(space, Constant(space), scale=2)
    base = torch.ones(2, 1, *space.state_shape)
    truth = base.expand(-1, 3, -1, -1, -1)  # stays at one
    terms = model.loss(Batch(truth, Context(2, past=base)), RandomStreams(0, torch.arange(2), 3))
    assert float(terms.total.detach()) == pytest.approx(sum((0.5 * t) ** 2 for t in (1, 2, 3)) / 3)
    terms.total.backward()
    assert model.model.shift.grad is not None


class Recorded(Decay):
    """Keeps what it could draw at each step."""

    ensemble = True

    def sample(self, c, draws):
        self.seen.append((draws.lead, draws.persistent().normal(1).flatten(), draws.normal(1).flatten()))
        return super().sample(c, draws)

    def compare(self, x, drawn, c, draws):
        return Terms(drawn.square().mean(), {})


def test_lasting_noise_stays_through_a_rollout_and_other_noise_is_fresh(space):
    recorded = Recorded(space)
    model, inputs = Stepped(space, recorded, scale=1), {}
    for step_ in (0, 1):
        recorded.seen = []
        model.loss(
            Batch(torch.ones(2, 3, *space.state_shape), past(space)),
            RandomStreams(0, torch.arange(2), 3, step_),
        )
        inputs[step_] = recorded.seen
    leads, lasting, fresh = zip(*inputs[0], strict=True)
    assert leads == (0, 1, 2)
    assert all(torch.equal(values, lasting[0]) for values in lasting)
    others = torch.stack([*fresh, *(numbers for *_, numbers in inputs[1])])
    assert len(others.flatten().unique()) == others.numel()  # lead 1 of one step is not lead 0 of the next


def test_one_step_of_a_rollout_is_the_loss_of_a_step(space):
    model = Stepped(space, Constant(space), scale=2)
    truth, c = torch.randn(2, *space.state_shape), past(space)
    values = model.loss(Batch(truth, c), RandomStreams(0, torch.arange(2), 3)).total
    rolled = model.loss(Batch(truth[:, None], c), RandomStreams(0, torch.arange(2), 3)).total
    assert float(values.detach()) == pytest.approx(float(rolled.detach()), rel=1e-5)


def test_pushforward_steps_lead_to_where_the_loss_begins_and_have_no_gradient(space):
    """Two steps are pushforward, the third is scored: off by 0.5 * 3, and only the last shift moves it."""
    model = Stepped(space, Constant(space), scale=1)
    base = torch.ones(2, 1, *space.state_shape)
    batch = Batch(base.expand(-1, 3, -1, -1, -1), Context(2, past=base), pushforward=2)
    terms = model.loss(batch, RandomStreams(0, torch.arange(2), 3))
    assert float(terms.total.detach()) == pytest.approx((0.5 * 3) ** 2)
    terms.total.backward()
    last = 2 * 0.5 * 3  # with a gradient of all three it would be three times that
    assert float(model.model.shift.grad) == pytest.approx(last)


@pytest.mark.parametrize("order", [0, 4])
def test_walking_in_half_precision_leaves_every_weight_its_gradient(space, order):
    """Autocast keeps the casts of weights: those of the walk, which have no gradient, must not serve the loss."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Ensemble(space, history=1, noise=4, channels=[8, 16])
        torch.nn.init.normal_(network.network.last.convolution.weight, std=0.1)
    model = Stepped(space, network, filter_order=order)
    past = torch.randn(2, 1, *space.state_shape, generator=torch.Generator().manual_seed(0))
    batch = Batch(past.expand(-1, 3, -1, -1, -1), Context(2, past=past, day=torch.zeros(2)), pushforward=2)
    norms = []
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            terms = model.loss(batch, RandomStreams(0, torch.arange(2), 2))
        terms.total.backward()
        norms.append([float(p.grad.norm()) if p.grad is not None else None for p in model.parameters()])
    assert None not in norms[0] + norms[1]
    assert norms[1] == pytest.approx(norms[0], rel=0.2, abs=1e-2)


class Watched(Decay):
    """Keeps what it was shown."""

    history = 2

    def loss(self, batch, draws):
        self.shown = batch
        return super().loss(batch, draws)


def test_training_perturbs_the_past_and_not_the_target(space):
    """Perturbations by 0.1 (b + w / 2): b the same in all cells and states of a variable, w of each."""
    space = space.replace(exists=torch.arange(space.shape[0])[:, None].expand(space.shape) > 1)
    model = Stepped(space, Watched(space), scale=1, noise=0.1)
    c, truth = Context(500, past=torch.ones(500, 2, *space.state_shape)), torch.zeros(500, *space.state_shape)
    for training in (False, True):
        model.train(training).loss(Batch(truth, c), RandomStreams(0, torch.arange(500)))
        inputs = model.model.shown.context.past
        moved = (inputs - c.past)[..., space.exists]  # (B, 2, V, cells)
        assert torch.equal(model.model.shown.x, -inputs[:, -1])  # the difference from where it stands now
        if not training:
            assert torch.equal(inputs, c.past)
            continue
        assert torch.equal(inputs[..., ~space.exists], c.past[..., ~space.exists])
        level = moved.mean(dim=(1, 3))  # (B, V)
        assert float(level.std()) == pytest.approx(0.1, rel=0.1)
        cells = moved - level[:, None, :, None]
        assert float(cells.std()) == pytest.approx(0.05, rel=0.1)
        assert abs(float((cells[:, 0] * cells[:, 1]).mean())) < 0.1 * 0.05**2 + 1e-4
        assert abs(float((level[:, 0] * level[:, 1]).mean())) < 0.2 * 0.1**2


def test_noise_on_a_model_without_last_states_is_refused(space):
    with pytest.raises(InputError, match=r"model\.noise perturbs the past states of a forecast"):
        Stepped(space, Decay(space), noise=0.1)


@pytest.mark.parametrize("wraps", [True, False])
def test_each_step_ends_with_the_filter_and_training_goes_through_it(sized, wraps):
    """A model that keeps its state: of two cells' waves nothing is left, a constant stays."""

    class Compared(Decay):
        compares_draws = True

        def compare(self, x, drawn, c, draws):
            error = (drawn[:, 0] - x).square().mean()
            return Terms(error, {"error": error})

    space = sized(latitudes=12, columns=16, wraps=wraps)
    model = Stepped(space, Compared(space, 0.0), scale=1, filter_order=4)
    wave = (-1.0) ** torch.arange(16)
    c = Context(2, past=(3 + wave).expand(2, 1, *space.state_shape))
    x = model.sample(c, RandomStreams(0, torch.arange(2)))
    inside = x if wraps else x[..., 4:-4]
    assert torch.allclose(inside, torch.full_like(inside, 3.0), atol=1e-5)
    assert wraps or not torch.allclose(x[..., 0], torch.tensor(3.0), atol=1e-2)  # a border damps less

    through = Stepped(space, Compared(space, 0.0), scale=1, filter_order=4)
    assert float(through.loss(Batch(x[:, 0], c), RandomStreams(0, torch.arange(2))).total) == pytest.approx(
        0, abs=1e-9
    )


@pytest.mark.parametrize("options", [{"train_through_step": True}, {"filter_order": 4}])
def test_a_model_without_a_comparison_is_not_trained_through_the_step(space, options):
    with pytest.raises(InputError, match="which Decay does not support"):
        Stepped(space, Decay(space), **options)
