"""The page on forecasts: all experiments with the leaderboard's numbers, also those that blow up."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from PIL import Image

from fieldcast import calendars
from fieldcast.arguments import validated
from fieldcast.experiments import Comparison
from fieldcast.inference.options import Drawing
from fieldcast.report import Forecast, report
from fieldcast.report.comparisons import fed_on_mean
from fieldcast.report.forecast import MAX_MAPPED
from fieldcast.scores.examples import forecast_examples
from fieldcast.scores.leaderboard import FORECAST, leaderboard
from fieldcast.scores.stability import step_statistics
from fieldcast.scores.statistics_table import name_rows, with_origin

EXPERIMENTS = ("linear_inverse_model", "climatological_ensemble", "vae", "vae_mean", "vae_rk4", "decoder_l1")
ROLES = {"linear_inverse_model": "reference", "climatological_ensemble": "climatology"}
ABOUT = {name: {"about": {"role": role, "family": "classical"}} for name, role in ROLES.items()}
COMPARISONS = validated(
    list[Comparison], yaml.safe_load(Path("conf/base/parameters/comparisons.yml").read_text())["comparisons"]
)


def ensembles(trial) -> dict[str, xr.Dataset]:
    """The calibrated one is the linear inverse model's; the others are worse by a known amount."""
    good = trial.forecasts
    mean = good.mean("member")
    return {
        "linear_inverse_model": good,
        "climatological_ensemble": mean + 2 * (good - mean),
        "vae": mean + 0.3 * (good - mean) + 20.0,
        "vae_mean": mean + 0.1 * (good - mean),
        "vae_rk4": mean + 0.3 * (good - mean) + 40.0,
        "decoder_l1": good.where(good["lead"] < 48),
    }


def long_run(steps: int, finite: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    area = np.ones((4, 8))
    records = []
    for step in range(1, steps + 1):
        y, x = rng.normal(size=(2, 1, 4, 8)), rng.normal(size=(2, 3, 1, 4, 8))
        near = np.exp(-step / 2)
        x = near * y[:, None] + (1 - near) * x
        records.append({"step": step, **step_statistics(np.where(step < finite, x, np.inf), y, area)})
    return pd.DataFrame(records)


@pytest.fixture(scope="module")
def forecast(season: Callable) -> Forecast:
    value = season(starts=12, shape=(18, 16))
    initial_times = {
        "scored": calendars.iso(value.forecasts["start"]).tolist(),
        "step_hours": 24.0,
        "leads": 3,
        "members": 10,
    }
    tables, diagnostics, examples = {}, {}, {}
    for name, item in ensembles(value).items():
        ensemble = item.transpose("lead", "start", "member", ...)
        table, diagnostics[name] = value._replace(forecasts=ensemble).score()
        tables[name] = name_rows(with_origin(table, 0, "d", "s"), name)
        diagnostics[name].attrs["feedback"] = "mean" if name == "vae_mean" else "members"
        examples[name] = forecast_examples(ensemble, value.truth, climatology=value.climatology)
    fields = value.forecasts.isel(lead=[0, 1], member=[0, 1]).rename(lead="step").assign_coords(step=[1, 10])
    costs = {"vae": (1.0, 2.0), "vae_rk4": (4.0, 8.0), "vae_mean": (1.0, 2.0), "decoder_l1": (1.0, 1.0)}
    steps = pd.DataFrame({"step": [1, 2], "loss": [3.0, 2.0], "validation": [3.0, 2.5]})
    tried = pd.DataFrame({"step": [0, 1], "truncation": [10, 20], "validation": [0.5, 0.25]})
    return Forecast(
        leaderboard=leaderboard(
            tables, "d", "s", layout=FORECAST, roles={role: name for name, role in ROLES.items()}
        ),
        initial_times=initial_times,
        experiments={name: {} for name in (*EXPERIMENTS, "analogue")} | ABOUT,
        comparisons=COMPARISONS,
        scores=tables,
        diagnostics=diagnostics,
        examples=examples,
        history={"vae": steps, "linear_inverse_model": tried},
        costs={
            name: pd.DataFrame([{"evaluations": evaluations, "sample_ms": ms, "train_steps": 1234}])
            for name, (evaluations, ms) in costs.items()
        },
        stability={"vae": long_run(12, 99), "decoder_l1": long_run(12, 5), "vae_mean": None},
        snapshots={"vae": fields, "decoder_l1": fields.where(fields["step"] < 10)},
    )


@pytest.fixture(scope="module")
def page(forecast: Forecast) -> str:
    return report({"forecast": forecast})


def test_every_experiment_is_on_the_page_and_nothing_comes_from_outside(page, elements):
    result = elements(page)
    for name in (*EXPERIMENTS, "analogue"):
        assert name in result.text, name
    assert not re.search(r"https?:|url\(|@import|//cdn|fetch\(", page)
    assert all(source.startswith("data:") for source in result.attributes("src"))
    assert not any(":" in link for link in result.attributes("href") if not link.startswith("data:"))
    assert [item[1:] for item in result.attributes("href") if item[0] == "#"] == result.attributes("id")
    assert "Unobserved cells" not in result.text  # the guide is of the tasks there are
    assert "Not run: analogue." in result.text


def test_values_of_the_table_of_crps_are_the_leaderboards(forecast, page):
    table = next(
        table for table in re.findall(r"<table.*?</table>", page, re.S) if "Fair CRPS, globe" in table
    )
    records = forecast.leaderboard.query("variable == 'all' and region == 'globe' and score == 'crps'")
    wide = records.pivot(index="experiment", columns="lead_hours", values="value")
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]:
        name = re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1)
        displayed = [unescape(item) for item in re.findall(r"<td.*?><span>(.*?)</span>", row)]
        for text, value in zip(displayed, wide.loc[name], strict=True):
            assert (text == "∞") if np.isinf(value) else float(text) == pytest.approx(value, rel=0.01)
    assert "decoder_l1" in table


