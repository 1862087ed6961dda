"""Parts of Vega-Lite specifications that all charts of the page share, and the JavaScript that draws them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd
import vl_convert

from fieldcast.figures.style import Look

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
