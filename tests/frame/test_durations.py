"""The plan of a run, and how long its nodes took before."""

from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline, node

from fieldcast.datasets import TableDataset
from fieldcast.frame.durations import longest_paths, plan, stored_durations

NODES = [
    node(lambda: 1, None, "a", name="ingestion.make", namespace="ingestion"),
    node(lambda a: a, "a", "b", name="forecast.lim.training.fit", namespace="forecast.lim.training"),
    node(lambda a: a, "a", "c", name="forecast.vae.training.fit", namespace="forecast.vae.training"),
    node(lambda a: a, "a", "d", name="sample.flow.training.fit", namespace="sample.flow.training"),
]
PIPELINE = Pipeline(NODES)


@pytest.mark.parametrize(
    ("durations", "end"),
    [
        ({}, "nodes are timed, and the next run will show an estimate"),
        ({node.name: 30.0 for node in PIPELINE.nodes}, "about 2 min according to earlier runs"),
        (
            {PIPELINE.nodes[0].name: 4.0},
            "at least 4 s according to earlier runs, not counting 3 nodes that have not been timed",
        ),
    ],
)
def test_a_plan_counts_experiments_and_adds_up_what_is_known(durations: dict[str, float], end: str) -> None:
    text = plan(PIPELINE, durations)
    assert text.startswith("4 nodes, 2 experiments of forecast, 1 experiment of sample") and text.endswith(
        end
    )


def test_several_nodes_at_a_time_take_their_share_and_no_less_than_the_longest_path() -> None:
    seconds = {each.name: 60.0 for each in PIPELINE.nodes}
    assert plan(PIPELINE, seconds, 1).endswith(
        "1 experiment of sample; about 4 min according to earlier runs"
    )
    assert plan(PIPELINE, seconds, 2).endswith("2 nodes at a time; about 2 min according to earlier runs")
    assert plan(PIPELINE, seconds, 8).endswith("8 nodes at a time; about 2 min according to earlier runs")


def test_the_longest_path_counts_nodes_until_they_are_timed() -> None:
    first, *others = sorted(PIPELINE.nodes, key=lambda each: each.name != "ingestion.make")
    assert longest_paths(PIPELINE, {})[first] == 2 and longest_paths(PIPELINE, {})[others[0]] == 1
    # a node that has not been timed counts as much as the mean of others
    timed = {first.name: 5.0, others[0].name: 3.0}
    assert longest_paths(PIPELINE, timed) == {first: 9.0, others[0]: 3.0, others[1]: 4.0, others[2]: 4.0}


def test_durations_that_cannot_be_read_are_none(tmp_path: Path) -> None:
    table = TableDataset(filepath=str(tmp_path / "durations.csv"))
    catalog = DataCatalog({"durations": table})
    assert stored_durations(DataCatalog()) == stored_durations(catalog) == {}
    table.save(pd.DataFrame({"node": ["a"], "minutes": [1.0]}))
    assert stored_durations(catalog) == {}
