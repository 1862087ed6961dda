"""scores of all experiments -> leaderboard, summary; everything -> figures, report."""

from collections.abc import Mapping, Sequence

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.reporting import nodes

PARAMETERS = {name: f"params:{name}" for name in ("evaluation", "limits", "seed")}
DATA = ["fields", "splits", "climatology", "quality", "parameters"]


def create_pipeline(experiments: Mapping[str, Sequence[str]]) -> Pipeline:
    """`experiments`: the names of each task; those that have not been scored load as empty tables."""
    names = experiments.get("reconstruct", ())
    scores = {name: f"reconstruct_{name}_scores" for name in names}
    parts = {f"{name}__{part}": f"reconstruct_{name}_{part}" for name in names for part in nodes.PARTS}
    shared = {"observations": "observations"}
    gathered = {"leaderboard": "leaderboard_reconstruct", **shared, **parts}
    page = [*DATA, "gathered_reconstruct", "drawn_reconstruct"]
    return Pipeline(
        [
            node(
                nodes.rank,
                {**shared, **PARAMETERS, **scores},
                ["leaderboard_reconstruct", "summary_reconstruct"],
                name="rank",
            ),
            node(
                nodes.gather,
                gathered,
                ["gathered_reconstruct", "drawn_reconstruct", "figures_reconstruct"],
                name="gather",
            ),
            node(nodes.write_page, page, "report", name="write_page"),
        ]
    )
