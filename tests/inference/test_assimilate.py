"""Cycles over stored observations: contract, resumption, and the network of each day."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from fieldcast.encoding.cycle_observations import observe_cycle, require_cycle_observations
from fieldcast.encoding.options import CycledAssimilation, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.inference.cycle.assimilate import (
    Assimilator,
    analysis_context,
    assimilate,
    pack_cycle,
    resume_cycle,
)
from fieldcast.models.assimilation.filter import UPDATE, CycleState
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.persistence import Persistence
from fieldcast.models.random_streams import RandomStreams
from fieldcast.scores.assimilation import assimilation_statistics
from fieldcast.tasks.scoring_inputs import cell_areas
from fieldcast.training.state_source import InMemory

CYCLING = CycledAssimilation(spin_up=2, steps=5, members=4, cases={"random": [0.1, 0.3]})
SPARSIFICATION = Sparsification(noise=0.1)
SOURCES = {"members": 4, "seed": 3, "model": "abc"}


@pytest.fixture(scope="module")
def observations(world):
    return observe_cycle(
        world.fields, world.splits, world.codec, world.space, SPARSIFICATION, CYCLING, Limits()
    )


@pytest.fixture(scope="module")
def hybrid(world):
    filter_ = Hybrid(world.space)
    filter_.fill_pool(torch.nan_to_num(world.codec.encode(world.split("train"))))
    return Assimilator.of(filter_, Persistence(world.space), world.codec)


def test_every_day_has_its_own_mask_with_the_requested_fraction(world, observations):
    observed = np.isfinite(observations["t"].values)
    assert observed.shape[:2] == (2, 7)
    assert observed.mean((1, 2, 3)) == pytest.approx([0.1, 0.3], abs=0.01)
    assert not (observed[:, 1:] == observed[:, :-1]).all((2, 3)).any()
    days = observations["time"].values
    assert (np.diff(days) == np.timedelta64(1, "D")).all()
    assert days[0] == world.split("test")["time"].values[0]


def test_observations_are_the_truth_plus_noise(world, observations):
    truth = world.split("test")["z"].values[:7]
    errors = (observations["z"].values - truth) / world.codec.deviation[1]
    assert np.nanstd(errors) == pytest.approx(0.1, rel=0.15)


def test_a_share_has_gross_errors_and_filters_assume_another_error(world, observations):
    wrong = replace(CYCLING, gross_errors=0.05, assumed_error=2.0)
    other = observe_cycle(
        world.fields, world.splits, world.codec, world.space, SPARSIFICATION, wrong, Limits()
    )
    differences = [
        (other[v] - observations[v]).values / deviation
        for v, deviation in zip(world.codec.variables, world.codec.deviation, strict=True)
    ]
    size = np.abs(np.stack(differences)[np.isfinite(differences)])
    gross = size > 1
    assert gross.mean() == pytest.approx(0.05, abs=0.03)  # share among 460 values
    np.testing.assert_allclose(size[gross], 5.0, rtol=1e-4)
    np.testing.assert_allclose(size[~gross], 0.0, atol=1e-4)
    assert other.attrs["noise"] == 2 * observations.attrs["noise"] == 0.2
    with pytest.raises(InputError, match="recreate them with `kedro run --pipelines observing_network`"):
        require_cycle_observations(
            observations, world.fields, world.normalisation, world.splits, SPARSIFICATION, wrong, Limits()
        )


def test_other_options_are_refused(world, observations):
    other = CycledAssimilation(spin_up=2, steps=5, members=4, cases={"random": [0.1]})
    with pytest.raises(InputError, match="recreate them with `kedro run --pipelines observing_network`"):
        require_cycle_observations(
            observations, world.fields, world.normalisation, world.splits, SPARSIFICATION, other, Limits()
        )


def test_a_cycle_is_stored_day_by_day_and_resumes_to_the_same_numbers(world, observations, hybrid):
    training = world.split("train")
    whole = list(assimilate(hybrid, observations, training, SOURCES))
    assert [piece.members.attrs["piece"] for piece in whole] == list(range(7))
    assert dict(whole[0].members.sizes) == {
        "state": 2, "case": 2, "time": 1, "member": 4, "latitude": 7, "longitude": 12
    }  # fmt: skip
    for on_disk in (3, 4):  # interrupted after, or between, the saves of members and state
        rest = list(assimilate(hybrid, observations, training, SOURCES, whole[2].state, on_disk))
        assert [piece.members.attrs["piece"] for piece in rest] == [3, 4, 5, 6]
        assert rest[-1].members["t"].values.tobytes() == whole[-1].members["t"].values.tobytes()
    other = list(assimilate(hybrid, observations, training, {**SOURCES, "seed": 4}, whole[2].state, 3))
    assert len(other) == 7  # another lineage starts anew


def test_a_state_is_resumed_if_its_lineage_is_that_of_this_run() -> None:
    """Sequences are compared by their values, because JSON has no tuples."""
    present = {**SOURCES, "range": ("2001-01-01", "2001-01-05")}
    file, device = (
        pack_cycle(CycleState(torch.zeros(1, 1, 1, 1, 1, 1), {}), 3, 0.0, present),
        torch.device("cpu"),
    )
    nothing = (None, {}, 0)
    assert [resume_cycle(file, present, on_disk, device)[2] for on_disk in (3, 4)] == [3, 3]
    assert resume_cycle(file, present, 2, device) == resume_cycle(file, present, 5, device) == nothing
    assert resume_cycle(file, {**present, "seed": 4}, 3, device) == nothing
    assert resume_cycle(None, present, 3, device) == nothing


def test_each_time_by_itself_is_the_reconstruction_of_that_time(world, observations):
    """Draws of a day without a forecast are those of the model, whatever the days before."""
    model = OptimalInterpolation(world.space)
    states = InMemory.undated(torch.nan_to_num(world.codec.encode(world.split("train"))))
    model.keep(model.grid.gather(states.values), world.codec.days(world.split("train")["time"]))
    assimilator = Assimilator.of(model, None, world.codec)
    pieces = list(assimilate(assimilator, observations, world.split("train"), SOURCES))
    c = analysis_context(observations, 6, world.codec, assimilator.filter)
    drawn = model.sample(c, RandomStreams(3, torch.arange(2), 4).at_lead(7).fork(UPDATE))
    stored = pieces[6].members.sel(state="analysis").transpose("case", "member", "time", ...)
    encoded = world.codec.encode(stored.drop_vars(["pattern", "k", "mask", "state"]))[:, :, 0]
    torch.testing.assert_close(encoded, drawn, atol=1e-4, rtol=1e-4)
    statistics, _ = assimilation_statistics(
        pieces[6].members, observations.isel(time=slice(6, 7)), world.fields,
        climatology=world.climatology, normalisation=world.normalisation, area=cell_areas(world.fields),
    )  # fmt: skip
    scores = statistics.set_index(["state", "cells", "variable", "statistic", "k"])["value"].sort_index()
    assert (
        scores["analysis", "unobserved", "all", "crps", 0.3]
        < 0.5 * scores["background", "unobserved", "all", "crps", 0.3]
    )
