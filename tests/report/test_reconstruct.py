"""Every number of the short answer is the leaderboard's, in its place."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest

from fieldcast.report import Reconstruct
from fieldcast.report.html import numbers, significant


@pytest.fixture(scope="module")
def tables(results) -> list[dict[tuple[str, str], list[str]]]:
    """Of the section of the short answer: lines of each cell by row and heading."""
    section = Reconstruct(leaderboard=results.leaderboard).sections({})[0].body
    found = []
    for table in re.findall(r"<table.*?</table>", section):
        heads = [re.sub("<.*?>", "", one) for one in re.findall(r"<th scope=\"col\">(.*?)</th>", table)]
        cells = {}
        for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]:
            name = re.search(r"<code>(.*?)</code>", row).group(1)
            for head, cell in zip(heads[1:], re.findall(r"<td.*?>(.*?)</td>", row), strict=True):
                cells[name, head] = [
                    unescape(text) for text in re.findall(r"<(?:span|small).*?>(.*?)</", cell)
                ]
        found.append(cells)
    return found


@pytest.mark.parametrize(("place", "score"), [(0, "crps"), (2, "rmse"), (3, "crps"), (5, "rmse")])
def test_values_and_intervals_are_the_leaderboards(tables, results, place, score):
    rows = results.leaderboard.query("cells == 'unobserved' and variable == 'all' and score == @score")
    rows = rows[(rows["pattern"] == "random") == (place < 3)]
    assert len(tables) == 6
    assert len(tables[place]) == len(rows)
    for row in rows.itertuples():
        head = f"{100 * row.k:g} %" if row.pattern == "random" else f"{row.pattern}, {100 * row.k:g} %"
        value, low, high = numbers(row.value, row.low, row.high)
        shown = tables[place][row.experiment, head]
        assert shown[:2] == [value, f"{low} to {high}"]
        assert float(shown[0]) == pytest.approx(row.value, rel=0.01)


def test_the_paired_difference_is_said_in_words(tables):
    crps, difference = tables[:2]
    assert crps["mine", "5 %"][2] == "better by 0.010"
    assert crps["mine", "20 %"][2] == "not separated"
    assert crps["denoising_vae", "10 %"][2] == "worse by 0.10"
    assert crps["optimal_interpolation", "5 %"][2] == "reference"
    assert difference["mine", "5 %"] == ["−0.010", "−0.020 to −0.005", "better"]
    assert difference["climatology", "20 %"] == ["+0.27", "0.20 to 0.30", "worse"]
    assert ("optimal_interpolation", "5 %") not in difference


def test_rows_are_in_the_order_of_their_crps(tables):
    names = list(dict.fromkeys(name for name, _ in tables[0]))
    assert names == ["mine", "optimal_interpolation", "denoising_vae", "climatology"]


def test_figures_of_record_have_names_for_files(results):
    names = list(results.figures())
    assert {
        "scores_against_k",
        "variables_against_k",
        "error_over_time",
        "rank_histograms",
        "spectra",
        "losses",
    } < set(names)
    assert "masks" in names
    assert sum(name.startswith("maps_") for name in names) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


def test_results_know_what_there_is(results):
    assert results.order == ["mine", "optimal_interpolation", "denoising_vae", "climatology"]
    assert results.not_run == ["kriging"]
    assert results.main_pattern == "random"
    assert results.units == {"<b>t</b>&$": "K<sup>"}
    assert Reconstruct(history=results.history).order == ["denoising_vae", "optimal_interpolation"]


def test_significant_digits():
    shown = [significant(value) for value in (0.01534, 1.0345, 0.335, 123.4, -0.5, 0.0, float("nan"))]
    assert shown == ["0.0153", "1.03", "0.335", "123", "−0.500", "0", "–"]


def test_what_is_none_or_empty_is_not_there(results):
    given = Reconstruct(
        scores={"mine": pd.DataFrame()},
        examples={"mine": None},
        diagnostics={"mine": None},
        history={"mine": pd.DataFrame()},
        costs={"mine": pd.DataFrame()},
    )
    assert given.order == []
    assert given.figures() == {}
