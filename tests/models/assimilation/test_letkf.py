"""The LETKF against the Kalman filter, dense local analyses of each cell, and what must not change."""

import math

import pytest
import torch

from fieldcast.errors import InputError
from fieldcast.models.assimilation.baselines import FreeRun
from fieldcast.models.assimilation.ensemble_weights import move_members
from fieldcast.models.assimilation.filter import CycleState, cycle
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context
from fieldcast.models.gaussian.covariance_terms import chord, gaspari_cohn
from fieldcast.models.points import Points
from fieldcast.models.random_streams import RandomStreams

CYCLES, MEMBERS, NOISE = 2, 12, 0.3
DRAWS = RandomStreams(5, torch.arange(CYCLES), MEMBERS)


def filter_of(space, localisation=0.0, relaxation=0.0, inflation=1.0, **options):
    filter = LETKF(space, **options)
    filter.choose(localisation=localisation, relaxation=relaxation, inflation=inflation)
    return filter


@pytest.fixture
def background(space):
    """Smooth members in double precision, their mean away from 0."""
    generator = torch.Generator().manual_seed(0)
    waves = torch.randn(30, 3, generator=generator, dtype=torch.double)
    basis = torch.cos(waves @ space.points.double().flatten(0, 1).T + waves[:, :1])
    z = torch.randn(CYCLES, MEMBERS, 2, 30, generator=generator, dtype=torch.double) / 30**0.5
    return (z @ basis).unflatten(-1, space.shape) + 0.2


