"""Calibration of a filter on a small world: what it learns, resumption, and refusals."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fieldcast.encoding.checkpoint import pack, unpack
from fieldcast.encoding.options import Calibration, CycledAssimilation, Limits, Sparsification
from fieldcast.errors import InputError
from fieldcast.lineage import FINISHED_BEFORE
from fieldcast.models.persistence import Persistence
from fieldcast.runtime import Progress
from fieldcast.tasks.assimilate import Assimilation
from fieldcast.training.calibration import CyclePeriods, calibrate
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe

OPTIONS = Calibration(members=3, cycles=3, steps=6, spin_up=2, sweeps=2, tuning=3, k=0.3)
NETWORK = Sparsification(noise=0.1)
HYBRID = {"type": "assimilation.hybrid.Hybrid"}


@pytest.fixture(scope="module")
def forecast(world) -> bytes:
    header = {
        "model": {"type": "persistence.Persistence"}, "task": "forecast", "data": world.fields.attrs["digest"],
        "splits": dict(world.splits), "seed": 0,
    }  # fmt: skip
    return pack(Persistence(world.space), world.codec, header)


CYCLING = CycledAssimilation(calibration=OPTIONS, members=4)


def recipe(model: dict) -> Recipe:
    problem = Assimilation(CYCLING, NETWORK)
    return Recipe(problem, model, Fit(), 0, Limits(), "cpu")


def run(world, forecast: bytes | None, previous: bytes | None = None, model: dict = HYBRID) -> list:
    return list(calibrate(recipe(model), CYCLING, NETWORK, world.data, forecast, previous))


@pytest.fixture(scope="module")
def whole(world, forecast) -> list:
    return run(world, forecast)


def test_the_pool_holds_the_errors_of_the_forecast(world, whole) -> None:
    """Persistence of independent days: the error of a forecast is the difference of two states, of twice the variance
    where nothing is corrected; a cycle that observes a third of the cells does better."""
    model = unpack(whole[-1].checkpoint).model
    assert model.errors.shape[0] == OPTIONS.cycles * OPTIONS.steps
    assert 0.5 < float(model.errors.square().mean()) < 2.5
    assert [bool(saved.checkpoint) for saved in whole] == [False] * (len(whole) - 1) + [True]


@pytest.mark.parametrize("interrupted", [0, 1, 4])
def test_an_interrupted_calibration_resumes_to_the_same_filter(
    world, forecast, whole, interrupted: int
) -> None:
    """Cut after the first sweep, after the second, and in the search."""
    rest = run(world, forecast, whole[interrupted].state)
    assert len(rest) == len(whole) - 1 - interrupted
    expected, resumed = (unpack(saved[-1].checkpoint).model for saved in (whole, rest))
    assert expected.tuned_values() == resumed.tuned_values()
    assert torch.equal(expected.errors, resumed.errors)
    assert whole[-1].history.equals(rest[-1].history)
    assert not any(saved.history.attrs[FINISHED_BEFORE] for saved in (*whole, *rest))
    (again,) = run(world, forecast, whole[-1].state)
    assert again.history.attrs[FINISHED_BEFORE]


def test_a_finished_filter_is_kept_beside_the_state_of_another_calibration(world, forecast, whole) -> None:
    other = run(world, forecast, model={**HYBRID, "adaptive": False})[0]
    stored = whole[-1].checkpoint
    (again,) = calibrate(recipe(HYBRID), CYCLING, NETWORK, world.data, forecast, other.state, stored=stored)
    assert (again.checkpoint, again.state) == (stored, None)
    assert again.history.equals(whole[-1].history)


def test_each_copy_is_calibrated_for_its_network(world, forecast, whole) -> None:
    """The copy for k is what a filter calibrated at k is; interrupted, it comes to the same."""
    model = {"type": "assimilation.by_fraction.ByFraction", "filter": HYBRID, "fractions": [0.1, OPTIONS.k]}
    saved = run(world, forecast, model=model)
    first, second = unpack(saved[-1].checkpoint).model.copies
    alone = unpack(whole[-1].checkpoint).model
    assert torch.equal(second.errors, alone.errors) and second.tuned_values() == alone.tuned_values()
    assert not torch.equal(first.errors, second.errors)
    assert set(saved[-1].history["k"]) == {0.1, OPTIONS.k}
    before = len(saved) - 3  # in the search of the second copy
    rest = run(world, forecast, saved[before].state, model=model)
    assert rest[-1].history.equals(saved[-1].history)
    resumed = unpack(rest[-1].checkpoint).model.copies
    assert torch.equal(resumed[0].errors, first.errors) and torch.equal(resumed[1].errors, second.errors)


def test_trials_are_ranked_on_the_validation_split_alone(world, forecast, whole) -> None:
    """Other test fields change nothing, other validation fields change the scores."""

    def changed(name: str) -> list[float]:
        place = world.split(name)["time"]
        fields = world.fields.copy(deep=True)
        for v in world.codec.variables:
            fields[v].loc[{"time": place}] = fields[v].loc[{"time": place}].values[::-1]
        saved = list(
            calibrate(recipe(HYBRID), CYCLING, NETWORK, replace(world.data, fields=fields), forecast, None)
        )
        return saved[-1].history["validation"].to_list()

    scores = whole[-1].history["validation"].to_list()
    assert changed("test") == scores
    assert changed("validation") != scores


def test_cycles_are_stretches_of_their_split(world) -> None:
    trial = CyclePeriods.of(world.split("train"), world.codec, 4, 10, torch.device("cpu"))
    assert trial.x.shape[:2] == (10, 4)
    truth = world.codec.encode(world.split("train"))
    first = world.split("train")["time"].values.searchsorted(trial.first.values)
    assert np.unique(first).size == 4
    torch.testing.assert_close(trial.x[:, 1], truth[first[1] : first[1] + 10])


def test_what_cannot_be_calibrated_is_refused(world, forecast) -> None:
    with pytest.raises(InputError, match=r"uses: \{forecast: forecast.<name>\}"):
        run(world, None)
    with pytest.raises(InputError, match=r"uses: \{base: forecast.<name>\}"):
        lim = {"type": "linear_inverse_model.LinearInverseModel"}
        run(world, None, model={"type": "assimilation.kalman_filter.KalmanFilter", "base": lim})
    other = replace(world.data, fields=world.fields.assign_attrs(digest="another"))
    with pytest.raises(InputError, match="in the role 'forecast' was trained"):
        list(calibrate(recipe(HYBRID), CYCLING, NETWORK, other, forecast, None))
    with pytest.raises(ValueError, match="k = 1 leaves no unobserved cell"):
        Calibration(k=1.0)


def test_the_progress_counts_the_forecasts_of_all_sweeps_and_trials(
    world, forecast, whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Complete when the last trial ends, whether it began at the beginning or was resumed; in steps of the cycles."""
    bars: list[Progress] = []

    class Kept(Progress):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            bars.append(self)

    monkeypatch.setattr("fieldcast.training.calibration.Progress", Kept)
    run(world, forecast)
    run(world, forecast, whole[4].state)
    assert 0 == bars[0].initial < bars[1].initial
    assert {bar.n for bar in bars} == {bar.total for bar in bars} and len(bars) == 2
