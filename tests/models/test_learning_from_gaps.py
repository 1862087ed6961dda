"""Classical models fitted to states with missing values, beside the same models fitted to complete states."""

from collections.abc import Callable

import pytest
import torch

from fieldcast.models import masks
from fieldcast.models.core import Batch, Context, Solved
from fieldcast.models.dineof import Dineof
from fieldcast.models.gappy_pca import GappyPCA
from fieldcast.models.gaussian.robustness import MomentSums
from fieldcast.models.gaussian.training_series import rounded
from fieldcast.models.kriging import Kriging
from fieldcast.models.low_rank import LowRankGaussian
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

TRAINING, TEST = 160, 60


@pytest.fixture(scope="module")
def states() -> torch.Tensor:
    """Smooth random fields (V = 1) on 9 x 16 cells: spherical waves with a red spectrum, and a little noise."""
    generator = torch.Generator().manual_seed(0)
    latitude, longitude = torch.linspace(-80, 80, 9).deg2rad(), torch.arange(16) * (2 * torch.pi / 16)
    x = 0.1 * torch.randn(TRAINING + TEST, 1, 9, 16, generator=generator)
    for m in range(4):
        for n in range(3):
            east = torch.stack([(m * longitude).cos(), (m * longitude).sin()])
            wave = ((n + 1) * latitude).cos()[:, None] * east[:, None]
            size = 2.0 ** (-(m + n) / 2) * torch.randn(TRAINING + TEST, 2, generator=generator)
            x += torch.einsum("tk, kyx -> tyx", size, wave)[:, None]
    return x


def training(states: torch.Tensor, missing: float) -> list[Batch]:
    x = states[:TRAINING]
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) >= missing
    index, days = torch.arange(TRAINING), torch.arange(TRAINING) / 365 % 1
    context = Context(TRAINING, day=days)
    if missing == 0:
        return [Batch(x, context, index=index)]
    return [Batch(torch.where(observed, x, 0.0), context, index=index, observed=observed)]


def scores(model: Solved, states: torch.Tensor, space: Space, k: float = 0.2) -> tuple[float, float]:
    """Root mean square error, and the ratio of spread to error, at unobserved cells."""
    truth, datum = states[TRAINING:], torch.arange(TEST)
    mask = masks.draw(("random",), torch.full((TEST,), k), RandomStreams(0, datum), space)
    context = Context(TEST, observed=truth * mask, mask=mask, day=datum / 365)
    members = 1 if model.deterministic else 30
    x = model.sample(context, RandomStreams(1, datum, members))
    error = float((x.mean(1) - truth)[~mask].square().mean().sqrt())
    return error, float(
        x.var(1).mul((members + 1) / members)[~mask].mean().sqrt()
    ) / error if members > 1 else 1.0


@pytest.mark.parametrize(
    ("kind", "limit", "narrower", "wider"),
    [
        (OptimalInterpolation, 1.1, 0.05, 0.1),
        (GappyPCA, 1.25, 0.0, 0.0),
        (Kriging, 1.05, 0.05, 0.05),
        (LowRankGaussian, 1.25, 0.3, 0.0),  # before `inflation` is tuned
        (Dineof, 1.25, 0.0, 0.0),
    ],
)
def test_half_of_the_values_missing_costs_little(
    kind: Callable[[Space], Solved], limit: float, narrower: float, wider: float, states: torch.Tensor,
    sized: Callable[..., Space],
) -> None:  # fmt: skip
    space = sized(variables=1)
    error, ratio = {}, {}
    for missing in (0.0, 0.5):
        model = kind(space)
        model.solve(training(states, missing))
        error[missing], ratio[missing] = scores(model, states, space)
    assert error[0.5] < limit * error[0.0]
    assert 1 - narrower <= ratio[0.5] / ratio[0.0] <= 1 + wider


def test_bands_of_missing_columns_leave_the_spread_right(
    states: torch.Tensor, sized: Callable[..., Space]
) -> None:
    """Pairs far apart are never observed together; 11 of 16 columns are missing in training."""
    space, model = sized(variables=1), OptimalInterpolation(sized(variables=1))
    first = torch.randint(0, 16, (TRAINING, 1), generator=torch.Generator().manual_seed(1))
    band = ((torch.arange(16) - first) % 16 < 5)[:, None, None].expand(states[:TRAINING].shape)
    context = Context(TRAINING, day=torch.arange(TRAINING) / 365 % 1)
    x, index = torch.where(band, states[:TRAINING], 0.0), torch.arange(TRAINING)
    model.solve([Batch(x, context, index=index, observed=band)])
    ratio = scores(model, states, space)[1]
    assert 0.85 < ratio < 1.1


