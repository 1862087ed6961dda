"""Forecasts from analyses and from the truth, against persistence, whose error is a difference of states."""

import numpy as np
import pytest
import torch
import xarray as xr

from fieldcast.errors import InputError
from fieldcast.inference.forecasts.ensemble import scores_by_lead
from fieldcast.models.persistence import Persistence
from fieldcast.scores.assimilation import TRUTH


def test_persistence_from_the_truth_is_the_difference_of_the_states(world) -> None:
    """An analysis of yesterday's truth loses a day: its forecast for tomorrow is persistence over two."""
    test = world.split("test")
    late = test.shift(time=1).isel(time=slice(1, 30))
    analyses = late.drop_vars("segment").expand_dims(case=1, member=1)
    analyses = analyses.assign_coords(pattern=("case", ["random"]), k=("case", [0.1]))
    analyses = analyses.isel(time=slice(0, 25)).transpose("case", "time", "member", ...)
    analyses = analyses.drop_vars([v for v in analyses.data_vars if v not in world.codec.variables])
    scores = scores_by_lead(
        analyses, test, Persistence(world.space), world.codec, first=4, every=5, steps=3, members=1, seed=0
    )
    assert isinstance(analyses, xr.Dataset)
    x = torch.nan_to_num(world.codec.encode(test))
    weight = (world.space.area / world.space.area.sum()).numpy()
    places = [int(np.flatnonzero(test["time"].values.astype("datetime64[m]") == np.datetime64(start, "m"))[0])
              for start in scores["start"].unique()]  # fmt: skip
    for lead in (1, 3):
        expected = np.mean(
            [((x[p + lead] - x[p - 1]).abs().numpy() * weight).sum((1, 2)).mean() for p in places]
        )
        selected = scores[(scores["pattern"] == "random") & (scores["lead_hours"] == 24 * lead)]
        assert selected["crps"].mean() == pytest.approx(expected, rel=2e-3)  # the climatology of the next day
        exact = np.mean([((x[p + lead] - x[p]).abs().numpy() * weight).sum((1, 2)).mean() for p in places])
        selected = scores[(scores["pattern"] == TRUTH) & (scores["lead_hours"] == 24 * lead)]
        assert selected["crps"].mean() == pytest.approx(exact, rel=1e-4)


def test_no_forecast_is_scored_across_a_gap_of_the_record(world) -> None:
    """Three days are missing after the twelfth: forecasts of three days from the last before them have no truth."""
    test = world.split("test").isel(time=[*range(12), *range(15, 40)])
    test = test.assign_coords(segment=("time", np.repeat([0, 1], [12, 25])))
    fields = test.drop_vars(["segment", *(v for v in test.data_vars if v not in world.codec.variables)])
    analyses = (
        fields.expand_dims(case=1, member=1).isel(time=slice(0, 30)).transpose("case", "time", "member", ...)
    )
    analyses = analyses.assign_coords(pattern=("case", ["random"]), k=("case", [0.1]))
    scores = scores_by_lead(
        analyses, test, Persistence(world.space), world.codec, first=0, every=1, steps=3, members=1, seed=0
    )
    moved = analyses.assign_coords(time=analyses["time"] + np.timedelta64(1, "h"))
    with pytest.raises(InputError, match=r"the truth lacks .*, a time of the analyses"):
        scores_by_lead(
            moved, test, Persistence(world.space), world.codec, first=0, every=1, steps=3, members=1, seed=0
        )
    starts = np.unique(scores["start"].to_numpy("M8[s]"))
    expected = test["time"].values[[*range(9), *range(12, 30)]].astype("M8[s]")
    assert np.array_equal(starts, expected)
