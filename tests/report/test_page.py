"""The page as a reader's browser sees it: nothing from outside, nothing lost, nothing injected."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import replace
from os.path import normpath
from pathlib import Path, PurePosixPath

import pandas as pd
import pytest
import yaml
from PIL import Image

from fieldcast.report import Reconstruct, report

PROVENANCE = {"Commit": "abc<1>", "Versions": {"numpy": "2.4"}, "Seed": 0}
PARAMETERS = {"reconstruct": {"mine": {"fit": {"steps": 1500, "note": "</code><b>"}}}}


@pytest.fixture(scope="module")
def page(results, summary) -> str:
    return report({"reconstruct": results}, summary, PROVENANCE, PARAMETERS)


def test_nothing_is_fetched_from_anywhere(page, elements):
    result = elements(page)
    assert not re.search(r"https?:|url\(|@import|//cdn|fetch\(", page)
    assert all(source.startswith("data:") for source in result.attributes("src"))
    files = [link for link in result.attributes("href") if not link.startswith(("#", "data:"))]
    assert not any(link.startswith("/") or ":" in link for link in files)  # relative to the page
    pictures = [expected["src"] for tag, expected in result.tags if tag == "img"]
    assert len(pictures) >= 9
    for source in pictures:
        Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))).verify()


def test_the_table_of_contents_leads_to_every_section(page, elements):
    result = elements(page)
    targets = [link[1:] for link in result.attributes("href") if link.startswith("#")]
    ids = result.attributes("id")
    assert targets == ids
    assert len(ids) == len(set(ids)) == 16


def test_names_cannot_become_elements(page, elements):
    result = elements(page)
    tags = {tag for tag, _ in result.tags}
    assert not tags & {"i", "u", "sup", "method"}
    assert sum(tag == "script" for tag, _ in result.tags) == 1
    assert sum(tag == "b" for tag, _ in result.tags) == 2  # the groups of the table of contents
    for text in ("<b>t</b>&$", "K<sup>", "nugget<i>", "alert(1)", "abc<1>", "</code><b>"):
        assert text in result.text


def test_the_section_what_ran_lists_the_run(page, elements):
    text = elements(page).text
    for phrases in (
        *(
            "0123456789ab",
            "2001-01-01 to 2001-02-28: 59 times, every 24 hours",
            "numpy 2.4",
            "less than two training years",
        ),
        *(
            "2001-01-01 to 2001-02-10: 41 times",
            "3 latitudes (−45 to 45 °N) × 4 longitudes (global)",
        ),
        *("    fit:", "steps: 1500", "12 cells never exist."),
    ):
        assert phrases in text


def test_the_same_run_gives_the_same_page(results, summary, page):
    fresh = replace(results)  # nothing remembered from drawing the page
    figures = {"reconstruct": fresh.pictures()}
    assert report({"reconstruct": fresh}, summary, PROVENANCE, PARAMETERS, figures) == page


def test_an_empty_run_is_reported(elements):
    page = elements(report({"reconstruct": Reconstruct(experiments={"mine": {}, "kriging": {}})}))
    for phrases in ("Not run: kriging, mine.", "No experiment has been scored yet"):
        assert phrases in page.text
    # sections without content vanish, and so do their entries in the side bar
    assert page.attributes("id") == ["reconstruct-the-short-answer", "background-how-to-read-this"]
    assert elements(report({})).attributes("id") == []


def test_one_experiment_alone_gives_a_shorter_page(results, page, elements):
    custom = results.leaderboard.query(
        "experiment == 'mine' and score != 'crps_minus_reference'"
    ).reset_index(drop=True)
    alone = Reconstruct(leaderboard=custom, experiments=results.experiments)
    shorter = report({"reconstruct": alone})
    text = elements(shorter).text
    assert "Not run: optimal_interpolation, climatology, denoising_vae, kriging." in text
    assert "No paired differences: optimal_interpolation has not run: add reconstruct.optimal" in text
    assert len(shorter) < len(page) / 2
    assert "Training and tuning" not in text and "Costs" not in text


def test_sentences_on_rows_that_were_dropped_are_shown(results):
    board = results.leaderboard.copy()
    board.attrs["dropped"] = ["Left out of the leaderboard: kriging, scored on other data."]
    assert "kriging, scored on other data." in report({"reconstruct": Reconstruct(leaderboard=board)})


def test_only_other_patterns_were_scored(results, elements):
    board = results.leaderboard.query("pattern == 'swaths'").reset_index(drop=True)
    text = elements(report({"reconstruct": Reconstruct(leaderboard=pd.DataFrame(board))})).text
    assert "swaths, 10 %" in text
    assert "Pattern swaths" in text


def test_links_lead_to_the_files_of_the_catalog(results, summary, elements):
    """Tables were named, but not linked, and no page said where the fields lie."""
    catalog = yaml.safe_load(Path("conf/base/catalog.yml").read_text())
    experiment = "{task}.{experiment}.draws"
    paths = {
        catalog[name]
        .get("dataset", catalog[name])["filepath"]
        .replace("${_root}/", "")
        .replace("{task}", "reconstruct")
        for name in ("fields", "quality", "costs", "leaderboard_{task}")
    }
    draws = catalog[experiment]["filepath"].replace("${_output}", catalog["_output"]).replace("${_root}/", "")
    paths |= {draws.format(task="reconstruct", experiment=name) for name in results.board.order}
    paths.add(catalog["figures_{task}"]["filepath"].replace("${_root}/", "").format(task="reconstruct"))
    links = elements(report({"reconstruct": results}, summary)).attributes("href")
    files = [link for link in links if not link.startswith(("#", "data:"))]
    assert {str(PurePosixPath(normpath(f"08_reporting/{link}"))) for link in files} == paths


def test_the_configuration_is_valid_yaml(results):
    parameters = {
        "ingestion": {"path": "a: b.nc", "variables": None},
        "comparisons": [{"title": "°C", "names": ["a"]}],
    }
    page = report({"reconstruct": results}, parameters=parameters)
    text = html.unescape(re.search(r"Configuration.*?<code>(.*?)</code>", page, re.S)[1])
    assert yaml.safe_load(text) == parameters
