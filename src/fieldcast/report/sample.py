"""Results of the task `sample`: its figures and the context of its template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.experiments import Comparison
from fieldcast.figures import embedding
from fieldcast.figures.pictures import are_images, has_kinds, pictures_of_kind, reference, sample_glance
from fieldcast.figures.samples import (
    decoded_pictures,
    denoising,
    distance_dots,
    interpolations,
    latent_grid,
    nearest_distances,
    nearest_pictures,
    sample_sheet,
    wasserstein_maps,
)
from fieldcast.figures.spectra import sample_spectra
from fieldcast.report.comparisons import shared_context
from fieldcast.report.first_screen import RECOGNISED, general_doubts
from fieldcast.report.glossary import REAL_AND_NOISE, SAMPLING_INTERVALS, VERY_NEAR, WASSERSTEIN, Glossary
from fieldcast.report.results import GLANCE, Results, file_name, split_names
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.scores_by_case import Sampled, ScoresByCase
from fieldcast.report.tables import Cell, Doubt, Table, number_cell, score_cell
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.numbers import is_known, significant, span
from fieldcast.scores.sample_metrics import RECOGNISED_ACCURACY, SAMPLE_METRICS

GREY_TREATMENTS = ("grey", "dequantised", "symmetric")  # treatments of images that keep their grey values
# scores that do not depend on the interval that grey values are scaled to
SCALE_FREE_SCORES = ("fid", "kid", "c2st", "bits_per_dim")
# least variability of decoded states, relative to real ones, below which their pictures look all the same
MIN_VARIABILITY = 0.05
NEAR_SHARE = 0.05  # share of test data that are "very near" to a training state
DECODED_PER_FIGURE, NEAREST_PER_FIGURE = 4, 5  # experiments


@dataclass(frozen=True, kw_only=True)
class Sample(Results):
    """Results of sampling, and the latents of models that have any."""

    latents: Mapping[str, xr.Dataset] = field(default_factory=dict)

    by_experiment: ClassVar[tuple[str, ...]] = (*Results.by_experiment, "latents")
    title: ClassVar[str] = "Sampling"
    template: ClassVar[str] = "sample"
    drawn: ClassVar[str] = "samples"
    guide: ClassVar[Glossary] = Glossary(
        SAMPLE_METRICS.values, (REAL_AND_NOISE, SAMPLING_INTERVALS, VERY_NEAR, WASSERSTEIN)
    )

    @cached_property
    def board(self) -> ScoresByCase:
        """The leaderboard, ranked by FID."""
        return ScoresByCase(self.leaderboard, Sampled, ranking="fid")

    @cached_property
    def variable(self) -> str:
        """The first variable of the pictures, which the figures show."""
        return next((str(name) for dataset in self.examples.values() for name in dataset.data_vars), "")

    @cached_property
    def images(self) -> bool:
        """Whether the data are images, not fields."""
        return any(are_images(stored) for stored in self.examples.values())

    @cached_property
    def treatments(self) -> dict[str, str]:
        """Preprocessing of images in each experiment, if it was stored."""
        stored = [self.latents, self.examples, self.diagnostics]
        return {
            name: str(datasets[name].attrs["treatment"])
            for name in self.order
            for datasets in stored
            if name in datasets and "treatment" in datasets[name].attrs
        }

    def compares_by(self, name: str, score: str) -> str:
        """Treatment of the data, which two experiments must share for a score to be comparable."""
        treatment = self.treatments.get(name, "")
        return "grey values" if score in SCALE_FREE_SCORES and treatment in GREY_TREATMENTS else treatment

    def comparable(self, names: Iterable[str], score: str) -> dict[str, list[str]]:
        """Groups of experiments within which a score is comparable."""
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(self.compares_by(name, score), []).append(name)
        return groups

    def floor(self, name: str, score: str) -> Score | None:
        """Score of real data in place of an experiment's samples."""
        floor = self.board.scores.get((name, Sampled(), f"{score}_floor"))
        if floor is None and name in self.diagnostics:
            value = self.diagnostics[name].attrs.get(f"{score}_floor")
            floor = Score(float(value)) if is_known(value) else None
        return floor

    def density(self, name: str) -> str:
        """The kind of density that an experiment's model has, from its costs: "exact", "lower bound", or empty."""
        kind = self.costs[name].iloc[0].get("density") if name in self.costs else None
        return str(kind) if is_known(kind) else ""

    def pictured(self, *kinds: str) -> dict[str, xr.Dataset]:
        """Examples of the experiments that have pictures of all these kinds, in order."""
        return {
            name: stored for name, stored in self.ordered("examples").items() if has_kinds(stored, *kinds)
        }

    def facts(self, attribute: str) -> list[object]:
        """The values of an attribute of the diagnostics, each once."""
        values = (stored.attrs.get(attribute) for stored in self.ordered("diagnostics").values())
        return list(dict.fromkeys(value for value in values if is_known(value)))

    @cached_property
    def ceilings(self) -> dict[str, dict[str, float]]:
        """FID and KID of noise, by label."""
        return {
            label: {score: float(dataset.attrs.get(f"{score}_ceiling", math.nan)) for score in ("fid", "kid")}
            for label, dataset in self.labelled("diagnostics").items()
        }

    @cached_property
    def near(self) -> dict[str, tuple[float, float, float]]:
        """Median distance to the nearest training state of samples and of test data; the share of very near samples.

        A sample is very near if only the share `NEAR_SHARE` of test data is nearer.
        """
        near = {}
        for name, stored in self.holding("nearest_of_samples", "nearest_of_test").items():
            distances_of_both = (
                stored[f"nearest_of_{part}"].to_numpy().astype(float) for part in ("samples", "test")
            )
            drawn, test = (distances[np.isfinite(distances)] for distances in distances_of_both)
            if len(drawn) and len(test):
                share = float(np.mean(drawn < np.quantile(test, NEAR_SHARE)))
                near[name] = (float(np.median(drawn)), float(np.median(test)), share)
        return near

    def holding(self, *names: str) -> dict[str, xr.Dataset]:
        """Diagnostics that have all these variables, in order."""
        return {
            key: dataset
            for key, dataset in self.ordered("diagnostics").items()
            if set(names) <= set(dataset.data_vars)
        }

    def context(self) -> dict[str, Any]:
        board = self.board
        codes = self.ordered("latents").items()
        return shared_context(self, "score") | {
            "sizes": sizes_table(self),
            "features": self.features,
            "draws": self.posterior_draws,
            "sample_table": partial(score_table, self, board),
            "near_table": near_table(self),
            "cells_table": cells_table(self),
            "decoded": self.decoded_parts,
            "nearest": self.nearest_parts,
            "interpolated": self.interpolated_parts,
            "grids": {file_name("latent_grid", name): [name] for name in self.grids},
            "unused": [name for name in self.pictured("grid") if name not in self.grids],
            "diffusions": {file_name("denoising", name): [name] for name in self.pictured("snapshot")},
            "comparison_figures": self.comparison_figures,
            "comparison_file": comparison_file,
            "unlabelled": [
                name
                for name, dataset in codes
                if dataset.sizes.get("latent", 0) > 2 and "label" not in dataset.coords
            ],
            "spectrum": "; ".join(
                str(value) for name in ("spectrum", "latitudes") for value in self.facts(name)[:1]
            ),
            "every_score": all_scores_table(self, board, SAMPLE_METRICS),
        }

    @cached_property
    def grids(self) -> dict[str, xr.Dataset]:
        """Examples with decoded grids of latents, without those whose pictures hardly differ."""
        stored = self.pictured("grid")
        return {
            name: each for name, each in stored.items() if variability(each, self.variable) >= MIN_VARIABILITY
        }

    @cached_property
    def decoded_parts(self) -> dict[str, list[str]]:
        """Experiments with reconstructions, by the figure that shows them."""
        return split_names(
            "decoded", list(self.pictured("truth", "reconstruction", "sample")), DECODED_PER_FIGURE
        )

    @cached_property
    def nearest_parts(self) -> dict[str, list[str]]:
        """Experiments with nearest training states, by the figure that shows them."""
        return split_names("nearest", list(self.pictured("sample", "nearest")), NEAREST_PER_FIGURE)

    @cached_property
    def interpolated_parts(self) -> dict[str, list[str]]:
        """Experiments with interpolations between codes, by the figure that shows them."""
        return split_names("interpolations", list(self.pictured("interpolation")), DECODED_PER_FIGURE)

    @cached_property
    def comparison_figures(self) -> dict[str, list[str]]:
        """Experiments of each comparison with reconstructions, by its figure; a comparison needs two."""
        pictured = self.pictured("truth", "reconstruction", "sample")
        figures = {
            comparison_file(comparison): [name for name in comparison.experiments if name in pictured]
            for comparison in self.comparisons
        }
        return {name: names for name, names in figures.items() if len(names) > 1}

    @property
    def doubts(self) -> list[Doubt]:
        """Samples that a classifier nearly always recognises, and reasons of all tasks."""
        accuracy = {name: self.board.value(name, "c2st") for name in self.board.having("c2st")}
        doubts = list(general_doubts(self))
        recognised = [name for name, value in accuracy.items() if value >= RECOGNISED_ACCURACY]
        if recognised:
            best = min(recognised, key=accuracy.__getitem__)
            meaning = f"accuracy of a classifier that tells samples of {self.label(best)} from real data, where 50 % "
            doubts.append(Doubt(RECOGNISED, f"{100 * accuracy[best]:.3g} %", f"{meaning}is chance"))
        return doubts

    @property
    def features(self) -> str:
        """The extractor of features, their number, its accuracy and its weights; empty if not stored."""
        extractor, accuracy, weights = (self.facts(name)[:1] for name in ("extractor", "accuracy", "weights"))
        facts = [f"{number} features" for number in [span(self.facts("features"))] if number]
        facts += [f"test accuracy {float(str(value)):.3f}" for value in accuracy]
        facts += [f"weights {digest}" for digest in weights]
        return f"{extractor[0]} ({', '.join(facts)})" if extractor and facts else "".join(map(str, extractor))

    @property
    def posterior_draws(self) -> str:
        """Number of posterior draws in the IWAE bound; empty without it."""
        bounded = [name for name in self.board.having("iwae") if name in self.diagnostics]
        counts = [self.diagnostics[name].attrs.get("K") for name in bounded]
        return span([count for count in counts if count])

    def examples_of(self, names: Iterable[str]) -> dict[str, xr.Dataset]:
        """Examples of some experiments, by label."""
        return self.labelled({name: self.examples[name] for name in names})

    @property
    def with_recognised(self) -> pd.DataFrame:
        """The leaderboard, by label, with the accuracy of a classifier for real data, which the diagnostics hold."""
        floors = {name: floor for name in self.board.order if (floor := self.floor(name, "c2st"))}
        records = [
            {"experiment": self.label(name), "score": "c2st_floor", **floor._asdict()}
            for name, floor in floors.items()
        ]
        return pd.concat([self.labelled_leaderboard, *([pd.DataFrame(records)] if records else [])])

    def figures(self) -> dict[str, Figure]:
        """Figures that have content, by file name."""
        drawn: dict[str, Figure] = at_a_glance(self)
        if self.board.having("fid", "kid", "c2st"):
            drawn["distances"] = distance_dots(self.with_recognised, self.ceilings, self.looks)
        drawn |= dict(pictures(self))
        drawn |= of_latents(self)
        return drawn | of_diagnostics(self) | self.losses()


