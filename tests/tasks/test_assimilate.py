"""Tables of the task `assimilate`: they hold the experiments that have been scored on the observations of the run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.encoding.options import CycledAssimilation, Limits
from fieldcast.scores.assimilation import TRUTH
from fieldcast.scores.statistics_table import name_rows, scored_digest, with_origin
from fieldcast.tasks.assimilate import tabulate_leads

CYCLING = CycledAssimilation(members=8)


@pytest.fixture
def observations() -> xr.Dataset:
    values = np.ones((1, 2, 3, 4), "float32")
    return xr.Dataset(
        {"z500": (("case", "time", "latitude", "longitude"), values, {"units": "m2 s-2"})},
        {
            "time": np.array(["2001-01-01", "2001-01-02"], "datetime64[ns]"),
            "pattern": ("case", ["random"]), "k": ("case", [0.05]), "mask": ("case", [0]),
        },
        {"digest": "observed"},
    )  # fmt: skip


@pytest.fixture
def leads() -> pd.DataFrame:
    """A forecast from the analyses that lags half a day behind those from the truth."""
    origins = (("random", 0.05, 1.5), (TRUTH, np.nan, 1.0))
    records = [
        (pattern, k, 24.0 * lead, first + lead - 1) for pattern, k, first in origins for lead in (1, 2)
    ]
    return pd.DataFrame(records, columns=["pattern", "k", "lead_hours", "crps"])


def test_the_lead_time_lost_is_that_of_experiments_scored_on_these_observations(observations, leads) -> None:
    statistics = pd.DataFrame({"statistic": ["crps"], "value": [0.5]})
    scored = scored_digest(observations, CYCLING.members)
    origins = {
        "current": ("data", scored), "other_data": ("older", scored), "other_observations": ("data", "older"),
    }  # fmt: skip
    results: dict[str, Any] = {
        "cycle_observations": observations.assign_attrs(data="data"),
        "scores": {
            name: name_rows(with_origin(statistics, 0, *digests), name) for name, digests in origins.items()
        },
        "leads": dict.fromkeys([*origins, "never_scored"], leads),
    }
    fields = xr.Dataset(attrs={"digest": "data"})
    table = tabulate_leads(results, fields, CYCLING, Limits())
    assert table["experiment"].unique().tolist() == ["current"]
    assert table["lost_hours"][0] == pytest.approx(12)
    del results["cycle_observations"]
    assert tabulate_leads(results, fields, CYCLING, Limits()).empty
