"""scores of all experiments -> leaderboard, summary; their costs -> one table; everything -> figures, report."""

from collections.abc import Mapping, Sequence

from kedro.pipeline import Pipeline, node

from fieldcast.pipelines.reporting import nodes

DATA = ["fields", "splits", "climatology", "quality", "parameters"]
COMMON = ("scores", "diagnostics", "examples", "history", "costs")


def create_pipeline(experiments: Mapping[str, Sequence[str]]) -> Pipeline:
    """`experiments`: the names of each task; those that have not been scored load as empty tables."""
    found = Pipeline([])
    if "reconstruct" in experiments:
        found += reconstruction(experiments["reconstruct"])
    if "forecast" in experiments:
        found += forecasts(experiments["forecast"])
    if "sample" in experiments:
        found += samples(experiments["sample"])
    tasks = [task for task in ("reconstruct", "forecast", "sample") if task in experiments]
    page = {name: name for name in DATA}
    page |= {task: f"gathered_{task}" for task in tasks} | {
        f"{task}_figures": f"drawn_{task}" for task in tasks
    }
    costs = {f"{task}.{name}": f"{task}_{name}_costs" for task in tasks for name in experiments[task]}
    return found + Pipeline(
        [
            node(nodes.list_costs, costs, "costs", name="list_costs"),
            node(nodes.write_page, page, "report", name="write_page"),
        ]
    )


def reconstruction(names: Sequence[str]) -> Pipeline:
    options = {name: f"params:{name}" for name in ("evaluation", "limits", "seed")}
    inputs = {"observations": "observations_stored", "fields": "fields", **options}
    inputs |= scores("reconstruct", names)
    gathered = {"leaderboard": "leaderboard_reconstruct", "observations": "observations_stored"}
    return Pipeline(
        [
            node(nodes.rank, inputs, ["leaderboard_reconstruct", "summary_reconstruct"], name="rank"),
            node(
                nodes.gather,
                gathered | parts("reconstruct", names, COMMON),
                ["gathered_reconstruct", "drawn_reconstruct", "figures_reconstruct"],
                name="gather",
            ),
        ]
    )


def forecasts(names: Sequence[str]) -> Pipeline:
    inputs = {
        "starts": "starts_stored",
        "fields": "fields",
        "seed": "params:seed",
        **parts("forecast", names, ("scores", "stability")),
    }
    gathered = {"leaderboard": "leaderboard_forecast", "starts": "starts_stored"}
    drawn = ["gathered_forecast", "drawn_forecast", "figures_forecast", "animation_forecast", "stability"]
    return Pipeline(
        [
            node(
                nodes.rank_forecasts,
                inputs,
                ["leaderboard_forecast", "summary_forecast"],
                name="rank_forecasts",
            ),
            node(
                nodes.gather_forecasts,
                gathered | parts("forecast", names, (*COMMON, "stability", "snapshots")),
                drawn,
                name="gather_forecasts",
            ),
        ]
    )


def samples(names: Sequence[str]) -> Pipeline:
    options = {name: f"params:{name}" for name in ("sampling", "limits")}
    inputs = {"extractor": "extractor_stored", "fields": "fields", "splits": "splits", **options}
    inputs |= parts("sample", names, ("scores", "diagnostics"))
    gathered = {"leaderboard": "leaderboard_sample"} | parts("sample", names, (*COMMON, "latents"))
    return Pipeline(
        [
            node(nodes.rank_samples, inputs, ["leaderboard_sample", "summary_sample"], name="rank_samples"),
            node(
                nodes.gather_samples,
                gathered,
                ["gathered_sample", "drawn_sample", "figures_sample"],
                name="gather_samples",
            ),
        ]
    )


def scores(task: str, names: Sequence[str]) -> dict[str, str]:
    return {name: f"{task}_{name}_scores" for name in names}


def parts(task: str, names: Sequence[str], kinds: Sequence[str]) -> dict[str, str]:
    """What the report reads of each experiment, as <experiment>__<part>."""
    return {f"{name}__{part}": f"{task}_{name}_{part}" for name in names for part in kinds}
