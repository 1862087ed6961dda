import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Kernel

from fieldcast.models.configuration import check_model
from fieldcast.models.core import Batch, Context
from fieldcast.models.gaussian import training_series
from fieldcast.models.gaussian.covariance_terms import EARTH_RADIUS_KM, gaspari_cohn, matern32
from fieldcast.models.gaussian.grid_points import observations
from fieldcast.models.gaussian.training_series import rounded
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

ROWS, COLUMNS, VARIABLES, YEARS, EVERY = 6, 10, 2, 6, 5
N = VARIABLES * ROWS * COLUMNS


def globe(latitudes: int = ROWS, poles: bool = False) -> Space:
    edge = math.pi / 2 if poles else math.pi / 2 * (1 - 1 / latitudes)
    longitude = torch.arange(COLUMNS) * 2 * math.pi / COLUMNS
    up, around = torch.meshgrid(torch.linspace(-edge, edge, latitudes), longitude, indexing="ij")
    points = torch.stack([up.cos() * around.cos(), up.cos() * around.sin(), up.sin()], dim=-1)
    area = up.cos() + 0.01
    return Space(
        variables=tuple(f"v{i}" for i in range(VARIABLES)),
        wraps=True,
        area=area / area.mean(),
        exists=torch.ones(latitudes, COLUMNS, dtype=torch.bool),
        points=points,
        static=torch.zeros(0, latitudes, COLUMNS),
        tendency=torch.ones(VARIABLES),
    )


def covariance_of_truth(space: Space) -> torch.Tensor:
    points = space.points.flatten(0, 1).double()
    rho = matern32(torch.cdist(points, points) * EARTH_RADIUS_KM, 3000.0)
    return torch.kron(torch.tensor([[1.0, 0.7], [0.7, 2.0]], dtype=torch.float64), rho)


def truth(space: Space, count: int, seed: int) -> torch.Tensor:
    """Independent fields of a known Gaussian: correlated in space and between two variables."""
    root = torch.linalg.cholesky(covariance_of_truth(space))
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(count, len(root), generator=generator, dtype=torch.float64)
    return rounded((z @ root.T).float().unflatten(1, space.state_shape))  # the values that a model keeps


def calendar(years: int) -> torch.Tensor:
    return torch.arange(0, 365, EVERY).repeat(years) / 365


def solved(space: Space, x: torch.Tensor, days: torch.Tensor | None, **values: float) -> OptimalInterpolation:
    model = OptimalInterpolation(space)
    half = len(x) // 2
    parts = [slice(half), slice(half, None)]
    model.solve(Batch(x[p], Context(len(x[p]), day=None if days is None else days[p])) for p in parts)
    model.choose(**values)
    return model


@pytest.fixture(scope="module")
def training():
    return truth(globe(), YEARS * len(calendar(1)), 0), calendar(YEARS)


@pytest.fixture
def model(training):
    return solved(globe(), *training, weight=0.8, taper=20000.0, length=2500.0, nugget=0.01)


@pytest.fixture
def context():
    """Four fields seen through two masks that differ between the variables."""
    x = truth(globe(), 4, 1)
    masks = torch.rand(2, *x.shape[1:], generator=torch.Generator().manual_seed(3)) < 0.25
    mask = masks[torch.tensor([0, 1, 1, 0])]
    return Context(4, observed=x * mask, mask=mask, day=torch.tensor([0.1, 0.4, 0.6, 0.99]), noise=0.2)


def covariance(x: torch.Tensor, w: float, taper: float, length: float) -> tuple[torch.Tensor, torch.Tensor]:
    """C and the local standard deviation, written out for whole matrices."""
    a = x.flatten(1).double()
    points = globe().points.flatten(0, 1).double()
    distance = torch.cdist(points, points) * EARTH_RADIUS_KM
    sd = a.square().mean(0).sqrt()
    area = globe().area.flatten().double()
    standard = (a / sd).unflatten(1, (VARIABLES, -1))
    q = torch.einsum("nvp, nwp, p -> vw", standard, standard, area / area.sum()) / len(a)
    ones = torch.ones(VARIABLES, VARIABLES, dtype=torch.float64)
    t = torch.kron(ones, gaspari_cohn(distance, taper)) if taper else 1.0
    c = w * t * (a.T @ a) / len(a)
    return c + (1 - w) * torch.kron(q, matern32(distance, length)) * torch.outer(sd, sd), sd


