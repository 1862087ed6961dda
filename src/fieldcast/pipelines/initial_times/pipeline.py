"""fields -> starts -> the perfect model's forecasts."""

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.initial_times import nodes

PLANET = ["planet_states", "starts", "splits", "params:rollout", "params:seed", "params:earlier"]


def create_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.choose_starts,
                ["fields", "splits", "params:rollout", "params:limits"],
                "starts",
                name="choose_starts",
            ),
            node(nodes.run_perfect_model, PLANET, "perfect_model", name="run_perfect_model"),
        ]
    )
