"""Collection of the results of each experiment by reporting."""

import re
from typing import Any

import pandas as pd

from fieldcast.inference.options import Drawing
from fieldcast.pipelines.reporting import nodes
from fieldcast.pipelines.reporting.nodes import COSTS, join_summaries, list_costs
from fieldcast.pipelines.tasks.forecast.nodes import collect_forecast
from fieldcast.tasks import TASKS

FORECAST = TASKS["forecast"]
EXPERIMENTS: dict[str, Any] = {"vae": {}, "lim": {}, "never_run": {}}


def table(value: float) -> pd.DataFrame:
    return pd.DataFrame({"value": [value]})


def stored(**results: Any) -> dict[str, Any]:
    """Results of earlier runs as their data set loads them: a function for each file."""

    def read(value: Any) -> Any:
        return {name: read(each) for name, each in value.items()} if type(value) is dict else lambda: value

    return {part: read(value) for part, value in results.items()}


def test_what_this_run_has_not_published_is_left_out() -> None:
    left = stored(
        scores={"vae": table(10), "lim": table(2), "removed": table(3)},
        history={"vae": table(11)},
        costs={"vae": table(4)},
        initial_times="of this run",
    )
    results = collect_forecast(left, EXPERIMENTS, [], results_of_vae=["history", "loss_curve", "scores"])
    assert set(results) == {*FORECAST.results, "initial_times", "experiments", "comparisons"}
    assert {name: scores["value"][0] for name, scores in results["scores"].items()} == {"lim": 2, "vae": 10}
    assert results["history"].keys() == {"vae"} and results["costs"] == {}  # this run's has none
    assert results["initial_times"] == "of this run"
    assert collect_forecast(left, EXPERIMENTS, [])["costs"].keys() == {"vae"}


def test_missing_results_are_omitted() -> None:
    results = collect_forecast({}, EXPERIMENTS, [])
    assert "initial_times" not in results and results["scores"] == {}
    empty = collect_forecast(stored(scores={"vae": pd.DataFrame()}), EXPERIMENTS, [])
    assert empty["scores"] == {}


def test_options_that_other_nodes_have_checked_are_collected_as_plain_values() -> None:
    """Kedro hands every node the dataclass to which one node's annotation has converted a parameter."""
    experiments = {"vae": {"model": {"type": "vae.VAE"}, "options": Drawing(feedback="mean")}}
    collected = collect_forecast({}, experiments, [])
    assert collected["experiments"]["vae"]["options"] == {"feedback": "mean"}


def test_an_experiment_that_ran_alone_stands_beside_the_others() -> None:
    rows = [("vae", 0.2), ("lim", 0.3)]
    board = pd.DataFrame(rows, columns=["experiment", "value"]).assign(
        score="crps", variable="all", lead_hours=24.0, region="globe"
    )
    text = nodes.compare_alone("forecast.vae", board)
    assert re.search(r"vae +0\.200\n +lim +0\.300", text) and "kedro run --pipelines reporting" in text


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
