"""The lead time lost, against a model whose error grows in a known way."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from fieldcast.inference.forecast_from_analyses import TRUTH, lead_time_lost, scores_by_lead
from fieldcast.models.persistence import Persistence


def curves(analysis: list[float], truth: list[float]) -> pd.DataFrame:
    rows = [("random", 0.1, 24.0 * lead, crps) for lead, crps in enumerate(analysis, 1)]
    rows += [(TRUTH, np.nan, 24.0 * lead, crps) for lead, crps in enumerate(truth, 1)]
    return pd.DataFrame(rows, columns=["pattern", "k", "lead_hours", "crps"])


def test_a_curve_that_lags_by_half_a_day_has_lost_twelve_hours() -> None:
    lost = lead_time_lost(curves([1.5, 2.5, 3.5], [1.0, 2.0, 3.0, 4.0]))
    assert lost["lost_hours"].to_list() == pytest.approx([12, 12, 12])


def test_beyond_the_last_lead_nothing_can_be_said() -> None:
    lost = lead_time_lost(curves([1.5, 9.0], [1.0, 2.0]))
    assert lost["lost_hours"][0] == pytest.approx(12)
    assert np.isnan(lost["lost_hours"][1])


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
