"""The pattern `points`: truth interpolated between cells; points at cell centres are the cells."""

import numpy as np
import pytest
import xarray as xr
from worlds import World, make_world

import fieldcast
from fieldcast.encoding import observations
from fieldcast.encoding.observations import points_in, sparsify
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.reconstruct import lineage_of, reconstruct
from fieldcast.kinds import Observations
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, initial_model, train

TIMES = 6


def make(world, **options) -> xr.Dataset:
    options = {"cases": {"points": [0.3]}, "times": TIMES, "masks": 3, **options}
    return sparsify(world.fields, world.splits, world.codec, world.space, Sparsification(**options), Limits())


def readings(data: xr.Dataset, v: int) -> tuple[xr.DataArray, ...]:
    """Latitude, longitude and value of a variable's points in the first case."""
    of_variable = data.isel(case=0, point=np.flatnonzero(data["point_variable"] == v))
    return tuple(of_variable[f"point_{part}"] for part in ("latitude", "longitude", "value"))


def test_points_are_the_truth_interpolated_with_noise_of_its_size(world) -> None:
    data, truth = make(world), world.split("test")
    Observations().validate(data)
    assert not data["t"].notnull().any()
    deviation = world.codec.deviation.astype(float)
    noisy = make(world, noise=0.5, cases={"points": [1.0]}, times=20)
    exact = make(world, cases={"points": [1.0]}, times=20)
    for v, name in enumerate(world.codec.variables):
        latitude, longitude, value = readings(data, v)
        expected = truth[name].interp(time=data["time"], latitude=latitude, longitude=longitude).values
        inside = np.isfinite(expected)  # xarray knows neither the pole nor the date line
        assert inside.mean() > 0.5
        assert np.allclose(value.values[inside], expected[inside], atol=1e-3 * deviation[v])
        error = (readings(noisy, v)[2] - readings(exact, v)[2]).values
        assert error.std() == pytest.approx(0.5 * deviation[v], rel=0.1)


def test_points_lie_evenly_and_fewer_are_a_subset_of_more(world) -> None:
    few, many = (make(world, cases={"points": [k]}, masks=8, times=8) for k in (0.2, 1.0))
    (latitude, longitude, _), more = readings(few, 0), readings(many, 0)
    count = latitude.sizes["point"]
    assert count == round(0.2 * 7 * 12)
    assert np.array_equal(more[0][:, :count], latitude) and np.array_equal(more[1][:, :count], longitude)
    assert not (latitude.values[0] == latitude.values[1]).any()
    area, rows = (
        world.space.area.sum(1).numpy(),
        np.append(-np.inf, np.append(np.diff(world.codec.latitude) / 2 + world.codec.latitude[:-1], np.inf)),
    )
    in_rows = np.histogram(more[0].values, rows)[0]
    assert in_rows / in_rows.sum() == pytest.approx(area / area.sum(), abs=0.03)


@pytest.fixture(scope="module", params=["optimal_interpolation.OptimalInterpolation", "kriging.Kriging"])
def model(request, world, tmp_path_factory):
    recipe = Recipe(
        Reconstruction(Sparsification()), {"type": request.param}, Fit(), 0, Limits(times=6), "cpu"
    )
    path = tmp_path_factory.mktemp("models") / "checkpoint.safetensors"
    path.write_bytes(list(train(recipe, world.data, None))[-1].checkpoint)
    model = fieldcast.load(path).checkpoint.model
    model.choose(nugget=0.0, floor=0.0)  # the errors of members are numbered by the order of the observations
    return model


def test_points_at_cell_centres_without_noise_are_the_cells(model, world, monkeypatch) -> None:
    cells = make(world, cases={"random": [0.3]})
    count = round(0.3 * 7 * 12)

    def centres(codec, space, number, options):
        assert number == count
        observed = cells["t"].isel(case=0, time=slice(0, 3)).notnull().values
        row, column = (index.reshape(3, 1, count) for index in observed.nonzero()[1:])
        shape = (3, len(codec.variables), count)
        return tuple(np.broadcast_to(c, shape) for c in (codec.latitude[row], codec.longitude[column]))

    monkeypatch.setattr(observations, "point_locations", centres)
    points = make(world)
    of_cells, of_points = (
        next(reconstruct(model, world.codec, data, lineage_of("abc", data, 5, 7))).fields
        for data in (cells, points)
    )
    for v, name in enumerate(world.codec.variables):
        difference = abs(of_cells[name].mean("member") - of_points[name].mean("member")).max()
        assert float(difference) < 1e-3 * world.codec.deviation[v]


def test_networks_that_read_masks_refuse_points(world) -> None:
    vae = initial_model({"type": "vae.ConditionalVAE", "latent": 4}, world.space, 0).eval()
    data = make(world)
    with pytest.raises(
        InputError, match=r"^this experiment reads observations in the cells of its grid only"
    ):
        next(reconstruct(vae, world.codec, data, lineage_of("abc", data, 3, 7)))
    recipe = {"type": "vae.ConditionalVAE", "latent": 4}, Fit(steps=1), 0, Limits(), "cpu"
    scored = Reconstruction(Sparsification(cases={"points": [0.1]}))
    with pytest.raises(
        InputError, match=r"sparsification\.cases has points\) reads observations in the cells"
    ):
        next(train(Recipe(scored, *recipe), world.data, None))
    with pytest.raises(ValueError, match="training"):
        Sparsification(training={"patterns": ["points"]})


def test_points_do_not_change_the_other_cases(world) -> None:
    both, grid = make(world, cases={"random": [0.3], "points": [0.3]}), make(world, cases={"random": [0.3]})
    assert np.array_equal(both["t"].isel(case=0), grid["t"].isel(case=0), equal_nan=True)
    assert (
        both["point_value"].isel(case=0).isnull().all() and both["point_value"].isel(case=1).notnull().all()
    )
    assert "point_value" not in grid.coords


def test_each_time_of_a_360_day_calendar_has_its_points() -> None:
    """29 and 30 February are two times, although the standard calendar has no such dates."""
    time = xr.date_range("2001-01-01", periods=1500, calendar="360_day", use_cftime=True)
    world = World(make_world(days=1500).assign_coords(time=time))
    case = make(world, times=400, masks=40).isel(case=0)
    dates = [(t.month, t.day) for t in case["time"].values]
    assert (2, 29) in dates and (2, 30) in dates
    points = points_in(case, world.codec, world.space, 0.0)
    count = np.bincount(points.datum.numpy(), minlength=case.sizes["time"])
    assert (count == case.sizes["point"]).all()