def test_the_best_ratio_of_spread_to_skill_is_the_one_nearest_to_one(page):
    table = next(
        item for item in re.findall(r"<table.*?</table>", page, re.S) if "Spread-skill ratio, 1 is" in item
    )
    bold = [row for row in re.findall(r"<tr>(.*?)</tr>", table, re.S) if 'class="best"' in row]
    names = {re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1) for row in bold}
    assert names == {"linear_inverse_model", "decoder_l1"}  # until it blows up they are the same


def test_answers_on_variants_are_the_paired_differences(forecast, page, elements):
    board = forecast.leaderboard.query("variable == 'all' and region == 'globe' and score == 'crps'")
    crps = board.set_index(["experiment", "lead_hours"])["value"]
    gain = crps["vae_mean", 24.0] - crps["vae", 24.0]
    tables = re.findall(r"<table.*?</table>", page, re.S)
    answers = next(table for table in tables if "A − B" in table)
    row = next(
        row for row in re.findall(r"<tr>(.*?)</tr>", answers, re.S) if "Feeding back the ensemble mean" in row
    )
    cells = re.findall(r"<td.*?>(.*?)</td>", row)
    assert cells[:2] == ["vae_mean", "vae"]
    value, interval, verdict, both = re.findall(r"<(?:span|small).*?>(.*?)</", cells[3])
    assert float(value.replace("−", "-")) == pytest.approx(gain, rel=0.06)
    assert verdict == ("better" if gain < 0 else "worse") and " to " in interval
    first, second = map(float, both.split(" − "))
    assert (first, second) == pytest.approx((crps["vae_mean", 24.0], crps["vae", 24.0]), rel=0.01)
    shares = next(table for table in tables if "long waves" in table)
    (share,) = re.findall(r"data-order=\"([\d.]+)\">[^<]*%</td><td", shares)[:1]
    assert 0 < float(share) < 100  # a mean has less power than what it is the mean of
    assert "Giving the decoder two states" not in elements(page).text  # it has not run
    table = next(item for item in tables if "training steps" in item)
    assert table.count("1 234") == 4  # the budgets


def test_at_equal_cost_a_cheaper_variant_has_more_members(forecast, page, elements):
    table = next(
        item for item in re.findall(r"<table.*?</table>", page, re.S) if "members at equal cost" in item
    )
    records = {
        re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1): [
            unescape(item) for item in re.findall(r"<td[^>]*>(?:<span>)?([^<]*)", row)
        ]
        for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]
    }
    assert set(records) == {"vae", "vae_rk4", "decoder_l1"}  # the mean of vae_mean is fed on
    assert [row[:3] for row in records.values()] == [["1", "2", "40"], ["4", "8", "10"], ["1", "1", "80"]]
    board = forecast.leaderboard.query("variable == 'all' and region == 'globe' and lead_hours == 24")
    wide = board.pivot(index="experiment", columns="score", values="value").loc["vae"]
    rmse = wide["rmse"] * np.sqrt((1 + wide["ssr"] ** 2 / 40) / (1 + wide["ssr"] ** 2 / 10))
    assert float(records["vae"][3]) == pytest.approx(wide["crps"], rel=0.01)
    assert float(records["vae"][5]) == pytest.approx(rmse, rel=0.01)
    assert records["decoder_l1"][-1] == "∞"
    assert "in the time of 10 members of vae_rk4." in elements(page).text


