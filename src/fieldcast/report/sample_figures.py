"""The figures of record of the task `sample`, by the name that they are stored under."""

from __future__ import annotations

import re
from collections.abc import Mapping

import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures import embedding, prior
from fieldcast.figures.decoded import decoded_pictures
from fieldcast.figures.denoising import denoising
from fieldcast.figures.latent_grid import latent_grid
from fieldcast.figures.nearest import nearest_distances, nearest_pictures
from fieldcast.figures.sample_scores import distance_dots
from fieldcast.figures.sample_spectra import sample_spectra
from fieldcast.figures.samples import in_parts, sample_sheet
from fieldcast.figures.training import loss_curves
from fieldcast.figures.wasserstein import wasserstein_maps
from fieldcast.report import training
from fieldcast.report.sample_results import Results

KL_WEIGHTS = {"vae_kl0": "KL weight 0", "vae": "KL weight 1", "vae_kl30": "KL weight 30"}
DECODED, NEAREST = 4, 5  # experiments in one figure


def draw(results: Results) -> dict[str, Figure]:
    """Every figure for which there is something to draw."""
    found: dict[str, Figure] = {}
    board = results.board
    if board and board.having("fid", "kid", "c2st"):
        found["distances"] = distance_dots(results.leaderboard, results.ceilings, results.looks)
    found |= of_examples(results)
    found |= of_latents(results)
    found |= of_diagnostics(results)
    losses = training.trained(results.ordered("history"))
    if losses:
        found["losses"] = loss_curves(losses, results.looks)
    return found


def of_examples(results: Results) -> dict[str, Figure]:
    """Samples, reconstructions, grids of codes, diffusion step by step, nearest training states."""
    found: dict[str, Figure] = {}
    variable = results.variable
    both = results.pictured("real", "sample")
    if both:
        found["samples"] = sample_sheet(both, variable)
    weights = kl_weights(results)
    if weights:
        found["kl_weights"] = decoded_pictures(weights, variable, KL_WEIGHTS)
    for name, part in decoded_parts(results).items():
        found[name] = decoded_pictures(part, variable)
    for name, one in results.pictured("grid").items():
        found[file_name("latent_grid", name)] = latent_grid(one, variable, name)
    for name, one in results.pictured("snapshot").items():
        found[file_name("denoising", name)] = denoising(one, variable, name)
    for name, part in nearest_parts(results).items():
        found[name] = nearest_pictures(part, variable)
    return found


def of_latents(results: Results) -> dict[str, Figure]:
    """Where test data lie among the codes, and whether the prior is there too."""
    found = {}
    stored = results.ordered("latents")
    shown = {name: one for name, one in stored.items() if embedding.can_be_shown(one)}
    if shown:
        found["embeddings"] = embedding.embeddings(shown)
    with_prior = {name: one for name, one in stored.items() if prior.can_be_shown(one)}
    if with_prior:
        found["priors"] = prior.priors(with_prior)
    return found


def of_diagnostics(results: Results) -> dict[str, Figure]:
    """Distances to the nearest training state; of fields spectra and Wasserstein distances."""
    found = {}
    stored = results.ordered("diagnostics")
    near = {name: stored[name] for name in results.near}
    if near:
        found["nearest_distances"] = nearest_distances(near, results.looks)
    spectra = holding(stored, "spectrum_samples", "spectrum_real")
    if spectra:
        found["spectra"] = sample_spectra(spectra, results.looks)
    cells = holding(stored, "wasserstein")
    if cells:
        found["wasserstein"] = wasserstein_maps(cells)
    return found


def holding(stored: Mapping[str, xr.Dataset], *names: str) -> dict[str, xr.Dataset]:
    """Those that have all these variables."""
    return {key: one for key, one in stored.items() if set(names) <= set(one.data_vars)}


def kl_weights(results: Results) -> dict[str, xr.Dataset]:
    """The VAE at each weight of the KL, by rising weight; none without two to compare."""
    decoded = results.pictured("truth", "reconstruction", "sample")
    found = {name: decoded[name] for name in KL_WEIGHTS if name in decoded}
    return found if len(found) > 1 else {}


def decoded_parts(results: Results) -> dict[str, dict[str, xr.Dataset]]:
    """Experiments with reconstructions by the figure that shows them; those of other KL weights have their own."""
    apart = set(kl_weights(results)) - {"vae"}
    stored = results.pictured("truth", "reconstruction", "sample")
    parts = in_parts([name for name in stored if name not in apart], DECODED)
    return {
        part_name("decoded", place): {name: stored[name] for name in part} for place, part in enumerate(parts)
    }


def nearest_parts(results: Results) -> dict[str, dict[str, xr.Dataset]]:
    """Experiments with nearest training states by the figure that shows them."""
    stored = results.pictured("sample", "nearest")
    parts = in_parts(list(stored), NEAREST)
    return {
        part_name("nearest", place): {name: stored[name] for name in part} for place, part in enumerate(parts)
    }


def part_name(name: str, place: int) -> str:
    """Of a figure that is one of several."""
    return name if not place else f"{name}_part{place + 1}"


def file_name(what: str, experiment: str) -> str:
    """A name of a file, whatever the experiment is called."""
    return re.sub(r"[^\w-]+", "-", f"{what}_{experiment}")
