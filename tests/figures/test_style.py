"""Looks: fixed, distinct, and telling baselines from learned models."""

from __future__ import annotations

import itertools

from matplotlib.colors import rgb_to_hsv, to_rgb

from fieldcast.figures.style import (
    FORECAST,
    KNOWN,
    RECONSTRUCT,
    SAMPLE,
    chosen,
    looks,
    percent,
    plain,
    wrapped,
)


def test_baselines_are_grey_and_dashed_and_learned_models_coloured_and_solid():
    for name, look in KNOWN.items():
        saturation = rgb_to_hsv(to_rgb(look.colour))[1]
        assert (saturation > 0.5) == look.learned, name
        assert (look.dash == "-") == look.learned, name


def test_no_two_experiments_look_alike():
    for task in (RECONSTRUCT, FORECAST, SAMPLE):
        every = looks([*task, "a", "b", "c", "d", "e", "f", "g"])
        for one, other in itertools.combinations(every.values(), 2):
            assert (one.colour, one.dash) != (other.colour, other.dash)


def test_the_look_of_a_newcomer_does_not_hang_on_the_order_of_experiments():
    names = ["mine", "kriging", "another", "denoising_vae"]
    assert looks(names) == looks(names[::-1])
    assert looks(["kriging", "mine"])["kriging"] == KNOWN["kriging"]


def test_given_looks_are_kept_in_their_order():
    given = looks(["mine", "kriging", "another"])
    assert list(chosen(["another", "mine"], given)) == ["mine", "another"]
    assert chosen(["another"], given)["another"] == given["another"]


def test_text_that_matplotlib_would_read_as_a_formula_is_shown_as_it_is():
    assert plain("$x_{2") == r"\$x_{2"
    assert percent(0.005) == "0.5 %"


def test_wrapping_a_name_loses_no_letter():
    name = "denoising_vae_residual_rk4"
    assert wrapped(name).replace("\n", "") == name
    assert max(map(len, wrapped(name).split("\n"))) <= 14
