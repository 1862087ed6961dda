"""Scores at held-out observations, by hand, for draws and for normal distributions, and as text."""

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.held_out import as_text, held_out_statistics, score_held_out, scores_by_group


def values(table: pd.DataFrame) -> dict[str, float]:
    return dict(zip(table["score"], table["value"], strict=True))


def test_scores_of_three_observations_by_hand() -> None:
    predicted, y = np.repeat(np.arange(19.0)[:, None], 3, axis=1), np.array([-1.0, 9.5, 18.5])
    statistics = held_out_statistics(y, predicted)
    np.testing.assert_allclose(statistics["coverage"], [0, 1, 0])
    np.testing.assert_allclose(statistics["square"], (9 - y) ** 2)
    scores = values(score_held_out("a", "t", statistics, scale=2.0, cluster=np.array([0, 0, 1])))
    assert scores["rmse"] == pytest.approx(2 * np.sqrt(((9 - y) ** 2).mean()))
    assert scores["coverage90"] == pytest.approx(1 / 3)
    weighted = score_held_out("a", "t", statistics, np.array([1.0, 3.0, 0.0]), units="K")
    assert values(weighted)["coverage90"] == 0.75
    assert values(weighted)["rmse"] == pytest.approx(np.sqrt((100 + 3 * 0.25) / 4))
    assert weighted["unit"].tolist() == ["K", "K", "1", "1"] and (weighted["observations"] == 3).all()
    by_group = scores_by_group(statistics, pd.DataFrame({"station": list("abb")}), 2.0).set_index("station")
    assert by_group["observations"].tolist() == [1, 2] and by_group.loc["a", "bias"] == 20
    assert by_group.loc["b", "rmse"] == pytest.approx(2 * np.sqrt((0.5**2 + 9.5**2) / 2))


def test_the_spread_skill_ratio_does_not_depend_on_the_number_of_members() -> None:
    members, y = np.random.default_rng(0).standard_normal((2, 5, 20_000))
    statistics = held_out_statistics(y[0], members / 2)
    assert "coverage" not in statistics  # five members have no interval of 90 %
    scores = values(score_held_out("a", "t", statistics))
    assert scores["ssr"] == pytest.approx(0.5, rel=0.02)  # half the spread of the truth


def test_a_normal_distribution_has_the_scores_of_many_draws_from_it() -> None:
    rng = np.random.default_rng(0)
    y, mean, spread = rng.normal(size=200), rng.normal(size=200), rng.uniform(0.5, 2.0, 200)
    exact = values(score_held_out("a", "t", held_out_statistics(y, mean[None], spread)))
    draws = mean + spread * rng.normal(size=(1999, 200))
    assert values(score_held_out("a", "t", held_out_statistics(y, draws))) == pytest.approx(exact, rel=0.02)
    assert exact["rmse"] == pytest.approx(np.sqrt(np.mean((mean - y) ** 2)))


def test_the_text_has_the_best_experiment_first_and_no_score_that_is_lacking() -> None:
    y, rng = np.zeros(60), np.random.default_rng(0)
    near = held_out_statistics(y, rng.normal(size=(19, 60)))
    far = held_out_statistics(y, np.full((1, 60), 5.0))
    tables = [score_held_out("far", "t", far), score_held_out("near", "t", near, cluster=np.arange(60) // 6)]
    lines = as_text(pd.concat(tables), "readings at held-out stations").splitlines()
    assert lines[0] == "t: 60 readings at held-out stations; CRPS and RMSE in the unit of the data"
    assert lines[1].split() == ["CRPS", "RMSE", "spread-skill", "coverage", "of", "90", "%"]
    assert lines[2].startswith("near") and " to " in lines[2]
    assert lines[3].split() == ["far", "5.00", "5.00"]
