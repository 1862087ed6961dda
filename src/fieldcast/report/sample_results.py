"""Results of the task `sample`, by experiment, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast.figures.pictures import are_images, has
from fieldcast.report import results
from fieldcast.report.board import Score

GREY = ("grey", "dequantised", "symmetric")  # treatments of images that leave their grey values
ANY_GREY = ("fid", "kid", "c2st", "bits_per_dim")
NEAR = 0.05  # the share of test data that are "very near" to a training state


@dataclass(frozen=True)
class SampleBoard:
    """The scores of a leaderboard of samples: one of each kind an experiment; of several seeds the mean."""

    leaderboard: pd.DataFrame

    @cached_property
    def scores(self) -> Mapping[tuple[str, str], Score]:
        """By experiment and name of the score; a score that is NaN is not there."""
        rows = self.leaderboard.groupby(["experiment", "score"], sort=False)[["value", "low", "high"]].mean()
        return {key: Score(*numbers) for key, numbers in zip(rows.index, rows.to_numpy().tolist(), strict=True)
                if not math.isnan(numbers[0])}  # fmt: skip

    @cached_property
    def order(self) -> list[str]:
        """Experiments by their FID; those without come last, as they stand."""
        names = list(dict.fromkeys(self.leaderboard["experiment"]))
        return sorted(names, key=lambda name: self.value(name, "fid", math.inf))

    def value(self, experiment: str, score: str, otherwise: float = math.nan) -> float:
        """A score without its interval."""
        found = self.scores.get((experiment, score))
        return otherwise if found is None else found.value

    def having(self, *scores: str) -> list[str]:
        """Experiments with any of these scores, in order."""
        return [name for name in self.order if any((name, score) in self.scores for score in scores)]


@dataclass(frozen=True, kw_only=True)
class Results(results.Results):
    """Those of every task; and of models with codes their latents."""

    latents: Mapping[str, xr.Dataset] = field(default_factory=dict)

    parts: ClassVar[tuple[str, ...]] = (*results.Results.parts, "latents")

    @cached_property
    def board(self) -> SampleBoard | None:
        """All scores."""
        return SampleBoard(self.leaderboard) if len(self.leaderboard) else None

    @cached_property
    def variable(self) -> str:
        """The first of those that there are pictures of: it is the one that is shown."""
        return next((str(name) for found in self.examples.values() for name in found.data_vars), "")

    @cached_property
    def images(self) -> bool:
        """Whether the pictures are images, not fields."""
        return any(are_images(found) for found in self.examples.values())

    @cached_property
    def treatments(self) -> dict[str, str]:
        """What each experiment sees of the data, where that is known."""
        stored = [self.diagnostics, self.examples, self.latents]
        return {
            name: str(found[name].attrs["treatment"])
            for name in self.order
            for found in reversed(stored)
            if name in found and "treatment" in found[name].attrs
        }

    def seen(self, name: str, score: str) -> str:
        """What must be the same of two experiments for a score to compare: what they see of the data.

        Distances, and bits of a grey value, are the same things for all that see grey values, whichever interval
        these are brought to.
        """
        treatment = self.treatments.get(name, "")
        return "grey values" if score in ANY_GREY and treatment in GREY else treatment

    def alike(self, names: Iterable[str], score: str) -> dict[str, list[str]]:
        """Experiments by what must be the same for the score to compare."""
        found: dict[str, list[str]] = {}
        for name in names:
            found.setdefault(self.seen(name, score), []).append(name)
        return found

    def floor(self, name: str, score: str) -> Score | None:
        """What real data have in the place of an experiment's samples."""
        found = self.board.scores.get((name, f"{score}_floor")) if self.board else None
        if found is None and name in self.diagnostics:
            value = self.diagnostics[name].attrs.get(f"{score}_floor")
            found = Score(float(value), math.nan, math.nan) if known(value) else None
        return found

    def pictured(self, *kinds: str) -> dict[str, xr.Dataset]:
        """Examples of the experiments that have pictures of all these kinds, in order."""
        return {name: found for name, found in self.ordered("examples").items() if has(found, *kinds)}

    def told(self, name: str) -> list[object]:
        """What the diagnostics say by this attribute, each answer once."""
        found = (one.attrs.get(name) for one in self.ordered("diagnostics").values())
        return list(dict.fromkeys(value for value in found if known(value)))

    @cached_property
    def ceilings(self) -> dict[str, dict[str, float]]:
        """FID and KID of noise, by experiment."""
        return {
            name: {score: float(one.attrs.get(f"{score}_ceiling", math.nan)) for score in ("fid", "kid")}
            for name, one in self.diagnostics.items()
        }

    @cached_property
    def near(self) -> dict[str, tuple[float, float, float]]:
        """Of each experiment: median distance to the nearest training state of samples, of test data; share of samples
        that are nearer than all but `NEAR` of test data."""
        found = {}
        for name, one in self.ordered("diagnostics").items():
            if {"nearest_of_samples", "nearest_of_test"} <= set(one.data_vars):
                drawn, test = (
                    one[f"nearest_of_{part}"].to_numpy().astype(float) for part in ("samples", "test")
                )
                drawn, test = drawn[np.isfinite(drawn)], test[np.isfinite(test)]
                if len(drawn) and len(test):
                    share = float(np.mean(drawn < np.quantile(test, NEAR)))
                    found[name] = (float(np.median(drawn)), float(np.median(test)), share)
        return found


def known(value: object) -> bool:
    """Neither missing, nor empty, nor NaN."""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))
