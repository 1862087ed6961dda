"""Tables of samples: the only best of comparable experiments is bold, and real data stand below."""

from __future__ import annotations

import math

import numpy as np
import pytest
import xarray as xr

from fieldcast.report import Sample
from fieldcast.report.sample import cells_table, exceeds, near_table, score_table, sizes_table
from fieldcast.report.tables import Table
from fieldcast.scores.bootstrap import Score

from .conftest import leaderboard_of

THIRD = "acme:gan"  # an experiment of another package


def results_of(scores: dict, **attrs: dict) -> Sample:
    """Scores by experiment and name, with attributes of the diagnostics."""
    empty = xr.Dataset({"nearest_of_samples": ("sample", np.ones(3))})
    stored = {name: empty.assign_attrs(values) for name, values in attrs.items()}
    return Sample(leaderboard=leaderboard_of(scores), diagnostics=stored)


def bold(table: Table) -> list[str]:
    return [row[0].text for row in table.rows if any(cell.kind == "best" for cell in row)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": 0.52, "b": 0.4, THIRD: 0.9}, ["a"]),
        ({"a": 0.75, "b": 0.25, THIRD: 0.75}, []),  # equally far from chance
        ({"a": 0.52}, []),  # alone
        ({"a": 0.52, "b": math.nan}, []),
        ({"a": math.inf, "b": math.inf}, []),
    ],
)
def test_only_the_single_best_of_several_is_bold(values, expected) -> None:
    results = results_of({(name, "c2st"): value for name, value in values.items()})
    assert bold(score_table(results, results.board, "c2st")) == expected


def test_experiments_of_different_data_do_not_compete() -> None:
    scores = {(name, "fid"): value for name, value in (("a", 1.0), ("b", 2.0), (THIRD, 3.0), ("d", 4.0))}
    grey = {
        name: {"treatment": treatment}
        for name, treatment in (("a", "binary"), ("b", "grey"), ("d", "symmetric"))
    }
    results = results_of(scores, **grey)
    table = score_table(results, results.board, "fid", "kid")
    assert table.head == ["experiment", "data as", "FID"]
    assert [row[1].text for row in table.rows] == ["binary", "grey", "–", "symmetric"]
    assert bold(table) == ["b"]  # best of grey values; the others are alone
    equal = results_of(scores, **{name: {"treatment": "grey"} for name in grey})
    assert score_table(equal, equal.board, "fid").head == ["experiment", "FID"]
    assert score_table(results, results.board, "kid").rows == []


def test_real_data_stand_below_and_units_are_counts() -> None:
    scores = {("a", "fid"): (2.0, 1.0, 3.0), ("a", "fid_floor"): 0.5, ("a", "active_units"): 2048.0}
    results = results_of(scores | {("b", "fid"): 3.0, ("b", "active_units"): 2.5}, b={"fid_floor": 0.25})
    first, second = score_table(results, results.board, "fid", "active_units").rows
    assert (first[1].notes, second[1].notes) == (
        (("1.00 to 3.00", ""), ("real data 0.50", ""), ("higher", "worse")),
        (("real data 0.25", ""), ("higher", "worse")),
    )
    assert (first[2].text, second[2].text) == ("2048", "2.5")


def test_a_distance_is_higher_than_that_of_real_data_beyond_both_intervals() -> None:
    assert exceeds(Score(9.0), Score(1.0)) and not exceeds(Score(1.0), Score(9.0))
    floor = Score(1.0, 0.5, 1.5)
    assert exceeds(Score(2.0, 1.6, 3.0), floor) and not exceeds(Score(2.0, 1.5, 3.0), floor)
    assert exceeds(Score(1.6), floor)  # without an interval the value counts
    assert exceeds(Score(2.0, 1.2, 3.0), Score(1.1)) and not exceeds(Score(1.0), Score(1.0))


def test_features_are_named_and_draws_of_the_bound_counted() -> None:
    facts = {"samples": 100, "real": 200, "accuracy": 0.9876, "extractor": "<net>", "features": 64}
    results = results_of(
        {("a", "fid"): 1.0, ("b", "iwae"): -1.0}, a=facts, b=facts | {"samples": 50, "K": 50}
    )
    assert results.features == "<net> (64 features, test accuracy 0.988)" and results.posterior_draws == "50"
    assert [[cell.text for cell in row[1:4]] for row in sizes_table(results).rows] == [
        ["100", "–", "200"],
        ["50", "–", "200"],
    ]
    assert (Sample().features, Sample().posterior_draws) == ("", "")


def test_distances_of_cells_and_of_near_samples() -> None:
    attrs = {
        "a": {"wasserstein_mean": 0.25, "wasserstein_floor": 0.125},
        "b": {"wasserstein_mean": 0.5},
        "c": {},
    }
    table = cells_table(results_of({("a", "fid"): 1.0, ("b", "fid"): 2.0, ("c", "fid"): 3.0}, **attrs))
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "0.250", "0.125"],
        ["b", "0.500", "–"],
    ]
    near = {
        "nearest_of_samples": ("sample", [0.5, 2.0, 4.0, math.nan]),
        "nearest_of_test": ("datum", np.ones(9)),
    }
    lost = xr.Dataset({**near, "nearest_of_samples": ("sample", [math.nan])})
    table = near_table(Sample(diagnostics={"a": xr.Dataset(near), "b": lost}))
    assert [[cell.text for cell in row] for row in table.rows] == [["a", "2.00", "1.00", "33 %"]]
    assert near_table(Sample()).rows == cells_table(Sample()).rows == []