def observe(background, share=0.2, seed=3):
    """Some cells of a state like the members, another mask for each variable and cycle."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(background[:, 0].shape, generator=generator) < share
    error = NOISE * torch.randn(mask.shape, generator=generator, dtype=torch.double)
    return Context(len(mask), observed=(background[:, 0] + error) * mask, mask=mask, noise=NOISE)


def analysis(filter, background, c):
    return filter.update(background, c, {}, DRAWS)[0]


def moments(x):
    """Mean and covariance of members (members, values)."""
    x = x.flatten(1)
    return x.mean(0), (x - x.mean(0)).T @ (x - x.mean(0)) / (len(x) - 1)


def kalman(mean, p, c, datum):
    """The textbook update of a mean and a covariance."""
    h = torch.eye(len(mean), dtype=torch.double)[c.mask[datum].flatten()]
    gain = p @ h.T @ torch.linalg.inv(h @ p @ h.T + NOISE**2 * torch.eye(len(h), dtype=torch.double))
    return mean + gain @ (h @ (c.observed[datum].flatten() - mean)), p - gain @ h @ p


@pytest.mark.parametrize("rotation", [False, True])
def test_without_localisation_mean_and_covariance_equal_the_kalman_filter(space, background, rotation):
    c = observe(background)
    x = analysis(filter_of(space, rotation=rotation), background, c)

    for datum in range(CYCLES):
        mean, p = kalman(*moments(background[datum]), c, datum)
        torch.testing.assert_close(moments(x[datum])[0], mean, rtol=0, atol=1e-10)
        torch.testing.assert_close(moments(x[datum])[1], p, rtol=0, atol=1e-10)
    still = analysis(filter_of(space), background, c)
    assert (x - still).abs().max() > 0.1 if rotation else torch.equal(x, still)


def test_inflation_is_that_of_the_background(space, background):
    c = observe(background)
    mean = background.mean(1, keepdim=True)
    inflated = mean + 1.125 * (background - mean)

    torch.testing.assert_close(
        analysis(filter_of(space, inflation=1.125), background, c),
        analysis(filter_of(space), inflated, c), rtol=0, atol=1e-10,
    )  # fmt: skip


def test_relaxation_mixes_the_deviations_of_background_and_analysis(space, background):
    c = observe(background)
    free, relaxed = (analysis(filter_of(space, relaxation=a), background, c) for a in (0.0, 0.75))
    mean = free.mean(1, keepdim=True)

    expected = mean + 0.25 * (free - mean) + 0.75 * (background - background.mean(1, keepdim=True))
    torch.testing.assert_close(relaxed, expected, rtol=0, atol=1e-10)


def test_each_cell_has_the_analysis_of_observations_with_tapered_precision(space, background):
    """The Kalman update of one cell at a time, with R divided by its taper."""
    c, support = observe(background), 9000.0
    x = analysis(filter_of(space, localisation=support), background, c)
    points = torch.nn.functional.normalize(space.points.flatten(0, 1).double())
    taper = gaspari_cohn(chord(points, points), support).repeat(1, 2)  # (cell, value)

    mean, p = moments(background[0])
    h = torch.eye(len(mean), dtype=torch.double)[c.mask[0].flatten()]
    d = h @ (c.observed[0].flatten() - mean)
    for cell in (0, 70, 143):
        near = h @ taper[cell] > 0
        s = (h @ p @ h.T)[near][:, near] + torch.diag(NOISE**2 / (h @ taper[cell])[near])
        gain = p @ h[near].T @ torch.linalg.inv(s)
        for value in (cell, cell + 144):
            torch.testing.assert_close(
                moments(x[0])[0][value], (mean + gain @ d[near])[value], rtol=0, atol=1e-10
            )
            variance = (p - gain @ h[near] @ p)[value, value]
            torch.testing.assert_close(moments(x[0])[1][value, value], variance, rtol=0, atol=1e-10)


def test_the_mean_of_many_perturbed_analyses_is_that_of_the_kalman_filter(space, background):
    """The perturbations are centred, so the mean is exact; the covariance is so on average."""
    c, filter = observe(background), filter_of(space, perturbed=True)
    covariances = []
    for lead in range(60):
        x = filter.update(background, c, {}, DRAWS.at_lead(lead))[0]
        torch.testing.assert_close(
            x[0].mean(0).flatten(), kalman(*moments(background[0]), c, 0)[0], rtol=0, atol=1e-10
        )
        covariances.append(moments(x[0])[1].trace())
    expected = kalman(*moments(background[0]), c, 0)[1].trace()
    assert float(torch.stack(covariances).mean() / expected) == pytest.approx(1, abs=0.03)


def test_without_observations_the_background_is_unchanged(space, background):
    c, filter = observe(background), filter_of(space, 3000.0, inflation=1.2, rotation=True)
    none = Context(CYCLES, observed=0 * c.observed, mask=torch.zeros_like(c.mask), noise=NOISE)

    assert torch.equal(analysis(filter, background, none), background)


@pytest.mark.parametrize("node_spacing", [1, 2])
def test_out_of_reach_of_observations_members_are_unchanged(space, background, node_spacing):
    """A single observation; between nodes its reach grows by the distance to the next one."""
    mask = torch.zeros(CYCLES, 2, *space.shape, dtype=torch.bool)
    mask[0, 0, 4, 5] = True
    c = Context(CYCLES, observed=mask.double(), mask=mask, noise=NOISE)
    x = analysis(filter_of(space, 4000.0, inflation=1.2, node_spacing=node_spacing), background, c)

    points = space.points.flatten(0, 1)
    far = (chord(points, points)[4 * 16 + 5] > (4000 if node_spacing == 1 else 9500)).view(space.shape)
    assert far.any() and torch.equal(x[0][..., far], background[0][..., far])
    assert torch.equal(x[1], background[1])
    moved_cells = (x[0] != background[0]).all(0)
    assert moved_cells[:, 4, 5].all(), "of both variables, though one is observed"


def test_missing_cells_are_unchanged_and_take_no_part(space, background):
    exists = torch.ones(space.shape, dtype=torch.bool)
    exists[:, 8:] = False
    part, c = space.replace(exists=exists), observe(background)
    c = Context(CYCLES, observed=c.observed * exists, mask=c.mask & exists, noise=NOISE)
    x = analysis(filter_of(part, 6000.0, node_spacing=3), background, c)

    assert torch.equal(x[..., 8:], background[..., 8:])
    for rotation in (False, True):
        turned = analysis(filter_of(part, rotation=rotation), background, c)
        assert torch.equal(turned[..., 8:], background[..., 8:])
    whole = analysis(filter_of(space, 6000.0, node_spacing=3), background, c)
    torch.testing.assert_close(x[..., :8], whole[..., :8], rtol=0, atol=1e-10)


def test_an_error_beyond_five_deviations_is_rejected(space, background):
    c = observe(background)
    datum, variable, row, column = c.mask.nonzero()[0].tolist()
    wrong, without = c.observed.clone(), c.mask.clone()
    wrong[datum, variable, row, column] = 40.0
    without[datum, variable, row, column] = False
    filter = filter_of(space, 6000.0, inflation=1.1)

    rejected = Context(CYCLES, observed=wrong, mask=c.mask, noise=NOISE)
    missing = Context(CYCLES, observed=c.observed * without, mask=without, noise=NOISE)
    torch.testing.assert_close(
        analysis(filter, background, rejected), analysis(filter, background, missing), rtol=0, atol=1e-10
    )


def test_interpolated_weights_are_close_to_those_of_every_cell(sized):
    space = sized(variables=1, latitudes=33, columns=64)
    phase = torch.linspace(0, 2 * math.pi, MEMBERS + 1, dtype=torch.double)[:-1]
    points = space.points.double()
    members = (
        torch.cos(2 * points[None, ..., 0] + phase[:, None, None])
        + points[..., 2] * phase[:, None, None].sin()
    )
    background = members[None, :, None].expand(CYCLES, -1, -1, -1, -1)
    c = observe(background, 0.05)
    every, second = (analysis(filter_of(space, 6000.0, node_spacing=n), background, c) for n in (1, 2))

    increment = (every - background).square().mean().sqrt()
    assert 0 < (every - second).square().mean().sqrt() < 0.01 * increment


def test_a_station_at_the_centre_of_a_cell_is_an_observation_of_the_cell(space, background):
    c, filter = observe(background, 0.1), filter_of(space, 5000.0, inflation=1.125)
    datum, variable, row, column = c.mask.nonzero().T
    cells = (row * space.shape[1] + column)[:, None].expand(-1, 4)
    weights = torch.eye(4, dtype=torch.double)[:1].expand(len(datum), 4)
    y, nothing = c.observed[c.mask], torch.zeros_like(c.mask)
    stations = Points(datum, variable, cells, weights, y, torch.full_like(y, NOISE**2))
    between = Context(CYCLES, observed=0 * c.observed, mask=nothing, noise=1.0, points=stations)

    expected = analysis(filter, background, c)
    torch.testing.assert_close(analysis(filter, background, between), expected, rtol=0, atol=1e-10)


def test_weights_move_other_fields_of_the_members(space, background):
    """A field that is linear in the state moves as the state does, where cells share weights."""
    c, filter = observe(background), filter_of(space)
    w = filter.weights(background, c, DRAWS)
    other = background.sum(2, keepdim=True) + background.roll(3, -1)

    x = move_members(background, w)
    torch.testing.assert_close(
        move_members(other, w), x.sum(2, keepdim=True) + x.roll(3, -1), rtol=0, atol=1e-10
    )


def test_single_members_and_no_distance_are_refused(space, background):
    with pytest.raises(InputError, match="at least 2 members"):
        filter_of(space).weights(background[:, :1], observe(background), DRAWS)
    with pytest.raises(InputError, match=r"model\.node_spacing = 0"):
        LETKF(space, node_spacing=0)


def test_a_diverged_forecast_ends_a_cycle_but_not_a_free_run(space, background):
    day = torch.zeros(CYCLES)
    observed = [
        Context(CYCLES, observed=c.observed, mask=c.mask, noise=NOISE, day=day)
        for c in (observe(background, seed=seed) for seed in range(3))
    ]

    def forecast(c, draws):
        return (c.past[:, -1] * 1e200)[:, None]  # infinite in the second step

    def steps(filter):
        state = CycleState(background[:, :, None], filter.begin(CYCLES))
        return cycle(filter, forecast, observed, state, DRAWS)

    cycled = steps(filter_of(space, localisation=3000.0))
    next(cycled)
    with pytest.raises(InputError, match="has diverged at step 2"):
        next(cycled)
    assert [bool(step.background.isfinite().all()) for step in steps(FreeRun(space))] == [True, False, False]