@pytest.mark.parametrize("equal", [True, False])
def test_the_posterior_of_the_low_rank_gaussian_is_that_of_the_dense_one(
    sized: Callable[..., Space], equal: bool
) -> None:
    """The oracle is conditioning written out, with noise in the observations of cells that vary more or less."""
    space, generator = sized(variables=1, latitudes=3, columns=4), torch.Generator().manual_seed(0)
    model = LowRankGaussian(space)
    model.mean = torch.randn(12, generator=generator)
    model.weights, model.variance = torch.randn(2, 12, generator=generator), torch.tensor(0.3)
    truth, mask = torch.randn(1, 1, 3, 4, generator=generator), torch.zeros(1, 1, 3, 4, dtype=torch.bool)
    mask[..., ::2] = True
    context = Context(1, observed=truth * mask, mask=mask, noise=0.5)
    d = torch.ones(12) if equal else torch.linspace(0.1, 1.5, 12)
    model.deviation, mean = d, d * model.mean
    drawn = model.sample(context, RandomStreams(0, torch.arange(1), 20000))[0].flatten(1)
    covariance = (model.weights.T @ model.weights + 0.3 * torch.eye(12)) * d * d[:, None]
    o = mask.flatten()
    gain = torch.linalg.solve(covariance[o][:, o] + 0.25 * torch.eye(int(o.sum())), covariance[o]).T
    expected = mean + gain @ (truth.flatten() - mean)[o]
    assert torch.allclose(drawn.mean(0), expected, atol=0.03)
    assert torch.allclose(drawn.T.cov(), covariance - gain @ covariance[o], atol=0.04)


def test_dineof_fits_its_modes_to_what_is_observed(sized: Callable[..., Space]) -> None:
    """The fixed point is the least-squares fit: a state in the span of the modes is recovered."""
    space, generator = sized(variables=1, latitudes=6, columns=8), torch.Generator().manual_seed(0)
    modes = torch.linalg.qr(torch.randn(48, 3, generator=generator))[0].T
    x = (torch.randn(80, 3, generator=generator) * 5 @ modes).view(80, 1, 6, 8)
    model = Dineof(space)
    model.solve([Batch(x[:60], Context(60))])
    mask = torch.rand(x[60:].shape, generator=generator) < 0.5
    filled = model.sample(Context(20, observed=x[60:] * mask, mask=mask), RandomStreams(0, torch.arange(20)))
    assert float((filled[:, 0] - x[60:])[~mask].std()) < 0.1 * float(x.std())
    assert torch.allclose(filled[:, 0][mask], x[60:][mask], atol=1e-5)


def test_dineof_fills_a_state_alone_as_in_a_batch(sized: Callable[..., Space]) -> None:
    space, generator = sized(variables=1, latitudes=6, columns=8), torch.Generator().manual_seed(0)
    modes = torch.linalg.qr(torch.randn(48, 3, generator=generator))[0].T
    x = (torch.randn(64, 3, generator=generator) * 5 @ modes).view(64, 1, 6, 8)
    model = Dineof(space)
    model.solve([Batch(x[:60], Context(60))])
    share = torch.tensor([0.05, 0.2, 0.5, 0.98])[:, None, None, None]  # slow and fast to converge
    mask = torch.rand(x[60:].shape, generator=generator) < share
    streams = RandomStreams(0, torch.arange(4))
    together = model.sample(Context(4, observed=x[60:] * mask, mask=mask), streams)
    for k in range(4):
        some = torch.tensor([k])
        alone = model.sample(
            Context(1, observed=(x[60:] * mask)[some], mask=mask[some]), streams.of_data(some)
        )
        torch.testing.assert_close(alone[0], together[k], rtol=0, atol=1e-5)


def test_completed_days_keep_what_was_observed_and_the_variance(
    states: torch.Tensor, sized: Callable[..., Space]
) -> None:
    model, (batch,) = OptimalInterpolation(sized(variables=1)), training(states, 0.7)
    model.solve([batch])
    completed = model.grid.scatter(model.anomalies)
    assert torch.equal(completed[batch.observed], rounded(batch.x[batch.observed]))
    assert torch.isfinite(completed).all()
    hidden = ~batch.observed
    assert float(completed[hidden].var() / states[:TRAINING][hidden].var()) == pytest.approx(1, abs=0.15)


def test_moments_of_what_was_observed() -> None:
    x = torch.randn(5000, 7, generator=torch.Generator().manual_seed(0)) * torch.arange(1.0, 8.0)
    observed = torch.rand(x.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    observed[4:, 2] = False
    moments = MomentSums().add(torch.where(observed, x, 0.0), observed)
    mean = x.double()[observed].square().mean()
    for value in range(7):
        few = x[:, value].double()[observed[:, value]]
        expected = (few.square().sum() + 10 * mean) / (len(few) + 10)
        assert float(moments.variance[value]) == pytest.approx(float(expected))
    complete = MomentSums().add(x)
    everywhere = MomentSums().add(x, torch.ones_like(observed))
    assert torch.allclose(complete.variance, everywhere.variance, rtol=0.05)
