"""Interpolation: exact cases, an independent library, brute force, and the globe that has no edge."""

import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RBFInterpolator

from fieldcast.errors import InputError
from fieldcast.models import interpolation, masks
from fieldcast.models.core import Context
from fieldcast.models.interpolation import Linear, Nearest, ThinPlate
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

METHODS = (Nearest, Linear, ThinPlate)


def make_space(latitudes=12, columns=24, variables=1, *, region=None, poles=False, exists=None):
    """A global grid, or the region (south, north, west, east) in degrees."""
    if region:
        latitude = torch.linspace(region[0], region[1], latitudes, dtype=torch.float64)
        longitude = torch.linspace(region[2], region[3], columns, dtype=torch.float64)
    else:
        edge = 90.0 if poles else 90 - 90 / latitudes
        latitude = torch.linspace(-edge, edge, latitudes, dtype=torch.float64)
        longitude = torch.arange(columns, dtype=torch.float64) * 360 / columns
    phi, lam = torch.deg2rad(latitude)[:, None], torch.deg2rad(longitude)[None]
    z = phi.sin().expand(latitudes, columns)
    points = torch.stack([phi.cos() * lam.cos(), phi.cos() * lam.sin(), z], dim=-1).float()
    area = phi.cos().clamp(min=1e-3).expand(latitudes, columns).float()
    exists = torch.ones(latitudes, columns, dtype=torch.bool) if exists is None else exists
    names, static = tuple(f"v{i}" for i in range(variables)), torch.zeros(0, latitudes, columns)
    return Space(names, region is None, area / area.mean(), exists, points, static, torch.ones(variables))


def drawn_mask(space, count, k=0.1, *, seed=0, patterns=("random",), per_variable=False):
    return masks.draw(
        patterns, torch.full((count,), k), RandomStreams(seed, torch.arange(count)), space, per_variable
    )


def fill(model, x, mask, noise=0.0, members=1):
    c = Context(len(x), observed=torch.where(mask, x, 0.0), mask=mask, noise=noise)
    return model.sample(c, RandomStreams(0, torch.arange(len(x)), members=members))


def white(space, count, seed=0):
    return RandomStreams(seed, torch.arange(count)).normal(*space.state_shape)[:, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("per_variable", [False, True])
def test_observed_values_are_kept_and_rows_are_independent(method, per_variable):
    space = make_space(variables=3)
    model, x = method(space), white(space, 5)
    if method is ThinPlate:
        model.choose(smoothing=0.0)
    mask = drawn_mask(space, 5, 0.2, patterns=tuple(masks.PATTERN_FUNCTIONS), per_variable=per_variable)
    mask[3:] = mask[2]  # masks that are shared, and others that are not
    result = fill(model, x, mask, members=2)
    assert result.shape == (5, 2, *space.state_shape)
    assert torch.allclose(result[:, 0][mask], x[mask], atol=1e-4)
    assert torch.equal(result[:, 0], result[:, 1])
    alone = torch.cat([fill(model, x[i : i + 1], mask[i : i + 1]) for i in range(5)])
    assert torch.allclose(result[:, :1], alone, atol=1e-5)


def test_nearest_is_the_nearest_by_brute_force():
    space = make_space(variables=1)
    x, mask = white(space, 1), drawn_mask(space, 1)
    points = space.points.flatten(0, 1)
    distance = torch.acos((points @ points[mask.flatten()].T).clamp(-1, 1).double())
    result = fill(Nearest(space), x, mask)[0, 0].flatten()
    least = distance.min(1).values
    for value, row, low in zip(result, distance, least, strict=True):
        ties = x.flatten()[mask.flatten()][row < low + 1e-6]
        assert torch.isclose(value, ties, atol=1e-6).any()


@pytest.mark.parametrize("region", [(20, 60, 300, 350), (-30, 30, 150, 210)])
def test_linear_reproduces_a_linear_function_inside_the_hull(region):
    space = make_space(latitudes=11, columns=15, region=region)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 11), torch.linspace(-1, 1, 15), indexing="ij")
    truth = (0.3 + 0.7 * y - 1.1 * x)[None, None]
    mask = drawn_mask(space, 1, 0.2)
    mask[..., [0, 0, -1, -1], [0, -1, 0, -1]] = True  # the corners: the hull is the region
    assert torch.allclose(fill(Linear(space), truth, mask)[:, 0], truth, atol=1e-5)


