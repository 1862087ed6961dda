"""Verdicts on the claims of the reports, and their pages."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return importlib.import_module("studies.report_pages")


def test_a_claim_holds_if_all_intervals_exclude_zero_in_its_direction(script):
    below, about, above = (script.Difference(0, 0, d, d - 1, d + 1) for d in (-2.0, 0.0, 2.0))
    unknown = script.Difference(0, 0, -2.0, float("nan"), float("nan"))

    def verdict(direction, *found):
        return script.verdict_of(script.Compared("000", "", "", "", "rmse", direction), found)

    assert verdict("lower", below, below) == verdict("higher", above) == verdict("equal", about) == "holds"
    assert verdict("lower", below, about) == verdict("equal", about, above) == "depends"
    assert verdict("lower", above, about) == verdict("higher", below) == verdict("equal", above) == "does not"
    assert verdict("not lower", above, about) == "holds" and verdict("not lower", below) == "does not"
    assert verdict("lower", unknown) == "no interval"


def test_the_interval_over_seeds_is_that_of_welch(script, monkeypatch):
    import pandas as pd
    from scipy.stats import ttest_ind

    values = {False: [1.0, 2.0, 4.0], True: [3.0, 5.0, 5.5, 6.0]}
    monkeypatch.setattr(
        script, "recorded", lambda claim, of_reference=False: pd.DataFrame({"elbo": values[of_reference]})
    )
    ((_, found),) = script.over_seeds(script.Compared("002", "", "sample.a", "sample.b", "elbo"))
    expected = ttest_ind(values[False], values[True], equal_var=False).confidence_interval(0.95)
    assert found[3:] == pytest.approx(tuple(expected))


def test_every_claim_is_a_row_of_its_page_and_every_picture_is_there(script):
    for report in ("000", "001", "002", "003", "004"):
        page = (script.PAGES / f"{report}.md").read_text(encoding="utf-8")
        claims = [claim for claim in script.CLAIMS_OF_REPORTS if claim.report == report]
        assert claims and all(f"| {claim.text} |" in page for claim in claims)
        assert f"--pipelines report_{report}" in page
        for name in re.findall(r"\(images/([\w.]+)\)", page):
            assert (script.PAGES / "images" / name).is_file(), name
        for mark, content in script.contents(report).items():
            begin, end = (f"<!-- {mark}: {edge} -->\n" for edge in ("begin", "end"))
            assert page.partition(begin)[2].partition(end)[0].strip() == content
