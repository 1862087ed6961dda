"""What reporting collects of each experiment, and the names that carry it."""

import pandas as pd

from fieldcast.inference.options import Drawing
from fieldcast.pipelines.names import by_part, keyword
from fieldcast.pipelines.reporting.nodes import COSTS, collect, list_costs


def test_parts_are_found_again_under_their_names() -> None:
    table = pd.DataFrame({"value": [1.0]})
    parts = {("vae", "scores"): table, ("vae__mean", "scores"): table, ("vae", "history"): pd.DataFrame()}
    found = by_part({keyword(*names): value for names, value in parts.items()})
    assert found["scores"].keys() == {"vae", "vae__mean"} and "history" not in found


def test_options_that_other_nodes_have_checked_are_collected_as_plain_values() -> None:
    """Kedro hands every node the dataclass to which one node's annotation has converted a parameter."""
    experiments = {"vae": {"model": {"type": "vae.VAE"}, "options": Drawing(feedback="mean")}}
    assert collect(experiments, [])["experiments"]["vae"]["options"] == {"feedback": "mean"}


def test_no_column_of_an_experiments_costs_is_lost() -> None:
    """The gathered table once dropped whether a model is learned and which density it has."""
    flow = pd.DataFrame([{"learned": True, "density": "exact", "parameters": 12}])
    linear = pd.DataFrame([{"learned": False, "train_seconds": 0.5}])
    table = list_costs(sample={"costs": {"flow": flow}}, reconstruct={"costs": {"linear": linear}})
    assert list(table.columns) == list(COSTS)
    assert table[["task", "experiment"]].values.tolist() == [["sample", "flow"], ["reconstruct", "linear"]]
    assert table["learned"].tolist() == [True, False]
    assert table["density"].iloc[0] == "exact" and pd.isna(table["density"].iloc[1])
