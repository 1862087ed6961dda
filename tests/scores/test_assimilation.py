"""Innovations against a scalar Kalman filter, whose moments are known; the lead time lost against curves by hand."""

import numpy as np
import pandas as pd
import pytest

from fieldcast.scores.assimilation import TRUTH, innovation_statistics, lead_time_lost
from fieldcast.scores.metrics import METRICS

ERROR, BACKGROUND, MEMBERS = 0.5, 1.2, 5
SHAPE = (400, 6, 10)


def members(mean: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    return mean + spread * rng.standard_normal((MEMBERS, *mean.shape))


def statistics(assumed: float = ERROR) -> dict[str, np.ndarray]:
    """Truth N(x_b, B), y = truth + eps, x_a = x_b + K (y - x_b), P_a = (1 - K) B, with K from the assumed error."""
    rng = np.random.default_rng(3)
    x_b = rng.standard_normal(SHAPE)
    y = x_b + BACKGROUND * rng.standard_normal(SHAPE) + ERROR * rng.standard_normal(SHAPE)
    gain = BACKGROUND**2 / (BACKGROUND**2 + assumed**2)
    b = members(x_b, BACKGROUND, rng)
    a = members(x_b + gain * (y - x_b), np.sqrt((1 - gain) * BACKGROUND**2), rng)
    y[rng.random(SHAPE) < 0.5] = np.nan
    return {
        name: values.mean(keepdims=True) for name, values in innovation_statistics(y, b, a, assumed).items()
    }


def score(name: str, means: dict[str, np.ndarray]) -> float:
    return float(METRICS[name].function(*(means[statistic] for statistic in METRICS[name].statistics))[0])


def test_a_right_filter_has_the_moments_of_theory() -> None:
    means = statistics()
    assert score("chi_squared", means) == pytest.approx(1, rel=0.03)
    assert score("observation_error", means) == pytest.approx(ERROR, rel=0.05)
    gain = BACKGROUND**2 / (BACKGROUND**2 + ERROR**2)
    assert score("signal", means) == pytest.approx(gain, rel=0.03)  # tr(H K) for each observation
    assert abs(score("innovation", means)) < 0.02
    assert score("suspect", means) < 2e-3  # the variance of five members varies


def test_a_wrong_observation_error_is_inferred_nearer_to_the_true_one() -> None:
    """The mean product <d_a d_b> = (1 - K) (B + R), with K from half the error."""
    means = statistics(ERROR / 2)
    gain = BACKGROUND**2 / (BACKGROUND**2 + ERROR**2 / 4)
    theory = np.sqrt((1 - gain) * (BACKGROUND**2 + ERROR**2))
    assert score("observation_error", means) == pytest.approx(theory, rel=0.05)
    assert score("chi_squared", means) > 1.05


def test_a_time_without_observations_has_no_value() -> None:
    y = np.full((2, 3, 4), np.nan)
    y[1, 0, 0] = 1.0
    x = np.zeros((5, 2, 3, 4))
    means = innovation_statistics(y, x, x, 1.0)
    assert np.isnan(means["innovation"][0])
    assert means["innovation"][1] == 1.0


def test_gross_errors_are_counted() -> None:
    rng = np.random.default_rng(0)
    b = members(np.zeros((1, 10, 10)), 1.0, rng)
    y = np.zeros((1, 10, 10))
    y[0, :2, 0] = 20.0
    assert innovation_statistics(y, b, b, 0.5)["suspect"] == pytest.approx(0.02)


def test_a_single_member_has_no_expected_innovation() -> None:
    x = np.zeros((1, 2, 3, 4))
    means = innovation_statistics(np.ones((2, 3, 4)), x, x, 0.5)
    assert np.isnan(means["innovation_expected"]).all()
    assert np.isnan(means["suspect"]).all()
    assert (means["innovation"] == 1).all()


def test_equal_members_have_no_expected_innovation() -> None:
    """The background of a diffusion model that reconstructs each day by itself is the climatology."""
    b = np.zeros((4, 2, 3, 4))
    b[0, 1, 0, 0] = 1.0
    means = innovation_statistics(np.ones((2, 3, 4)), b, b, 0.5)
    assert np.isnan(means["innovation_expected"][0]) and np.isnan(means["suspect"][0])
    assert np.isfinite(means["innovation_expected"][1])
    assert np.isfinite(means["desroziers"]).all()


def test_a_member_that_is_not_finite_is_penalised() -> None:
    x = np.zeros((4, 2, 3, 4))
    x[1, 0, 2, 2] = np.nan
    means = innovation_statistics(np.ones((2, 3, 4)), x, x, 0.5)
    assert np.isinf(means["innovation_squared"][0]) and np.isfinite(means["innovation_squared"][1])


def curves(analysis: list[float], truth: list[float]) -> pd.DataFrame:
    rows = [("random", 0.1, 24.0 * lead, crps) for lead, crps in enumerate(analysis, 1)]
    rows += [(TRUTH, np.nan, 24.0 * lead, crps) for lead, crps in enumerate(truth, 1)]
    return pd.DataFrame(rows, columns=["pattern", "k", "lead_hours", "crps"])


def test_a_curve_that_lags_by_half_a_day_has_lost_twelve_hours() -> None:
    lost = lead_time_lost(curves([1.5, 2.5, 3.5], [1.0, 2.0, 3.0, 4.0]))
    assert lost["lost_hours"].to_list() == pytest.approx([12, 12, 12])


def test_beyond_the_last_lead_the_lead_time_lost_is_unknown() -> None:
    lost = lead_time_lost(curves([1.5, 9.0], [1.0, 2.0]))
    assert lost["lost_hours"][0] == pytest.approx(12)
    assert np.isnan(lost["lost_hours"][1])


def test_a_forecast_that_blew_up_counts_as_infinitely_bad() -> None:
    """Left out, it gave the lead time lost of the other starts."""
    table = pd.concat([curves([1.5, 2.5], [1.0, 2.0]), curves([1.5, np.nan], [1.0, 2.0])])
    lost = lead_time_lost(table)
    assert lost["lost_hours"][0] == pytest.approx(12) and np.isinf(lost["crps"][1])
    assert np.isnan(lost["lost_hours"][1])
