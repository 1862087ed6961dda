import math
from functools import cache

import numpy as np
import pytest
import torch
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.fields import climatology, normalisation
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.models import masks
from fieldcast.models.core import Batch, Context
from fieldcast.models.gappy_pca import GappyPCA
from fieldcast.models.gaussian import robustness
from fieldcast.models.gaussian.grid_points import GridPoints
from fieldcast.models.interpolation import Linear
from fieldcast.models.kriging import Kriging
from fieldcast.models.layers.crps import fair_crps
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams


def test_only_what_a_few_days_have_made_has_a_variance_of_its_own():
    """1000 days of standard normal numbers have none; three days of 0.3 in a thousand have 0.15^2 less their own."""
    normal = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rare = torch.zeros(1000, dtype=torch.float64)
    rare[[4, 70, 700]] = 0.3
    large = 10 * rare
    a = torch.stack([normal, 0.05 * normal, rare, large], dim=1)
    rare_variance = robustness.MomentSums().add(a[:300]).add(a[300:]).rare
    assert rare_variance[:2].tolist() == [0, 0]
    assert float(rare_variance[2]) == pytest.approx(0.15**2 - 3 * 0.3**2 / 1000)
    assert float(rare_variance[3]) == pytest.approx(0.7**2 - 3 * 3**2 / 1000)


def test_variance_is_added_near_failed_observations_and_not_where_observed(space):
    places = GridPoints(space)
    index = torch.arange(0, len(places), 5) + len(places)  # a fifth of the second of two variables
    excess = torch.zeros(len(index), dtype=torch.float64)
    assert not robustness.added_variance(excess, index, places, 2).any()
    excess[6] = 0.7
    excess[20] = 1e4
    added_variance = robustness.added_variance(excess, index, places, 2).unflatten(0, (2, -1))
    assert not added_variance[0].any()
    assert not added_variance[1, index - len(places)].any()
    square = (places.points - places.points[index[6] - len(places)]).square().sum(1)
    other = (places.points - places.points[index[20] - len(places)]).square().sum(1)
    scale = len(index) / (4 * math.pi * places.extent)
    expected = torch.maximum(0.7 * torch.exp(-square * scale), torch.exp(-other * scale))
    hidden = torch.ones(len(places), dtype=torch.bool)
    hidden[index - len(places)] = False
    assert torch.allclose(added_variance[1, hidden], expected[hidden])


@cache
def weather() -> xr.Dataset:
    """Three years of temperature."""
    return simulate(PlanetOptions(years=3, spin_up=90, n_longitude=32, n_latitude=16), 0)[["t650"]].load()


def clamped(kind: str) -> dict[str, torch.Tensor]:
    """Weather whose temperature cannot fall below the 99 % quantile of training in a quarter of the cells, as that of
    water under ice cannot fall below freezing; the test times are warmed there by a standard deviation.

    The quarter is drawn at random, or lies round the poles.
    """
    fields = weather().copy(deep=True)
    x, train = fields["t650"].values, slice(730)
    where = np.random.default_rng(0).random(x.shape[1:]) < 0.25
    if kind == "poles":
        where[:] = False
        where[[0, 1, -2, -1]] = True
    x[730:, where] += x[train].std(0)[where]
    x[:, where] = np.maximum(x, np.quantile(x[train], 0.99, axis=0).astype(np.float32))[:, where]
    fields = fields.assign_coords(segment=("time", np.zeros(len(x), np.int32)))
    usual = climatology.fit(fields.isel(time=train))
    scale = normalisation.fit(fields.isel(time=train), usual)
    codec, space = FieldCodec.of(fields, usual, scale), space_of(fields, usual, scale)
    return {"x": codec.encode(fields), "day": codec.days(fields["time"]), "space": space}


@pytest.fixture(scope="module", params=["random", "poles"])
def world(request):
    data = clamped(request.param)
    context = Context(730, day=data["day"][:730])
    models = [OptimalInterpolation(data["space"]), Kriging(data["space"])]
    models += [GappyPCA(data["space"]), Linear(data["space"])]
    for model in models:
        model.solve([Batch(data["x"][:730], context)])
    models[1].choose(length=1400.0)
    models[2].choose(modes=20.0, ridge=1.0)
    return data, models


def observed(data, k: float, pattern: str, noise: float) -> tuple[torch.Tensor, Context]:
    """Thirty days of the test, seen through two masks."""
    datum = torch.arange(735, len(data["x"]), 12)
    x, number = data["x"][datum], torch.arange(len(datum)) % 2
    mask = masks.draw((pattern,), (k, k), RandomStreams(7, number), data["space"])
    y = x + noise * RandomStreams(11, datum).normal(*x.shape[1:])[:, 0]
    return x, Context(len(x), observed=y * mask, mask=mask, day=data["day"][datum], noise=noise)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("pattern", ["random", "swaths"])
def test_a_departure_that_training_never_saw_does_no_harm(world, pattern, noise):
    """Errors fall with what is observed and stay below those of linear interpolation, and spreads know of them."""
    data, (interpolation, kriging, gappy, linear) = world
    rmse: dict[str, list[float]] = {"interpolation": [], "kriging": []}
    for k in (0.1, 0.2, 0.5):
        x, c = observed(data, k, pattern, noise)
        weight = data["space"].weight * ~c.mask

        def error(mean: torch.Tensor, x: torch.Tensor = x, weight: torch.Tensor = weight) -> float:
            return float((((mean - x).square() * weight).sum() / weight.sum()).sqrt())

        streams = RandomStreams(3, torch.arange(len(x)), 1)
        limit = error(linear.sample(c, streams)[:, 0])
        if pattern == "random":
            assert error(gappy.sample(c, streams)[:, 0]) < error(torch.zeros_like(x))
        for name, model in (("interpolation", interpolation), ("kriging", kriging)):
            d = model.sample(c, RandomStreams(3, torch.arange(len(x)), 200))
            away = ((d.mean(1) - x).abs() / d.std(1))[~c.mask]
            rmse[name].append(error(d.mean(1)))
            assert rmse[name][-1] < limit
            assert (away > 5).float().mean() < 3e-3  # two years have seen seven such days, and no warmer ones
            assert away.max() < 20
    for values in rmse.values():
        assert values == sorted(values, reverse=True)


def test_a_gross_error_is_detected_and_weighs_little(world):
    data, models = world
    x, c = observed(data, 0.3, "random", 0.1)
    spoiled = c.observed.clone()
    at = c.mask[0].nonzero()[5]
    spoiled[0, *at] += 15 * x.std()
    bad = Context(c.count, observed=spoiled, mask=c.mask, day=c.day, noise=c.noise)
    streams = RandomStreams(3, torch.arange(c.count), 50)
    for model in models[:2]:
        more = model.suspects(bad) & ~model.suspects(c)
        assert more.nonzero().tolist() == [[0, *at.tolist()]]
        clean, dirty = model.sample(c, streams.again()), model.sample(bad, streams.again())
        hidden = ~c.mask[0]
        assert (dirty - clean).mean(1)[0][hidden].abs().max() < 1.5
        assert fair_crps(dirty, x)[0][hidden].mean() < 1.25 * fair_crps(clean, x)[0][hidden].mean()
        assert dirty.std(1)[0][hidden].mean() > clean.std(1)[0][hidden].mean()
