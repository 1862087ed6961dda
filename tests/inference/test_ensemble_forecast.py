import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fieldcast.encoding.initial_times import select_initial_times
from fieldcast.encoding.options import Limits, Rollout, Stability
from fieldcast.errors import InputError
from fieldcast.inference.forecasts import ensemble
from fieldcast.inference.forecasts.ensemble import EnsembleForecaster, context_at, forecast, long_rollout
from fieldcast.models.core import Solved
from fieldcast.training.run import initial_model

OPTIONS = Rollout(
    initial_times=9, steps=4, members=3, stability=Stability(initial_times=2, steps=12, members=3)
)
NETWORK = {"type": "vae.ConditionalVAE", "history": 2, "latent": 4, "random": 1}


class Persistence(Solved):
    history, deterministic = 1, True

    def solve(self, training):
        pass

    def sample(self, c, draws):
        return c.base()[:, None]


@pytest.fixture(scope="module")
def stored(world):
    return select_initial_times(world.fields, world.splits, OPTIONS, Limits())


def forecaster_of(world, stored, model=None, times="scored", **options):
    model = model or initial_model(NETWORK, world.space, 0).eval()
    return EnsembleForecaster(model, world.codec, world.fields, stored[times], 3, 0, **options)


def test_persistence_is_the_last_anomaly_on_the_climatology_of_the_valid_day(world, stored):
    piece = list(forecast(forecaster_of(world, stored, Persistence(world.space)), stored, None, "f"))[
        2
    ].forecasts
    assert piece["t"].dims == ("lead", "start", "member", "latitude", "longitude")
    assert piece["lead"].item() == 72 and piece.sizes["member"] == 1
    assert (piece.attrs["members"], piece.attrs["seed"], piece.attrs["model"]) == (3, 0, "f")
    begin = pd.DatetimeIndex(piece["start"].values)
    anomaly = {}
    for name, days in (("start", begin), ("valid", begin + pd.Timedelta("3D"))):
        usual = world.climatology["t"].sel(dayofyear=xr_days(days)).values
        field = world.fields["t"].sel(time=begin).values if name == "start" else piece["t"].values[0, :, 0]
        anomaly[name] = field - usual
    assert np.allclose(anomaly["start"], anomaly["valid"], atol=1e-3)


def xr_days(days):
    return [min(d.dayofyear - (d.is_leap_year and d.dayofyear > 59), 365) for d in days]


def test_an_interrupted_rollout_resumes_to_the_same_bits(world, stored):
    whole = list(forecast(forecaster_of(world, stored), stored, None, "f"))
    for on_disk in (2, 3):  # the second: killed between the lead and its state
        rest = list(forecast(forecaster_of(world, stored), stored, whole[1].state, "f", on_disk))
        assert [p.forecasts.attrs["piece"] for p in rest] == [2, 3]
        assert all(a.forecasts.identical(b.forecasts) for a, b in zip(rest, whole[2:], strict=True))


@pytest.mark.parametrize("model", [None, Persistence])
def test_a_rollout_resumes_in_pieces_of_another_size(world, stored, model, monkeypatch):
    """A device draws more starts at once than a processor."""
    of = model and model(world.space)
    whole = list(forecast(forecaster_of(world, stored, of), stored, None, "f"))
    monkeypatch.setattr(ensemble, "MEMBERS_AT_ONCE", 3)
    small = forecaster_of(world, stored, of)
    assert len(small.pieces) > 1
    rest = list(forecast(small, stored, whole[1].state, "f", 2))
    for a, b in zip(rest, whole[2:], strict=True):
        xr.testing.assert_allclose(a.forecasts, b.forecasts, rtol=1e-4)
    state = rest[0].state
    monkeypatch.undo()
    rest = list(forecast(forecaster_of(world, stored, of), stored, state, "f", 3))
    xr.testing.assert_allclose(rest[-1].forecasts, whole[-1].forecasts, rtol=1e-4)


@pytest.mark.parametrize(("model", "on_disk"), [("other", 2), ("f", 0), ("f", 4)])
def test_a_state_of_something_else_is_not_resumed(world, stored, model, on_disk):
    state = next(forecast(forecaster_of(world, stored), stored, None, "f")).state
    begun = next(forecast(forecaster_of(world, stored), stored, state, model, on_disk))
    assert begun.forecasts.attrs["piece"] == 0


def test_the_same_weights_fed_on_in_another_way_begin_anew(world, stored):
    """Other options also restart a long rollout, for which a finished state would otherwise be taken."""
    item, other = (forecaster_of(world, stored, feedback=feedback) for feedback in ("members", "mean"))
    state = next(forecast(item, stored, None, "f")).state
    assert next(forecast(forecaster_of(world, stored), stored, state, "f", 1)).forecasts.attrs["piece"] == 1
    assert next(forecast(other, stored, state, "f", 1)).forecasts.attrs["piece"] == 0
    assert item.lineage("f", stored) != other.lineage("f", stored)


