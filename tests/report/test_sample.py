"""The page on sampling: its sentences and tables are the leaderboard's, and what is missing only makes it shorter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest

from fieldcast.experiments import Comparison
from fieldcast.report import Sample, report
from fieldcast.scores.numbers import significant

KL = Comparison(
    title="The weight of the KL",
    task="sample",
    experiments=("vae_kl0", "vae", "vae_kl30"),
    scores=("fid", "c2st", "test_loss", "reconstruction", "kl"),
)


@pytest.fixture(scope="module")
def task(sampled: Callable) -> Sample:
    return Sample(**sampled(), comparisons=[KL])


@pytest.fixture(scope="module")
def page(task: Sample) -> str:
    return report({"sample": task})


@pytest.fixture(scope="module")
def of_fields(sampled: Callable) -> Sample:
    return Sample(**sampled(images=False, latent=4))


def body(task: Sample, title: str) -> str:
    """A section of the page without figures."""
    return next(item.body for item in task.sections({}) if item.title == title)


def plain(text: str) -> str:
    return unescape(re.sub("<.*?>", "", text))


def cells(section: str) -> dict[tuple[str, str], list[str]]:
    """Lines of each cell of the first table, by row and heading."""
    table = re.findall(r"<table.*?</table>", section, re.S)[0]
    heads = [plain(item) for item in re.findall(r"<th scope=\"col\">(.*?)</th>", table)]
    result = {}
    for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]:
        name = re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1)
        for head, cell in zip(heads[1:], re.findall(r"<td.*?>(.*?)</td>", row), strict=True):
            lines = re.findall(r"<(?:span|small).*?>(.*?)</", cell) or [cell]
            result[name, head] = [unescape(line) for line in lines]
    return result


def test_every_experiment_is_on_the_page_and_nothing_comes_from_outside(page, task, elements):
    result = elements(page)
    for name in task.experiments:
        assert name in result.text, name
    assert not re.search(r"https?:|url\(|@import|//cdn|fetch\(", page)
    assert all(source.startswith("data:") for source in result.attributes("src"))
    assert [item[1:] for item in result.attributes("href") if item[0] == "#"] == result.attributes("id")
    assert "Not run: ddim." in result.text
    assert "Fair CRPS" not in result.text  # the guide is of the tasks there are
    for phrases in ("FID", "KID", "IWAE", "Active units", "Very near samples", "Bits/dim"):
        assert f"<dt>{phrases}</dt>" in page


def table_of(task: Sample, title: str, number: int = 0) -> dict[tuple[str, str], list[str]]:
    """Cells of one of the tables of a section."""
    return cells(re.findall(r"<table.*?</table>", body(task, title), re.S)[number])


def test_the_short_answer_agrees_with_the_leaderboard(task):
    text = plain(body(task, "The short answer"))
    for phrases in (
        "a small network (64 features, test accuracy 0.988, weights abcdef012345)",
        "not comparable with values from Inception features",
    ):
        assert phrases in text, phrases
    sizes = table_of(task, "The short answer", 1)
    assert [sizes["flow", head] for head in ("samples", "not finite", "test data")] == [
        ["100"],
        ["–"],
        ["200"],
    ]


def test_a_distance_beyond_its_interval_is_higher_than_that_of_real_data(task):
    scores = table_of(task, "The short answer")
    assert scores["ddpm", "FID"] == ["1.50", "1.25 to 1.75", "real data 0.50", "higher"]
    assert scores["flow", "FID"] == ["0.600", "0.400 to 0.800", "real data 0.50"]


def test_different_treatments_are_ranked_separately(sampled):
    parts = sampled()
    parts["examples"]["flow"].attrs["treatment"] = "threshold"
    task = Sample(**parts)
    assert task.comparable(["flow", "vae", "ddpm"], "fid") == {
        "threshold": ["flow"],
        "grey values": ["vae", "ddpm"],
    }
    assert task.comparable(["vae", "ddpm"], "elbo") == {"grey": ["vae"], "symmetric": ["ddpm"]}
    assert task.comparable(["vae", "ddpm"], "bits_per_dim") == {"grey values": ["vae", "ddpm"]}


def test_whether_a_likelihood_is_exact_comes_from_the_model_not_from_a_name(sampled):
    """Another flow was reported as a lower bound, and a diffusion called `flow` as exact."""
    parts = sampled()
    other = {"flow": "flow_small", "ddpm": "flow"}
    board = parts["leaderboard"].replace({"experiment": other})
    diagnostics = {other.get(name, name): item for name, item in parts["diagnostics"].items()}
    costs = {other.get(name, name): table for name, table in parts["costs"].items()}
    page = Sample(leaderboard=board, diagnostics=diagnostics, costs=costs)
    sizes = table_of(page, "The short answer", 1)
    kinds = {name: sizes[name, "likelihood"][0] for name in ("flow_small", "flow", "vae", "autoencoder")}
    assert kinds == {"flow_small": "exact", "flow": "lower bound", "vae": "lower bound", "autoencoder": "–"}
    assert [page.density(name) for name in ("flow_small", "autoencoder", "unknown")] == ["exact", "", ""]


def test_a_comparison_shows_its_table_and_its_pictures(task):
    figures = task.pictures()
    section = next(item.body for item in task.sections(figures) if item.title == "The weight of the KL")
    result = cells(section)
    assert result["vae_kl0", "KL"][0] == "210" and result["vae", "FID"][0] == "8.00"
    assert section.count("<img") == 1
    assert "Not run: vae_kl30." in plain(section)


def test_samples_that_are_not_finite_are_counted(sampled):
    parts = sampled()
    parts["diagnostics"]["vae"].attrs["finite"] = 97
    assert table_of(Sample(**parts), "The short answer", 1)["vae", "not finite"] == ["3"]


def test_values_of_the_tables_are_the_leaderboards(task):
    expected = task.leaderboard.set_index(["experiment", "score"])["value"]
    result = cells(body(task, "The short answer")) | cells(body(task, "Likelihood"))
    heads = {"FID": "fid", "KID": "kid", "C2ST": "c2st", "ELBO [nats]": "elbo"}
    heads |= {
        "KL [nats]": "kl",
        "IWAE [nats]": "iwae",
        "bits/dim": "bits_per_dim",
        "active units": "active_units",
    }
    checked = 0
    for (name, head), lines in result.items():
        if head not in heads:
            continue
        key = (name, heads[head])
        assert (lines == ["–"]) == (key not in expected.index), key
        if key in expected.index:
            assert float(lines[0].replace("−", "-")) == pytest.approx(expected[key], rel=0.01)
            checked += 1
    assert checked == 5 + 3 + 3 + 3 + 2 + 2 + 2 + 2
    assert result["flow", "FID"] == ["0.600", "0.400 to 0.800", "real data 0.50"]
    assert result["vae", "active units"] == ["2"]
    assert result["ddpm", "data as"] == ["symmetric"]
    assert "K = 50 draws" in plain(body(task, "Likelihood"))


def test_the_best_of_comparable_models_is_bold(task):
    def bold(title: str) -> list[str]:
        table = re.findall(r"<table.*?</table>", body(task, title), re.S)[0]
        records = re.findall(r"<tr>(.*?)</tr>", table, re.S)[1:]
        return [
            re.search(r"<th scope=\"row\"[^>]*>(.*?)</th>", row).group(1)
            for row in records
            if 'class="best"' in row
        ]

    assert bold("The short answer") == ["flow"]
    assert bold("Likelihood") == ["flow", "vae"]  # ELBO and bits of the flow, IWAE of the VAE
    assert bold("Reconstructions and samples") == ["autoencoder"]


def test_ties_are_not_bold(sampled):
    board = sampled()["leaderboard"]
    informed = board["score"].eq("c2st")
    board.loc[informed, "value"] = 1.0
    section = body(Sample(leaderboard=board), "The short answer")
    records = re.findall(r"<tr>(.*?)</tr>", re.findall(r"<table.*?</table>", section, re.S)[0])
    assert not any('class="best"' in row.split("<td")[-1] for row in records)


def test_nearest_distances_are_the_diagnostics(task):
    near = cells(body(task, "Memorisation"))
    stored = task.diagnostics["ddpm"]
    assert near["ddpm", "samples"] == [significant(float(np.median(stored["nearest_of_samples"])))]
    assert near["ddpm", "test data"] == [significant(float(np.median(stored["nearest_of_test"])))]
    limit = np.quantile(task.diagnostics["vae"]["nearest_of_test"], 0.05)
    share = float((task.diagnostics["vae"]["nearest_of_samples"] < limit).mean())
    assert near["vae", "very near samples"] == [f"{100 * share:.0f} %"]
    assert near["ddpm", "very near samples"] == ["100 %"]


def test_figures_of_images(task):
    names = set(task.figures())
    assert names == {
        *(
            "at_a_glance",
            "distances",
            "samples",
            "comparison_the-weight-of-the-kl",
            "decoded",
            "denoising_ddpm",
            "nearest",
            "losses",
        ),
        *("latent_grid_vae", "latent_grid_vae_kl0", "latent_grid_autoencoder"),
        *("embeddings", "priors", "nearest_distances"),
    }
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names)


def test_the_figure_of_distances_shows_how_well_real_data_are_recognised(sampled):
    results = sampled()
    for diagnostics in results["diagnostics"].values():
        diagnostics.attrs["c2st_floor"] = 0.68
    c2st = Sample(**results).figures()["distances"].axes[2]
    real = [line.get_xdata()[0] for line in c2st.lines if line.get_label() == "real data"]
    assert real and set(real) == {0.68}


def test_a_grid_of_equal_pictures_is_left_out_and_named(sampled, elements):
    """A VAE on the planet filled the page with a hundred identical stripes."""
    parts = sampled()
    pictures_of_vae = parts["examples"]["vae"].copy(deep=True)
    grid = np.array([str(kind) == "grid" for kind in pictures_of_vae["kind"].to_numpy()])
    pictures_of_vae["image"][grid] = pictures_of_vae["image"][grid].isel(picture=0)
    flat = Sample(**{**parts, "examples": {**parts["examples"], "vae": pictures_of_vae}})
    assert set(flat.grids) == {"vae_kl0", "autoencoder"}
    bodies = " ".join(section.body for section in flat.sections({}))
    assert "No decoded grid of vae: for any values of the two most active components" in bodies


def test_fields_have_spectra_and_no_labels(of_fields, elements):
    figures = of_fields.pictures()
    assert {"spectra", "wasserstein"} < set(figures)
    assert "embeddings" not in figures  # four components without labels
    text = elements(report({"sample": of_fields}, figures={"sample": figures})).text
    section = next(
        item.body for item in of_fields.sections(figures) if item.title == "Spectra and cell distributions"
    )
    result = cells(section)
    assert (result["vae", "samples"], result["vae", "real data"]) == (["0.250"], ["0.125"])
    assert "No t-SNE of vae, autoencoder, vae_kl0: these data have no labels" in text
    assert "Wasserstein" in text
    assert of_fields.variable == "z"


def test_without_labels_two_components_are_shown_and_omissions_are_named(of_fields, elements):
    flat = {
        name: result.isel(latent=slice(2)) if name == "vae" else result
        for name, result in of_fields.latents.items()
    }
    mixed = replace(of_fields, latents=flat)
    figures = mixed.pictures()
    assert "embeddings" in figures
    text = elements(report({"sample": mixed}, figures={"sample": figures})).text
    assert "No t-SNE of autoencoder, vae_kl0: these data have no labels" in text


def test_a_common_treatment_is_stated_for_images_only(sampled):
    for images in (True, False):
        parts = sampled(images=images)
        parts["examples"]["ddpm"].attrs["treatment"] = "grey"
        result = cells(body(Sample(**parts), "The short answer"))
        assert result.get(("vae", "data as")) == (["grey"] if images else None)


def test_results_know_what_there_is(task):
    assert task.order == ["flow", "ddpm", "vae", "autoencoder", "vae_kl0"]
    assert task.not_run == ["ddim"]
    assert task.images
    assert set(task.facts("K")) == {0, 1, 50}
    assert task.ceilings["vae"] == {"fid": 90.0, "kid": 5.0}
    assert list(task.pictured("grid", "truth")) == ["vae", "autoencoder", "vae_kl0"]


def test_seeds_are_averaged_and_failed_experiments_come_last(sampled):
    board = sampled()["leaderboard"]
    other = board.assign(seed=1, value=board["value"] + 2.0)
    blown = board["score"].eq("fid") & board["experiment"].eq("flow")
    both = pd.concat([board, other]).reset_index(drop=True)
    task = Sample(leaderboard=both)
    assert task.board.value("vae", "fid") == 9.0
    task = Sample(leaderboard=board.assign(value=board["value"].mask(blown, np.inf)))
    assert task.order[-1] == "flow"
    assert "∞" in body(task, "The short answer")
    assert "∞" in body(task, "All scores")


def test_the_same_run_gives_the_same_page(task, page):
    assert report({"sample": task}, figures={"sample": task.pictures()}) == page


def test_an_empty_run_is_reported(elements):
    nothing = Sample(experiments={"vae": {}, "ddpm": {}}, comparisons=[KL])
    page = elements(report({"sample": nothing}))
    for phrases in ("Not run: ddpm, vae.", "No experiment has been scored yet"):
        assert phrases in page.text, phrases
    assert page.attributes("id") == ["sample-the-short-answer", "background-how-to-read-this"]
    assert nothing.figures() == {}


@pytest.mark.parametrize("left", ["leaderboard", "diagnostics", "examples", "latents", "history"])
def test_any_part_alone_gives_a_page(sampled, left, elements):
    parts = sampled(images=False)
    elements(report({"sample": Sample(**{left: parts[left]})}))
    others = {name: result for name, result in parts.items() if name not in (left, "costs")}
    assert Sample(**others).order
    elements(report({"sample": Sample(**others)}, figures={"sample": {}}))


def test_names_cannot_become_elements(sampled, elements):
    parts = sampled()
    evil = "<b>x</b>&$"
    board = parts["leaderboard"].replace({"experiment": {"vae": evil}})
    named = {
        part: {evil if name == "vae" else name: item for name, item in parts[part].items()}
        for part in ("diagnostics", "examples", "latents")
    }
    task = Sample(leaderboard=board, **named)
    figures = task.pictures()
    result = elements(report({"sample": task}, figures={"sample": figures}))
    assert evil in result.text
    assert sum(tag == "b" for tag, _ in result.tags) == 2  # the groups of the table of contents
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in figures)
