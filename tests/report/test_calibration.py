"""Coverage stands beside its exact nominal value."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from fieldcast.report.reconstruct import coverage_table, nominal_interval, resolution_table


def test_ensemble_coverage_matches_the_exact_one(results):
    table = coverage_table(results, results.board)
    assert table.head[-2] == "50 % coverage (between members 5..15 of 19, exactly 0.5)"
    assert "climatology" not in {row[0].text for row in table.rows}
    assert [row[-2].notes[0][0] for row in table.rows] == ["0.400 to 0.420"] * 12
    single = {"climatology": results.diagnostics["climatology"]}
    assert nominal_interval(replace(results, diagnostics=single), "coverage50") == "between ranks"


def test_effective_resolution_has_a_row_a_case(results):
    records = [row for row in resolution_table(results).rows if row[0].text == "mine"]
    assert [(row[1].text, row[2].text, row[3].text) for row in records][-1] == ("swaths", "10 %", "4321")


def test_underspread_is_explained_by_the_model_not_by_a_name(results):
    """A class named VAE was taken for one that draws without noise, whatever a plug-in's class of that name does."""
    config = {"denoising_vae": {"model": {"type": "vae.VAE"}}, "mine": {"model": {"type": "other:Model"}}}
    for experiment, omits_noise, expected in (
        ("mine", True, ["mine"]),
        ("denoising_vae", False, []),
    ):
        costs = {experiment: pd.DataFrame([{"omits_noise": omits_noise}])}
        page = replace(results, experiments=config, costs=costs)
        assert page.underspread == expected
        bodies = " ".join(section.body for section in page.sections({}))
        assert ("Expect too little spread" in bodies) == bool(expected)
