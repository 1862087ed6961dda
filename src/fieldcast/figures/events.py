"""Events: reliability, discrimination and economic value of probability forecasts, on one page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from fieldcast.figures.style import (
    INK,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    percent,
    style_axes,
)
from fieldcast.scores.event_tables import Curves

ByExperiment = Mapping[str, Curves]
COST_LOSS_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # ticks of the axis of cost-loss ratios
MIN_COST_LOSS = 0.005  # lower end of that axis


def event_page(columns: Mapping[str, ByExperiment], looks: Mapping[str, LineStyle] | None = None) -> Figure:
    """Draw reliability diagrams, ROC curves and economic values (rows) of cases (columns, by their titles).

    Reliability: consistency bars about the diagonal hold 95 % of the frequencies of a reliable forecast; the dotted
    lines are the frequency of the event.
    """
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    appearance = looks_of(names, looks)
    figure = new_figure(9.2)
    panels = figure.subplots(3, len(columns), squeeze=False)
    for index, (title, column) in enumerate(columns.items()):
        first = index == 0
        reliability, roc, value = panels[:, index]
        draw_diagonal(
            style_axes(reliability, title, "forecast probability", "frequency of the event" * first)
        )
        draw_diagonal(style_axes(roc, "", "false-alarm rate", "hit rate" * first))
        draw_value(style_axes(value, "", "cost of protection / loss", "relative economic value" * first))
        drawn = {name: column[name] for name in appearance if name in column}
        for number, (name, curves) in enumerate(drawn.items()):
            draw(panels[:, index], name, curves, appearance[name], dodge(number, len(drawn)))
        for curves in list(drawn.values())[:1]:
            for line in (reliability.axhline, reliability.axvline, value.axvline):
                line(curves.base_rate, color=INK, linewidth=0.7, linestyle=":", zorder=1)
    draw_legend(figure, *panels.ravel())
    return figure


def dodge(number: int, count: int) -> float:
    """Shift along the axis of probabilities, which keeps the bars of several experiments apart."""
    return 0.006 * (number - (count - 1) / 2)


def draw(panels: np.ndarray, name: str, curves: Curves, look: LineStyle, shift: float) -> None:
    """Draw the curves of one experiment in its three panels."""
    reliability, roc, value = panels
    line = look.line
    scored = np.isfinite(curves.frequency)
    reliability.plot(
        curves.probability[scored], curves.frequency[scored], label=escape(name), zorder=3, **line
    )
    bars = np.isfinite(curves.low) & scored
    reliability.vlines(
        curves.probability[bars] + shift, curves.low[bars], curves.high[bars], color=look.colour,
        linewidth=2.2, alpha=0.45, zorder=2,
    )  # fmt: skip
    roc.plot(curves.false_alarm_rate, curves.hit_rate, zorder=3, **{**line, "markersize": 3})
    value.plot(curves.cost_loss, curves.value, zorder=3, **{**line, "marker": ""})


def draw_diagonal(axes: Axes) -> None:
    """Draw the diagonal, on which forecasts are reliable, or without information in a ROC diagram."""
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, zorder=1)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def draw_value(axes: Axes) -> None:
    """Set a logarithmic axis of cost-loss ratios, because most rare events are cheap to protect against."""
    axes.set_xscale("log")
    axes.set(xlim=(MIN_COST_LOSS, 1.0), ylim=(0.0, 1.0))
    axes.xaxis.set_major_locator(FixedLocator(COST_LOSS_TICKS))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda ratio, _: percent(ratio))
    axes.xaxis.set_minor_formatter(NullFormatter())