def test_linear_is_linear_in_longitude_across_the_meridian_zero():
    space = make_space(latitudes=3, columns=24)
    mask = torch.zeros(1, 1, 3, 24, dtype=torch.bool)
    mask[..., [0, 2], 20] = mask[..., [0, 2], 4] = True
    x = torch.zeros(1, 1, 3, 24)
    x[..., 20], x[..., 4] = 0.0, 8.0
    result = fill(Linear(space), x, mask)[0, 0, 0, 1]
    assert torch.allclose(result[torch.arange(20, 29) % 24], torch.arange(9.0), atol=1e-5)
    assert torch.allclose(result[torch.arange(4, 21)], 8 - torch.arange(17.0) / 2, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("poles", [False, True])
def test_turning_the_globe_turns_the_result(method, poles):
    space = make_space(latitudes=13, columns=24, poles=poles)
    x, mask = white(space, 6), drawn_mask(space, 6, 0.1, seed=1)
    if poles:
        mask[..., [0, -1], :] = False
        mask[:3, ..., -1, :] = True
        x[..., -1, :] = 0.7
    model = method(space)
    result = fill(model, x, mask)
    # where several observations are equally near, or four lie on a circle, any of them may serve: so it is at a pole
    # that was not observed, which is one place in a row of cells, and at about 3 % of the other cells
    pole = ~mask.any(dim=3, keepdim=True).expand_as(mask)[:, None]
    pole[..., 1:-1, :] = False
    unique = torch.ones_like(pole) if method is ThinPlate else ~(pole & poles)
    for turn in (1, 7, 18):
        turned = fill(model, x.roll(turn, 3), mask.roll(turn, 3)).roll(-turn, 4)
        different = (turned - result).abs() > 1e-4
        assert different[unique].float().mean() <= (0.0 if method is ThinPlate else 0.05)


@pytest.mark.parametrize("method", METHODS)
def test_a_pole_is_one_place(method):
    """The result at the pole is one value; observing it once is observing it from every longitude."""
    space = make_space(latitudes=13, columns=24, poles=True)
    x, mask = white(space, 1), drawn_mask(space, 1, 0.1)
    mask[..., -1, :] = False
    single, all_of_it = mask.clone(), mask.clone()
    single[..., -1, 5], all_of_it[..., -1, :] = True, True
    x[..., -1, :] = 1.5
    results = [fill(method(space), x, m)[0, 0, 0] for m in (mask, single, all_of_it)]
    for result in results:
        assert torch.allclose(result[-1], result[-1, :1], atol=1e-5)
    assert torch.allclose(results[1], results[2], atol=1e-5)
    assert (results[1][-1] - 1.5).abs().max() < 0.02
    assert (results[1][-2:] - results[0][-2:]).abs().max() > 0.1


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("region", [None, (20, 60, 300, 350)])
def test_few_observations_are_sound(method, count, region):
    space = make_space(region=region)
    mask = torch.zeros(1, 1, 12, 24, dtype=torch.bool)
    for i in range(count):
        mask[0, 0, 3 + 2 * i, 5 + 4 * i] = True
    x = torch.full((1, 1, 12, 24), 0.8)
    result = fill(method(space), x, mask)
    assert result.isfinite().all()
    if count == 0:
        assert (result == 0).all()
    elif method is not ThinPlate:
        assert torch.allclose(result, torch.tensor(0.8))
    else:
        assert result.max() < 1.2 and (result[:, 0][mask] - 0.8).abs().max() < 0.02


@pytest.mark.parametrize("method", METHODS)
def test_observations_on_one_parallel_are_sound(method):
    space = make_space()
    mask = torch.zeros(1, 1, 12, 24, dtype=torch.bool)
    mask[..., 4, ::3] = True
    x = white(space, 1)
    result = fill(method(space), x, mask)
    assert result.abs().max() < 2 * x[mask].abs().max()


@pytest.mark.parametrize("method", METHODS)
def test_nonexistent_cells_are_zero_and_carry_no_information(method):
    exists = torch.ones(12, 24, dtype=torch.bool)
    exists[3:9, 4:12] = False
    space = make_space(exists=exists)
    x, mask = white(space, 2), drawn_mask(space, 2, 0.2)
    result = fill(method(space), x, mask)
    assert (result[..., ~exists] == 0).all()
    x[..., ~exists] = math.nan
    assert torch.equal(result, fill(method(space), x, mask))


def observed_by(space, mask):
    return space.points.flatten(0, 1)[mask.flatten()].double().numpy()


def test_thin_plate_is_scipys_when_constant_and_trend_are_free():
    space = make_space()
    points = torch.nn.functional.normalize(space.points.flatten(0, 1).double(), dim=1).numpy()
    mask, x = drawn_mask(space, 1, 0.15), white(space, 1)
    where = mask.flatten().numpy()
    model = ThinPlate(space, trend=1e5)
    for smoothing, noise in ((0.0, 0.0), (1.0, 0.0), (1.0, 0.3)):
        model.choose(smoothing=smoothing)
        result = fill(model, x, mask, noise).flatten().numpy()
        e = smoothing * float(model.scale) * (interpolation.NUGGET + noise**2)
        expected = RBFInterpolator(points[where], x.flatten().numpy()[where], smoothing=e)(points)
        assert np.abs(result - expected).max() < 1e-3


def test_the_spline_is_positive_definite_on_the_sphere_from_the_least_trend_on():
    t, weight = np.polynomial.legendre.leggauss(300)
    # that of t in the series of r^2 log r
    coefficient = 1.5 * np.sum(weight * t * (1 - t) * np.log(2 - 2 * t))
    assert -interpolation.MIN_TREND < coefficient < -interpolation.MIN_TREND + 0.01
    space = make_space(latitudes=16, columns=32)
    model = ThinPlate(space, interpolation.MIN_TREND)

    def least():
        return torch.linalg.eigvalsh(model.kernel(model.grid.points, model.grid.points))[0]

    assert least() > 0
    model.trend = 1.4
    assert least() < 0
    with pytest.raises(InputError, match="trend"):
        ThinPlate(space, 1.5)


def test_the_noise_of_observations_smooths_and_is_kept_less_where_a_place_is_seen_once():
    space = make_space(latitudes=13, columns=24, poles=True)
    mask = torch.zeros(1, 1, 13, 24, dtype=torch.bool)
    mask[..., 3:10:2, ::4] = True
    x = white(space, 1)
    model = ThinPlate(space)
    model.choose(smoothing=1.0)
    off = [(fill(model, x, mask, noise)[0, 0] - x[0])[mask[0]].square().mean() for noise in (0.0, 0.3, 1.0)]
    assert 0 < off[0] < off[1] < off[2]
    x[..., -1, :] = 3.0
    once, often = mask.clone(), mask.clone()
    once[..., -1, 0] = often[..., -1, :] = True
    near = [float(fill(model, x, m, 1.0)[0, 0, 0, -1, 0]) for m in (once, often)]
    assert near[0] < near[1] < 3.0


def test_local_splines_are_near_the_whole_one(monkeypatch):
    space = make_space(latitudes=24, columns=48)
    smooth = masks.smooth_field(RandomStreams(0, torch.arange(3)), space, 1)
    mask = drawn_mask(space, 1, 0.4).expand(3, -1, -1, -1)
    model = ThinPlate(space)
    model.choose(smoothing=0.01)
    whole = fill(model, smooth, mask)[:, 0]
    monkeypatch.setattr(interpolation, "MAX_DENSE_OBSERVATIONS", 100)
    local = fill(model, smooth, mask)[:, 0]
    assert not torch.equal(whole, local)
    assert (local - whole).square().mean() < 0.05 * (whole - smooth).square().mean() + 1e-6


def test_a_smooth_field_is_best_by_thin_plate_then_linear_then_nearest():
    space = make_space(latitudes=24, columns=48)
    smooth = masks.smooth_field(RandomStreams(0, torch.arange(8)), space, 1)
    mask = drawn_mask(space, 8, 0.1)
    errors = [float((fill(m(space), smooth, mask)[:, 0] - smooth)[~mask].square().mean()) for m in METHODS]
    assert errors[0] > 1.2 * errors[1]
    assert errors[1] > 1.2 * errors[2]


def test_tuned_values_are_stored():
    space = make_space()
    model, fresh = ThinPlate(space), ThinPlate(space)
    model.choose(smoothing=10.0)
    fresh.load_state_dict(model.state_dict())
    assert fresh.tuned_values() == {"smoothing": 10.0}
    assert set(model.choices) == {"smoothing"} and Nearest(space).choices == {}
