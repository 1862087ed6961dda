from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from pydantic import ValidationError

from fieldcast.encoding.observations import require_observations, sparsify
from fieldcast.encoding.options import Limits, Sparsification, TrainingMasks
from fieldcast.errors import InputError
from fieldcast.fields import climatology as climatologies
from fieldcast.kinds import Observations


def make(world, limits=None, **options):
    options = {"cases": {"random": [0.05, 0.5], "swaths": [0.2]}, "times": 20, "masks": 4, **options}
    return sparsify(
        world.fields, world.splits, world.codec, world.space, Sparsification(**options), limits or Limits()
    )


def test_k_holds_and_masks_are_cycled(world):
    data = make(world)
    Observations().validate(data)
    recorded = np.isfinite(data["t"])
    cells = recorded.sum(("latitude", "longitude")).transpose("case", "time").values
    assert (cells == np.round(data["k"].values * 7 * 12)[:, None]).all()
    assert data["mask"].values.tolist() == [i % 4 for i in range(20)]
    assert (recorded[:, 0] == recorded[:, 4]).all()
    assert not (recorded[:, 0] == recorded[:, 1]).all()
    assert (recorded == np.isfinite(data["z"])).all()


def test_values_are_the_truth_and_noise_has_its_size(world):
    truth = world.split("test")
    exact, noisy = make(world), make(world, noise=0.5, cases={"random": [0.5]})
    assert float(abs(exact["z"] - truth["z"]).max()) < 0.01
    deviation = world.normalisation["anomaly_std"].sel(variable="z").item()
    assert float((noisy["z"] - truth["z"]).std()) == pytest.approx(0.5 * deviation, rel=0.05)


def test_the_same_options_give_the_same_observations_and_another_seed_others(world):
    xr.testing.assert_identical(make(world), make(world))
    other = make(world, seed=1)
    assert other.attrs["digest"] != make(world).attrs["digest"]
    assert not (np.isfinite(other["t"]) == np.isfinite(make(world)["t"])).all()


def test_each_variable_its_own_mask_if_asked(world):
    data = make(world, per_variable=True)
    assert not (np.isfinite(data["t"]) == np.isfinite(data["z"])).all()


def test_limits_and_short_splits_cap_the_times(world):
    assert make(world, Limits(times=3)).sizes["time"] == 3
    assert make(world, times=10_000).sizes["time"] == world.split("test").sizes["time"]


def test_everything_may_be_observed(world):
    assert np.isfinite(make(world, cases={"random": [1.0]})["t"]).all()


def test_nothing_of_the_climatology_is_lost(world):
    """Observing the climatology gives the climatology."""
    test = climatologies.at(world.climatology, world.split("test")["time"]).assign_attrs(digest="0")
    data = sparsify(
        test,
        world.splits,
        world.codec,
        world.space,
        Sparsification(cases={"random": [1.0]}, times=5),
        Limits(),
    )
    assert float(abs(data["t"] - test["t"]).max()) < 1e-3


@pytest.mark.parametrize("k", [0.0, 0.004, 1.5, -0.1])
def test_a_fraction_out_of_range_names_its_key(k):
    with pytest.raises(ValidationError, match=r"sparsification\.cases\.random"):
        Sparsification(cases={"random": [k]})
    with pytest.raises(ValidationError, match=r"sparsification\.training\.k"):
        TrainingMasks(k=(k, 0.5))


def test_a_reversed_range_of_fractions_is_refused():
    with pytest.raises(ValidationError, match=r"sparsification\.training\.k = \[0\.5, 0\.005\] is reversed"):
        TrainingMasks(k=(0.5, 0.005))


def test_no_case_no_pattern_or_an_odd_seed_is_refused():
    with pytest.raises(ValidationError, match=r"sparsification\.cases"):
        Sparsification(cases={"random": []})
    for wrong in ({"seed": -1}, {"training": {"patterns": []}}):
        with pytest.raises(ValidationError):
            Sparsification(**wrong)


def test_other_splits_or_statistics_are_other_observations(world):
    """Observations depend on the training statistics, and so does their digest."""
    codec = replace(world.codec, deviation=2 * world.codec.deviation)
    options = Sparsification(cases={"random": [0.1]}, noise=0.1, times=3)
    a, b = (
        sparsify(world.fields, world.splits, c, world.space, options, Limits()) for c in (world.codec, codec)
    )
    assert a.attrs["digest"] != b.attrs["digest"]


def test_stored_observations_of_other_splits_fields_or_options_are_refused(world):
    """Stored observations may lie in the training split after the splits have changed."""
    options = Sparsification(cases={"random": [0.1], "swaths": [0.1]}, noise=0.1, times=3)
    stored = sparsify(world.fields, world.splits, world.codec, world.space, options, Limits())
    require_observations(stored, world.fields, world.normalisation, world.splits, options, Limits())
    trained = replace(options, training=TrainingMasks(k=(0.01, 0.2)))  # decides nothing of them
    require_observations(stored, world.fields, world.normalisation, world.splits, trained, Limits())
    moved = {**world.splits, "test": [world.splits["validation"][0], world.splits["test"][1]]}
    longer = {**world.splits, "train": [world.splits["train"][0], world.splits["validation"][0]]}
    others = [
        (world.fields, moved, options, Limits()),
        (world.fields, longer, options, Limits()),  # noise is in deviations of the training split
        (world.fields.assign_attrs(digest="1" * 12), world.splits, options, Limits()),
        (world.fields, world.splits, replace(options, noise=0.2), Limits()),
        (world.fields, world.splits, options, Limits(times=2)),
        (world.fields, world.splits, replace(options, cases={"swaths": [0.1], "random": [0.1]}), Limits()),
    ]
    for other in others:
        with pytest.raises(
            InputError, match=r"the stored observations were made with .*--pipelines sparsification"
        ):
            require_observations(stored, other[0], world.normalisation, *other[1:])
