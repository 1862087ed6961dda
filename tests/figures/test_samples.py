"""The sample sheet: real data above those who see such data, every experiment in its row."""

from __future__ import annotations

import numpy as np
from matplotlib.collections import QuadMesh

from fieldcast.figures.pictures import of_kind
from fieldcast.figures.samples import by_truth, in_parts, sample_sheet


def rows(figure) -> dict[str, np.ndarray]:
    """First picture of each row, by the name beside it."""
    axes = figure.axes[0]
    first = {}
    for mesh in axes.collections:
        if isinstance(mesh, QuadMesh) and mesh.get_coordinates()[0, 0, 0] == 0.0:
            first[round(float(mesh.get_coordinates()[..., 1].mean()), 3)] = mesh.get_array()
    names = [one for one in axes.texts if round(one.get_position()[1], 3) in first]
    return {one.get_text().replace("\n", ""): first[round(one.get_position()[1], 3)] for one in names}


def test_each_row_shows_its_own_samples(sampled):
    stored = sampled()["examples"]
    shown = rows(sample_sheet(stored, "image"))
    assert list(shown) == ["real", *stored]
    for name, found in stored.items():
        np.testing.assert_array_equal(shown[name], of_kind(found, "image", "sample")[0])
    np.testing.assert_array_equal(shown["real"], of_kind(stored["vae"], "image", "real")[0])


def test_who_sees_other_data_stands_below_these(sampled):
    stored = dict(sampled()["examples"])
    stored["ddpm"] = stored["ddpm"].assign(image=9.0 - stored["ddpm"]["image"])
    assert by_truth(stored, "image", "real") == [[*stored][:-1], ["ddpm"]]
    shown = rows(sample_sheet(stored, "image"))
    assert list(shown) == ["real, grey", *[*stored][:-1], "real, symmetric", "ddpm"]
    np.testing.assert_allclose(shown["real, symmetric"], 9.0 - shown["real, grey"], rtol=1e-6)


def test_parts_are_of_nearly_equal_length_and_lose_nobody():
    assert in_parts(list("abcde"), 4) == [["a", "b", "c"], ["d", "e"]]
    assert in_parts(list("abcd"), 4) == [list("abcd")]
    assert in_parts([], 4) == []
