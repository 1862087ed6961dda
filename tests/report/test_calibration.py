"""Coverage stands beside its exact nominal value."""

from __future__ import annotations

import re

from fieldcast.report.calibration import coverage, exactly, resolution
from fieldcast.report.scores import Board


def test_coverage_is_of_stochastic_experiments_beside_what_is_exact(results):
    shown = coverage(Board(results.leaderboard), results.diagnostics)
    assert "50 % coverage (between members 5..15 of 19, exactly 0.5)" in shown
    assert "climatology" not in shown
    assert shown.count("0.400 to 0.420") == 12
    assert exactly({"climatology": results.diagnostics["climatology"]}, "coverage50") == "between ranks"


def test_effective_resolution_has_a_row_a_case(results):
    rows = resolution("mine", results.diagnostics["mine"])
    assert [(row[1].text, row[2].text, row[3].text) for row in rows][-1] == ("swaths", "10 %", "4321")
    assert re.sub("<.*?>", "", rows[0][0].text) == "mine"
