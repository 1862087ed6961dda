"""Findings from scores of samples: groups, thresholds and sentences follow from a leaderboard of round numbers."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import Sample
from fieldcast.report.sample import Findings, percents, score_with_interval, verdict
from fieldcast.scores.bootstrap import Score

from .conftest import leaderboard_of

THIRD = "acme:gan"  # an experiment of another package


def findings(scores: dict, **parts: object) -> Findings:
    results = Sample(leaderboard=leaderboard_of(scores) if scores else pd.DataFrame(), **parts)
    return Findings(results, results.board)


def near(very_near: int) -> xr.Dataset:
    """So many of 100 samples are nearer to a training state than all test data."""
    drawn = np.where(np.arange(100) < very_near, 0.5, 2.0)
    return xr.Dataset({"nearest_of_samples": ("sample", drawn), "nearest_of_test": ("datum", np.ones(50))})


def test_a_distance_is_higher_than_that_of_real_data_beyond_both_intervals() -> None:
    higher, same = verdict(Score(9.0), Score(1.0)), verdict(Score(1.0), Score(9.0))
    assert "not" in same and "not" not in higher
    floor = Score(1.0, 0.5, 1.5)
    assert verdict(Score(2.0, 1.6, 3.0), floor) == higher
    assert verdict(Score(2.0, 1.5, 3.0), floor) == same
    assert verdict(Score(1.6), floor) == higher  # without an interval the value counts
    assert verdict(Score(2.0, 1.2, 3.0), Score(1.1)) == higher
    assert verdict(Score(1.0), Score(1.0)) == same


def test_the_lowest_and_the_next_are_of_comparable_experiments() -> None:
    scores = {
        (name, "fid"): value for name, value in ((THIRD, 3.0), ("flow", 2.0), ("vae", 4.0), ("pca", 1.0))
    }
    scores |= {(name, "fid_floor"): (0.5, 0.4, 0.6) for name in ("flow", "vae")}
    scores |= {("vae", "kid"): (-0.01, -0.02, 0.004)}
    stored = {
        name: near(0).assign_attrs(treatment="binary" if name == "pca" else "grey") for name, _ in scores
    }
    binary, grey = sorted(findings(scores, diagnostics=stored).lowest(), key=lambda item: item.where)[1:]
    assert binary[:5] == ("FID", "binary", "pca", "1.00", "") and binary.following == []
    assert grey[:5] == ("FID", "grey values", "flow", "2.00", "0.500 (0.400 to 0.600)")
    assert grey.verdict == verdict(Score(2.0), Score(0.5))
    assert (grey.following, grey.next_value) == ([THIRD], "3.00")
    (fid, kid) = findings(scores).lowest()  # all data are treated alike
    assert (fid.where, fid.best, fid.following, kid.value) == (
        "",
        "pca",
        ["flow"],
        "−0.0100 (−0.0200 to 0.0040)",
    )
    assert list(findings({}).lowest()) == []


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((0.625, 0.95, 0.949), (["b"], False)),
        ((0.625, 0.96, 0.97), (["b", "c"], False)),  # all others, but they can be named
        ((0.625, 0.96, 0.97, 0.98), (["b", "c", "d"], False)),
        ((0.625, 0.96, 0.97, 0.98, 0.99), (["b", "c", "d", "e"], True)),
        ((0.625, 0.96, 0.97, 0.98, 0.99, 0.94), (["b", "c", "d", "e"], False)),
        ((0.99,), ([], False)),
    ],
)
def test_experiments_are_always_recognised_from_95_percent(accuracies, expected) -> None:
    scores = {(name, "c2st"): value for name, value in zip("abcdef", accuracies, strict=False)}
    assert findings(scores).hardest_to_recognise() == ("a", f"{100 * accuracies[0]:.0f} %", *expected)


def test_the_hardest_to_recognise_is_the_nearest_to_chance() -> None:
    """An accuracy below a half is chance: 52 % is nearer to it than 40 %, and the page does not call it the lowest."""
    by_chance = findings({("a", "c2st"): 0.40, (THIRD, "c2st"): (0.52, 0.45, 0.59)})
    assert by_chance.hardest_to_recognise() == (THIRD, "52 % (45 to 59 %)", [], False)
    body = by_chance.results.sections({})[0].body
    assert "52 % (45 to 59 %), the closest to chance (50 %)" in body and "lowest;" not in body
    assert findings({("a", "fid"): 1.0}).hardest_to_recognise() is None
    alone = findings({("a", "c2st"): 0.99}).results.sections({})[0].body
    assert "an accuracy of 99 % (50 % is chance)" in alone and "closest to chance" not in alone


def test_likelihoods_are_exact_bounds_or_none() -> None:
    costs = {
        name: pd.DataFrame([{"density": kind}]) for name, kind in (("flow", "exact"), ("vae", "lower bound"))
    }
    scores = {(name, "fid"): value for name, value in (("vae", 1.0), (THIRD, 2.0), ("flow", 3.0))}
    kinds = {"exact": ["flow"], "lower bound": ["vae"], "": [THIRD]}
    assert findings(scores, costs=costs).densities() == kinds
    assert findings(scores).densities() == {}


def test_the_tightest_bound_ranks_likelihoods() -> None:
    scores = {(THIRD, "elbo"): -120.04, ("vae", "elbo"): -130.04, ("vae", "iwae"): -110.04}
    bounds = findings({("wide", "iwae"): -140.04} | scores, diagnostics={"vae": near(0).assign_attrs(K=50)})
    assert list(bounds.highest()) == [("", "vae", "−110.0", "wide", "−140.0")]
    assert [bounds.tightest(name) for name in ("vae", THIRD)] == [-110.04, -120.04]
    assert math.isnan(bounds.tightest("absent"))
    assert bounds.draws() == "50" and findings({}).draws() == ""
    assert list(findings({("vae", "elbo"): -130.0}).highest()) == []  # alone it is neither


def test_bits_and_reconstructions_are_in_order() -> None:
    scores = {("flow", "bits_per_dim"): 1.5, ("vae", "bits_per_dim"): -0.25, ("pca", "test_loss"): 0.02}
    scores |= {("vae", "test_loss"): 0.01, ("vae", "train_loss"): 0.004, ("pca", "fid"): math.nan}
    both = findings(scores)
    assert both.bits() == [("vae", "−0.250"), ("flow", "1.50")]
    assert list(both.reconstructions()) == [("", "vae", "0.0100", "0.00400")]
    del scores["pca", "test_loss"]
    assert list(findings(scores).reconstructions()) == findings({}).bits() == []


def test_copies_are_more_than_a_tenth_of_very_near_samples() -> None:
    stored = {"a": near(10), "b": near(11), THIRD: near(60)}
    assert findings({}, diagnostics=stored).copies() == [(THIRD, "60"), ("b", "11")]


def test_samples_that_are_not_finite_are_counted() -> None:
    counts = {
        "a": {"samples": 100, "finite": 97},
        "b": {"samples": 100, "finite": 100},
        "c": {"samples": 100},
    }
    stored = {name: near(0).assign_attrs(attrs) for name, attrs in counts.items()}
    assert findings({}, diagnostics=stored).not_finite() == [("a", 3, 100)]


def test_sizes_are_a_number_or_a_range_and_empty_if_unknown() -> None:
    first = {"samples": 100, "real": 200, "accuracy": 0.9876, "extractor": "<net>", "features": 64}
    stored = {"a": near(0).assign_attrs(first), "b": near(0).assign_attrs(first | {"samples": 50})}
    sizes = {"samples": "50 to 100", "real": "200", "features": "64", "extractor": "<net>"}
    expected = sizes | {"accuracy": "0.988", "weights": ""}
    assert findings({}, diagnostics=stored).sizes() == expected
    assert findings({}).sizes() == dict.fromkeys(expected, "")
    body = findings({("a", "fid"): 1.0}, diagnostics=stored).results.sections({})[0].body
    assert "Features: &lt;net&gt; (64 features, test accuracy 0.988)." in body


def test_values_and_shares_have_their_intervals() -> None:
    assert score_with_interval(Score(1.25, 1.0, 1.5)) == "1.25 (1.00 to 1.50)"
    assert score_with_interval(Score(1.25)) == "1.25"
    assert score_with_interval(Score(math.inf)) == "∞"  # samples that are not finite, as in the table
    assert (percents(Score(0.516)), percents(Score(0.5, 0.4, 0.6))) == ("52 %", "50 % (40 to 60 %)")
