"""Points whose distances approximate the lengths of paths around land: closed forms, and the table at smallest size."""

import numpy as np
import pytest

from fieldcast.geometry import unit_points
from studies import around_land
from studies.around_land import SEPARATION, embed, from_landmarks, links, scaled_points

LATITUDE, LONGITUDE = np.linspace(-2, 2, 9), np.linspace(0, 4, 9)
POINTS = unit_points(LATITUDE, LONGITUDE).reshape(9, 9, 3)
STEP = np.deg2rad(0.5)


def test_paths_go_around_a_wall() -> None:
    """The first cell of the first row: down eight rows, two columns to the right by diagonals, and back."""
    exists = np.ones((9, 9), dtype=bool)
    exists[:-1, 1] = False
    lengths, landmarks = from_landmarks(links(exists, POINTS))
    beyond = int(exists.ravel()[:2].sum())  # the cell to the right of the wall, in the first row
    assert landmarks[0] == 0 and beyond == 1
    assert lengths[0, beyond] == pytest.approx((14 + 2 * np.sqrt(2)) * STEP, rel=2e-3)
    assert np.linalg.norm(POINTS[0, 0] - POINTS[0, 2]) == pytest.approx(2 * STEP, rel=1e-3)


def test_scaling_recovers_points_in_space() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    distance = np.linalg.norm(x[:12, None] - x, axis=-1)
    points = scaled_points(distance, list(range(12)))
    again = np.linalg.norm(points[:, None] - points, axis=-1)
    np.testing.assert_allclose(again, np.linalg.norm(x[:, None] - x, axis=-1), atol=1e-8)


def test_without_land_distances_are_those_of_the_sphere_up_to_the_detours_of_the_grid() -> None:
    """Paths along eight directions are at most 8 % longer than straight ones."""
    paths = embed(np.ones((9, 9), dtype=bool), POINTS)
    flat = POINTS.reshape(-1, 3)
    np.testing.assert_array_equal(paths.parts, flat)
    apart = np.linalg.norm(flat[:, None] - flat, axis=-1)
    ratio = np.linalg.norm(paths.points[:, None] - paths.points, axis=-1)[apart > 0] / apart[apart > 0]
    assert 0.95 < ratio.mean() < 1.09 and paths.error < 0.05 and paths.lengthened == 0


def test_seas_without_a_connection_are_out_of_reach() -> None:
    exists = np.ones((9, 9), dtype=bool)
    exists[:, 4] = False
    paths = embed(exists, POINTS)
    west = np.broadcast_to(np.arange(9) < 4, (9, 9))[exists]
    flat = POINTS[exists]
    for points in (paths.points, paths.parts):
        apart = np.linalg.norm(points[west][:, None] - points[~west], axis=-1)
        assert apart.min() > SEPARATION - 1
    np.testing.assert_array_equal(paths.parts[west], flat[west])
    np.testing.assert_allclose(
        np.linalg.norm(paths.parts[~west][0] - paths.parts[~west][1:], axis=1),
        np.linalg.norm(flat[~west][0] - flat[~west][1:], axis=1),
        rtol=1e-6, atol=1e-12,
    )  # fmt: skip
    assert 0.3 < paths.lengthened < 0.7


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"TIMES": 60, "ROWS": 8, "COLUMNS": 30}.items():
        monkeypatch.setattr(around_land, name, value)
    monkeypatch.setattr("sys.argv", ["around_land", "basins"])
    around_land.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[3] for row in rows[:4]] == ["sphere", "seas apart", "paths", "paths, as if without land"]
    assert len(rows) == 16 and all(float(row[-1]) > 0 for row in rows)
    assert all(row[-2:] == ["1.000", "1.000"] for row in rows[::4])
