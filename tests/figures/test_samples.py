"""Pictures of samples: each row shows what its name says, below the data that it belongs to."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from fieldcast.figures.pictures import pictures_of_kind
from fieldcast.figures.samples import (
    decoded_pictures,
    denoising,
    groups_by_truth,
    interpolations,
    latent_grid,
    nearest_distances,
    nearest_pictures,
    sample_sheet,
)
from fieldcast.scores.examples import with_pictures


def rows(figure) -> dict[str, np.ndarray]:
    """First picture of each row, by the name beside it."""
    axes = figure.axes[0]
    first = {}
    for mesh in axes.collections:
        if isinstance(mesh, QuadMesh) and mesh.get_coordinates()[0, 0, 0] == 0.0:
            first[round(float(mesh.get_coordinates()[..., 1].mean()), 3)] = mesh.get_array()
    names = [item for item in axes.texts if round(item.get_position()[1], 3) in first]
    return {item.get_text().replace("\n", ""): first[round(item.get_position()[1], 3)] for item in names}


def test_each_row_shows_its_own_samples(sampled):
    stored = sampled()["examples"]
    displayed = rows(sample_sheet(stored, "image"))
    assert list(displayed) == ["real", *stored]
    for name, result in stored.items():
        np.testing.assert_array_equal(displayed[name], pictures_of_kind(result, "image", "sample")[0])
    np.testing.assert_array_equal(displayed["real"], pictures_of_kind(stored["vae"], "image", "real")[0])


def test_experiments_on_other_data_stand_below(sampled):
    stored = dict(sampled()["examples"])
    stored["ddpm"] = stored["ddpm"].assign(image=9.0 - stored["ddpm"]["image"])
    assert groups_by_truth(stored, "image", "real") == [[*stored][:-1], ["ddpm"]]
    displayed = rows(sample_sheet(stored, "image"))
    assert list(displayed) == ["real, grey", *[*stored][:-1], "real, symmetric", "ddpm"]
    np.testing.assert_allclose(displayed["real, symmetric"], 9.0 - displayed["real, grey"], rtol=1e-6)


def test_rows_are_data_reconstructions_and_samples(sampled):
    stored = {name: sampled()["examples"][name] for name in ("vae_kl0", "vae")}
    figure = decoded_pictures(stored, "image")
    meshes = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    expected = [pictures_of_kind(stored["vae"], "image", "truth")]
    for result in stored.values():
        expected += [
            pictures_of_kind(result, "image", "reconstruction"),
            pictures_of_kind(result, "image", "sample")[:10],
        ]
    assert len(meshes) == 50
    for number, mesh in enumerate(meshes):
        row, column = divmod(number, 10)
        np.testing.assert_array_equal(mesh.get_array(), expected[row][column])
        assert mesh.get_coordinates()[0, 0, 0] == meshes[column].get_coordinates()[0, 0, 0]
    texts = [item.get_text() for item in figure.axes[0].texts]
    assert {"test data", "vae_kl0\nreconstruction", "vae\nreconstruction", "decoded random codes"} <= set(
        texts
    )


def test_pictures_run_along_rows_from_the_top(sampled):
    stored = sampled()["examples"]["vae"].assign_attrs(grid_components=[0, 1])
    figure = latent_grid(stored, "image", "vae")
    meshes = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    places = np.array([mesh.get_coordinates().mean((0, 1)) for mesh in meshes])
    order = np.lexsort([places[:, 0], -places[:, 1].round(3)])
    displayed = np.array([meshes[item].get_array() for item in order])
    np.testing.assert_array_equal(displayed, pictures_of_kind(stored, "image", "grid"))
    assert said(figure) == "vae, z_0 to the right, z_1 upwards"  # stored before components were chosen


def test_an_interpolation_has_a_row_per_pair(sampled):
    stored = {}
    for name in ("vae", "autoencoder"):
        pictures = sampled()["examples"][name]
        kind = ["interpolation" if item == "grid" else item for item in pictures["kind"].values]
        stored[name] = pictures.assign_coords(kind=("picture", kind)).assign_attrs(way=5)
    decoded = {
        name: pictures_of_kind(pictures, "image", "interpolation") for name, pictures in stored.items()
    }
    figure = interpolations(stored, "image")
    meshes = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    assert len(meshes) == sum(map(len, decoded.values()))
    for mesh, expected in zip(meshes, np.concatenate(list(decoded.values())), strict=True):
        np.testing.assert_array_equal(mesh.get_array(), expected)
    left = [mesh.get_coordinates()[0, 0, 0] for mesh in meshes]
    assert left[:5] == left[5:10] == sorted(set(left))  # a row of five, then the next pair
    assert {"vae", "autoencoder"} <= {item.get_text() for item in figure.axes[0].texts}


@pytest.mark.parametrize(
    ("components", "words"),
    [([3, 17], "vae, z_3 to the right, z_17 upwards"), ([0], "vae, z_0 to the right")],
)
def test_the_components_are_named(sampled, components, words):
    stored = sampled()["examples"]["vae"].assign_attrs(grid_components=components)
    assert said(latent_grid(stored, "image", "vae")) == words


def test_components_fit_the_grid_beside_samples(sampled):
    stored = sampled()["examples"]["vae"].drop_attrs(deep=False).assign_attrs(treatment="grey", levels=10)
    created = stored["kind"].isin(["grid", "truth", "reconstruction"]).to_numpy()
    pictures = stored.isel(picture=created).assign_attrs(grid_components=[3, 17])
    assert with_pictures(stored.isel(picture=~created), pictures).attrs == {
        **stored.attrs,
        "grid_components": [3, 17],
    }


def said(figure: Figure) -> str:
    (heading,) = [text.get_text() for text in figure.axes[0].texts if "z_" in text.get_text()]
    return heading


def test_each_place_shows_its_draw_at_its_time(sampled):
    stored = sampled(images=False)["examples"]["ddpm"]
    figure = denoising(stored, "z", "ddpm")
    kind, number, t = (stored[name].to_numpy() for name in ("kind", "number", "chain_time"))
    real = stored["z"].to_numpy()[kind == "real"].astype(float)
    meshes = [item for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    assert len(meshes) == 24
    for place, mesh in enumerate(meshes):
        draw, column = divmod(place, 6)
        selected = (kind == "snapshot") & (number == draw) & (t == [200, 100, 50, 20, 10, 0][column])
        expected = stored["z"].to_numpy()[selected][0] - real.mean(0)
        np.testing.assert_allclose(mesh.get_array(), expected, atol=1e-9)
    titles = [item.get_text() for item in figure.axes[0].texts]
    assert {"t = 200", "t = 0", "draw 1", "draw 4"} <= set(titles)


def test_each_sample_stands_above_its_neighbour(sampled):
    stored = {name: sampled()["examples"][name] for name in ("flow", "ddpm")}
    figure = nearest_pictures(stored, "image")
    meshes = [item.get_array() for item in figure.axes[0].collections if isinstance(item, QuadMesh)]
    for place, result in enumerate(stored.values()):
        rows = np.array(meshes[20 * place : 20 * place + 20])
        np.testing.assert_array_equal(rows[:10], pictures_of_kind(result, "image", "sample")[:10])
        np.testing.assert_array_equal(rows[10:], pictures_of_kind(result, "image", "nearest"))


def test_bars_are_shares_of_all_finite_distances(sampled):
    stored = {name: sampled()["diagnostics"][name].copy() for name in ("flow", "ddpm")}
    stored["flow"]["nearest_of_samples"][:] = np.inf  # it blew up
    first, second = (axes for axes in nearest_distances(stored).axes if axes.get_visible())
    assert len(first.patches) == 1  # test data alone
    bars = [item for item in second.patches if not isinstance(item, Polygon)]
    left, wide, heights = np.array([(bar.get_x(), bar.get_width(), bar.get_height()) for bar in bars]).T
    drawn = stored["ddpm"]["nearest_of_samples"].to_numpy()
    borders = np.append(left, left[-1] + wide[-1])
    np.testing.assert_allclose(100 * heights, np.histogram(drawn, borders)[0], atol=1e-9)
    assert heights.sum() == pytest.approx(1.0)
    assert second.get_xscale() == "log"  # samples are at 0.2 to 0.4, test data at 1 to 2


def test_the_axis_is_logarithmic_only_where_distances_differ_much(sampled):
    stored = {"flow": sampled()["diagnostics"]["flow"]}
    assert nearest_distances(stored).axes[0].get_xscale() == "linear"
    stored["flow"]["nearest_of_samples"][:] = 0.0  # exact copies have no logarithm
    axes = nearest_distances(stored).axes[0]
    assert axes.get_xscale() == "log"
    heights = [item.get_height() for item in axes.patches if not isinstance(item, Polygon)]
    assert sum(heights) == pytest.approx(1.0)
