"""Results of a task: what a page shows is of the experiments that stand in its leaderboard."""

from dataclasses import replace


def test_an_experiment_last_scored_on_other_data_is_in_no_figure(results) -> None:
    table = results.leaderboard
    part = replace(results, leaderboard=table[table["experiment"] != "mine"])
    for stored in (part.scores, part.diagnostics, part.examples):
        assert "mine" not in stored and "optimal_interpolation" in stored
    assert {"mine"} <= {*results.scores} & {*results.diagnostics} & {*results.examples} & {*part.costs}
