"""Fill, forecast and sample gridded weather with generative models.

    import fieldcast
    fieldcast.explore("file.nc")                    # what is in it, and a quick result
    model = fieldcast.fit(dataset, "reconstruct.optimal_interpolation")
    model.save("mine.safetensors")
    model = fieldcast.load("data/06_models/reconstruct/corrected_interpolation/checkpoint.safetensors")
    filled = model.fill(dataset, members=19)        # xarray in, xarray out; NaN is what was not observed
    model = fieldcast.load("data/06_models/forecast/corrected_inverse_model/checkpoint.safetensors")
    future = model.forecast(dataset, steps=10)      # from the last states of the data set
    analyses = fieldcast.cycle(forecaster, updater, record)  # each from its observations and earlier ones
    filled = fieldcast.fill_gaps(dataset)           # from the data set's own values, without any training data
    fields = fieldcast.grid_stations("gauges.csv", resolution=0.5)  # from stations alone
    scores = fieldcast.score(truth, forecasts, task="forecast")  # in the columns of the leaderboards

Packages: `models` (what p(x | c) is), `fields` (data), `encoding` (the bridge between data sets and tensors),
`training`, `inference`, `tasks` (what differs between reconstruct, forecast, assimilate and sample), `scores`,
`figures` and `report` (how good a model is), `standalone` (explore, fit and score without a project), `pipelines` (the
Kedro stages, thin), `datasets` (what the catalog is made of) and `app` (checks, error messages, the lock, tracking).
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

# Before torch is imported. OpenMP threads busy-wait by default, which slows training severely beside other busy
# processes; sleeping at once doubles the time of a step on an idle machine. A short spin avoids both. libgomp reads
# GOMP_SPINCOUNT, other runtimes OMP_WAIT_POLICY.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "10000")
# torch asks Linux for large pages, as NumPy does by itself: on a virtual machine, operations on tensors larger than the
# cache took half to a quarter of the time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
# Arrow's own allocator reserves 1 GiB of addresses with its first table, which counts against `ulimit -d` and `-v`.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

if TYPE_CHECKING:
    from fieldcast.inference.cycle.record_cycle import cycle
    from fieldcast.inference.stations.gridding import grid_stations
    from fieldcast.inference.trained_model import load
    from fieldcast.standalone.exploring import explore
    from fieldcast.standalone.fitting import fit
    from fieldcast.standalone.scoring import score
    from fieldcast.training.fill_gaps import fill_gaps

__all__ = ["cycle", "explore", "fill_gaps", "fit", "grid_stations", "load", "score"]

MODULES = {
    "cycle": "fieldcast.inference.cycle.record_cycle",
    "explore": "fieldcast.standalone.exploring",
    "fill_gaps": "fieldcast.training.fill_gaps",
    "fit": "fieldcast.standalone.fitting",
    "grid_stations": "fieldcast.inference.stations.gridding",
    "load": "fieldcast.inference.trained_model",
    "score": "fieldcast.standalone.scoring",
}


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used (PEP 562): torch takes seconds."""
    if name not in MODULES:
        raise AttributeError(f"module 'fieldcast' has no attribute '{name}'")
    return getattr(importlib.import_module(MODULES[name]), name)


def __dir__() -> list[str]:
    return __all__
