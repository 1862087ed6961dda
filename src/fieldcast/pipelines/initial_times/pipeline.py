"""fields -> initial times -> the perfect model's forecasts."""

from typing import Any

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.initial_times import nodes

CHOOSE = ["fields", "splits", "params:rollout", "params:limits"]
RUN = [
    "planet_states",
    "initial_times",
    "splits",
    "params:rollout",
    "params:seed",
    "params:previous_perfect_model",
]


def create_pipeline(**kwargs: Any) -> Pipeline:
    """The nodes of the stage `initial_times`."""
    return Pipeline(
        [
            node(nodes.choose_initial_times, CHOOSE, "initial_times", name="choose_initial_times"),
            node(nodes.run_perfect_model, RUN, "perfect_model", name="run_perfect_model"),
        ]
    )