def variability(pictures: xr.Dataset, variable: str) -> float:
    """Standard deviation of decoded states between the latents of a grid, relative to that of real states."""
    decoded, real = pictures_of_kind(pictures, variable, "grid"), reference(pictures, variable)
    spread = [float(np.sqrt(np.nanmean(np.nanvar(states, axis=0)))) for states in (decoded, real)]
    return spread[0] / spread[1] if spread[1] > 0 else math.inf


def comparison_file(comparison: Comparison) -> str:
    """File name of the figure of a comparison."""
    return file_name("comparison", comparison.title.lower())


# Figures of the task `sample`: pictures of states, test data in latent space, and diagnostics.


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
    for name, names in (results.comparison_figures | results.decoded_parts).items():
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
    with_prior = {
        label: dataset for label, dataset in stored.items() if embedding.prior_can_be_shown(dataset)
    }
    if with_prior:
        drawn["priors"] = embedding.priors(with_prior)
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


# Tables of the scores of samples, one row per experiment.


def score_table(results: Sample, board: ScoresByCase, *scores: str) -> Table:
    """Experiments by scores, with intervals and, for distances, the score of real data.

    The best of comparable experiments is bold. A column states the treatment of the data: for images always, for fields
    if it differs.
    """
    present = [score for score in scores if board.having(score)]
    differ = len(set(results.treatments.values())) > 1
    treatments = results.treatments if results.images or differ else {}
    body = [
        [
            results.head(name),
            *([Cell(treatments.get(name, "–"))] if treatments else []),
            *(cell(results, board, name, score) for score in present),
        ]
        for name in board.having(*present)
    ]
    head = ["experiment", *(["data as"] if treatments else [])]
    return Table([*head, *(SAMPLE_METRICS[score].heading for score in present)], body if present else [])


