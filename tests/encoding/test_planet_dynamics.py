"""The planet as the exact model of a filter: its days, its maps, and the LETKF that cycles it."""

import numpy as np
import pytest
import torch
import xarray as xr
from worlds import World

from fieldcast.encoding.cycle_observations import observe_cycle
from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import simulate
from fieldcast.inference.cycle.assimilate import Assimilator, PlanetDynamics, assimilate
from fieldcast.models.assimilation.ensemble_weights import move_members
from fieldcast.models.assimilation.perfect_letkf import STATE, PerfectLETKF
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.scores.assimilation import assimilation_statistics
from fieldcast.tasks.scoring_inputs import cell_areas

TINY = PlanetOptions(years=2, spin_up=60, truncation=7, step=0.25, n_longitude=16, n_latitude=8)
MEMBERS = 10
DRAWS = RandomStreams(0, torch.arange(1), MEMBERS)


@pytest.fixture(scope="module")
def planet() -> xr.Dataset:
    return simulate(TINY, seed=0)


@pytest.fixture(scope="module")
def world(planet: xr.Dataset) -> World:
    return World(planet.drop_vars("q").assign_attrs(source="a planet"))


@pytest.fixture(scope="module")
def dynamics(planet: xr.Dataset, world: World) -> PlanetDynamics:
    return PlanetDynamics(planet[["q"]], world.codec)


def filter_of(world: World, dynamics: PlanetDynamics, localisation: float = 0.0) -> PerfectLETKF:
    filter = PerfectLETKF(world.space, members=MEMBERS)
    filter.choose(localisation=localisation, relaxation=0.0, inflation=1.0)
    filter.dynamics = dynamics
    return filter


def days(world: World, numbers: list[int]) -> torch.Tensor:
    return world.codec.days(world.fields["time"][numbers])


def close_members(dynamics: PlanetDynamics, planet: xr.Dataset) -> torch.Tensor:
    """States near one another, so that the wind speed is almost linear in them."""
    q = dynamics.at(planet["time"][700 : 700 + MEMBERS])
    return (q[:1] + 0.03 * (q - q[:1]))[None]


def test_a_day_of_the_planet_is_its_next_stored_day_to_the_last_bit(
    planet: xr.Dataset, world: World, dynamics: PlanetDynamics
) -> None:
    before, after = [364, 700], [365, 701]
    q = dynamics.at(planet["time"][before])[:, None].expand(-1, 2, -1, -1, -1, -1)
    ahead = dynamics.ahead(q, days(world, after))
    assert np.array_equal(ahead[:, 1].numpy().astype(np.float32), planet["q"].values[after])
    anomalies = world.codec.encode(world.fields.isel(time=after))
    weather = dynamics.weather(ahead, days(world, after))[:, 0]
    torch.testing.assert_close(weather, anomalies, rtol=0, atol=6e-3)  # the fields are rounded


def test_streamfunction_increments_match_state_increments(
    planet: xr.Dataset, dynamics: PlanetDynamics
) -> None:
    """The maps resolve each state, but for its global mean, which all states of a season share almost exactly."""
    x, y = dynamics.at(planet["time"][[700, 722]])[:, None, None]
    y[..., 0, :, :, 0] = x[..., 0, :, :, 0]
    reached = dynamics.plus(x, dynamics.maps(y) - dynamics.maps(x))
    torch.testing.assert_close(reached, y, rtol=0, atol=1e-9 * float(y.abs().max()))


