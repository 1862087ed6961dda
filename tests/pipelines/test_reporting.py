"""Collection of the results of each experiment by reporting."""

from functools import partial
from typing import Any

import pandas as pd

from fieldcast.inference.options import Drawing
from fieldcast.pipelines.reporting import nodes
from fieldcast.pipelines.reporting.nodes import COSTS, join_summaries, list_costs
from fieldcast.tasks import TASKS

FORECAST = TASKS["forecast"]
collect = partial(nodes.collect, FORECAST.results, FORECAST.target)
EXPERIMENTS: dict[str, Any] = {"vae": {}, "lim": {}, "never_run": {}}


def table(value: float) -> pd.DataFrame:
    return pd.DataFrame({"value": [value]})


def stored(**results: Any) -> dict[str, Any]:
    """Results of earlier runs as their data set loads them: a function for each file."""

    def read(value: Any) -> Any:
        return {name: read(each) for name, each in value.items()} if type(value) is dict else lambda: value

    return {part: read(value) for part, value in results.items()}


def test_results_of_this_run_take_the_place_of_earlier_ones() -> None:
    left = stored(
        scores={"vae": table(1), "lim": table(2), "removed": table(3)},
        costs={"vae": table(4)},
        initial_times="of old",
    )
    created = {"scores": table(10), "history": table(11), "loss_curve": b"PNG"}
    results = collect(EXPERIMENTS, [], left, "of this run", results_of_vae=created)
    assert set(results) == {*FORECAST.results, "initial_times", "experiments", "studies"}
    assert {name: scores["value"][0] for name, scores in results["scores"].items()} == {"lim": 2, "vae": 10}
    assert results["history"].keys() == {"vae"} and results["costs"] == {}  # this run's has none
    assert results["initial_times"] == "of this run"
    assert collect(EXPERIMENTS, [], left)["initial_times"] == "of old"


def test_missing_results_are_omitted() -> None:
    results = collect(EXPERIMENTS, [], {})
    assert "initial_times" not in results and results["scores"] == {}
    empty = collect(EXPERIMENTS, [], stored(scores={"vae": pd.DataFrame()}))
    assert empty["scores"] == {}


def test_options_that_other_nodes_have_checked_are_collected_as_plain_values() -> None:
    """Kedro hands every node the dataclass to which one node's annotation has converted a parameter."""
    experiments = {"vae": {"model": {"type": "vae.VAE"}, "options": Drawing(feedback="mean")}}
    collected = collect(experiments, [], {})
    assert collected["experiments"]["vae"]["options"] == {"feedback": "mean"}


def test_tasks_without_results_leave_no_gap_in_the_summary() -> None:
    assert join_summaries(reconstruct="a\nb\n", forecast="", sample="\nc") == "a\nb\n\nc"


def test_no_column_of_an_experiments_costs_is_lost() -> None:
    """The gathered table once dropped whether a model is learned and which density it has."""
    flow = pd.DataFrame([{"learned": True, "density": "exact", "parameters": 12}])
    linear = pd.DataFrame([{"learned": False, "train_seconds": 0.5}])
    table = list_costs(sample={"costs": {"flow": flow}}, reconstruct={"costs": {"linear": linear}})
    assert list(table.columns) == list(COSTS)
    assert table[["task", "experiment"]].values.tolist() == [["sample", "flow"], ["reconstruct", "linear"]]
    assert table["learned"].tolist() == [True, False]
    assert table["density"].iloc[0] == "exact" and pd.isna(table["density"].iloc[1])
