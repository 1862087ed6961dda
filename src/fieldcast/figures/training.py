"""Loss curves of training."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fieldcast.figures.style import (
    LOGARITHMIC_RATIO,
    SMALL_FONT,
    LineStyle,
    escape,
    looks_of,
    new_figure,
    panel_title,
    plain_logarithmic,
    style_axes,
)

TERM_COLOURS = ("#8c8c8c", "#b58900", "#7A3E9D", "#1A7F8E", "#A00044")  # colours of the terms of a loss
OTHER_COLUMNS = (  # columns of a history that are no terms of the loss
    "step", "seconds", "loss", "validation", "validation_steps", "epoch", "lr", "learning_rate",
)  # fmt: skip


def loss_curve(history: pd.DataFrame, experiment: str = "") -> Figure:
    """Draw training and validation loss of one experiment against the step, and the terms of the loss if any."""
    return loss_curves({experiment: history})


def loss_curves(
    histories: Mapping[str, pd.DataFrame], looks: Mapping[str, LineStyle] | None = None
) -> Figure:
    """Draw one panel per experiment; below it the terms of its loss, if there are any."""
    histories = {name: training_rows(history) for name, history in histories.items()}
    appearance = looks_of(histories, looks)
    with_terms = any(loss_terms(history) for history in histories.values())
    columns = min(4, max(1, len(histories)))
    blocks = -(-max(1, len(histories)) // columns)
    lines = blocks * (1 + with_terms)
    figure = new_figure(0.4 + 2.1 * lines)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in panels.ravel():
        axes.set_visible(False)
    for number, (name, history) in enumerate(histories.items()):
        line, column = divmod(number, columns)
        upper = panels[line * (1 + with_terms), column]
        draw_loss(upper, history, appearance[name])
        style_axes(
            upper,
            panel_title(name, columns),
            "" if loss_terms(history) else "step",
            "loss" if column == 0 else "",
        )
        if loss_terms(history):
            lower = panels[line * 2 + 1, column]
            draw_terms(lower, history)
            style_axes(lower, "", "step", "parts of the loss" if column == 0 else "")
    return figure


def loss_terms(history: pd.DataFrame) -> list[str]:
    numeric = history.select_dtypes("number").columns
    return [str(name) for name in numeric if name not in OTHER_COLUMNS and history[name].notna().any()]


def draw_loss(axes: Axes, history: pd.DataFrame, look: LineStyle) -> None:
    """Draw training loss, validation loss if measured, and the step of the best validation.

    Once the loss is one of rollouts, their validation is a separate line, and the best step is that of this line.
    """
    axes.set_visible(True)
    axes.plot(
        history["step"], history["loss"], color=look.colour, alpha=0.55, linewidth=1.0, label="training"
    )
    if "validation" in history and history["validation"].notna().any():
        validated = history.dropna(subset="validation")
        rollout_steps = validated.get("validation_steps", pd.Series(1, validated.index))
        for number, (_, segment) in enumerate(validated.groupby(rollout_steps)):
            label = None if number else "validation"
            axes.plot(
                segment["step"], segment["validation"], color="black", marker=".", linewidth=1.2, label=label
            )
        comparable = validated[rollout_steps == rollout_steps.max()]
        best = comparable.loc[comparable["validation"].idxmin()]
        axes.axvline(
            best["step"],
            color="black",
            linewidth=0.7,
            linestyle=":",
            label=escape(f"best {best['validation']:.4g}"),
        )
    logarithmic_if_wide(axes, history[[name for name in ("loss", "validation") if name in history]])
    axes.legend(fontsize=SMALL_FONT - 1, frameon=False)


def draw_terms(axes: Axes, history: pd.DataFrame) -> None:
    """Draw a thin line for each term of the loss."""
    axes.set_visible(True)
    names = loss_terms(history)
    for name, colour in zip(names, TERM_COLOURS * len(names), strict=False):
        term = history.dropna(subset=name)
        axes.plot(term["step"], term[name], color=colour, linewidth=1.0, label=escape(name))
    logarithmic_if_wide(axes, history[names])
    axes.legend(fontsize=SMALL_FONT - 1, frameon=False)


def logarithmic_if_wide(axes: Axes, values: pd.DataFrame) -> None:
    """Set a logarithmic axis if positive values span more than a factor of 5."""
    numbers = values.stack()
    if len(numbers) and numbers.min() > 0 and numbers.max() > LOGARITHMIC_RATIO * numbers.min():
        plain_logarithmic(axes)


# The history of an experiment: one row for each validation of its training and each trial of its tuning.
#
# Rows of training have a `loss`. A closed-form solution has trials alone, whose score is called `validation`; trials
# that follow a training have the score `tuning`, because it is not a validation loss.


def training_rows(history: pd.DataFrame) -> pd.DataFrame:
    """Rows of the training by gradient descent."""
    return history[history["tuning"].isna()] if "tuning" in history else history


def tuning_rows(history: pd.DataFrame) -> pd.DataFrame:
    """Trials of the tuning, numbered by `step`, with their score as `validation`."""
    if "loss" not in history:
        return history
    after = history[history["tuning"].notna()] if "tuning" in history else history[:0]
    after = after.drop(columns="validation", errors="ignore").dropna(axis=1, how="all")
    return after.rename(columns={"tuning": "validation"}).assign(step=range(len(after)))