def test_weights_move_the_state_as_they_move_linear_fields(
    planet: xr.Dataset, world: World, dynamics: PlanetDynamics
) -> None:
    """Height, temperature and the eastward wind are linear in the state; so the same weights give the same analysis."""
    day, q = days(world, [700]), close_members(dynamics, planet)
    background = dynamics.weather(q, day)
    mask = torch.zeros(1, *world.space.state_shape, dtype=torch.bool)
    mask[:, :, 2:6:2, ::3] = True
    observed = background[:, 0] * mask
    c = Context(1, observed=observed, mask=mask, day=day, noise=0.1)
    filter = filter_of(world, dynamics)
    x, memory = filter.update(background, c, {STATE: q}, DRAWS)
    w = filter.weights(background, c, DRAWS)
    assert float(w.abs().max()) > 0.1
    torch.testing.assert_close(x[:, :, :3], move_members(background, w)[:, :, :3], rtol=0, atol=1e-5)
    torch.testing.assert_close(x, dynamics.weather(memory[STATE], day))


def test_exact_observations_of_all_cells_lead_to_the_truth(
    planet: xr.Dataset, world: World, dynamics: PlanetDynamics
) -> None:
    """A truth within the span of the members: the mean of the analysis is the truth, and its members agree."""
    day, q = days(world, [700]), close_members(dynamics, planet)
    background = dynamics.weather(q, day)
    truth = dynamics.weather((0.7 * q[:, 1] + 0.3 * q[:, 2])[:, None], day)[:, 0]
    c = Context(1, observed=truth, mask=torch.ones_like(truth, dtype=torch.bool), day=day, noise=1e-4)
    x, _ = filter_of(world, dynamics).update(background, c, {STATE: q}, DRAWS)
    before = (background.mean(1) - truth).square().mean().sqrt()
    assert (x.mean(1) - truth).square().mean().sqrt() < 0.05 * before
    assert x.std(1).mean() < 0.05 * background.std(1).mean()


def test_a_cycle_follows_the_truth_and_resumes_to_the_same_numbers(planet: xr.Dataset, world: World) -> None:
    cycling = CycledAssimilation(spin_up=6, steps=6, members=4, cases={"random": [0.3]})
    network, limits = Sparsification(noise=0.1), Limits()
    observations = observe_cycle(
        world.fields, world.splits, world.codec, world.space, network, cycling, limits
    )
    filter = PerfectLETKF(world.space, members=MEMBERS)
    filter.choose(localisation=6000.0, relaxation=0.2, inflation=1.05)
    assimilator = Assimilator.of(filter, None, world.codec, planet[["q"]])
    training, sources = world.split("train"), {"members": 4, "seed": 0}
    pieces = list(assimilate(assimilator, observations, training, sources))
    assert pieces[0].members.sizes["member"] == MEMBERS
    rest = list(assimilate(assimilator, observations, training, sources, pieces[6].state, 7))
    assert rest[-1].members["u200"].values.tobytes() == pieces[-1].members["u200"].values.tobytes()
    statistics, _ = assimilation_statistics(
        xr.concat([piece.members for piece in pieces[6:]], "time"), observations.isel(time=slice(6, None)),
        world.fields, climatology=world.climatology, normalisation=world.normalisation, area=cell_areas(world.fields),
    )  # fmt: skip
    table = statistics[(statistics["variable"] == "all") & (statistics["cells"] == "unobserved")]
    rmse = table[table["statistic"] == "squared_error"].groupby("state")["value"].mean() ** 0.5
    assert rmse["analysis"] < rmse["background"] < 0.5


def test_other_data_than_the_planet_are_refused(planet: xr.Dataset, world: World) -> None:
    with pytest.raises(InputError, match=r"set ingestion\.source to planet"):
        Assimilator.of(PerfectLETKF(world.space), None, world.codec)
    finer = simulate(PlanetOptions(years=0.01, spin_up=1, truncation=7, step=0.25), seed=0)
    with pytest.raises(InputError, match="not on the grid of the planet"):
        PlanetDynamics(finer[["q"]], world.codec)
    with pytest.raises(InputError, match="in the task assimilate"):
        PerfectLETKF(world.space).update(
            torch.zeros(1, 2, *world.space.state_shape),
            Context(1, day=torch.zeros(1)),
            {STATE: torch.zeros(1)},
            DRAWS,
        )
