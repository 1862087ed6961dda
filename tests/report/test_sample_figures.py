"""Figures of samples show the right experiments; the drawing itself is tested with the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from fieldcast.report import Sample, sample
from fieldcast.report.sample import at_a_glance, of_diagnostics, of_latents, pictures

DRAWING = ("sample_glance", "sample_sheet", "decoded_pictures", "latent_grid", "denoising", "nearest_pictures",
           "interpolations", "nearest_distances", "sample_spectra", "wasserstein_maps")  # fmt: skip


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """Name and arguments of each figure, which are not drawn."""
    calls: list[tuple] = []

    def recorder(name: str) -> Callable[..., Figure]:
        return lambda *arguments, **options: calls.append((name, *arguments)) or Figure()

    for name in DRAWING:
        monkeypatch.setattr(sample, name, recorder(name))
    for name in ("embeddings", "priors"):
        monkeypatch.setattr(sample.embedding, name, recorder(name))
    return calls


def test_the_first_screen_shows_the_best_that_has_pictures(sampled, drawn) -> None:
    task = Sample(**sampled())
    assert list(at_a_glance(task)) == ["at_a_glance"]
    ((_, stored, variable, label, _),) = drawn
    assert (variable, label) == ("image", "flow") and stored is task.examples["flow"]
    others = {name: stored for name, stored in task.examples.items() if name != "flow"}
    at_a_glance(replace(task, examples=others))
    assert drawn[-1][3] == "ddpm"
    assert at_a_glance(Sample()) == {}


def test_each_kind_of_picture_shows_the_experiments_that_have_it(sampled, drawn) -> None:
    task = Sample(
        **sampled(),
    )
    names = [name for name, _ in pictures(task)]
    grids = [f"latent_grid_{name}" for name in ("vae", "autoencoder", "vae_kl0")]
    assert names == ["samples", "decoded", *grids, "denoising_ddpm", "nearest"]
    by_name = dict(zip(names, drawn, strict=True))
    assert list(by_name["samples"][1]) == list(by_name["nearest"][1]) == task.order
    assert list(by_name["decoded"][1]) == ["vae", "autoencoder", "vae_kl0"]
    assert by_name["denoising_ddpm"][3] == "ddpm"
    assert list(pictures(Sample())) == []


def test_labels_stand_for_names_in_titles_and_names_in_files(sampled, drawn) -> None:
    parts = sampled()
    parts["examples"]["acme:vae"] = parts["examples"].pop("vae")
    about = parts["experiments"] | {"acme:vae": {"about": {"label": "A <vae>"}}}
    board = parts["leaderboard"].replace({"experiment": {"vae": "acme:vae"}})
    names = [name for name, _ in pictures(Sample(**parts | {"experiments": about, "leaderboard": board}))]
    assert drawn[names.index("latent_grid_acme-vae")][3] == "A <vae>"


def test_latents_and_diagnostics_are_drawn_where_they_hold_what_is_needed(sampled, drawn) -> None:
    task = Sample(**sampled(images=False, latent=4))
    assert list(of_latents(task)) == ["priors"]  # no labels
    assert list(drawn[-1][1]) == ["vae", "autoencoder", "vae_kl0"]
    assert list(of_diagnostics(task)) == ["nearest_distances", "spectra", "wasserstein"]
    images = Sample(**sampled())
    assert list(of_latents(images)) == ["embeddings", "priors"]
    assert list(of_diagnostics(images)) == ["nearest_distances"]
    prior_alone = {"vae": images.latents["vae"].drop_vars("mean"), "vae_kl0": images.latents["vae_kl0"]}
    assert list(of_latents(replace(images, latents=prior_alone))) == ["embeddings", "priors"]
    assert list(drawn[-2][1]) == ["vae_kl0"] and list(drawn[-1][1]) == ["vae", "vae_kl0"]
    assert of_latents(Sample()) == of_diagnostics(Sample()) == {}
