"""Every number of the short answer is the leaderboard's, in its place."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast.report import Reconstruct
from fieldcast.report.score_tables import verdict_notes
from fieldcast.scores.numbers import with_interval
from fieldcast.tasks import reconstruct as tasks_reconstruct


@pytest.fixture(scope="module")
def tables(results) -> list[dict[tuple[str, str], list[str]]]:
    """Tables of the short answer: lines of each cell by row and heading."""
    part = Reconstruct(leaderboard=results.leaderboard, experiments=results.experiments)
    section = part.sections({})[0].body
    result = []
    for table in re.findall(r"<table.*?</table>", section, re.S):
        heads = [re.sub("<.*?>", "", item) for item in re.findall(r"<th scope=\"col\">(.*?)</th>", table)]
        cells = {}
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]:
            name = re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1)
            for head, cell in zip(heads[1:], re.findall(r"<td.*?>(.*?)</td>", row), strict=True):
                cells[name, head] = [
                    unescape(text) for text in re.findall(r"<(?:span|small).*?>(.*?)</", cell)
                ]
        result.append(cells)
    return result


@pytest.mark.parametrize(("place", "score"), [(0, "crps"), (2, "rmse"), (3, "crps"), (5, "rmse")])
def test_values_and_intervals_are_the_leaderboards(tables, results, place, score):
    records = results.leaderboard.query("cells == 'unobserved' and variable == 'all' and score == @score")
    records = records[(records["pattern"] == "random") == (place < 3)]
    assert len(tables) == 6
    assert len(tables[place]) == len(records)
    for row in records.itertuples():
        head = f"{100 * row.k:g} %" if row.pattern == "random" else f"{row.pattern}, {100 * row.k:g} %"
        value, low, high = with_interval(row.value, row.low, row.high)
        displayed = tables[place][row.experiment, head]
        assert displayed[:2] == [value, f"{low} to {high}"]
        assert float(displayed[0]) == pytest.approx(row.value, rel=0.01)


def test_the_paired_difference_is_stated_in_words(tables):
    crps, difference = tables[:2]
    assert crps["mine", "5 %"][2] == "better by 0.010"
    assert crps["mine", "20 %"][2] == "not separated"
    assert crps["denoising_vae", "10 %"][2] == "worse by 0.10"
    assert crps["optimal_interpolation", "5 %"][2] == "reference"
    assert difference["mine", "5 %"] == ["−0.010", "−0.020 to −0.005", "better"]
    assert difference["climatology", "20 %"] == ["+0.27", "0.20 to 0.30", "worse"]
    assert ("optimal_interpolation", "5 %") not in difference


@pytest.mark.parametrize(("share", "style"), [(0.009, ""), (0.011, "better")])
def test_a_difference_below_one_percent_is_stated_without_colour(results, share, style):
    table = results.leaderboard.copy()
    case = (table["pattern"] == "random") & (table["k"] == 0.05) & (table["variable"] == "all")
    crps = table[case & (table["score"] == "crps") & (table["cells"] == "unobserved")].set_index(
        "experiment"
    )["value"]
    difference = case & (table["experiment"] == "mine") & (table["score"] == "crps_minus_reference")
    size = share * crps["optimal_interpolation"]
    table.loc[difference, ["value", "low", "high"]] = -size, -1.5 * size, -0.5 * size
    changed = replace(results, leaderboard=table)
    case = next(case for case in changed.board.cases if case.k == 0.05)
    ((verdict, drawn),) = verdict_notes(changed, changed.board, "mine", case)
    assert verdict.startswith("better by ") and drawn == style


def test_rows_are_in_the_order_of_their_crps(tables):
    names = list(dict.fromkeys(name for name, _ in tables[0]))
    assert names == ["mine", "optimal_interpolation", "denoising_vae", "climatology"]


def test_figures_of_record_have_names_for_files(results):
    names = list(results.figures())
    assert {
        "at_a_glance",
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
    assert results.about["mine"].family == results.about["climatology"].family == "classical"
    assert results.about["denoising_vae"].family == "learned"  # its costs record it
    assert results.main_pattern == "random"
    assert results.units == {"<b>t</b>&$": "K<sup>"}
    assert Reconstruct(history=results.history).order == ["denoising_vae", "optimal_interpolation"]


def test_an_experiment_that_was_trained_is_learned_wherever_its_description_does_not_say():
    costs = {
        name: pd.DataFrame([{"learned": learned}])
        for name, learned in {"a": True, "b": False, "c": True}.items()
    }
    results = Reconstruct(costs=costs, experiments={"a": {"about": {"family": "bound"}}, "d": {}})
    families = {name: text.family for name, text in results.about.items()}
    assert families == {"a": "bound", "b": "classical", "c": "learned", "d": "classical"}
    assert Reconstruct(costs=costs).about["a"].family == "learned"


def test_two_experiments_with_one_label_remain_distinct():
    experiments = {"a": {"about": {"label": "VAE"}}, "b": {"about": {"label": "VAE"}}, "c": {}}
    labels = [text.label for text in Reconstruct(experiments=experiments).about.values()]
    assert labels == ["VAE (a)", "VAE (b)", "c"]


def test_every_method_has_a_line_of_explanation(results):
    methods = next(item.body for item in results.sections({}) if item.title == "The methods")
    assert "what &lt;i&gt;mine&lt;/i&gt; is" in methods
    assert "kriging" not in methods  # it has not run


def test_maps_begin_with_the_reference_and_what_is_learned(results):
    assert results.map_parts == [["mine", "optimal_interpolation", "denoising_vae", "climatology"]]
    many = {f"a{n}": results.examples["mine"] for n in range(6)}
    experiments = {**results.experiments, "inverse_distance": {"about": {"family": "classical"}}}
    experiments |= {name: {"about": {"family": "learned"}} for name in many}
    page = Reconstruct(
        examples=many | {"inverse_distance": results.examples["mine"]}, experiments=experiments
    )
    assert page.map_parts == [list(many), ["inverse_distance"]]


def test_empty_sections_are_absent(results):
    given = Reconstruct(
        scores={"mine": pd.DataFrame()},
        examples={"mine": None},
        diagnostics={"mine": None},
        history={"mine": pd.DataFrame()},
        costs={"mine": pd.DataFrame()},
    )
    assert given.order == []
    assert given.figures() == {}


def test_examples_without_the_main_pattern_give_maps_but_no_figure_at_a_glance(results):
    """The best experiment was scored on other cases than those of the leaderboard."""
    swaths = results.examples["mine"].isel(case=[3])
    part = replace(results, examples={"mine": swaths})
    assert part.best == "mine" and part.main_pattern == "random"
    assert part.glance_figure() == {}
    assert [(maps.pattern, maps.k) for maps in part.maps()] == [("swaths", 0.1)]


def test_experiments_that_were_scored_on_other_observations_are_not_drawn(results):
    board = results.leaderboard.query("experiment == 'climatology' and pattern == 'swaths'")
    parts = {name: getattr(results, name) for name in ("scores", "diagnostics", "examples", "experiments")}
    swaths = {part: parts[part]["climatology"].isel(case=[3]) for part in ("diagnostics", "examples")}
    swaths["scores"] = parts["scores"]["climatology"].query("pattern == 'swaths'")
    parts |= {part: {**parts[part], "climatology": stored} for part, stored in swaths.items()}
    days = xr.DataArray(np.zeros((365, 3, 4)), dims=("dayofyear", "latitude", "longitude"))
    climatology = xr.Dataset({"<b>t</b>&$": days}, {"dayofyear": np.arange(1, 366)})
    fields = results.examples["mine"]["<b>t</b>&$"].isel(case=0, kind=0).to_dataset()
    page, figures = tasks_reconstruct.page(board, parts, fields, climatology)
    assert page["reconstruct"].examples.keys() == page["reconstruct"].scores.keys() == {"climatology"}
    assert page["reconstruct"].main_pattern == "swaths"
    assert any(name.startswith("maps_swaths_10") for name in figures)
    assert not any("random" in name for name in figures)
