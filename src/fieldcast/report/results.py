"""Results of a task by experiment, and the content of the page that all tasks have in common."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.experiments import Comparison, Description, descriptions, roles
from fieldcast.figures.sheet import Outline
from fieldcast.figures.style import LineStyle, Picture, looks, png
from fieldcast.figures.training import loss_curves
from fieldcast.report.glossary import Glossary
from fieldcast.report.rendering import Section, render
from fieldcast.report.scores_by_case import Sampled, ScoresByCase
from fieldcast.report.tables import Cell, Doubt, Table
from fieldcast.scores.leaderboard import Layout

GLANCE = "at_a_glance"  # file name of the figure of the first screen
TRAINING_RESULTS = "history", "costs"  # results that do not depend on the scored data
DIFFERENCE = "crps_minus_reference"  # the score that is a paired difference


@dataclass(frozen=True, kw_only=True)
class Results(ABC):
    """Results by experiment (its name without the task). Each field may be empty or lack experiments.

    Parameters
    ----------
    leaderboard
        The table of `scores.leaderboard`.
    scores
        Tables of statistics with their origin (`scores.statistics_table.with_origin`).
    diagnostics, examples
        Statistics and examples that the evaluation stored for figures.
    events
        Contingency tables of events (`scores.event_tables`); empty for tasks that score none.
    event_scores
        The table of `scores.event_tables`.
    history
        Training logs (see `figures.training`).
    costs
        Frames of one row.
    experiments
        The parameters of every experiment of the task, {name: {about, model, ...}}, whether or not it has run.
    comparisons
        Named comparisons of experiments; those of other tasks are dropped.
    outline
        Coastlines or mountains for maps.
    """

    leaderboard: pd.DataFrame = field(default_factory=pd.DataFrame)
    scores: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    diagnostics: Mapping[str, xr.Dataset] = field(default_factory=dict)
    examples: Mapping[str, xr.Dataset] = field(default_factory=dict)
    events: Mapping[str, xr.Dataset] = field(default_factory=dict)
    event_scores: pd.DataFrame = field(default_factory=pd.DataFrame)
    history: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    costs: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    experiments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    outline: Outline = ()

    by_experiment: ClassVar[tuple[str, ...]] = (  # fields that hold results by experiment
        *("scores", "diagnostics", "examples", "events", "history", "costs"),
    )
    title: ClassVar[str]
    template: ClassVar[str]
    layout: ClassVar[Layout | None] = None  # of its leaderboard, where experiments are compared time by time
    drawn: ClassVar[str]  # noun for the draws of its experiments, in the plural
    guide: ClassVar[Glossary]
    files: ClassVar[Mapping[str, str]] = {}  # content of the files beside the page, by name

    def __post_init__(self) -> None:
        """Drop results that are None or empty, those last scored on other data, and comparisons of other tasks."""
        ranked = set(self.leaderboard["experiment"]) if len(self.leaderboard) else None
        for kind in self.by_experiment:
            current = {
                name: value
                for name, value in getattr(self, kind).items()
                if value is not None
                and len(value)
                and (ranked is None or kind in TRAINING_RESULTS or name in ranked)
            }
            object.__setattr__(self, kind, current)
        comparisons = [comparison for comparison in self.comparisons if comparison.task == self.template]
        object.__setattr__(self, "comparisons", comparisons)

    @property
    @abstractmethod
    def board(self) -> ScoresByCase:
        """Scores of the experiments, overall; an empty board is false."""

    def records_where(self, **values: str) -> pd.DataFrame:
        """Rows of the leaderboard with these values in their columns."""
        table = self.leaderboard
        for column, value in values.items() if len(table) else ():
            table = table[table[column] == value]
        return table

    def overall(self, scores: pd.DataFrame) -> pd.DataFrame:
        """Rows of a table of statistics that `board` is made of."""
        return scores

    @abstractmethod
    def figures(self) -> dict[str, Figure]:
        """Figures that have content, by file name."""

    def pictures(self) -> dict[str, Picture]:
        """The figures as pictures; each figure is released before the next is converted."""
        return {name: Picture(png(figure)) for name, figure in self.figures().items()}

    @property
    def doubts(self) -> list[Doubt]:
        """Reasons to distrust the results, for the first screen."""
        return []

    def sections(self, figures: Mapping[str, Picture]) -> list[Section]:
        """Non-empty sections of the page, in order."""
        return render(self.template, self.about, results=self, figures=figures, **self.context())

    def context(self) -> dict[str, Any]:
        """Context of the task's template besides the results and the figures."""
        return {"board": self.board}

    @cached_property
    def order(self) -> list[str]:
        """All experiments with results: the best first, then those without a score."""
        ranked = self.board.order
        others = {name for kind in self.by_experiment for name in getattr(self, kind)}
        return [*ranked, *sorted(others - set(ranked))]

    def ordered(self, kind: str) -> dict[str, Any]:
        """Results of one kind, a field of this class, in the order of the experiments."""
        values = getattr(self, kind)
        return {name: values[name] for name in self.order if name in values}

    @cached_property
    def not_run(self) -> list[str]:
        """Configured experiments that are missing from the leaderboard, in the order of their descriptions."""
        ranked = set(self.leaderboard["experiment"]) if len(self.leaderboard) else set()
        return [name for name in self.about if name in self.experiments and name not in ranked]

    @cached_property
    def about(self) -> dict[str, Description]:
        """Descriptions of the experiments, each with a family and a unique label."""
        bodies = {
            name: self.experiments.get(name, {}) for name in dict.fromkeys([*self.experiments, *self.order])
        }
        described = descriptions(bodies)
        count = Counter(text.label for text in described.values())
        return {
            name: replace(
                text,
                label=text.label if count[text.label] == 1 else f"{text.label} ({name})",
                family=text.family_or_default(learned=self.learned(name)),
            )
            for name, text in described.items()
        }

    def learned(self, name: str) -> bool:
        """Whether an experiment was trained by gradients."""
        return self.fact(name, "learned")

    def fact(self, name: str, fact: str) -> bool:
        """A fact about the model of an experiment, which its costs record; false if they do not."""
        return name in self.costs and bool(self.costs[name].iloc[0].get(fact))

    @cached_property
    def looks(self) -> dict[str, LineStyle]:
        """Look of each experiment, by label, independent of which experiments have run."""
        return {self.label(name): look for name, look in looks(self.about).items()}

    def label(self, name: str) -> str:
        """Title of an experiment in tables and figures."""
        return self.about[name].label if name in self.about else name or "the reference"

    def labelled(self, results: str | Mapping[str, Any]) -> dict[str, Any]:
        """Results of one kind by label, as figures take them; those of a field in the order of the experiments."""
        values = self.ordered(results) if isinstance(results, str) else results
        return {self.label(name): value for name, value in values.items()}

    @cached_property
    def labelled_leaderboard(self) -> pd.DataFrame:
        """The leaderboard with labels in place of names."""
        return self.leaderboard.assign(experiment=self.leaderboard["experiment"].map(self.label))

    def head(self, name: str) -> Cell:
        """First cell of the row of an experiment."""
        return Cell(self.label(name), title=without_code(self.about[name].description))

    @property
    def bounds(self) -> list[str]:
        """Experiments that bound the attainable skill: they are not ranked."""
        return [name for name, text in self.about.items() if text.family == "bound"]

    @property
    def first_case(self) -> Any:
        """The case of the first screen; None if nothing has been scored."""
        return Sampled() if self.board else None

    @cached_property
    def leaders(self) -> list[str]:
        """Experiments by their score in the case of the first screen, the lowest first; bounds are left out."""
        board, case = self.board, self.first_case
        names = [name for name in board.having(board.ranking, cases=[case]) if name not in self.bounds]
        return sorted(names, key=lambda name: board.value(name, board.ranking, case))

    @property
    def best(self) -> str:
        """The first of the leaders; empty if there is none."""
        return next(iter(self.leaders), "")

    @property
    def reference(self) -> str:
        """The reference of paired differences; empty if no experiment has the role."""
        return roles(self.about).get("reference", "")

    def not_run_sentence(self, role: str) -> str:
        """A sentence: the experiment with a role has not run, and the command that runs it."""
        name = roles(self.about).get(role, "")
        if not name:
            return f"no experiment has the role {role} (about.role)."
        return f"{self.label(name)} has not run: add {self.template}.{name} to --pipelines of this run"

    @property
    def units(self) -> dict[str, str]:
        """Unit of each variable, from any data set that holds fields."""
        sources: Iterator[xr.Dataset] = iter(self.examples.values())
        return {
            str(name): str(values.attrs.get("units", ""))
            for dataset in sources
            for name, values in dataset.items()
        }

    @cached_property
    def underspread(self) -> list[str]:
        """Experiments whose model draws without the noise of its likelihood."""
        return [name for name in self.order if self.fact(name, "omits_noise")]

    @property
    def methods(self) -> Table:
        """Label, name, family and description of each experiment on the page."""
        body = [
            [
                Cell(text.label),
                Cell(name),
                Cell(str(text.family)),
                Cell(without_code(text.description) or "–"),
            ]
            for name, text in self.about.items()
            if name in self.order
        ]
        return Table(["label", "experiment", "family", "method"], body, "texts")

    def losses(self) -> dict[str, Figure]:
        """Loss curves of the trained experiments."""
        trained = {name: history for name, history in self.ordered("history").items() if "loss" in history}
        return {"losses": loss_curves(self.labelled(trained), self.looks)} if trained else {}


def file_name(*parts: str) -> str:
    """A valid file name from the names of experiments and variables."""
    return re.sub(r"[^\w-]+", "-", "_".join(parts))


def split_names(figure: str, names: list[str], size: int) -> dict[str, list[str]]:
    """Split names evenly into figures of at most `size` experiments."""
    count = -(-len(names) // size)
    splits = np.array_split(np.array(names, dtype=object), count) if count else []
    return {
        figure if not number else f"{figure}_part{number + 1}": [str(name) for name in part]
        for number, part in enumerate(splits)
    }


def without_code(text: str) -> str:
    """A description without the backticks of Markdown."""
    return text.replace("`", "")
