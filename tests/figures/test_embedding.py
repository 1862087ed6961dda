"""Posterior means in two dimensions: as they are, or neighbours kept by t-SNE."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.collections import PathCollection
from sklearn.neighbors import KNeighborsClassifier

from fieldcast.figures.embedding import apart, can_be_shown, embeddings, t_sne


def dots(axes) -> np.ndarray:
    return np.concatenate(
        [item.get_offsets() for item in axes.collections if isinstance(item, PathCollection)]
    )


def test_two_components_are_shown_as_they_are_by_label(sampled):
    stored = sampled()["latents"]["vae"]
    axes = embeddings({"vae": stored}).axes[0]
    means, label = stored["mean"].to_numpy(), stored["label"].to_numpy()
    np.testing.assert_array_equal(dots(axes), np.concatenate([means[label == item] for item in range(4)]))
    named = {item.get_text(): item.get_position() for item in axes.texts}
    np.testing.assert_allclose(named["3"], np.median(means[label == 3], axis=0))
    colours = {tuple(item.get_facecolor()[0][:3]) for item in axes.collections}
    assert len(colours) == 4


def test_without_labels_there_is_one_colour_and_more_components_are_left_out(sampled):
    stored = sampled()["latents"]["vae"].drop_vars("label")
    axes = embeddings({"vae": stored}).axes[0]
    np.testing.assert_array_equal(dots(axes), stored["mean"])
    assert len(axes.collections) == 1
    assert can_be_shown(stored)
    many = sampled(latent=5)["latents"]["vae"]
    assert can_be_shown(many)
    assert not can_be_shown(many.drop_vars("label"))
    assert not can_be_shown(many.isel(latent=[0]))


def test_training_codes_are_shown_beside_test_codes(sampled):
    both = sampled()["latents"]
    training = np.random.default_rng(0).normal(size=(30, 2))
    label = np.arange(30) % 4
    both["vae"] = both["vae"].assign(training_mean=(("training", "latent"), training))
    both["vae"] = both["vae"].assign_coords(training_label=("training", label))
    first, second, third, *_ = embeddings({name: both[name] for name in ("vae", "autoencoder")}).axes
    titles = [axes.get_title(loc="left").split("\n")[0] for axes in (first, second, third)]
    assert titles == ["vae, training", "vae, test", "autoencoder"]
    np.testing.assert_array_equal(dots(first), np.concatenate([training[label == item] for item in range(4)]))
    assert len(dots(second)) == both["vae"].sizes["datum"]


def test_t_sne_keeps_neighbours_and_is_the_same_again():
    rng = np.random.default_rng(0)
    label = np.arange(90) % 3
    means = rng.normal(size=(90, 8)) + 8.0 * np.eye(8)[label]
    places = t_sne(means, seed=1)
    np.testing.assert_array_equal(places, t_sne(means, seed=1))
    assert KNeighborsClassifier(5).fit(places[::2], label[::2]).score(places[1::2], label[1::2]) == 1.0


def test_labels_that_would_overlap_move_apart_and_others_stay():
    places = np.array([[0.0, 0.0], [0.2, 0.1], [0.1, -0.2], [5.0, 5.0]])
    sizes = np.tile([2.0, 0.5], (4, 1))
    moved = apart(places, sizes)
    for i in range(4):
        for j in range(i):
            assert (np.abs(moved[i] - moved[j]) >= sizes[0] - 1e-6).any()
    np.testing.assert_array_equal(moved[3], places[3])
    assert np.abs(moved - places).max() < 0.6


def test_no_title_runs_into_the_next_panel_or_out_of_the_figure(sampled):
    stored = sampled()["latents"]["vae"]
    training = np.random.default_rng(0).normal(size=(30, 2))
    stored = stored.assign(training_mean=(("training", "latent"), training))
    names = ("Variational autodecoder (Laplace)", "Variational autodecoder (uniform)")
    figure = embeddings(dict.fromkeys(names, stored))
    figure.draw_without_rendering()
    boxes = [axes._left_title.get_window_extent() for axes in figure.axes]
    assert boxes[-1].x1 < figure.bbox.x1 and max(box.y1 for box in boxes) < figure.bbox.y1
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
