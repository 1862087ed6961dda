from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import skew

from fieldcast.inference.samples.features import FieldFeatures, bands_of_rows

V, Y, X = 2, 9, 16
LATITUDE = -80 + 20 * np.arange(Y)
AREA = np.repeat(np.cos(np.deg2rad(LATITUDE))[:, None], X, axis=1)


def weather(n: int, seed: int = 0) -> np.ndarray:
    """A few long waves of random strength, and noise."""
    rng = np.random.default_rng([21, seed])
    fixed = np.random.default_rng(0)
    phase = fixed.uniform(0, 6, (12, V, 1, 1)) + np.deg2rad(LATITUDE)[:, None] * fixed.choice(
        [-1, 1], (12, 1, 1, 1)
    )
    angle = 2 * np.pi * np.arange(X) / X * fixed.integers(1, 4, (12, 1, 1, 1)) + phase
    waves = np.cos(angle) * np.geomspace(2, 0.2, 12)[:, None, None, None]
    noise = 0.1 * rng.standard_normal((n, V, Y, X))
    return 3 + np.einsum("nk,kvyx->nvyx", rng.standard_normal((n, 12)), waves) + noise


@pytest.fixture(scope="module")
def fitted() -> FieldFeatures:
    return FieldFeatures.fit(weather(300), AREA, True, components=8)


def test_features_of_training_are_standardised(fitted: FieldFeatures) -> None:
    values = fitted(weather(300))
    assert values.shape == (300, fitted.count)
    assert fitted.count == 8 + V * (2 * 3 + 3)
    np.testing.assert_allclose(values.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(values.std(0), 1, rtol=1e-9)
    other = fitted(weather(500, seed=1))
    np.testing.assert_allclose(other.std(0), 1, atol=0.25)


def test_components_equal_an_exact_decomposition(fitted: FieldFeatures) -> None:
    training = weather(300)
    cells = ((training - training.mean(0)) * np.sqrt(AREA)).reshape(300, -1)
    _, singular, exact = np.linalg.svd(cells, full_matrices=False)
    overlap = np.abs((fitted.components * exact[:8]).sum(1))
    np.testing.assert_allclose(overlap, 1, atol=1e-3)
    np.testing.assert_allclose(fitted.scale[:8], singular[:8] / np.sqrt(300), rtol=1e-3)


def test_local_statistics_are_what_they_say(fitted: FieldFeatures) -> None:
    state = weather(1, seed=2)
    x = state[0] - weather(300).mean(0)
    raw = (fitted(state) * fitted.scale + fitted.centre)[0, 8:]
    south = slice(0, 4)  # 80 S to 20 S: the first third of the area
    along_row = (np.roll(x, -1, axis=-1) - x)[:, south] ** 2
    expected = np.sqrt((along_row * AREA[south]).sum((1, 2)) / AREA[south].sum())
    np.testing.assert_allclose(raw[[0, 3]], expected, rtol=1e-9)
    along_column = np.diff(x, axis=-2)[:, 5:] ** 2  # 20 N onwards; nothing lies beyond the last row
    weight = AREA[5:-1]
    expected = np.sqrt((along_column * weight).sum((1, 2)) / weight.sum())
    np.testing.assert_allclose(raw[[8, 11]], expected, rtol=1e-9)
    np.testing.assert_allclose(raw[[13, 16]], x.min((1, 2)), rtol=1e-9)
    np.testing.assert_allclose(raw[[14, 17]], x.max((1, 2)), rtol=1e-9)


def test_skewness_is_scipys_where_areas_are_equal() -> None:
    even = FieldFeatures.fit(weather(60), np.ones((Y, X)), False, components=2)
    state = np.exp(0.3 * weather(5, seed=3))
    x = state - weather(60).mean(0)
    raw = (even(state) * even.scale + even.centre)[:, 2:]
    np.testing.assert_allclose(raw[:, [12, 15]], skew(x.reshape(5, V, -1), axis=-1), rtol=1e-9)


def test_a_region_has_no_difference_across_its_edge() -> None:
    ramp = np.broadcast_to(np.arange(X, dtype=float), (40, V, Y, X))
    training = ramp + np.random.default_rng(4).standard_normal((40, V, Y, X))
    state = (
        training.mean(0)[None] + ramp[:1]
    )  # x' is the ramp: 1 between neighbours, and X - 1 round the edge
    for wraps, expected in ((False, 1.0), (True, np.sqrt((X - 1 + (X - 1) ** 2) / X))):
        features = FieldFeatures.fit(training, AREA, wraps, components=1)
        raw = (features(state) * features.scale + features.centre)[0, 1:]
        np.testing.assert_allclose(raw[:6], expected, rtol=1e-6)
        np.testing.assert_allclose(raw[6:12], 0, atol=1e-6)


def test_cells_that_do_not_exist_are_not_looked_at() -> None:
    training, states = weather(100), weather(6, seed=5)
    hole, area = np.zeros((V, Y, X), dtype=bool), AREA.copy()
    hole[1, 2:5, 3:7] = True
    hole[:, 0, 0], area[0, 0] = True, 0.0
    values = []
    for filled in (np.nan, 1e6):
        absent = np.where(hole, filled, training)
        absent[:, 1, 2:5, 3:7] = np.nan  # what area does not say the data do
        features = FieldFeatures.fit(absent, area, True, components=4)
        assert (features.exists == ~hole).all()
        values.append(features(np.where(hole, filled, states)))
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)
    assert np.isfinite(values[0]).all()
    # 5 above the mean everywhere: no difference, unless to a cell that does not exist
    raw = (features(features.mean[None] + 5) * features.scale + features.centre)[0, 4:]
    np.testing.assert_allclose(raw[:12], 0, atol=1e-9)


def test_arrays_are_all_there_is_to_store(fitted: FieldFeatures) -> None:
    again = FieldFeatures(**{name: array.copy() for name, array in fitted.arrays().items()}, wraps=True)
    np.testing.assert_array_equal(again(weather(3, seed=6)), fitted(weather(3, seed=6)))
    assert fitted(weather(0)).shape == (0, fitted.count)


def test_a_blurred_state_is_far_from_all_training() -> None:
    """A blurred state stands out by its differences; its components are only slightly small."""
    training = np.random.default_rng(7).standard_normal((200, V, Y, X))
    features = FieldFeatures.fit(training, AREA, True, components=8)
    blurred = sum(np.roll(training[:20], by, axis=-1) for by in (-1, 0, 1)) / 3
    values = np.abs(features(blurred))
    assert values[:, :8].max() < 3
    assert values[:, 8:14].mean(1).min() > 4


def test_a_state_that_blew_up_has_no_features_and_spoils_no_other(fitted: FieldFeatures) -> None:
    states = weather(4, seed=8)
    expected = fitted(states)
    states[1, 0, 3, 3] = np.nan
    states[2, 1, 0, 0] = 1e30
    values = fitted(states)
    assert np.isnan(values[1:3]).all()
    np.testing.assert_array_equal(values[[0, 3]], expected[[0, 3]])


def test_bands_have_a_third_of_the_area_each() -> None:
    fine = np.cos(np.deg2rad(-89.75 + 0.5 * np.arange(360)))[:, None] * np.ones(4)
    bands = bands_of_rows(fine)
    assert bands.sum(0).tolist() == [1] * 360
    np.testing.assert_allclose(bands @ fine.sum(1) / fine.sum(), 1 / 3, atol=0.01)
    assert bands_of_rows(np.ones((1, 5))).tolist() == [[True]]
    assert bands_of_rows(np.ones((2, 5))).shape == (2, 2)
