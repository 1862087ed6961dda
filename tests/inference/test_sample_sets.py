"""Samples beside real states: the training split in pieces is what it is at once, and floors are of unseen states."""

from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from fieldcast.encoding.states import AnyDayCodec, ImageCodec
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.fields.splits import select
from fieldcast.inference.samples import sets as module
from fieldcast.inference.samples.features import fit_features, load_features
from fieldcast.inference.samples.sets import SampleSets, compare
from fieldcast.models import image_transforms
from fieldcast.models.random_streams import RandomStreams
from fieldcast.scores.distances import neighbours


@pytest.fixture(scope="module")
def images() -> xr.Dataset:
    return open_images(ImageSource("digits", train=600, test=100))


@pytest.fixture(scope="module")
def extractor(images: xr.Dataset) -> bytes:
    return fit_features(images.drop_vars("label"), xr.Dataset(), split(images), None)


def drawn(images: xr.Dataset, treatment: str, count: int = 20) -> xr.Dataset:
    return images.isel(sample=slice(count)).assign_attrs(treatment=treatment)


@pytest.mark.parametrize("treatment", ["bernoulli", "symmetric", "grey"])
def test_images_in_pieces_are_treated_as_all_at_once(
    images: xr.Dataset, extractor: bytes, treatment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATES_AT_ONCE", 33)
    result = compare(drawn(images, treatment), images, xr.Dataset(), split(images), extractor, 0)
    codec = ImageCodec(treatment, 17)
    for name, states in (("test", result.states.test), ("train", result.states.training)):
        part = select(images, split(images), name)
        draws = image_transforms.fixed_streams(RandomStreams(0, torch.arange(part.sizes["sample"])))
        grey = codec.decode(codec.apply_treatment(codec.encode(part), draws))["image"].values
        assert len(states) == len(part["image"])
        np.testing.assert_array_equal(states[:], grey.reshape(len(grey), -1) / np.float32(16))
    places = np.array([7, 499, 7])
    np.testing.assert_array_equal(result.states.training[places], result.states.training[:][places])


def test_the_nearest_of_pieces_is_the_nearest(images: xr.Dataset, extractor: bytes) -> None:
    """Samples that are training images are at no distance from themselves."""
    result = compare(drawn(images, "grey"), images, xr.Dataset(), split(images), extractor, 0)
    near = neighbours(result.states.samples, result.states.training)
    assert near.index.tolist() == list(range(20))
    assert not near.distance.any()


@pytest.fixture(scope="module")
def of_world(world: Any) -> SampleSets:
    data, normalisation, splits = world.fields, world.normalisation, world.splits
    samples = AnyDayCodec.of(data, normalisation).decode(torch.zeros(30, *world.space.state_shape))
    created = fit_features(data, normalisation, splits, None)
    return compare(samples, data, normalisation, splits, created, 0)


def test_floors_are_of_years_that_the_features_never_saw(world: Any, of_world: SampleSets) -> None:
    training = world.split("train")
    features = load_features(fit_features(world.fields, world.normalisation, world.splits, None))
    fitted, other = (
        (training["time"].dt.year % 2 == odd).values for odd in (1, 0)
    )  # 2001, 2003 and the others
    records = features(training.isel(time=np.flatnonzero(fitted)))
    assert np.allclose(records.mean(axis=0), 0, atol=1e-6) and np.allclose(records.std(axis=0), 1, atol=1e-6)
    records = features(training.isel(time=np.flatnonzero(other)))
    floor = np.asarray(of_world.features.training)
    assert len(floor) == 240
    assert np.isclose(floor[:, None, :], records[None], rtol=1e-6, atol=1e-6).all(axis=2).any(axis=1).all()


def test_too_few_unseen_states_are_no_floor(world: Any) -> None:
    """Then all training states stand in the samples' place."""
    created = fit_features(world.fields, world.normalisation, world.splits, None)
    samples = AnyDayCodec.of(world.fields, world.normalisation).decode(
        torch.zeros(400, *world.space.state_shape)
    )
    result = compare(samples, world.fields, world.normalisation, world.splits, created, 0)
    assert len(result.features.training) == world.split("train").sizes["time"]


def test_noise_has_the_mean_and_deviation_of_each_cell(
    world: Any, of_world: SampleSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STATES_AT_ONCE", 100)
    cell_moments = module.cell_moments(of_world.training)
    for name, (mean, deviation) in cell_moments.items():
        values = world.split("train")[name].values.astype(float)
        np.testing.assert_allclose(mean, values.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-7)
    result = module.noise(of_world.training, 3000, 0)
    name = next(iter(cell_moments))
    mean, deviation = (part.values for part in cell_moments[name])
    assert result[name].dims == ("sample", "latitude", "longitude")
    assert np.abs((result[name].mean("sample") - mean) / deviation).max() < 5 / np.sqrt(3000)
    assert np.abs(result[name].std("sample") / deviation - 1).max() < 5 / np.sqrt(6000)


def test_memory_does_not_grow_by_copies(images: xr.Dataset, extractor: bytes, monkeypatch: Any) -> None:
    """No more training states are asked for at once than a piece, or than the floors need."""
    monkeypatch.setattr(module, "STATES_AT_ONCE", 50)
    requested = []
    states = module.SplitStates.states

    def noted(self: Any, places: Any) -> xr.Dataset:
        result = states(self, places)
        requested.append(result.sizes["sample"])
        return result

    monkeypatch.setattr(module.SplitStates, "states", noted)
    compare(drawn(images, "grey", 8), images, xr.Dataset(), split(images), extractor, 0)
    assert max(requested) == 64  # 8 times as many as there are samples


def test_a_drawn_value_that_is_not_finite_stays_so(world: Any) -> None:
    """Set to the mean of its variable, the value would hide that the model blew up."""
    cells = module.cells_of(world.data.fields, world.data.normalisation)
    states = world.split("test").isel(time=slice(4)).copy(deep=True)
    states["t"][2, 3, 5] = np.nan
    assert np.isfinite(cells(states)).all(axis=1).tolist() == [True, True, False, True]