@pytest.mark.parametrize("spoil", [lambda data: data[:100], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_damaged_state_is_reported_and_the_rollout_restarts(world, stored, spoil, caplog):
    pieces = list(forecast(forecaster_of(world, stored), stored, None, "f"))
    again = next(forecast(forecaster_of(world, stored), stored, spoil(pieces[1].state), "f", 2))
    assert again.forecasts.identical(pieces[0].forecasts)
    assert "The state of the rollout" in caplog.text and "the work restarts" in caplog.text
    long = list(
        long_rollout(forecaster_of(world, stored, times="stability"), stored, world.fields, None, "f")
    )[-1]
    result = list(
        long_rollout(
            forecaster_of(world, stored, times="stability"), stored, world.fields, spoil(long.state), "f"
        )
    )
    pd.testing.assert_frame_equal(result[-1].table, long.table)


def test_a_history_that_reaches_over_a_gap_is_refused(world):
    places = np.array([6])
    gap = world.fields.assign_coords(
        segment=("time", (np.arange(world.fields.sizes["time"]) > 3).astype(int))
    )
    assert context_at(gap, places, world.codec, world.space, 3).past.shape[1] == 3
    for data, history in ((gap, 4), (world.fields, 8)):
        with pytest.raises(InputError, match=f"the last {history} states, which do not lie without a gap"):
            context_at(data, places, world.codec, world.space, history)


def test_members_do_not_depend_on_how_many_starts_are_stepped_at_once(world, stored, monkeypatch):
    at_once = next(forecast(forecaster_of(world, stored), stored, None, ""))
    monkeypatch.setattr("fieldcast.inference.forecasts.ensemble.MEMBERS_AT_ONCE", 4)
    one_by_one = next(forecast(forecaster_of(world, stored), stored, None, ""))
    assert np.allclose(at_once.forecasts["t"], one_by_one.forecasts["t"], rtol=1e-5)


def test_a_long_rollout_of_persistence_keeps_its_states(world, stored):
    forecaster = forecaster_of(world, stored, Persistence(world.space), "stability")
    result = list(long_rollout(forecaster, stored, world.fields, None, ""))[-1]
    assert result.table["step"].tolist() == list(range(1, 13))
    assert result.table["finite"].all() and result.table["std"].nunique() == 1
    assert list(result.snapshots["step"].values) == [1, 10]


def test_a_long_rollout_resumes_where_it_was_stopped(world, stored, monkeypatch):
    monkeypatch.setattr("fieldcast.inference.forecasts.ensemble.SAVE_EVERY", 0.0)
    whole = list(
        long_rollout(forecaster_of(world, stored, times="stability"), stored, world.fields, None, "f")
    )
    rest = list(
        long_rollout(
            forecaster_of(world, stored, times="stability"), stored, world.fields, whole[4].state, "f"
        )
    )
    assert len(whole) == 12 and len(rest) == 7
    pd.testing.assert_frame_equal(rest[-1].table, whole[-1].table)
    assert rest[-1].snapshots.identical(whole[-1].snapshots)
    done = list(
        long_rollout(
            forecaster_of(world, stored, times="stability"), stored, world.fields, whole[-1].state, "f"
        )
    )
    pd.testing.assert_frame_equal(done[0].table, whole[-1].table)
    requested = {**stored, "stability_steps": 9}  # fewer than were made
    less = list(
        long_rollout(
            forecaster_of(world, stored, times="stability"), requested, world.fields, whole[-1].state, "f"
        )
    )
    pd.testing.assert_frame_equal(less[0].table, whole[8].table)
    assert less[0].snapshots.identical(whole[8].snapshots)
    other = next(
        long_rollout(
            forecaster_of(world, stored, times="stability"), stored, world.fields, whole[-1].state, "g"
        )
    )
    assert other.table["step"].tolist() == [1]  # nothing is taken over from another model


def test_a_model_that_blows_up_is_reported_with_its_step(world, stored):
    class Explosive(Persistence):
        def sample(self, c, draws):
            return 1e20 * c.base()[:, None]

    result = list(
        long_rollout(
            forecaster_of(world, stored, Explosive(world.space), "stability"), stored, world.fields, None, ""
        )
    )
    table = result[-1].table
    assert len(table) == 12 and table["finite"].iloc[0] and not table["finite"].iloc[-1]
    assert torch.isfinite(torch.tensor(table["step"].to_numpy())).all()
