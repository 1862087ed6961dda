"""Positions and values of maps on a sheet."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection

from fieldcast.figures.sheet import Sheet, shades, ticks
from fieldcast.geometry import edges


def test_edges_lie_between_centres_and_half_a_cell_beyond():
    np.testing.assert_allclose(edges(np.array([0.0, 1.0, 3.0])), [-0.5, 0.5, 2.0, 4.0])


def test_a_map_fills_its_place_and_keeps_its_values():
    latitude, longitude = np.array([-45.0, 0.0, 45.0]), np.arange(4) * 90.0
    sheet = Sheet(latitude, longitude, 3, 2, first_gap=0.5)
    values = np.arange(12.0).reshape(3, 4)
    values[1, 2] = np.nan
    sheet.draw((2, 1), values, shades("viridis", 0.0, 11.0))
    mesh = sheet.axes.collections[0]
    np.testing.assert_array_equal(np.ma.getmaskarray(mesh.get_array()), np.isnan(values))
    np.testing.assert_array_equal(mesh.get_array().compressed(), values[np.isfinite(values)])
    corners = mesh.get_coordinates()
    assert corners[0, -1, 0] - corners[0, 0, 0] == pytest.approx(1.0)
    assert corners[-1, 0, 1] - corners[0, 0, 1] == pytest.approx(sheet.height)
    frame = sheet.axes.patches[0].get_bbox()
    np.testing.assert_allclose([frame.x0, frame.y0], corners[0, 0])
    left = sheet.corner(1, 0)[0]
    assert left > 1.5  # the room after the first column
    assert sheet.corner(0, 1)[1] + sheet.height < sheet.corner(0, 0)[1]  # rows go down
    low, high = sheet.axes.get_ylim()
    assert low < corners[..., 1].min() < corners[..., 1].max() < high
    assert corners[..., 0].max() < sheet.axes.get_xlim()[1]


def test_north_is_up_whichever_way_latitudes_run():
    longitude = np.arange(4) * 90.0
    for latitude in (np.array([-45.0, 45.0]), np.array([45.0, -45.0])):
        sheet = Sheet(latitude, longitude, 1, 1)
        sheet.draw((0, 0), np.tile(latitude[:, None], (1, 4)), shades("viridis", -45.0, 45.0))
        mesh = sheet.axes.collections[0]
        centres = (mesh.get_coordinates()[1:, 0, 1] + mesh.get_coordinates()[:-1, 0, 1]) / 2
        assert mesh.get_array()[np.argmax(centres), 0] == 45.0


def test_two_equal_levels_are_one_contour():
    """Most cells of a rain field are dry, and so may be the quantiles that define the contours."""
    sheet = Sheet(np.array([-45.0, 0.0, 45.0]), np.arange(4) * 90.0, 1, 1)
    sheet.contours((0, 0), np.arange(12.0).reshape(3, 4), np.array([5.0, 5.0]))
    np.testing.assert_array_equal(sheet.axes.collections[0].levels, [5.0])


@pytest.mark.parametrize(
    ("low", "high", "signs", "labels"),
    [
        (-90.0, 90.0, "NS", ["45°S", "0°", "45°N"]),
        (-2.8, 357.2, "EW", ["0°", "90°E", "180°", "90°W"]),
        (-180.0, 180.0, "EW", ["90°W", "0°", "90°E"]),
        (35.0, 61.0, "NS", ["40°N", "50°N", "60°N"]),
        (345.0, 371.0, "EW", ["10°W", "0°", "10°E"]),
    ],
)
def test_degrees_are_few_and_whole(low, high, signs, labels):
    assert [label for _, label in ticks(low, high, signs)] == labels


def test_degrees_and_coastlines_stand_where_their_coordinates_are():
    latitude, longitude = np.arange(-67.5, 90, 45.0), np.arange(0.0, 360, 90.0)
    line = np.array([[-45.0, -90.0], [315.0, 90.0]])  # from corner to corner
    sheet = Sheet(latitude, longitude, 2, 2, outline=[line])
    for place in ((0, 0), (0, 1), (1, 1)):
        sheet.draw(place, np.zeros((4, 4)), shades("viridis", 0.0, 1.0))
    coasts = [item for item in sheet.axes.collections if isinstance(item, LineCollection)][::2]  # and ticks
    for coast, place in zip(coasts, ((0, 0), (0, 1), (1, 1)), strict=True):
        left, bottom = sheet.corner(*place)
        np.testing.assert_allclose(
            coast.get_segments()[0], [[left, bottom], [left + 1, bottom + sheet.height]], atol=1e-9
        )
    labels = [(text.get_text(), *text.get_position()) for text in sheet.axes.texts]
    north = [(x, y) for text, x, y in labels if text == "45°N"]
    assert len(north) == 2 and all(x < 0 for x, _ in north)  # labels of the first column
    assert north[0][1] == pytest.approx(sheet.corner(0, 0)[1] + 0.75 * sheet.height)
    east = [(x, y) for text, x, y in labels if text == "90°E"]
    assert len(east) == 2 and all(y < sheet.corner(0, 1)[1] for _, y in east)  # labels of the last row
    assert east[0][0] == pytest.approx(135 / 360)
    assert sheet.axes.get_xlim()[0] < north[0][0] and sheet.axes.get_ylim()[0] < east[0][1]


def test_labels_of_longitudes_stay_below_their_own_map():
    """The label of a tick at the border would otherwise meet that of the next map."""
    latitude, longitude = np.arange(10.0, 60), np.arange(-31.0, 62)
    sheet = Sheet(latitude, longitude, 2, 1)
    for column in range(2):
        sheet.degrees(column, 0)
    renderer = FigureCanvasAgg(sheet.figure).get_renderer()
    below = [label for label in sheet.axes.texts if label.get_text().endswith(("E", "W"))]
    assert [label.get_text() for label in below] == ["30°W", "30°E", "60°E"] * 2
    boxes = [
        label.get_window_extent(renderer).transformed(sheet.axes.transData.inverted()) for label in below
    ]
    for number, box in enumerate(boxes):
        left = sheet.corner(number // 3, 0)[0]
        assert left - 0.01 < box.x0 < box.x1 < left + 1.01


def test_images_have_no_degrees():
    sheet = Sheet(-np.arange(4), np.arange(4), 1, 1, degrees=False)
    sheet.draw((0, 0), np.zeros((4, 4)), shades("gray", 0.0, 1.0))
    assert not sheet.axes.texts


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (0.0, 11.0, "neither"),
        (1.0, 11.0, "min"),
        (0.0, 10.0, "max"),
        (3.0, 4.0, "both"),
        (-1.0, 10.95, "neither"),
    ],
)
def test_a_colour_bar_has_arrows_where_values_lie_beyond_it(low, high, ends):
    sheet = Sheet(np.array([-45.0, 0.0, 45.0]), np.arange(4) * 90.0, 1, 1, top=0.3)
    colours = shades("viridis", low, high)
    assert sheet.beyond(colours) == "neither"  # nothing was drawn
    sheet.draw((0, 0), np.arange(12.0).reshape(3, 4), colours)
    assert sheet.beyond(colours) == ends
