"""Scores against the fraction observed or the lead time, and errors over time, as charts that a reader explores.

A chart is one Vega-Lite specification (https://vega.github.io/vega-lite). The results page draws it: pointing shows
values, and a click in the legend singles a line out. The picture of the same name is rendered from it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from fieldcast.calendars import UNITS, unit_of
from fieldcast.figures.style import (
    FAINT,
    INK,
    LOGARITHMIC_RATIO,
    POWERS_OF_TEN_RATIO,
    Chart,
    LineStyle,
    Spec,
    in_lines,
    looks_of,
    percent,
    times_of_index,
)
from fieldcast.scores.metrics import METRICS

CHART_WIDTH = 1000  # of all panels side by side with their axes [pixels]
PANEL_HEIGHT, SMALL_PANEL_HEIGHT = 250, 170  # of a panel, and of one of a single variable [pixels]
AXIS_WIDTH = 62  # beside a panel [pixels]
MAX_PANEL_WIDTH = 420  # of a panel that stands alone or beside one other [pixels]
LETTER_WIDTH = 6.5  # of a title [pixels]
PANELS_ACROSS = 5  # panels of errors over time, side by side
FIRST_FOUR_DIGIT_YEAR = 1000
HEADROOM = 1.35  # upper end of a panel, relative to the worst free forecast, however bad a model is
MIN_SKILL, MAX_RATIO = -0.6, 2.0  # ends of the axes of skill and of the spread-skill ratio against the lead
# colours of scores worse than a free baseline, and of scores better than the bound
REGIONS = {"worse than a free baseline": "#f0e2df", "better than the bound": "#c4dece"}
# in a tooltip: without a format Vega-Lite 6 reads the name from the wrong object where the nearest point is selected
AS_TEXT = {"type": "nominal", "format": "", "formatType": "toString"}
# opacity of lines that are not selected in the legend
FADED: Spec = {"condition": {"param": "selected", "value": 1}, "value": 0.06}
SHADED = {"param": "selected", "value": 0.18}  # opacity of the interval of a line that is selected
NEAREST = {"name": "near", "select": {"type": "point", "on": "pointermove", "nearest": True}}
DIGITS = "%.4g"  # format of the numbers in the data
CONFIG = {
    "customFormatTypes": True,  # for `AS_TEXT`
    "lineBreak": "\n",
    "view": {"stroke": None},
    "axis": {
        "gridColor": FAINT, "domainColor": "#888888", "tickColor": "#888888", "labelColor": INK, "titleColor": INK,
        "titleFontWeight": "normal",
    },
    "title": {"anchor": "start", "color": INK, "fontWeight": "normal", "fontSize": 13, "frame": "group"},
    "header": {"labelAnchor": "start", "labelColor": INK, "labelFontSize": 12, "title": None},
    "legend": {
        "orient": "bottom", "columns": 4, "labelLimit": 210, "title": None, "symbolSize": 90,
        "layout": {"bottom": {"margin": 28}},  # between two legends
    },
}  # fmt: skip


def polygon(corners: int, inner: float = 1.0, turn: float = 0.0) -> str:
    """A polygon as the path of a marker, turned by parts of a circle; every other corner is at the radius `inner`."""
    angles = [2 * math.pi * (number / corners + turn) for number in range(corners)]
    radii = [inner if number % 2 else 1.0 for number in range(corners)]
    points = [f"{r * math.sin(a):.3f},{-r * math.cos(a):.3f}" for r, a in zip(radii, angles, strict=True)]
    return f"M{'L'.join(points)}Z"


MARKERS = {  # markers of matplotlib, by which looks name them, as paths
    "o": "M-1,0A1,1,0,1,1,1,0A1,1,0,1,1,-1,0Z", "s": polygon(4, turn=1 / 8), "D": polygon(4), "d": polygon(4, 0.6),
    "^": polygon(3), "v": polygon(3, turn=1 / 2), "<": polygon(3, turn=-1 / 4), ">": polygon(3, turn=1 / 4),
    "P": "M-1,-.4H-.4V-1H.4V-.4H1V.4H.4V1H-.4V.4H-1Z", "X": polygon(8, 0.5, 1 / 8), "*": polygon(10, 0.4),
    "p": polygon(5), "h": polygon(6), "H": polygon(6, turn=1 / 12), "8": polygon(16, 0.8),
    "+": polygon(8, 0.25), "x": polygon(8, 0.25, 1 / 8), "1": polygon(6, 0.25, 1 / 2), "": "M0,0",
}  # fmt: skip


class ScoreAxis(NamedTuple):
    """Horizontal axis of a chart of scores: a column of the leaderboard, its title, its channel, and shading or not."""

    column: str
    title: str
    channel: Spec
    shaded: bool = False  # scores worse than free baselines or better than the bound


def against_k(
    leaderboard: pd.DataFrame,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "ssr"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Chart:
    """Draw scores over all variables, of one pattern, against the fraction observed."""
    table = leaderboard.query("variable == 'all' and pattern == @pattern and cells == @cells")
    return score_panels(table, looks, scores, fraction_axis(table))


def variables_against_k(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "ssr"),
    pattern: str = "random",
    cells: str = "unobserved",
) -> Chart:
    """Draw scores (rows) of variables (columns, in the order of `units`), each in its own unit."""
    table = leaderboard.query("variable != 'all' and pattern == @pattern and cells == @cells")
    return score_panels(table, looks, scores, fraction_axis(table), units)


def against_lead(
    leaderboard: pd.DataFrame,
    region: str,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc"),
) -> Chart:
    """Draw scores over all variables, in one region, against the lead time.

    Reddish: no better than a free baseline. Greenish: better than the upper bound on skill."""
    table, axis = by_lead_unit(leaderboard.query("variable == 'all' and region == @region"))
    return score_panels(table, looks, scores, axis)


def variables_against_lead(
    leaderboard: pd.DataFrame,
    units: Mapping[str, str],
    region: str,
    looks: Mapping[str, LineStyle] | None = None,
    *,
    scores: Sequence[str] = ("crps", "rmse", "acc", "skill", "ssr"),
) -> Chart:
    """Draw scores (rows) of variables (columns), with the shading of `against_lead`."""
    table, axis = by_lead_unit(leaderboard.query("variable != 'all' and region == @region"))
    return score_panels(table, looks, scores, axis, units)


def fraction_axis(table: pd.DataFrame) -> ScoreAxis:
    """Logarithmic axis of the observed fractions of a table."""
    levels = sorted(map(float, table["k"].unique()))
    labels = "format(100 * datum.value, '.4~g') + ' %'"
    ticks = {"values": levels, "labelExpr": labels, "labelAngle": -45 if len(levels) > 4 else 0}
    return ScoreAxis(
        "k", "fraction observed", {"scale": {"type": "log", "nice": False, "padding": 6}, "axis": ticks}
    )


def by_lead_unit(table: pd.DataFrame) -> tuple[pd.DataFrame, ScoreAxis]:
    """Add a column `lead`, the lead time in days, or in months or years of the calendar; and the axis that names it."""
    unit = unit_of(table["lead_hours"].max()) if len(table) else "day"
    unit = "day" if unit == "hour" else unit
    table = table.assign(lead=table["lead_hours"] / UNITS[unit])
    scale = {"domain": [0, 1.02 * float(table["lead"].max())] if len(table) else [0, 1], "nice": False}
    return table, ScoreAxis("lead", f"lead, {unit}s", {"scale": scale, "axis": {"tickCount": 8}}, shaded=True)


def score_panels(
    table: pd.DataFrame,
    looks: Mapping[str, LineStyle] | None,
    scores: Sequence[str],
    axis: ScoreAxis,
    units: Mapping[str, str] | None = None,
) -> Chart:
    """Draw a line with its 95 % interval for each experiment, in a panel for each score.

    With `units`, panels are scores (rows) by variables (columns, in the order of `units`), each in its own unit; else
    all variables together [anomaly standard deviations]. Seeds are averaged; values that are not finite end a line.
    """
    table = table[np.isfinite(table["value"])]
    scores = [score for score in scores if score in set(table["score"])] or list(scores[:1])
    names = [*(units or {}), *table["variable"].unique()]
    variables = sorted(table["variable"].unique(), key=names.index)
    appearance = looks_of(table["experiment"].unique(), looks)
    means = table.groupby(["variable", "score", "experiment", axis.column], sort=False)[
        ["value", "low", "high"]
    ].mean()
    means = means.reset_index().rename(columns={axis.column: "x"})
    columns = len(scores) if units is None else max(1, len(variables))
    width = min(MAX_PANEL_WIDTH, CHART_WIDTH // columns - AXIS_WIDTH)
    panels: list[Spec] = []
    records = [means[:0]]
    for score, variable in itertools.product(scores, variables):
        part = means[(means["variable"] == variable) & (means["score"] == score)]
        title = METRICS[score].title if units is None else f"{variable}: {METRICS[score].title}"
        unit = unit_of_score(
            score, "anomaly standard deviations" if units is None else units.get(variable, "")
        )
        below = axis.title if units is None or score == scores[-1] else ""
        layers = panel(part, score, unit, appearance, axis._replace(title=below))
        layers[-2]["name"] = f"lines {len(panels)}"  # where the selection is made
        records.append(part.assign(panel=len(panels)))
        panels.append(
            {
                **{
                    "width": width,
                    "height": PANEL_HEIGHT,
                    "title": in_lines(title, int(width / LETTER_WIDTH)),
                },
                "transform": [{"filter": {"field": "panel", "equal": len(panels)}}],
                "layer": layers,
            }
        )
    data = pd.concat(records).drop(columns=["variable", "score"])
    selected = select("experiment") | {"views": [part["layer"][-2]["name"] for part in panels]}
    return Chart(
        document(data, experiment="string") | {"concat": panels, "columns": columns, "params": [selected]}
    )


def panel(
    table: pd.DataFrame, score: str, unit: str, looks: Mapping[str, LineStyle], axis: ScoreAxis
) -> list[Spec]:
    """Layers: a line with a shaded interval for each experiment, and the ideal value of the score if it has one."""
    low, high, logarithmic = limits(table, score, looks, axis)
    scale = {"type": "log" if logarithmic else "linear", "domain": [low, high], "nice": False, "zero": False}
    ticks: Spec = {"values": plain_ticks(low, high), "format": "~g"} if logarithmic else {"tickCount": 6}
    ticks |= {"grid": True}
    y = {"type": "quantitative", "title": unit or None, "scale": scale, "axis": ticks}
    drawn = {
        "x": {"field": "x", "type": "quantitative", "title": axis.title or None, **axis.channel},
        "y": {"field": "value", **y},
        "color": by_experiment("colour", looks),
        "opacity": FADED,
    }
    band = {"y": {"field": "low", **y}, "y2": {"field": "high"}, "opacity": {**FADED, "condition": SHADED}}
    numbers = {"x": axis.title, "value": METRICS[score].title, "low": "95 % from", "high": "to"}
    tooltip = [
        {"field": "experiment", **AS_TEXT},
        *({"field": field, "title": text, "format": ".4~g"} for field, text in numbers.items()),
    ]
    markers = {name: MARKERS[look.marker] for name, look in looks.items()}
    layers = list(shading(table, score, looks, (low, high))) if axis.shaded else []
    ideal = 0.0 if score == "skill" else METRICS[score].better
    if isinstance(ideal, float) and low <= ideal <= high:
        rule = {"type": "rule", "color": "black", "strokeWidth": 0.8}
        layers.append({"data": {"values": [{}]}, "mark": rule, "encoding": {"y": {**y, "datum": ideal}}})
    return [
        *layers,
        {"mark": {"type": "area", "clip": True}, "encoding": drawn | band},
        {
            "mark": {"type": "line", "clip": True},
            "encoding": {**drawn, "strokeDash": by_experiment("dash", looks)},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 32, "clip": True},
            "transform": [{"calculate": f"{json.dumps(markers)}[datum.experiment]", "as": "marker"}],
            "encoding": {
                **drawn,
                "shape": {"field": "marker", "type": "nominal", "scale": None},
                "tooltip": tooltip,
            },
            "params": [NEAREST],
        },
    ]


def unit_of_score(score: str, unit: str) -> str:
    """Unit of a score of a variable in `unit`; ratios and correlations have none."""
    power = METRICS[score].power
    return "" if power == 0 or not unit else unit if power == 1 else f"({unit})^{power}"


def limits(
    table: pd.DataFrame, score: str, looks: Mapping[str, LineStyle], axis: ScoreAxis
) -> tuple[float, float, bool]:
    """Ends of the vertical axis, and whether it is logarithmic, as for positive values that differ by a factor of 5.

    Against the lead time it is linear, and experiments that are far worse than the free baselines leave the panel.
    """
    numbers = table[["value", "low", "high"]].to_numpy(dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    if not axis.shaded and low > 0 and table["value"].max() > LOGARITHMIC_RATIO * table["value"].min():
        return low / 1.1, high * 1.1, True
    margin = 0.04 * (high - low) or 0.5
    low, high = low - margin, high + margin
    better = METRICS[score].better
    free = table.loc[table["experiment"].map(lambda name: looks[name].free), "value"]
    if axis.shaded and score == "skill":
        low, high = max(MIN_SKILL, low), min(1.0, high)
    elif axis.shaded and isinstance(better, float):
        low, high = 0.0, min(high, MAX_RATIO)
    elif axis.shaded and len(free) and better == "higher":
        low, high = min(low, 0.0), 1.0
    elif axis.shaded and len(free):
        low, high = 0.0, min(high, HEADROOM * float(free.max()))
    return low, high, False


def shading(
    table: pd.DataFrame, score: str, looks: Mapping[str, LineStyle], ends: tuple[float, float]
) -> Iterator[Spec]:
    """Areas of scores worse than the free baselines and better than the upper bound, to the ends of the panel."""
    free, bound = (
        table[table["experiment"].isin([name for name, look in looks.items() if selected(look)])]
        for selected in (lambda look: look.free, lambda look: look.family == "bound")
    )
    better = METRICS[score].better
    if score == "skill" or better not in ("lower", "higher") or free.empty:
        return
    by_lead = free.groupby("x")["value"]
    borders = by_lead.min() if better == "lower" else by_lead.max(), bound.groupby("x")["value"].mean()
    scale = {"domain": list(REGIONS), "range": list(REGIONS.values())}
    for region, border, end in zip(REGIONS, borders, ends[::-1] if better == "lower" else ends, strict=True):
        yield {
            "data": {"values": [{"x": x, "border": y, "region": region} for x, y in border.items()]},
            "mark": {"type": "area", "clip": True, "opacity": 1},
            "encoding": {
                "x": {"field": "x", "type": "quantitative"},
                "y": {"field": "border", "type": "quantitative"},
                "y2": {"datum": end},
                "fill": {
                    "field": "region",
                    "type": "nominal",
                    "scale": scale,
                    "legend": {"symbolType": "square"},
                },
            },
        }


def plain_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 0.1, 0.2, 0.5, 1, or powers of ten alone if it spans many, at most about eight."""
    steps = (1, 2, 5) if high < POWERS_OF_TEN_RATIO * low else (1,)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    powers = range(first, last + 1, 1 + (last - first) // 10)
    return [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]


def over_time(errors: Mapping[str, pd.DataFrame]) -> Chart:
    """Draw one panel per experiment: error at each time (rows of its frame) for each k (columns)."""
    rows = -(-max(1, len(errors)) // PANELS_ACROSS)
    columns = -(-max(1, len(errors)) // rows)  # rows of nearly equal length
    width = CHART_WIDTH // columns - 20
    tables = [
        frame.set_axis(map(percent, frame.columns), axis=1)
        .assign(when=times_of_index(frame.index), time=frame.index.astype(str))
        .melt(["when", "time"], var_name="observed")
        .assign(experiment=name, panel=in_lines(name, int(width / LETTER_WIDTH)))
        for name, frame in errors.items()
    ]
    data = pd.concat(tables)
    data = data[np.isfinite(data["value"].astype(float))]  # a time that blew up
    levels = [percent(k) for k in sorted({k for frame in errors.values() for k in frame.columns})]
    shades = [to_hex(shade) for shade in colormaps["plasma_r"](np.linspace(0.1, 1.0, len(levels)))]
    lowest, highest = (float(data["value"].min()), float(data["value"].max())) if len(data) else (0.0, 1.0)
    # lines far above zero could not be told apart on an axis from zero
    bottom = 0.96 * lowest if lowest > highest / 2 else 0.0
    dated = bool(pd.api.types.is_datetime64_any_dtype(data["when"]))
    y = {
        "field": "value",
        "type": "quantitative",
        "title": "RMSE, anomaly standard deviations",
        "scale": {"domain": [bottom, 1.04 * highest], "nice": False},
    }
    legend = {"title": "observed", "titleOrient": "left", "symbolType": "stroke", "symbolStrokeWidth": 2}
    scale_of_k = {"domain": levels, "range": shades}
    observed = {"field": "observed", "type": "nominal", "scale": scale_of_k, "legend": legend}
    tooltip = [{"field": name, **AS_TEXT} for name in ("experiment", "time", "observed")]
    tooltip += [{"field": "value", "title": "RMSE", "format": ".4~g"}]
    near = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    drawn = {"x": time_axis(data["when"], dated), "y": y, "color": observed, "opacity": FADED}
    types = {"experiment": "string", "panel": "string", "observed": "string", "time": "string"}
    order = list(dict.fromkeys(data["panel"]))
    return Chart(
        {
            **document(data, **types, when="date" if dated else "number"),
            "facet": {"field": "panel", "type": "nominal", "sort": order, "header": {"title": None}},
            "columns": columns,
            "spec": {
                "width": width,
                "height": PANEL_HEIGHT,
                "layer": [
                    {"name": "lines", "mark": {"type": "line", "strokeWidth": 1.5}, "encoding": drawn},
                    {
                        "mark": {"type": "point", "filled": True, "size": 50},
                        "encoding": {**drawn, "opacity": near, "tooltip": tooltip},
                        "params": [NEAREST],
                    },
                ],
            },
            "params": [select("observed") | {"views": ["lines"]}],
        }
    )


def time_axis(when: pd.Series, dated: bool) -> Spec:
    """The channel of times: dates, or numbers of times beyond the years that dates can have."""
    x: Spec = {
        "field": "when",
        "type": "quantitative",
        "title": None,
        "axis": {"tickCount": 4, "labelOverlap": True},
    }
    if dated:  # in UTC, not in the zone of the browser; a time unit would lose years before 100
        x |= {"type": "temporal", "scale": {"type": "utc"}}
        if when.max().year < FIRST_FOUR_DIGIT_YEAR:  # years of the simulated planet
            x["axis"]["labelExpr"] = (
                "test(/^0\\d\\d\\d$/, datum.label) ? 'year ' + utcyear(datum.value) : datum.label"
            )
    return x


def select(field: str) -> Spec:
    """The selection of lines by a click in the legend."""
    return {"name": "selected", "select": {"type": "point", "fields": [field]}, "bind": "legend"}


def document(records: pd.DataFrame, **types: str) -> Spec:
    """Frame of a specification with its data as CSV; columns are numbers unless `types` says otherwise."""
    parse = {str(name): types.get(str(name), "number") for name in records.columns}
    values = records.to_csv(index=False, float_format=DIGITS)
    data = {"values": values, "format": {"type": "csv", "parse": parse}}
    return {"data": data, "background": "white", "config": CONFIG}


def by_experiment(kind: Literal["colour", "dash"], looks: Mapping[str, LineStyle]) -> Spec:
    """A channel with the colours or the dashes of the experiments, and the legend that both share."""
    colours = {name: look.colour for name, look in looks.items()}
    dashes = [
        [1, 0] if isinstance(look.dash, str) else [2 * part for part in look.dash[1]]
        for look in looks.values()
    ]
    symbols = {name: f"M-3,0L3,0{MARKERS[look.marker]}" for name, look in looks.items()}
    legend = {
        "symbolType": {"expr": f"{json.dumps(symbols)}[datum.value]"},
        "symbolFillColor": {"expr": f"{json.dumps(colours)}[datum.value]"},
        **{"symbolOpacity": 1, "symbolStrokeWidth": 1.8, "symbolOffset": 8, "labelOffset": 18},
    }
    scale = {"domain": list(looks), "range": list(colours.values()) if kind == "colour" else dashes}
    return {"field": "experiment", "type": "nominal", "scale": scale, "legend": legend}