def cell(results: Sample, board: ScoresByCase, name: str, score: str) -> Cell:
    """A value with its interval, and below it the score of real data and whether it is significantly higher."""
    if score == "active_units":
        return number_cell(board.value(name, score), integer=True)
    floor = results.floor(name, score)
    value = board.scores.get((name, Sampled(), score))
    notes = [(f"real data {significant(floor.value, 2)}", "")] if floor else []
    notes += [("higher", "worse")] if value and floor and exceeds(value, floor) else []
    kind = "best" if is_best(results, board, name, score) else ""
    return score_cell(value, *notes, kind=kind)


def exceeds(score: Score, floor: Score) -> bool:
    """Whether a distance is larger than those between sets of real data, beyond both intervals where they exist."""
    low = score.value if math.isnan(score.low) else score.low
    return low > (floor.value if math.isnan(floor.high) else floor.high)


def is_best(results: Sample, board: ScoresByCase, name: str, score: str) -> bool:
    """Whether an experiment is the only best one of several comparable ones."""
    alike = results.comparable(board.having(score), score).get(results.compares_by(name, score), [])
    values = [board.value(other, score) for other in alike]
    best = SAMPLE_METRICS[score].best(values) if len(values) > 1 else math.nan
    return board.value(name, score) == best and values.count(best) == 1


