from __future__ import annotations

import numpy as np
import pytest

from fieldcast.scores.bootstrap import Score
from fieldcast.scores.distances import Sets, frechet_distance, mean_over_sets, set_scores


def law(n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return shift + np.random.default_rng([5, seed]).standard_normal((n, 6))


@pytest.fixture(scope="module")
def scores_of() -> dict[str, dict[str, Score]]:
    test, training = law(150, 0), law(2000, 1)
    drawn = {"perfect": law(100, 2), "shifted": law(100, 3, shift=1.0)}
    noise = 3 * law(500, 4)
    return {
        name: dict(set_scores(Sets(samples, test, training), noise, None, 0))
        for name, samples in drawn.items()
    }


def test_a_perfect_model_scores_as_training_states_do(scores_of: dict) -> None:
    scores = scores_of["perfect"]
    assert scores["fid_floor"].low < scores["fid"].value < scores["fid_floor"].high
    assert scores["kid"].low < scores["kid_floor"].value < scores["kid"].high
    assert scores["c2st"].low < 0.5 < scores["c2st"].high
    # the floor of FID is its bias: of order features/N, far above 0; that of KID is none
    assert scores["fid_floor"].low > 0.1
    assert abs(scores["kid_floor"].value) < 0.1


def test_a_shifted_model_lies_between_floor_and_noise(scores_of: dict) -> None:
    scores = scores_of["shifted"]
    assert scores["fid_floor"].high < 6 < scores["fid"].value < scores["fid_ceiling"].value
    assert scores["kid_floor"].high < scores["kid"].low
    assert scores["kid"].value < scores["kid_ceiling"].value
    assert scores["c2st"].low > scores["c2st_floor"].value
    assert scores["fid_ceiling"].value == frechet_distance(3 * law(500, 4)[:100], law(150, 0))
    # (3 - 1)² in each of 6 directions, and the bias of as many noise states as there are samples
    assert scores["fid_ceiling"].value == pytest.approx(24, rel=0.2)


def test_floors_do_not_depend_on_the_model(scores_of: dict) -> None:
    for score in ("fid_floor", "kid_floor", "c2st_floor", "fid_ceiling", "kid_ceiling"):
        assert scores_of["perfect"][score] == scores_of["shifted"][score]


def test_without_noise_there_is_no_ceiling() -> None:
    names = [name for name, _ in set_scores(Sets(law(40, 0), law(40, 1), law(40, 2)), None, None, 0)]
    assert names == ["fid", "kid", "kid_sd", "c2st", "fid_floor", "kid_floor", "c2st_floor"]


def test_distances_are_of_as_many_samples_as_there_are_training_states() -> None:
    """The floor of FID, which is its bias, must have as many states as the score."""
    samples, test = law(100, 2), law(150, 0)
    few = dict(set_scores(Sets(samples, test, law(60, 1)), law(100, 4), None, 0))
    as_many = dict(set_scores(Sets(samples[:60], test, law(2000, 1)), law(100, 4), None, 0))
    for score in ("fid", "kid", "c2st", "fid_ceiling"):
        assert few[score] == as_many[score]
    assert few["fid_floor"].value == pytest.approx(frechet_distance(law(60, 1), test))
    assert np.isnan(few["fid_floor"].low) and np.isnan(few["kid_floor"].high)
    broken = samples.copy()
    broken[90, 3] = np.inf
    assert dict(set_scores(Sets(broken, test, law(60, 1)), None, None, 0))["fid"].value == np.inf


def test_days_that_are_alike_widen_the_interval_of_the_kernel_distance() -> None:
    """Real states that occur five times each have a fifth of the nominal sample size."""
    test, samples = np.repeat(law(40, 0, shift=1.0), 5, axis=0), law(300, 2) / 10
    widths = {}
    for name, blocks in (("rows", None), ("blocks", np.arange(200) // 5)):
        kid = dict(set_scores(Sets(samples, test, law(600, 1)), None, blocks, 0))["kid"]
        widths[name] = kid.high - kid.low
    assert widths["blocks"] / widths["rows"] == pytest.approx(np.sqrt(5), rel=0.1)


def test_a_score_over_sets_has_a_median_and_percentiles() -> None:
    assert mean_over_sets(list(np.arange(41.0))) == Score(20, 1, 39)
