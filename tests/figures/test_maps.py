"""Maps share their colours; masks show what was observed."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.contour import ContourSet

from fieldcast.fields.quantities import Circle
from fieldcast.figures.maps import ANOMALY, common_scales, field_colours, mask_pictures, reconstruction_maps
from fieldcast.scores.examples import examples


@pytest.fixture
def stored(scene):
    many, single = scene(members=3, times=4), scene(members=1, times=4)
    result = {
        "kriging": examples(many.reconstructions, many.observations, many.truth),
        "linear": examples(single.reconstructions, many.observations, many.truth),
    }
    for dataset in result.values():
        dataset["z"][..., 2, 3] = np.nan  # a cell that never exists
    return result


def test_panels_are_truth_observations_and_the_kinds_of_each_experiment(stored):
    figure = reconstruction_maps(stored, "z", "random", 0.3, time=1)
    meshes = [single for single in figure.axes[0].collections if isinstance(single, QuadMesh)]
    case = {name: result["z"].isel(case=1, time=1) for name, result in stored.items()}
    truth = case["kriging"].sel(kind="truth")
    ensemble, single = case["kriging"], case["linear"]
    displayed = [np.ma.filled(mesh.get_array(), np.nan) for mesh in meshes]
    np.testing.assert_array_equal(displayed[1], ensemble.sel(kind="observed"))
    assert np.argwhere(np.isfinite(displayed[2])).tolist() == [[2, 3]]  # white where no cell exists
    expected = [
        ensemble.sel(kind="mean"),
        ensemble.sel(kind="mean") - truth,
        ensemble.sel(kind="member"),
        ensemble.sel(kind="spread"),
        single.sel(kind="mean"),
        single.sel(kind="mean") - truth,
    ]
    for values, mesh in zip([truth, *expected], [displayed[0], *displayed[3:]], strict=True):
        np.testing.assert_allclose(mesh, values, rtol=1e-6)
    heights = {text.get_text(): text.get_position()[1] for text in figure.axes[0].texts}
    heading = "z, 2001-02-09 00:00; pattern random, 30 % observed"
    assert heights[heading] > heights["kriging"] > meshes[0].get_coordinates()[..., 1].max()
    assert meshes[0].norm is meshes[1].norm is meshes[3].norm is meshes[7].norm
    assert meshes[4].norm is meshes[8].norm


def test_scales_of_errors_are_symmetric_and_no_spread_has_no_scale():
    truth = np.zeros((2, 3))
    fields = {"linear": {"mean": truth + 2.0, "member": truth, "spread": truth * np.nan}}
    scales = common_scales(truth, fields)
    assert set(scales) == {"field", "error"}
    assert scales["error"].get_clim() == (-2.0, 2.0)
    assert scales["field"].get_clim()[1] > scales["field"].get_clim()[0]


def test_angles_all_round_are_in_a_circle_of_colours():
    circle, half = Circle(period=360.0), np.array([[-100.0, 5.0, 60.0]])
    colours = field_colours(np.array([[-170.0, 5.0, 170.0]]), anomaly=True, circle=circle)
    same = colours.to_rgba(np.array([[-190.0, 170.0, 530.0]]))
    np.testing.assert_allclose(same, np.broadcast_to(same[:, :1], same.shape), atol=0.01)
    ends = colours.to_rgba(np.array([-180.0, 179.9]))
    np.testing.assert_allclose(ends[0], ends[1], atol=0.02)
    assert colours.get_clim() == (-180.0, 180.0)
    assert field_colours(half, anomaly=True, circle=circle).get_cmap().name == ANOMALY


def test_an_experiment_that_blew_up_takes_no_scale_from_the_others():
    truth = np.zeros((2, 3))
    sound = {"mean": truth + 2.0, "member": truth, "spread": truth + 0.5}
    scales = common_scales(truth, {"kriging": sound, "mine": dict.fromkeys(sound, truth + np.inf)})
    assert scales["error"].get_clim() == (-2.0, 2.0) and scales["spread"].get_clim() == (0.0, 0.5)


def test_each_case_shows_the_cells_of_its_first_mask(scene):
    observations = scene(times=3, levels=(0.1, 0.3, 0.5)).observations
    observations["pattern"] = ("case", ["random", "swaths", "random"])
    figure = mask_pictures(observations)
    meshes = [single for single in figure.axes[0].collections if isinstance(single, QuadMesh)]
    titles = [text.get_text() for text in figure.axes[0].texts if "cells" in text.get_text()]
    for mesh, case, title in zip(meshes, (0, 2, 1), titles, strict=True):
        observed = np.isfinite(observations["z"].isel(case=case, time=0).to_numpy())
        np.testing.assert_array_equal(~np.ma.getmaskarray(mesh.get_array()), observed)
        assert f"({observed.sum()} cells)" in title


def test_fractions_of_masks_rise_from_left_to_right(scene):
    """The page once showed 10, 5 and 20 %."""
    observations = scene(times=1, levels=(0.05, 0.1, 0.2)).observations
    titles = [text.get_text() for text in mask_pictures(observations).axes[0].texts]
    assert [title.split(",")[1].split("%")[0].strip() for title in titles if "cells" in title] == [
        "5",
        "10",
        "20",
    ]


def test_anomalies_have_colours_about_zero_and_no_contours(stored):
    anomalies = {name: fields.assign_attrs(anomaly=1) for name, fields in stored.items()}
    figure = reconstruction_maps(anomalies, "z", "random", 0.3)
    first = next(single for single in figure.axes[0].collections if isinstance(single, QuadMesh))
    assert first.norm.vmin == -first.norm.vmax
    assert not any(isinstance(single, ContourSet) for single in figure.axes[0].collections)
    assert any("anomaly" in text.get_text() for text in figure.axes[0].texts)