class Given(Kernel):
    """A covariance matrix as a kernel of scikit-learn; inputs are the numbers of the values."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, x, y=None, eval_gradient=False):
        return self.matrix[np.ix_(x[:, 0].astype(int), (x if y is None else y)[:, 0].astype(int))]

    def diag(self, x):
        return np.diag(self.matrix)[x[:, 0].astype(int)]

    def is_stationary(self):
        return False


@pytest.mark.parametrize("values", [(0.8, 20000.0, 2500.0), (1.0, 0.0, 1000.0), (0.0, 0.0, 1500.0)])
def test_mean_and_deviation_agree_with_scikit_learn(model, training, context, values):
    w, taper, length = values
    model.choose(weight=w, taper=taper, length=length)
    c, sd = covariance(training[0], w, taper, length)
    every = np.arange(N)[:, None]
    m, _, _ = model.moments(context, RandomStreams(0, torch.arange(4), 1))
    for row in range(2):
        o = context.mask[row].flatten().nonzero()[:, 0].numpy()
        alpha = (0.2**2 + 0.01 * sd.numpy() ** 2)[o]
        reference = GaussianProcessRegressor(Given(c.numpy()), alpha=alpha, optimizer=None)
        reference.fit(every[o], context.observed[row].flatten()[o].double().numpy())
        mean, deviation = reference.predict(every, return_std=True)
        np.testing.assert_allclose(m[row].flatten().numpy(), mean, atol=1e-6)
        (group,) = observations(model.grid, context.observed[row : row + 1], context.mask[row : row + 1])
        k = model.gain(range(VARIABLES), group, 0.2)(torch.eye(len(o), dtype=torch.float64))
        left = (c.diagonal() - (k * c[group.index]).sum(0)).sqrt()
        np.testing.assert_allclose(left.numpy(), deviation, atol=1e-6)


def stations(count: int = 30, data: int = 4) -> tuple[Points, torch.Tensor]:
    """Places between cells, for each of some data, and H as a matrix."""
    generator = torch.Generator().manual_seed(5)
    weights = torch.rand(count * data, 4, generator=generator)
    weights /= weights.sum(1, keepdim=True)
    cells = torch.stack([torch.randperm(ROWS * COLUMNS, generator=generator)[:4] for _ in weights])
    variable = torch.randint(VARIABLES, (len(weights),), generator=generator)
    y = torch.randn(len(weights), generator=generator)
    datum = torch.randperm(count * data, generator=generator) % data
    h = torch.zeros(len(weights), N, dtype=torch.float64)
    h.scatter_(1, variable[:, None] * ROWS * COLUMNS + cells, weights.double())
    return Points(datum, variable, cells, weights, y, torch.full((len(weights),), 0.09)), h


def test_stations_and_cells_are_observed_together(model, training, context):
    """Mean against the closed form with H written out; draws have its mean and covariance."""
    model.choose(nugget=0.0, weight=1.0, taper=0.0)  # so that training days have the covariance C
    c, _ = covariance(training[0], 1.0, 0.0, 2500.0)
    points, every = stations()
    together = replace(context, points=points)
    m, s, d = model.moments(together, RandomStreams(0, torch.arange(4), 400))
    mean, rejected = model.analysis(together)
    assert not rejected.any()
    torch.testing.assert_close(mean, m)
    for row in range(4):
        o = context.mask[row].flatten().nonzero()[:, 0]
        h = torch.cat([torch.eye(N, dtype=torch.float64)[o], every[points.datum == row]])
        y = torch.cat([context.observed[row].flatten()[o], points.y[points.datum == row]]).double()
        r = torch.cat([torch.full((len(o),), 0.2**2), points.error[points.datum == row]]).double()
        k = c @ h.T @ torch.linalg.inv(h @ c @ h.T + torch.diag(r))
        torch.testing.assert_close(m[row].flatten().double(), k @ y, atol=1e-5, rtol=0)
        left = (c - k @ h @ c).diagonal().sqrt()
        assert (s[row].flatten() / left).log().abs().mean() < 0.06
        assert ((d[row].mean(0) - m[row]).flatten() / left).square().mean() < 5 / 400
        assert (d[row].std(0).flatten() / left).log().abs().mean() < 0.1


def test_a_station_at_the_centre_of_a_cell_is_an_observation_of_it(model, context):
    o = context.mask.nonzero()
    cells = (o[:, 2] * COLUMNS + o[:, 3])[:, None].expand(-1, 4)
    weights = torch.eye(4)[:1].expand(len(o), 4)
    y, error = context.observed[context.mask], torch.full((len(o),), context.noise**2)
    points = Points(o[:, 0], o[:, 1], cells, weights, y, error)
    nothing = replace(context, observed=context.observed * 0, mask=context.mask & False, points=points)
    streams = RandomStreams(0, torch.arange(4), 1)
    torch.testing.assert_close(
        model.moments(nothing, streams)[0], model.moments(context, streams)[0], atol=1e-6, rtol=0
    )
    selected, other = nothing[torch.tensor([2, 1])], RandomStreams(0, torch.tensor([2, 1]), 1)
    expected = model.moments(context, streams)[0][[2, 1]]
    torch.testing.assert_close(model.moments(selected, other)[0], expected, atol=1e-6, rtol=0)


def test_exact_at_observations_without_nugget_and_noise(model, context):
    model.choose(nugget=0.0)
    c = Context(4, observed=context.observed, mask=context.mask, day=context.day)
    m, s, d = model.moments(c, RandomStreams(0, torch.arange(4), 3))
    assert ((m - c.observed) * c.mask).abs().max() < 1e-5
    assert (s * c.mask).max() < 1e-5
    assert ((d - c.observed[:, None]) * c.mask[:, None]).abs().max() < 1e-5


def test_draws_have_the_mean_and_covariance_of_the_posterior(monkeypatch):
    """Many training days determine C: draws match the closed form."""
    monkeypatch.setattr(training_series, "MAX_STATES", 20000)
    space, members = globe(), 4000
    x = truth(space, 20000, 4)
    model = solved(space, x, None, weight=1.0, taper=0.0, nugget=0.0)
    c = covariance(x, 1.0, 0.0, 1.0)[0]
    mask = torch.rand(1, *space.state_shape, generator=torch.Generator().manual_seed(3)) < 0.25
    group = Context(1, observed=x[:1] * mask, mask=mask, noise=0.3)
    m, s, d = model.moments(group, RandomStreams(5, torch.tensor([0]), members))
    o = mask.flatten().nonzero()[:, 0]
    k = c[:, o] @ torch.linalg.inv(c[o][:, o] + 0.3**2 * torch.eye(len(o)))
    posterior = c - k @ c[o]
    sd = posterior.diagonal().sqrt()
    d = d[0].flatten(1).double()
    assert ((d.mean(0) - m.flatten()) / sd * math.sqrt(members)).abs().max() < 4.5
    difference = (torch.cov(d.T) - posterior) / torch.outer(sd, sd) * math.sqrt(members)
    assert difference.abs().max() < 8
    assert difference.square().mean() < 2.5
    assert (s.flatten() / sd - 1).square().mean().sqrt() < 0.07  # 200 draws: a sampling error of 5 %


def test_the_spread_is_the_error(training):
    """Observations of new fields: spread-skill near 1, of draws and of s, and an error near the least."""
    space, count, members = globe(), 240, 9
    model = solved(space, *training, weight=0.8, taper=20000.0, length=3000.0, nugget=0.0)
    x = truth(space, count, 7)
    generator = torch.Generator().manual_seed(2)
    mask = (torch.rand(3, *space.state_shape, generator=generator) < 0.2)[torch.arange(count) % 3]
    y = x + 0.2 * torch.randn(x.shape, generator=generator)
    c = Context(count, observed=y * mask, mask=mask, day=torch.rand(count, generator=generator), noise=0.2)
    m, s, d = model.moments(c, RandomStreams(9, torch.arange(count), members))
    error = (m - x)[~mask].square().mean()
    assert (d.var(1)[~mask].mean() / error).sqrt() == pytest.approx(1, abs=0.08)
    assert (s.square()[~mask].mean() / error).sqrt() == pytest.approx(1, abs=0.08)
    c = covariance_of_truth(space)
    best = []
    for pattern in mask[:3].flatten(1):
        o, hidden = pattern.nonzero()[:, 0], (~pattern).nonzero()[:, 0]
        k = c[:, o] @ torch.linalg.inv(c[o][:, o] + 0.2**2 * torch.eye(len(o)))
        best.append((c - k @ c[o]).diagonal()[hidden])
    assert float(error) == pytest.approx(float(torch.cat(best).mean()), rel=0.1)


def places_in(x: torch.Tensor, drawn: torch.Tensor) -> torch.Tensor:
    """Numbers of drawn training states; one value alone occurs twice in half precision."""
    return (drawn[:, :, None, 0, 0] == x[:, 0, 0]).all(-1).float().argmax(-1)


def test_the_held_out_fold_does_not_matter(training, context):
    x, days = training
    values = {"weight": 0.8, "taper": 20000.0, "length": 2500.0}
    model = solved(globe(), x, days, **values)
    changed = x.clone()
    changed[model.folds() == 2] = 1e3
    other = solved(globe(), changed, days, **values)
    streams = RandomStreams(0, torch.arange(4), 6)
    for ours, separate in zip(
        model.moments(context, streams.again(), 2), other.moments(context, streams.again(), 2), strict=True
    ):
        assert torch.equal(ours, separate)
    for ours, separate in zip(
        model.moments(context, streams.again(), 1), other.moments(context, streams.again(), 1), strict=True
    ):
        assert not torch.allclose(ours, separate, atol=0.1)


def test_a_long_record_leaves_a_bounded_number_of_days(training, context, monkeypatch):
    """The held-out fold is that of all days, and what a checkpoint holds does not grow."""
    monkeypatch.setattr(training_series, "MAX_STATES", 150)
    x, days = training
    model = solved(globe(), x, days, weight=0.8, taper=20000.0, length=2500.0)
    assert len(model.anomalies) == 150
    assert torch.equal(model.anomalies.flatten(1), x[model.number].flatten(1))
    assert len(model.folds()) == len(x)
    changed = x.clone()
    changed[model.folds() == 2] = 1e3
    other = solved(globe(), changed, days, **model.tuned_values())
    streams = RandomStreams(0, torch.arange(4), 6)
    for ours, separate in zip(
        model.moments(context, streams.again(), 2), other.moments(context, streams.again(), 2), strict=True
    ):
        assert torch.equal(ours, separate)
    pool = model.season(context, RandomStreams(0, torch.arange(4), 200), fold=3)
    which = places_in(x, pool)
    assert not (model.folds()[which] == 3).any()
    away = (days[which] - context.day[:, None] + 0.5) % 1 - 0.5
    assert away.abs().max() <= 45 / 365 + 1e-6
    stored, twice = (
        solved(globe(), *many).state_dict() for many in ((x, days), (x.repeat(2, 1, 1, 1), days.repeat(2)))
    )
    assert stored["anomalies"].dtype == torch.half
    assert stored["anomalies"].shape == twice["anomalies"].shape


def test_a_fresh_model_takes_the_state_of_a_solved_one(model, context):
    """Checkpoints hold the days in half precision: not a bit is lost."""
    fresh = OptimalInterpolation(globe())
    fresh.load_state_dict(model.state_dict(), strict=True)
    streams = RandomStreams(0, torch.arange(4), 3)
    for stored, solved_here in zip(
        fresh.moments(context, streams.again(), 1), model.moments(context, streams.again(), 1), strict=True
    ):
        assert torch.equal(stored, solved_here)


def test_the_pool_is_of_the_season(model, training):
    c = Context(2, day=torch.tensor([0.02, 0.5]))
    pool = model.season(c, RandomStreams(0, torch.arange(2), 400))
    x, days = training
    which = places_in(x, pool)
    for row, day in enumerate(c.day):
        away = (days[which[row]] - day + 0.5) % 1 - 0.5
        assert away.abs().max() <= 45 / 365 + 1e-6
        assert len(which[row].unique()) > 60
    folds = model.folds()
    pool = model.season(c, RandomStreams(0, torch.arange(2), 400), fold=3)
    which = places_in(x, pool)
    assert not (folds[which] == 3).any()


def test_members_do_not_know_the_batch_nor_the_global_random_state(model, context):
    torch.manual_seed(0)
    whole = model.moments(context, RandomStreams(3, torch.arange(4), 5))
    torch.manual_seed(99)
    part = model.moments(context[2:3], RandomStreams(3, torch.tensor([2]), 5))
    for ours, separate in zip(whole, part, strict=True):
        assert torch.allclose(ours[2:3], separate, atol=1e-5)
    d = model.sample(context, RandomStreams(3, torch.arange(4), 5))
    assert torch.allclose(d, whole[2], atol=1e-5)
    assert not torch.allclose(model.sample(context, RandomStreams(4, torch.arange(4), 5)), d, atol=0.1)
    assert torch.allclose(
        model.sample(context, RandomStreams(3, torch.arange(4), 2, first=3)), d[:, 3:], atol=1e-5
    )


def test_an_update_moves_a_background(model, context):
    """m - b and d - b are those of the observations of x - b."""
    b = truth(globe(), 4, 11)
    errors = truth(globe(), 12, 12).unflatten(0, (4, 3))
    streams = RandomStreams(0, torch.arange(4), 3)
    m, s, d = model.analyse(context, streams.again(), b, errors)
    relative = Context(4, observed=context.observed - b * context.mask, mask=context.mask, noise=0.2)
    m0, _, d0 = model.analyse(relative, streams.again(), torch.zeros_like(b), errors)
    assert s is None
    assert torch.allclose(m, b + m0, atol=1e-5)
    assert torch.allclose(d, b[:, None] + d0, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "name"), [(training_series, "MAX_DENSE_BYTES"), (training_series, "MAX_DOUBLE_VALUES")]
)
@pytest.mark.parametrize("fold", [None, 1])
def test_large_grids_take_another_way_to_the_same_numbers(training, context, module, name, fold):
    """SecondMoment without a matrix of all values, and in single precision."""
    values = {"weight": 0.8, "taper": 20000.0, "length": 2500.0, "nugget": 0.01}
    streams = RandomStreams(0, torch.arange(4), 3)
    expected = solved(globe(), *training, **values).moments(context, streams.again(), fold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, 0)
        result = solved(globe(), *training, **values).moments(context, streams.again(), fold)
    for ours, separate in zip(result, expected, strict=True):
        assert torch.allclose(ours, separate, atol=2e-4)


def test_an_ensemble_is_updated_to_the_posterior_of_the_linear_gaussian_problem(model, training):
    """Members of N(b, C), observed: N(b + K (y - H b), (I - K H) C), K = C H^T (H C H^T + R)^-1."""
    members, space = 20_000, globe()
    c, sd = covariance(training[0], 0.8, 20000.0, 2500.0)
    root = torch.linalg.cholesky(c)
    z = torch.randn(members + 1, N, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    b = truth(space, 1, 8).flatten().double() / 2
    ensemble, x = b + z[1:] @ root.T, b + root @ z[0]
    group = torch.arange(0, N, 7)
    mask = torch.zeros(N, dtype=torch.bool)
    mask[group] = True
    r = 0.3**2 + 0.01 * sd[group].square()
    y = x[group] + r.sqrt() * torch.randn(len(group), generator=torch.Generator().manual_seed(9)).double()
    observed = torch.zeros(N).index_copy(0, group, y.float())
    context = Context(
        1, observed=observed.view(1, *space.state_shape), mask=mask.view(1, *space.state_shape), noise=0.3
    )
    background = ensemble.float().view(1, members, *space.state_shape)
    streams = RandomStreams(0, torch.zeros(1, dtype=torch.long), members)
    _, _, analysis = model.analyse(
        context, streams, background.mean(1), background - background.mean(1)[:, None]
    )
    k = torch.linalg.solve(c[group][:, group] + torch.diag(r), c[group]).T
    posterior = (c - k @ c[group]).diagonal().sqrt()
    drawn = analysis.flatten(2)[0].double()
    assert torch.allclose(
        drawn.mean(0), b + k @ (y - b[group]), atol=5 * float(posterior.max()) / members**0.5
    )
    assert torch.allclose(drawn.T.cov(), c - k @ c[group], atol=0.05)
    assert posterior[group].max() < 0.5 * sd[group].min()  # which is far from what it was


def test_an_ensemble_stays_as_it_is_where_nothing_is_observed(model):
    background = truth(globe(), 6, 4).unflatten(0, (2, 3))
    nothing = torch.zeros(2, *globe().state_shape)
    context = Context(2, observed=nothing, mask=nothing > 0, day=torch.zeros(2))
    mean = background.mean(1)
    errors = background - mean[:, None]
    _, _, analysis = model.analyse(context, RandomStreams(0, torch.arange(2), 3), mean, errors)
    assert torch.equal(analysis, mean[:, None] + errors)


def test_poles_of_coincident_cells_do_no_harm():
    space = globe(9, poles=True)
    x = torch.randn(80, *space.state_shape, generator=torch.Generator().manual_seed(0))
    x[..., 0, :], x[..., -1, :] = x[..., 0, :1], x[..., -1, :1]
    model = solved(space, x, None, nugget=0.0)
    mask = torch.ones(1, *space.state_shape, dtype=torch.bool)
    m, s, d = model.moments(Context(1, observed=x[:1], mask=mask), RandomStreams(0, torch.tensor([0]), 2))
    assert torch.allclose(m, x[:1], atol=1e-3)
    assert torch.allclose(d, x[None, :1].expand_as(d), atol=1e-3)
    assert s.isfinite().all()


def test_cells_that_never_exist_stay_zero_and_nothing_observed_gives_the_season(training):
    space = globe()
    exists = space.exists.clone()
    exists[2, 3:6] = False
    space = Space(space.variables, True, space.area, exists, space.points, space.static, space.tendency)
    model = solved(space, training[0] * exists, training[1])
    mask = torch.zeros(1, *space.state_shape, dtype=torch.bool)
    c = Context(1, observed=mask.float(), mask=mask, day=torch.tensor([0.3]))
    m, s, d = model.moments(c, RandomStreams(0, torch.tensor([0]), 3))
    assert not m.any()
    assert not d[..., ~exists].any()
    assert torch.allclose(d, model.season(c, RandomStreams(0, torch.tensor([0]), 3)))
    assert (s[..., exists] > 0.5).all()


def test_a_loaded_model_draws_the_same(model, context):
    loaded = OptimalInterpolation(globe())
    loaded.load_state_dict(model.state_dict())
    streams = RandomStreams(0, torch.arange(4), 2)
    assert loaded.tuned_values() == model.tuned_values()
    assert torch.equal(loaded.sample(context, streams.again()), model.sample(context, streams.again()))
    loaded.load_state_dict(
        {**model.state_dict(), "anomalies": 2 * model.anomalies}
    )  # what was made is not kept
    assert not torch.equal(loaded.sample(context, streams.again()), model.sample(context, streams.again()))


def test_the_state_is_training_anomalies_days_and_choices(model, context):
    model.moments(context, RandomStreams(0, torch.arange(4), 2), 1)
    assert set(model.state_dict()) == {"anomalies", "days", "number", *model.choices}
    assert "_derived" in vars(model) and "_derived" not in vars(copy.deepcopy(model))


def test_order_of_the_training_set_follows_index(training):
    x, days = training
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    model = OptimalInterpolation(globe())
    model.solve([Batch(x[order], Context(len(x), day=days[order]), index=order)])
    assert torch.equal(model.anomalies, x.flatten(2))
    assert torch.equal(model.days, days)


def test_an_unknown_correlation_is_refused():
    config = {"type": "optimal_interpolation.OptimalInterpolation", "correlation": "gaussian"}
    with pytest.raises(ValueError, match="'gaussian' should be 'exponential', 'matern32' or 'matern52'"):
        check_model(config, "model")
