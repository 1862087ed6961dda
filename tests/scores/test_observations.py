"""Scores at observations, by hand, and the spread-skill ratio of ensembles of any size."""

import numpy as np
import pytest

from fieldcast.scores.observations import observation_statistics, scores_with_intervals


def test_scores_of_three_observations_by_hand() -> None:
    predicted, y = np.repeat(np.arange(19.0)[:, None], 3, axis=1), np.array([-1.0, 9.5, 18.5])
    columns = observation_statistics(predicted, y)
    np.testing.assert_allclose(columns["coverage"], [0, 1, 0])
    np.testing.assert_allclose(columns["square"], (9 - y) ** 2)
    values = {
        name: value for name, value, _, _ in scores_with_intervals(columns, np.array([0, 0, 1]), 2.0, 0)
    }
    assert values["rmse"] == pytest.approx(2 * np.sqrt(((9 - y) ** 2).mean()))
    assert values["coverage90"] == pytest.approx(1 / 3)


def test_the_spread_skill_ratio_does_not_depend_on_the_number_of_members() -> None:
    members, y = np.random.default_rng(0).standard_normal((2, 5, 20_000))
    columns = observation_statistics(members / 2, y[0])
    assert "coverage" not in columns  # five members have no interval of 90 %
    values = {name: value for name, value, _, _ in scores_with_intervals(columns, np.arange(20_000), 1.0, 0)}
    assert values["ssr"] == pytest.approx(0.5, rel=0.02)  # half the spread of the truth
