"""Looks: distinct, stable, and telling classical methods from learned models and bounds."""

from __future__ import annotations

import itertools
import math

import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb

from fieldcast.experiments import Description
from fieldcast.figures.style import escape, looks, looks_of, percent, wrap_name

FAMILIES = ("classical", "learned", "bound")


def every(number: int) -> dict[str, Description]:
    """So many experiments of each family; the first classical one is the reference."""
    return {
        f"{family}{place}": Description(
            family=family, order=place, role="reference" if (family, place) == ("classical", 0) else None
        )
        for family in FAMILIES
        for place in range(number)
    }


def test_classical_methods_are_muted_and_dashed_and_learned_models_coloured_and_solid() -> None:
    for name, look in looks(every(15)).items():
        saturation = rgb_to_hsv(to_rgb(look.colour))[1]
        assert (saturation > 0.5) == (look.family == "learned"), name
        assert (look.dash == "-") == (look.family == "learned"), name
    assert looks(every(3))["classical0"].colour == "#000000"


def test_the_colours_of_six_classical_methods_can_be_told_apart() -> None:
    """Five greys could not: at least a fifth of the range between any two colours, also from black and from bounds."""
    drawn = [look for look in looks(every(7)).values() if look.family != "learned"]
    colours = {to_rgb(look.colour) for look in drawn}
    assert len(colours) == 8  # black, six muted ones, slate
    assert min(math.dist(*pair) for pair in itertools.combinations(colours, 2)) > 0.2


@pytest.mark.parametrize("number", [1, 6, 18])
def test_no_two_experiments_look_alike(number: int) -> None:
    for item, other in itertools.combinations(looks(every(number)).values(), 2):
        assert (item.colour, item.dash) != (other.colour, other.dash)


def test_an_experiment_that_no_table_knows_is_drawn_by_its_family() -> None:
    """An experiment without a family was drawn as a learned model and moved to the front of maps."""
    result = looks(
        {"inverse_distance": Description(family="classical"), "mine": Description(family="learned")}
    )
    assert result["inverse_distance"].dash != "-" and result["inverse_distance"].family == "classical"
    assert result["mine"].dash == "-"


def test_an_experiment_without_an_order_changes_no_other_look() -> None:
    expected = every(4)
    more = {"aaa": Description(family="learned"), "aab": Description(family="classical"), **expected}
    assert {name: looks(more)[name] for name in expected} == looks(expected)
    assert looks(dict(reversed(more.items()))) == looks(more)


def test_roles_mark_free_observations() -> None:
    result = looks(
        {role: Description(role=role) for role in ("baseline", "climatology", "reference")}
        | {"x": Description()}
    )
    assert [name for name, look in result.items() if look.free] == ["baseline", "climatology"]


def test_given_looks_are_kept_in_their_order() -> None:
    given = looks({name: Description() for name in ("mine", "kriging", "another")})
    assert list(looks_of(["another", "mine"], given)) == ["mine", "another"]
    assert looks_of(["another"], given)["another"] == given["another"]
    assert set(looks_of(["another"], None)) == {"another"}


def test_text_that_matplotlib_would_read_as_a_formula_is_shown_as_it_is() -> None:
    assert escape("$x_{2") == r"\$x_{2"
    assert percent(0.005) == "0.5 %"


def test_wrapping_a_name_loses_no_letter() -> None:
    for name in ("denoising_vae_residual_rk4", "Variational autodecoder, Laplace"):
        lines = wrap_name(name).split("\n")
        assert "".join(lines).replace(" ", "") == name.replace(" ", "")
        assert max(map(len, lines)) <= 14
