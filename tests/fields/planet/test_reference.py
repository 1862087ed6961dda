"""A run says when its planet should be the documented one and is not; the documents have its digests."""

import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.weather import DIGESTS, difference, state_digest

ROOT = Path(__file__).parents[3]
OTHER = {**DIGESTS, "states": "0123456789ab"}


def test_the_documented_planet_gives_no_warning() -> None:
    assert difference(PlanetOptions(), 0, DIGESTS) is None


@pytest.mark.parametrize("digests", [OTHER, {**DIGESTS, "states": None}, {**DIGESTS, "fields": "0" * 12}])
def test_another_planet_is_reported_with_both_digests(digests: dict) -> None:
    sentence = difference(PlanetOptions(), 0, digests)
    assert sentence is not None and "\n" not in sentence and "docs/data.md" in sentence
    for name, digest in DIGESTS.items():
        assert f"{name} {digests[name]} instead of {digest}" in sentence


def test_planets_of_other_options_or_seeds_have_other_digests() -> None:
    assert difference(PlanetOptions(years=11), 0, OTHER) is None
    assert difference(PlanetOptions(), 1, OTHER) is None


def test_the_digest_sees_the_last_bit_and_not_the_type() -> None:
    q = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)
    digest = state_digest(xr.DataArray(q))
    assert digest == state_digest(xr.DataArray(q.astype(np.float64))) and len(digest) == 12
    q[1, 1] = np.nextafter(q[1, 1], np.float32(9))
    assert digest != state_digest(xr.DataArray(q))


def test_the_digests_are_documented() -> None:
    section = (
        (ROOT / "docs/data.md").read_text().partition("## The simulated planet")[2].partition("\n## ")[0]
    )
    assert dict(re.findall(r"^\| `(states|fields)` \|.*\| `(\w{12})` \|$", section, re.M)) == DIGESTS
