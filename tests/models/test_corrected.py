from dataclasses import replace

import pytest
import torch

from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.corrected import Corrected
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.random_streams import RandomStreams


class Rough(Solved):
    """Draws of N(0, spread^2) whatever was observed; remembers the folds it was asked for."""

    def __init__(self, space, spread):
        super().__init__(space)
        self.spread, self.asked, self.autocast = spread, [], None

    def solve(self, training): ...

    def folds(self):
        return torch.tensor([0, 0, 1, 1, 2])

    def moments(self, c, draws, fold=None):
        self.asked.append(fold)
        self.autocast = torch.is_autocast_enabled("cpu")
        m = torch.zeros(c.count, *self.space.state_shape)
        d = self.spread * draws.normal(*self.space.state_shape)
        return m, torch.full_like(m, self.spread), d

    def sample(self, c, draws):
        return self.moments(c, draws)[2]


def problem(space, count=16, seed=0):
    """Truth N(0.8, 0.5^2)."""
    x = 0.8 + 0.5 * torch.randn(count, *space.state_shape, generator=torch.Generator().manual_seed(seed))
    mask = torch.zeros(count, *space.state_shape, dtype=torch.bool)
    return Batch(x, Context(count, observed=x * mask, mask=mask, day=torch.zeros(count)))


def make(space, spread=1.5):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Corrected(space, Rough(space, spread), channels=(8, 16))


def test_starts_as_its_base(space):
    model, c, draws = make(space), problem(space).context, RandomStreams(0, torch.arange(16), 3)
    assert torch.allclose(model.sample(c, draws), model.base.sample(c, RandomStreams(0, torch.arange(16), 3)))


def test_half_precision_is_for_the_network_alone(space):
    """The base solves for observations with covariances that bfloat16 would round to indefinite ones."""
    model = make(space)
    with torch.autocast("cpu", torch.bfloat16):
        model.loss(problem(space), RandomStreams(0, torch.arange(16), 2))
    assert model.base.autocast is False


def test_bias_and_spread_are_recovered(space):
    """The optimum of the fair CRPS is the true N(0.8, 0.5^2), from a base of N(0, 1.5^2)."""
    model = make(space)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(200):
        optimiser.zero_grad()
        model.loss(problem(space, seed=step), RandomStreams(0, torch.arange(16), 2, step)).total.backward()
        optimiser.step()
    x = model.sample(problem(space).context, RandomStreams(1, torch.arange(16), 20)).detach()
    assert float(x.mean()) == pytest.approx(0.8, abs=0.1)
    assert float(x.std(dim=1).mean()) == pytest.approx(0.5, abs=0.1)


def test_training_data_are_drawn_without_their_own_fold_and_unseen_data_with_all(space):
    model, batch = make(space), problem(space, 2)
    model.loss(
        Batch(batch.x, batch.context, index=torch.tensor([3, 2]), group=1),
        RandomStreams(0, torch.arange(2), 2),
    )
    model.loss(batch, RandomStreams(0, torch.arange(2), 2))
    assert model.base.asked == [1, None]
    with pytest.raises(ValueError, match="training data need their fold"):
        model.loss(
            Batch(batch.x, batch.context, index=torch.tensor([3, 2])), RandomStreams(0, torch.arange(2))
        )


def test_the_loss_is_the_area_weighted_fair_crps_in_units_of_the_spread(space):
    model, batch = make(space), problem(space)
    total, parts = model.loss(batch, RandomStreams(0, torch.arange(16), 4))
    d = model.base.sample(batch.context, RandomStreams(0, torch.arange(16), 4))
    expected = (fair_crps(d, batch.x) * space.area).mean() / 1.5  # divided by the base's spread
    assert float(total) == pytest.approx(float(expected), rel=1e-5)
    assert float(parts["gain"]) == pytest.approx(0, abs=1e-5)


def test_the_inflation_chosen_on_validation_scales_the_deviations(space):
    model, c = make(space), problem(space).context
    before = model.sample(c, RandomStreams(0, torch.arange(16), 3))
    model.choose(inflation=1.2)
    assert torch.allclose(model.sample(c, RandomStreams(0, torch.arange(16), 3)), 1.2 * before)
    assert model.tuned_values() == {"inflation": pytest.approx(1.2)}


def test_only_observed_values_are_scored(space):
    """The loss ignores whatever stands in for missing values; a state without any observed value adds 0."""
    model, batch, draws = make(space), problem(space), lambda: RandomStreams(0, torch.arange(16), 3)
    observed = torch.rand(batch.x.shape, generator=torch.Generator().manual_seed(2)) < 0.4
    observed[5] = False
    losses = [
        model.loss(replace(batch, x=batch.x.where(observed, fill), observed=observed), draws()).total
        for fill in (0.0, 100.0)
    ]
    assert losses[0].isfinite() and torch.equal(losses[0], losses[1])
    crps = fair_crps(model.base.sample(batch.context, draws()), batch.x)
    weight = space.weight * observed
    each = (crps * weight).sum(dim=(2, 3)) / (1.5 * weight.sum(dim=(2, 3)))
    assert float(losses[0]) == pytest.approx(float(each.nan_to_num().mean()), rel=1e-5)
    everywhere = model.loss(replace(batch, observed=torch.ones_like(observed)), draws()).total
    assert torch.equal(everywhere, model.loss(batch, draws()).total)
