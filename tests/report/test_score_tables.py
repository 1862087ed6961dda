"""Tables follow from a leaderboard of round numbers."""

from __future__ import annotations

import math

import pytest

from fieldcast.report import Reconstruct, Sample
from fieldcast.report.results import DIFFERENCE
from fieldcast.report.score_tables import (
    all_scores_table,
    difference_table,
    score_table,
    verdict_notes,
)
from fieldcast.report.scores_by_case import Observed
from fieldcast.report.tables import Table
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

from .conftest import leaderboard_of

FEW, MANY = Observed("random", 0.1), Observed("random", 0.2)
ABOUT = {
    "kriging": {"about": {"role": "reference"}},
    "perfect": {"about": {"family": "bound"}},
    "acme:gp": {"about": {"label": "A <gp>"}},
}
CRPS = {"kriging": (0.3, 0.2), "acme:gp": (0.27, 0.16), "vae": (0.4, 0.1), "perfect": (0.01, 0.01)}
GAINS = {
    "acme:gp": ((-0.03, -0.04, -0.02), (-0.04, -0.05, -0.03)),
    "vae": ((0.1, 0.05, 0.2), (-0.1, -0.2, -0.05)),
}


def results_of(*others: tuple[str, str, object, object]) -> Reconstruct:
    """Results with the CRPS and the differences above, and other scores for 10 and 20 % observed."""
    every = [(name, "crps", *values) for name, values in CRPS.items()]
    every += [(name, DIFFERENCE, *values) for name, values in GAINS.items()]
    scores = {
        (name, *case, score): value
        for name, score, *values in (*every, *others)
        for case, value in zip((FEW, MANY), values, strict=True)
    }
    return Reconstruct(
        leaderboard=leaderboard_of(scores, "pattern", "k", cells="unobserved"), experiments=ABOUT
    )


def kinds(table: Table) -> dict[str, list[str]]:
    """CSS classes of the cells, by experiment."""
    return {row[0].text: [cell.kind for cell in row[1:]] for row in table.rows}


@pytest.fixture(scope="module")
def results() -> Reconstruct:
    return results_of()


def test_only_differences_have_verdicts(results) -> None:
    board = results.board
    assert verdict_notes(results, board, "kriging", FEW) == (("reference", ""),)
    assert verdict_notes(results, board, "perfect", FEW) == ()
    assert verdict_notes(results, board, "vae", FEW) == (("worse by 0.10", "worse"),)


def test_the_best_of_each_case_is_bold_and_no_bound() -> None:
    results = results_of(
        ("kriging", "ssr", 0.8, 1.3),
        ("acme:gp", "ssr", 1.3, 0.8),
        ("perfect", "ssr", 1.0, 1.0),
        ("vae", "ssr", 0.1, math.nan),
    )
    table = score_table(results, results.board, "crps", [FEW, MANY])
    assert table.head == ["experiment", "10 %", "20 %"]
    assert [row[0].text for row in table.rows] == ["perfect", "A <gp>", "kriging", "vae"]
    assert kinds(table) == {
        "kriging": ["value", "value"],
        "A <gp>": ["best", "value"],
        "vae": ["value", "best"],
        "perfect": ["value", "value"],
    }
    spread = score_table(results, results.board, "ssr", [FEW, MANY])  # 0.2 from 1 is nearer than 0.3
    assert kinds(spread) == {
        "kriging": ["best", "value"],
        "A <gp>": ["value", "best"],
        "vae": ["value", ""],
        "perfect": ["value", "value"],
    }
    assert spread.rows[-1][2].text == "–"
    assert [row[1].notes for row in (table.rows[2], spread.rows[2])] == [(("reference", ""),), ()]
    assert score_table(results, results.board, "mae", [FEW]).rows == []


def test_of_models_that_all_blew_up_none_is_best() -> None:
    results = results_of(*((name, "rmse", math.inf, 1.0 + place) for place, name in enumerate(CRPS)))
    table = score_table(results, results.board, "rmse", [FEW, MANY])
    assert {row[1].text for row in table.rows} == {"∞"}
    assert {kind for kind, _ in kinds(table).values()} == {"value"}
    assert kinds(table)["kriging"] == ["value", "best"]


def test_differences_have_a_sign_and_the_class_of_their_verdict(results) -> None:
    table = difference_table(results, results.board, [FEW, MANY])
    (gp, *_), (vae, few, _) = table.rows
    assert (gp.text, vae.text) == ("A <gp>", "vae")  # the reference has none
    assert (few.text, few.notes) == ("+0.10", (("0.05 to 0.20", ""), ("worse", "worse")))
    missing = results_of(("other", DIFFERENCE, (-0.1, -0.2, 0.1), math.nan))
    (*_, row) = difference_table(missing, missing.board, [FEW, MANY]).rows
    assert (
        row[2].text == "–" and " " not in row[1].notes[-1][1]
    )  # one class, though the verdict has two words


def test_all_scores_have_a_row_for_each_case_with_a_score() -> None:
    results = results_of(("other", "mae", 0.5, math.nan))
    table = all_scores_table(results, results.board, METRICS)
    assert table.head == ["experiment", "pattern", "observed", "mae", "crps", DIFFERENCE]
    assert [cell.text for cell in table.rows[-1]] == ["vae", "random", "20 %", "–", "0.100", "−0.100"]
    assert [row[2].order for row in table.rows if row[0].text == "other"] == [0.1]
    sample = Sample(leaderboard=leaderboard_of({("pca", "fid"): 2.0, ("pca", "kid"): math.inf}))
    table = all_scores_table(sample, sample.board, SAMPLE_METRICS)
    assert table.head == ["experiment", "fid", "kid"]
    assert [[cell.text for cell in row] for row in table.rows] == [["pca", "2.00", "∞"]]


def test_labels_of_other_packages_are_escaped(results) -> None:
    body = results.sections({})[0].body
    assert "A &lt;gp&gt;" in body and "<gp>" not in body