def test_the_feedback_is_read_from_the_forecasts(forecast):
    """An experiment's options may be a mapping or, in a run, a checked `Drawing`, which has no `get`."""
    options = {
        "vae": {"options": Drawing(feedback="members")},
        "vae_mean": {"options": Drawing(feedback="mean")},
    }
    results = replace(forecast, experiments=forecast.experiments | options)
    assert [fed_on_mean(results, name) for name in ("vae", "vae_mean", "not_run")] == [False, True, False]
    unmarked = {name: stored.drop_attrs(deep=False) for name, stored in forecast.diagnostics.items()}
    assert not fed_on_mean(replace(results, diagnostics=unmarked), "vae")


def test_a_blow_up_is_reported_and_excludes_no_experiment(forecast, page, elements):
    tables = re.findall(r"<table.*?</table>", page, re.S)
    rollouts = next(table for table in tables if "blew up at step" in table)
    outcomes = {
        re.sub("<.*?>", "", name): cells
        for name, *cells in (
            re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in rollouts.split("<tr>")[2:]
        )
    }
    assert outcomes["decoder_l1"][0] == "blew up" and outcomes["decoder_l1"][4] == "5"
    assert outcomes["vae"][0] in ("realistic", "unrealistic") and outcomes["vae"][4] == "–"
    infinite = forecast.leaderboard.query(
        "experiment == 'decoder_l1' and lead_hours == 72 and score == 'crps'"
    )
    assert np.isinf(infinite["value"]).all()


def test_figures_have_names_for_files_and_there_is_one_of_each(forecast):
    names = set(forecast.figures())
    expected = {
        *("scores_against_lead", "skill_and_spread", "variables_against_lead", "spectra", "rank_histograms"),
        *("at_a_glance", "stability", "stability_spectra", "snapshots", "losses", "steps_vae_mean_z"),
    }
    assert expected <= names
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


def test_the_first_steps_of_every_experiment_of_a_comparison_are_drawn_however_many_are_better(forecast):
    """Beside ten better experiments of no comparison, those of comparisons and the best one are drawn, and no other."""
    compared = [name for name in COMPARISONS[2].experiments if name.startswith(("vae", "decoder"))]
    better = [f"better_{number}" for number in range(10)]
    example = forecast.examples["vae"]
    board = forecast.leaderboard[forecast.leaderboard["experiment"] == "vae"]
    ranked = [
        board.assign(experiment=name, value=board["value"] + number)
        for number, name in enumerate([*better, *compared])
    ]
    crowded = replace(
        forecast,
        leaderboard=pd.concat(ranked),
        examples=dict.fromkeys([*better, *compared], example),
        experiments={name: {"about": {"family": "learned"}} for name in (*better, *compared)},
    )
    drawn = [steps.experiment for steps in crowded.steps() if steps.variable == "z"]
    assert crowded.by_interest[:10] == better
    assert drawn == [better[0], *compared]
    assert len({steps.experiment for steps in replace(crowded, comparisons=()).steps()}) == MAX_MAPPED


def test_the_animation_is_small_and_in_the_page(forecast, page, elements):
    gif = forecast.animation()
    assert len(gif) < 2e6
    assert Image.open(io.BytesIO(gif)).n_frames == 4
    result = elements(page)
    (player,) = [
        expected for tag, expected in result.tags if tag == "figure" and expected.get("class") == "animation"
    ]
    assert player["data-labels"] == "start|1\u00a0d|2\u00a0d|3\u00a0d"
    assert sum("hidden" in expected for tag, expected in result.tags if tag == "img") == 3


def test_the_same_run_gives_the_same_page(forecast, page):
    assert report({"forecast": forecast}, figures={"forecast": forecast.pictures()}) == page


def test_an_empty_run_is_reported(elements):
    nothing = Forecast(experiments={"vae": {}, "vae_rk4": {}}, comparisons=COMPARISONS)
    page = elements(report({"forecast": nothing}))
    for phrases in ("Not run: vae, vae_rk4.", "No experiment has been scored yet"):
        assert phrases in page.text
    assert page.attributes("id") == ["forecast-the-short-answer", "background-how-to-read-this"]
    assert nothing.figures() == {}
    assert nothing.animation() is None


def test_a_regional_grid_has_no_regions_of_its_own(forecast, elements):
    board = forecast.leaderboard.query("region == 'globe'").assign(region="domain").reset_index(drop=True)
    regional = Forecast(leaderboard=board, scores=forecast.scores, experiments=forecast.experiments)
    text = elements(report({"forecast": regional})).text
    assert regional.region == "domain"
    assert "Regions" not in text
    assert "Fair CRPS, domain" in text
