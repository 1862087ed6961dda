"""Figures of the task `sample`: pictures of states, test data in latent space, and diagnostics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from fieldcast.figures import embedding, prior
from fieldcast.figures.glance import sample_glance
from fieldcast.figures.samples import (
    decoded_pictures,
    denoising,
    interpolations,
    latent_grid,
    nearest_distances,
    nearest_pictures,
    sample_sheet,
)
from fieldcast.figures.spectra import sample_spectra
from fieldcast.figures.wasserstein import wasserstein_maps
from fieldcast.report.results import GLANCE, file_name

if TYPE_CHECKING:
    from fieldcast.report.sample import Sample


def at_a_glance(results: Sample) -> dict[str, Figure]:
    """The best experiment on the first screen; empty without pictures of it."""
    pictured = results.pictured("real", "sample")
    if not pictured:
        return {}
    best = next(iter(pictured))
    return {GLANCE: sample_glance(pictured[best], results.variable, results.label(best), results.outline)}


def pictures(results: Sample) -> Iterator[tuple[str, Figure]]:
    """Samples, reconstructions, decoded grids, diffusion step by step, nearest training states."""
    variable = results.variable
    pictured = results.pictured("real", "sample")
    if pictured:
        yield "samples", sample_sheet(results.labelled(pictured), variable, results.outline)
    for name, names in (results.study_figures | results.decoded_parts).items():
        yield name, decoded_pictures(results.examples_of(names), variable, results.outline)
    for name, stored in results.grids.items():
        yield file_name("latent_grid", name), latent_grid(stored, variable, results.label(name))
    for name, names in results.interpolated_parts.items():
        yield name, interpolations(results.examples_of(names), variable)
    for name, stored in results.pictured("snapshot").items():
        yield file_name("denoising", name), denoising(stored, variable, results.label(name))
    for name, names in results.nearest_parts.items():
        yield name, nearest_pictures(results.examples_of(names), variable, results.outline)


def of_latents(results: Sample) -> dict[str, Figure]:
    """Figures of test data in latent space, and of the prior there."""
    drawn = {}
    stored = results.labelled("latents")
    embedded = {label: dataset for label, dataset in stored.items() if embedding.can_be_shown(dataset)}
    if embedded:
        drawn["embeddings"] = embedding.embeddings(embedded)
    with_prior = {label: dataset for label, dataset in stored.items() if prior.can_be_shown(dataset)}
    if with_prior:
        drawn["priors"] = prior.priors(with_prior)
    return drawn


def of_diagnostics(results: Sample) -> dict[str, Figure]:
    """Figures of distances to the nearest training state and, for fields, of spectra and Wasserstein distances."""
    drawn = {}
    near = {name: results.diagnostics[name] for name in results.near}
    if near:
        drawn["nearest_distances"] = nearest_distances(results.labelled(near), results.looks)
    spectra = results.holding("spectrum_samples", "spectrum_real")
    if spectra:
        drawn["spectra"] = sample_spectra(results.labelled(spectra), results.looks)
    cells = results.holding("wasserstein")
    if cells:
        drawn["wasserstein"] = wasserstein_maps(results.labelled(cells), results.outline)
    return drawn
