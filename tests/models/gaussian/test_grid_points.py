import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from fieldcast.models.gaussian.grid_points import GridPoints, observations
from fieldcast.models.space import Space


def globe(latitudes: int, columns: int, variables: int = 1, missing: int = 0) -> Space:
    """A grid whose first and last row are the poles."""
    latitude, longitude = (
        np.linspace(-np.pi / 2, np.pi / 2, latitudes),
        np.arange(columns) * 2 * np.pi / columns,
    )
    up, round_ = np.meshgrid(latitude, longitude, indexing="ij")
    points = [np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)]
    area = torch.from_numpy(np.cos(up) + 0.01).float()
    exists = torch.ones(latitudes, columns, dtype=torch.bool)
    exists.flatten()[columns : columns + missing] = False
    return Space(
        variables=tuple(f"v{i}" for i in range(variables)),
        wraps=True,
        area=area / area.mean(),
        exists=exists,
        points=torch.from_numpy(np.stack(points, axis=-1)).float(),
        static=torch.zeros(0, latitudes, columns),
        tendency=torch.ones(variables),
    )


def test_the_144_cells_of_a_pole_are_one_place():
    places = GridPoints(globe(73, 144))
    assert len(places) == 71 * 144 + 2
    assert places.size[0] == places.size[-1] == 144
    assert places.area.sum() == pytest.approx(73 * 144, rel=1e-5)
    assert not cKDTree(places.points.numpy()).query_pairs(1e-3)


@pytest.mark.parametrize("missing", [0, 5])
def test_there_and_back_is_the_identity_where_a_pole_has_one_value(missing):
    space = globe(6, 8, variables=2, missing=missing)
    places = GridPoints(space)
    assert len(places) == 4 * 8 + 2 - missing
    x = torch.randn(3, 2, 6, 8, generator=torch.Generator().manual_seed(0)) * space.exists
    x[..., 0, :], x[..., -1, :] = x[..., 0, :1], x[..., -1, :1]
    assert torch.allclose(places.scatter(places.gather(x)), x, atol=1e-6)


def test_a_grid_without_coincident_cells_is_only_reshaped():
    space = globe(7, 8)
    inner = Space(
        space.variables,
        True,
        space.area[1:-1],
        space.exists[1:-1],
        space.points[1:-1],
        space.static[:, 1:-1],
        space.tendency,
    )
    places = GridPoints(inner)
    x = torch.arange(40.0).view(1, 1, 5, 8)
    assert places.whole
    assert torch.equal(places.gather(x), x.flatten(2))
    assert torch.equal(places.scatter(x.flatten(2)), x)


def test_a_pole_in_several_cells_counts_as_one_observation():
    places = GridPoints(globe(4, 6, variables=2))
    mask = torch.zeros(1, 2, 4, 6, dtype=torch.bool)
    mask[0, 1, 0, :3] = mask[0, 0, 1, 2] = True
    observed = torch.zeros(1, 2, 4, 6)
    observed[0, 1, 0, :3] = torch.tensor([1.0, 2.0, 6.0])
    observed[0, 0, 1, 2] = -1
    (group,) = observations(places, observed, mask)
    by_index = {
        int(i): (float(y), float(n)) for i, y, n in zip(group.index, group.y[0], group.count, strict=True)
    }
    assert by_index == {len(places): (3.0, 3.0), 1 + 2: (-1.0, 1.0)}


def test_rows_of_one_mask_stand_together():
    places = GridPoints(globe(4, 6))
    generator = torch.Generator().manual_seed(0)
    masks = torch.rand(3, 1, 4, 6, generator=generator) < 0.5
    order = torch.tensor([2, 0, 1, 0, 2])
    x = torch.randn(5, 1, 4, 6, generator=generator)
    x[..., 0, :], x[..., -1, :] = x[..., 0, :1], x[..., -1, :1]
    groups = observations(places, x * masks[order], masks[order])
    assert sorted(sorted(group.datum.tolist()) for group in groups) == [[0, 4], [1, 3], [2]]
    for group in groups:
        assert torch.allclose(group.y, places.gather(x[group.datum]).flatten(1)[:, group.index].double())
