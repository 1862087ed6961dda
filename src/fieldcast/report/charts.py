"""Interactive curves of scores: hovering shows values; menus select the score, the variable, k or the lead."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from fieldcast.figures.leads import with_leads
from fieldcast.figures.style import Look, percent
from fieldcast.report.vega_lite import (
    EXPERIMENT,
    FADED,
    NAME,
    NAME_WIDTH,
    Spec,
    appearance,
    chooser,
    document,
    menu,
)
from fieldcast.scores.metrics import METRICS

HEADROOM = (
    1.3  # upper end of a panel, relative to the worst free baseline; models that blew up leave the panel
)
MIN_SKILL = -0.6  # lowest end of the axis of a score that is better when higher
MAX_RATIO = 2.0  # highest end of the axis of a ratio whose ideal is 1
HEIGHT = 300  # height of a panel [pixels]


@dataclass(frozen=True)
class Axis:
    """Horizontal axis of curves.

    Parameters
    ----------
    column
        Column of the leaderboard.
    title, menu
        Texts beside the axis and beside its menu.
    label
        A value as text.
    ticks
        Format of the tick labels, in the syntax of d3-format.
    scale
        Kind of the scale: "linear" or "log".
    """

    column: str
    title: str
    menu: str
    label: Callable[[float], str]
    ticks: str
    scale: str


FRACTION_AXIS = Axis("k", "fraction observed", "observed ", percent, "~%", "log")


def lead_axis(unit: str) -> Axis:
    """Axis of lead times in a unit: "day", "month" or "year"."""
    return Axis(
        "lead", f"lead [{unit}s]", "lead ", lambda lead: f"{lead:g} {unit}{'s' * (lead != 1)}", "~g", "linear"
    )


@dataclass(frozen=True, eq=False)
class ScoresChart:
    """Scores against a column of a leaderboard, beside the experiments in their order at one of its values.

    Parameters
    ----------
    table
        Rows of a leaderboard with labels in place of names; several seeds are averaged.
    axis
        Column and look of the horizontal axis.
    looks
        Look of each experiment by its label.
    scores
        Names of the scores to choose from; those that the table lacks are left out.
    """

    table: pd.DataFrame
    axis: Axis
    looks: Mapping[str, Look]
    scores: Sequence[str]

    @cached_property
    def records(self) -> pd.DataFrame:
        """Finite scores by title, with their intervals; the column of the axis is `x`."""
        table = self.table[self.table["score"].isin(self.scores) & np.isfinite(self.table["value"])]
        keys = ["variable", "score", "experiment", "x"]
        means = table.rename(columns={self.axis.column: "x"}).groupby(keys, sort=False)
        records = means[["value", "low", "high"]].mean().reset_index()
        return records.assign(score=records["score"].map(title))

    @cached_property
    def titles(self) -> dict[str, str]:
        """Scores of the table by title."""
        present = set(self.records["score"])
        return {title(score): score for score in self.scores if title(score) in present}

    @cached_property
    def positions(self) -> list[float]:
        """Values on the axis."""
        return sorted(self.records["x"].unique().tolist())

    def spec(self) -> Spec:
        """The specification; empty without scores."""
        if self.records.empty:
            return {}
        variables = list(dict.fromkeys(["all", *self.records["variable"]]))
        return {
            **document(self.records, experiment="string", variable="string", score="string"),
            "params": [
                chooser("score", "score ", list(self.titles)),
                chooser("variable", "variable ", variables),
                {"name": "limits", "value": self.limits()},
            ],
            "transform": [{"filter": "datum.score === score && datum.variable === variable"}],
            "hconcat": [self.curves(), self.ranking()],
            "resolve": {"scale": {"color": "independent", "strokeDash": "independent"}},  # else there is no legend
        }  # fmt: skip

    def curves(self) -> Spec:
        """A line for each experiment, and a rule at the chosen value."""
        positions, axis = self.positions, self.axis
        x = {
            "field": "x", "type": "quantitative", "title": axis.title,
            "scale": {"type": axis.scale, "zero": False, "nice": False, "padding": 6},
            "axis": {"values": positions, "labelOverlap": True, "grid": False, "format": axis.ticks},
        }  # fmt: skip
        at_pointer = {
            "name": "at", "value": [{"x": positions[len(positions) // 2]}],
            "select": {"type": "point", "fields": ["x"], "on": "pointermove", "nearest": True, "clear": False},
            "bind": {"x": menu(axis.menu, positions, [axis.label(position) for position in positions])},
        }  # fmt: skip
        colour, dash = appearance(set(self.records["experiment"]), self.looks)
        line = {
            "mark": {"type": "line", "clip": True},
            "encoding": {"strokeDash": dash},
            "params": [EXPERIMENT],
        }
        points = {
            "mark": {"type": "point", "filled": True, "size": 36, "clip": True},
            "encoding": {"tooltip": self.tooltip}, "params": [at_pointer],
        }  # fmt: skip
        rule = {
            "transform": [{"filter": {"param": "at"}}], "mark": {"type": "rule", "color": "#9aa4ad"},
            "encoding": {"x": {**x, "aggregate": "min"}, "color": None, "opacity": {"value": 1}},
        }  # fmt: skip
        return {
            "width": 400, "height": HEIGHT, "title": {"text": {"expr": "score"}, "anchor": "start"},
            "encoding": {"x": x, "y": self.value, "color": colour, "opacity": FADED},
            "layer": [line, points, rule],
        }  # fmt: skip

    def ranking(self) -> Spec:
        """The experiments at the chosen value with their intervals, the best first."""
        colour, _ = appearance(set(self.records["experiment"]), self.looks)
        labels = json.dumps([self.axis.label(position) for position in self.positions])
        heading = f"'at ' + {labels}[indexof({json.dumps(self.positions)}, at.x[0])]"
        y = {
            "field": "experiment",
            "title": None,
            "sort": {"field": "order", "op": "min"},
            "axis": {"labelLimit": NAME_WIDTH},
        }
        interval = {"x": {**self.value, "field": "low"}, "x2": {"field": "high"}}
        point = {"type": "point", "filled": True, "size": 60, "clip": True}
        return {
            "width": 200, "height": HEIGHT, "title": {"text": {"expr": heading}, "anchor": "start"},
            "transform": [{"filter": {"param": "at"}}, {"calculate": self.order(), "as": "order"}],
            "encoding": {"y": y, "color": {**colour, "legend": None}, "opacity": FADED, "tooltip": self.tooltip},
            "layer": [
                {"mark": {"type": "rule", "clip": True}, "encoding": interval},
                {"mark": point, "encoding": {"x": self.value}},
            ],
        }  # fmt: skip

    @property
    def value(self) -> Spec:
        """Channel of the score, between the limits of the selected variable and score."""
        limits = "limits[variable + '|' + score]"
        ends = {"domainMin": {"expr": f"{limits}[0]"}, "domainMax": {"expr": f"{limits}[1]"}}
        scale = {"zero": False, "nice": False, **ends}
        return {"field": "value", "type": "quantitative", "title": None, "scale": scale}

    @property
    def tooltip(self) -> list[Spec]:
        """Experiment, position, score and interval of the point under the pointer."""
        numbers = {"value": "score", "low": "95 % from", "high": "to"}
        return [
            NAME,
            {"field": "x", "title": self.axis.title, "format": self.axis.ticks},
            *({"field": field, "title": text, "format": ".4~g"} for field, text in numbers.items()),
        ]

    def limits(self) -> dict[str, tuple[float, float]]:
        """Ends of the axis of each variable and score, by "variable|score"."""
        free = self.records["experiment"].isin([name for name, look in self.looks.items() if look.free])
        return {
            f"{variable}|{score}": ends(
                records["value"], records["value"][free], METRICS[self.titles[score]].better
            )
            for (variable, score), records in self.records.groupby(["variable", "score"], sort=False)
        }

    def order(self) -> str:
        """Expression that orders the experiments: the chosen score, or its distance from its ideal."""
        orders = {"lower": "datum.value", "higher": "-datum.value"}
        cases = "".join(
            f"datum.score === {json.dumps(text)} ? {orders.get(str(better), f'abs(datum.value - {better})')} : "
            for text, better in ((text, METRICS[score].better) for text, score in self.titles.items())
        )
        return f"{cases}datum.value"


def title(score: str) -> str:
    """Title of a score."""
    return METRICS[score].title


def ends(values: pd.Series, free: pd.Series, better: str | float | None) -> tuple[float, float]:
    """Ends of the axis of a score, given its values and those of free baselines; a line that leaves it is worse."""
    low, high = float(values.min()), float(values.max())
    if better == "higher":
        low = max(low, MIN_SKILL)
    elif better == "lower":
        low, high = min(low, 0.0), min(high, HEADROOM * float(free.max()) if len(free) else high)
    else:
        low, high = 0.0, min(high, MAX_RATIO)
    return low, high + 0.03 * (high - low)


def leads_chart(leaderboard: pd.DataFrame, label: Callable[[str], str], looks: Mapping[str, Look]) -> Spec:
    """Scores against the lead time in the unit of the figures; empty without rows."""
    if leaderboard.empty:
        return {}
    table, unit = with_leads(leaderboard.assign(experiment=leaderboard["experiment"].map(label)))
    return ScoresChart(table, lead_axis(unit), looks, ("crps", "rmse", "acc", "skill", "ssr")).spec()