def sizes_table(results: Sample) -> Table:
    """Numbers of samples, of those that are not finite and of real states, and the kind of likelihood."""
    body = []
    for name in results.board.order:
        attrs = results.diagnostics[name].attrs if name in results.diagnostics else {}
        drawn, finite, real = (float(attrs.get(key, math.nan)) for key in ("samples", "finite", "real"))
        numbers = (number_cell(value, integer=True) for value in (drawn, drawn - finite, real))
        body.append([results.head(name), *numbers, Cell(results.density(name) or "–")])
    return Table(["experiment", "samples", "not finite", "test data", "likelihood"], body)


def near_table(results: Sample) -> Table:
    """Distances to the nearest training state, of samples and of test data."""
    body = [
        [results.head(name), number_cell(drawn), number_cell(test), Cell(f"{100 * share:.0f} %", share)]
        for name, (drawn, test, share) in results.near.items()
    ]
    return Table(["experiment", "samples", "test data", "very near samples"], body)


def cells_table(results: Sample) -> Table:
    """Mean Wasserstein distance of a cell, beside that of real data."""
    body = []
    for name, stored in results.ordered("diagnostics").items():
        values = [float(stored.attrs.get(f"wasserstein_{part}", math.nan)) for part in ("mean", "floor")]
        if not math.isnan(values[0]):
            body.append([results.head(name), *map(number_cell, values)])
    return Table(["experiment", "samples", "real data"], body)
