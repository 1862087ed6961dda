"""Results of the task `sample`: its figures and the context of its template."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.figures.pictures import are_images, has_kinds, pictures_of_kind, reference
from fieldcast.figures.sample_scores import distance_dots
from fieldcast.report import glance, sample_figures, sample_findings, sample_tables
from fieldcast.report.board import Board, Sampled
from fieldcast.report.context import shared_context
from fieldcast.report.glance import Glance
from fieldcast.report.guide import REAL_AND_NOISE, SAMPLING_INTERVALS, VERY_NEAR, WASSERSTEIN, Guide
from fieldcast.report.results import Results, file_name, split_names
from fieldcast.report.score_tables import all_scores_table
from fieldcast.report.studies import Study
from fieldcast.scores.bootstrap import Score
from fieldcast.scores.numbers import is_known
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

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
    guide: ClassVar[Guide] = Guide(
        SAMPLE_METRICS.values, (REAL_AND_NOISE, SAMPLING_INTERVALS, VERY_NEAR, WASSERSTEIN)
    )

    @cached_property
    def board(self) -> Board:
        """The leaderboard, ranked by FID."""
        return Board(self.leaderboard, Sampled, ranking="fid")

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
        return shared_context(self, None, "score") | {
            "findings": sample_findings.Findings(self, board) if board else None,
            "sample_table": partial(sample_tables.score_table, self, board),
            "near_table": sample_tables.near_table(self),
            "cells_table": sample_tables.cells_table(self),
            "decoded": self.decoded_parts,
            "nearest": self.nearest_parts,
            "interpolated": self.interpolated_parts,
            "grids": {file_name("latent_grid", name): [name] for name in self.grids},
            "unused": [name for name in self.pictured("grid") if name not in self.grids],
            "diffusions": {file_name("denoising", name): [name] for name in self.pictured("snapshot")},
            "study_figures": self.study_figures,
            "study_file": study_file,
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
    def study_figures(self) -> dict[str, list[str]]:
        """Experiments of each study with reconstructions, by its figure; a study needs two."""
        pictured = self.pictured("truth", "reconstruction", "sample")
        figures = {
            study_file(study): [name for name in study.experiments if name in pictured]
            for study in self.studies
        }
        return {name: names for name, names in figures.items() if len(names) > 1}

    def glance(self) -> Glance:
        return glance.sample(self)

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
        drawn = sample_figures.at_a_glance(self)
        if self.board.having("fid", "kid", "c2st"):
            drawn["distances"] = distance_dots(self.with_recognised, self.ceilings, self.looks)
        drawn |= dict(sample_figures.pictures(self))
        drawn |= sample_figures.of_latents(self)
        return drawn | sample_figures.of_diagnostics(self) | self.losses()


def variability(pictures: xr.Dataset, variable: str) -> float:
    """Standard deviation of decoded states between the latents of a grid, relative to that of real states."""
    decoded, real = pictures_of_kind(pictures, variable, "grid"), reference(pictures, variable)
    spread = [float(np.sqrt(np.nanmean(np.nanvar(states, axis=0)))) for states in (decoded, real)]
    return spread[0] / spread[1] if spread[1] > 0 else math.inf


def study_file(study: Study) -> str:
    """File name of the figure of a study."""
    return file_name("study", study.title.lower())
