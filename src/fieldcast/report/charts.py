"""Interactive curves of scores: hovering shows values; menus select the score, the variable, k or the lead."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pandas as pd
import vl_convert

from fieldcast.figures.curves import times_of_index
from fieldcast.figures.leads import with_leads
from fieldcast.figures.style import Look, percent
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


# Parts of Vega-Lite specifications that all charts of the page share, and the JavaScript that draws them.


Spec = dict[str, Any]

DIGITS = "%.4g"  # format of the numbers in the data
NAME_WIDTH = 170  # width of an experiment's name [pixels]
EXPERIMENT = {"name": "experiment", "select": {"type": "point", "fields": ["experiment"]}, "bind": "legend"}
# in a tooltip: without a format Vega-Lite 6 reads the name from the wrong object where the nearest point is selected
NAME = {"field": "experiment", "type": "nominal", "format": "", "formatType": "toString"}
# opacity of experiments that are not selected in the legend
FADED = {"condition": {"param": "experiment", "value": 1}, "value": 0.12}
CONFIG = {
    "customFormatTypes": True,  # for `NAME`
    "view": {"stroke": None},
    "axis": {"gridColor": "#e6e9ec", "domainColor": "#888888"},
    "legend": {
        "orient": "bottom", "columns": 2, "labelLimit": NAME_WIDTH, "title": None,
        "symbolType": "stroke", "symbolSize": 400, "symbolStrokeWidth": 2,
    },
}  # fmt: skip


@cache
def vega() -> str:
    """Vega, Vega-Lite and vega-embed (BSD-3-Clause licences) as one script of 0.9 MB, which defines `vegaEmbed`."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def document(records: pd.DataFrame, **types: str) -> Spec:
    """Frame of a specification with its data as CSV; columns are numbers unless `types` says otherwise."""
    parse = {str(name): types.get(str(name), "number") for name in records.columns}
    values = records.to_csv(index=False, float_format=DIGITS)
    return {
        "data": {"values": values, "format": {"type": "csv", "parse": parse}},
        "background": "white",
        "config": CONFIG,
    }


def menu(label: str, options: Sequence[Any], labels: Sequence[str]) -> Spec:
    """A menu in the page with an entry for each option."""
    return {"input": "select", "name": label, "options": list(options), "labels": list(labels)}


def chooser(name: str, label: str, options: Sequence[str], first: int = 0) -> Spec:
    """A parameter that a menu chooses."""
    return {"name": name, "value": options[first], "bind": menu(label, options, options)}


def appearance(names: Collection[str], looks: Mapping[str, Look]) -> tuple[Spec, Spec]:
    """Colours and dashes of the experiments: those of the figures."""
    drawn = {name: look for name, look in looks.items() if name in names}
    dashes = [[1, 0] if isinstance(look.dash, str) else list(look.dash[1]) for look in drawn.values()]
    channel = {"field": "experiment", "type": "nominal"}
    return (
        {**channel, "scale": {"domain": list(drawn), "range": [look.colour for look in drawn.values()]}},
        {**channel, "scale": {"domain": list(drawn), "range": dashes}},
    )


# The error over time as an interactive chart: hovering shows values; a menu selects the fraction observed.


def errors_chart(errors: Mapping[str, pd.DataFrame], looks: Mapping[str, Look], unit: str) -> Spec:
    """The error of each experiment at each time (rows of its frame), for the k (columns) that a menu selects."""
    frames = {name: frame.rename(columns=percent) for name, frame in errors.items() if frame.size}
    if not frames:
        return {}
    levels = [percent(k) for k in sorted({k for frame in errors.values() for k in frame.columns})]
    records = pd.concat(
        frame.assign(when=times_of_index(frame.index), time=frame.index.astype(str), experiment=name)
        for name, frame in frames.items()
    )
    dated = bool(pd.api.types.is_datetime64_any_dtype(records["when"]))
    when: dict[str, Any] = {"field": "when", "type": "quantitative", "title": "time"}
    if dated:  # in UTC, not in the zone of the browser; a time unit would lose years before 100
        when |= {"type": "temporal", "scale": {"type": "utc"}}
    colour, dash = appearance(set(records["experiment"]), looks)
    tooltip = [NAME, {"field": "time"}, {"field": "value", "title": "RMSE", "format": ".4~g"}]
    near = {"name": "near", "select": {"type": "point", "on": "pointermove", "nearest": True}}
    nearest = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    y = {"field": "value", "type": "quantitative", "title": f"RMSE, {unit}"}
    line = {"mark": "line", "encoding": {"strokeDash": dash, "opacity": FADED}, "params": [EXPERIMENT]}
    mark = {"type": "point", "filled": True, "size": 60}
    points = {"mark": mark, "params": [near], "encoding": {"tooltip": tooltip, "opacity": nearest}}
    return {
        **document(records, experiment="string", time="string", when="date" if dated else "number"),
        "params": [chooser("k", "observed ", levels, len(levels) // 2)],
        "transform": [
            {"calculate": "datum[k]", "as": "value"},
            {"filter": "isValid(datum.value) && isFinite(datum.value)"},
        ],
        "width": 640,
        "height": HEIGHT,
        "encoding": {"x": when, "y": y, "color": colour},
        "layer": [line, points],
    }
