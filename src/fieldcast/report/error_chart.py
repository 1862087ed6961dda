"""The error over time as an interactive chart: hovering shows values; a menu selects the fraction observed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from fieldcast.figures.curves import times_of_index
from fieldcast.figures.style import Look, percent
from fieldcast.report.charts import HEIGHT
from fieldcast.report.vega_lite import EXPERIMENT, FADED, NAME, Spec, appearance, chooser, document


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
