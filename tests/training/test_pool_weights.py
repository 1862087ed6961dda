"""Oracles: the CRPS of mixtures of Gaussians in closed form; the score of a part alone; the checkpoints of others."""

import math

import pytest
import torch

from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.tensor_file import unpack_bytes
from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.pool import Pool
from fieldcast.models.random_streams import RandomStreams
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train
from fieldcast.training.tuning import compositions, score, tune_weights

FIT = Fit(tuning=8, validation=4, steps=2, batch=4)
LINEAR = {"type": "linear_inverse_model.LinearInverseModel"}
CLIMATOLOGY, OI = {"type": "climatology.Climatology"}, {"type": "optimal_interpolation.OptimalInterpolation"}


@pytest.fixture
def space(world):
    return world.space


class Normal(Solved):
    """x ~ N(mean, spread^2) in each cell."""

    def __init__(self, space, mean, spread):
        super().__init__(space)
        self.mean, self.spread = mean, spread

    def solve(self, training): ...

    def sample(self, c, draws):
        return self.mean + self.spread * draws.normal(*self.space.state_shape)


def mean_distance(mean, variance):
    """E|z| for z ~ N(mean, variance)."""
    spread = variance**0.5
    u = mean / spread
    return spread * (2 * math.exp(-(u**2) / 2) / math.sqrt(2 * math.pi) + u * math.erf(u / math.sqrt(2)))


def crps(share, first, second):
    """CRPS of share * N(first) + (1 - share) * N(second) for a standard normal truth."""
    total = 0.0
    for w, (m, s) in ((share, first), (1 - share, second)):
        total += w * mean_distance(m, s**2 + 1)
        for v, (n, r) in ((share, first), (1 - share, second)):
            total -= w * v * mean_distance(m - n, s**2 + r**2) / 2
    return total


def trials(space, count=60):
    truth = torch.randn(count, *space.state_shape, generator=torch.Generator().manual_seed(0))
    c = Context(count, mask=torch.zeros_like(truth, dtype=torch.bool))
    return [(Batch(truth, c), RandomStreams(1, torch.arange(count), 4))]


@pytest.mark.parametrize(
    ("first", "second"), [((0.6, 0.8), (-0.4, 0.8)), ((0.3, 1.0), (-1.2, 0.5)), ((0.0, 1.0), (1.0, 1.0))]
)
def test_weights_of_two_gaussians_give_the_best_mixture(space, first, second):
    model = Pool(space, {"first": Normal(space, *first), "second": Normal(space, *second)})
    table = tune_weights(model, trials(space))
    scores = [crps(share / 100, first, second) for share in range(101)]
    best = min(range(101), key=scores.__getitem__) / 100
    assert float(model.weights[0]) == pytest.approx(best, abs=0.1)
    assert table[-1]["first"] == pytest.approx(float(model.weights[0]))
    assert table[-1]["validation"] == pytest.approx(min(scores), rel=0.02)


def test_the_score_of_a_part_alone_is_that_of_any_model(space):
    parts = {"first": Normal(space, 0.3, 1.0), "second": Normal(space, -0.5, 0.7)}
    (batch, draws), *_ = trials(space)
    table = tune_weights(Pool(space, parts), [(batch, draws)])
    moved = RandomStreams(1, draws.datum, 4, first=4)
    expected = [score(parts["first"], batch, draws), score(parts["second"], batch, moved)]
    assert [row["validation"] for row in table[:2]] == pytest.approx([math.exp(each) for each in expected])


def test_networks_of_one_architecture_do_not_share_their_noise(space):
    """A pool of a model with itself has the score of the model, whatever the weights."""
    model = Pool(space, {name: Normal(space, 0.0, 1.0) for name in ("first", "second")})
    table = tune_weights(model, trials(space))
    assert table[-1]["validation"] == pytest.approx(table[0]["validation"], rel=0.02)


def test_a_pool_without_a_scored_trial_keeps_its_weights(space):
    model = Pool(space, {"first": Normal(space, 0.0, 1.0), "second": Normal(space, 1.0, 1.0)})
    before = model.weights.clone()
    (row,) = tune_weights(model, [])
    assert torch.equal(model.weights, before) and math.isnan(row["validation"])


def test_compositions_are_all_weights_in_twentieths():
    weights = compositions(3)
    assert weights.shape == (231, 3) and torch.allclose(weights.sum(dim=1), torch.ones(231).double())
    assert len({tuple(row) for row in weights.tolist()}) == 231 and weights.min() == 0
    assert compositions(1).tolist() == [[1.0]]


def trained(world, problem, config, parts=None, seed=0):
    recipe = Recipe(problem, config, FIT, seed, Limits(times=6), "cpu")
    return list(train(recipe, world.data, None, None, parts))[-1].checkpoint


@pytest.mark.parametrize(
    ("problem", "first", "second"),
    [
        (Forecasting(), LINEAR, {"type": "analogue.Analogue"}),
        (Reconstruction(Sparsification()), OI, CLIMATOLOGY),
    ],
)
def test_a_pool_takes_its_parts_from_other_experiments(world, problem, first, second):
    parts = {"first": trained(world, problem, first), "second": trained(world, problem, second)}
    config = {"type": "pool.Pool", "parts": {"first": first, "second": second}}
    tensors, header = unpack_bytes(trained(world, problem, config, parts), "")
    for name, part in parts.items():
        for key, value in unpack_bytes(part, "")[0].items():
            if key.startswith("model."):
                assert torch.equal(tensors[key.replace("model.", f"model.parts.{name}.")], value)
    assert sum(header["tuned"].values()) == pytest.approx(1)
    assert header["parts"] == {name: unpack_bytes(part, "")[1]["weights"] for name, part in parts.items()}


def test_parts_foreign_to_the_pool_are_refused(world):
    problem = Forecasting()
    linear = trained(world, problem, LINEAR)
    config = {"type": "pool.Pool", "parts": {"linear": LINEAR}}
    with pytest.raises(InputError, match=r"model\.parts names linear, and uses nothing"):
        trained(world, problem, config)
    mean = replace_part(config, {**LINEAR, "stochastic": False})
    with pytest.raises(
        InputError, match=r"named by 'linear' was fitted with model.*: set model.parts.linear to"
    ):
        trained(world, problem, mean, {"linear": linear})
    with pytest.raises(InputError, match=r"named by 'linear' was fitted with seed 0, .*1"):
        trained(world, problem, config, {"linear": linear}, seed=1)


def replace_part(config, part):
    return {**config, "parts": {name: part for name in config["parts"]}}


def test_a_part_that_diverged_is_refused(space):
    """Every pool with such a part has the score NaN, and the last part would take all the weight."""
    model = Pool(space, {"first": Normal(space, 0.0, 1.0), "lost": Normal(space, math.nan, 1.0)})
    with pytest.raises(
        InputError, match="draws of the part lost are not finite on the validation split: leave it out"
    ):
        tune_weights(model, trials(space))
