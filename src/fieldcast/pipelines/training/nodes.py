"""Training: what the fits of all tasks share; each is in the nodes of its task."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from fieldcast.fields.prepared import PreparedData
from fieldcast.pipelines.streams import released

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = Any

Saves = Iterator[tuple[tuple[bytes | None, bytes | None], pd.DataFrame]]


def saves(recipe: Any, data: PreparedData, previous: Any, parts: dict[str, bytes]) -> Iterator[Any]:
    """The outputs of a training at each save, from the state in which an earlier run left it."""
    from fieldcast.training.run import train

    _, state, stored = previous()
    base = parts.pop("base", None)
    for saved in train(recipe, data, state, base, parts, stored):
        yield released((saved.checkpoint, saved.state), saved.history)


def plot_history(history: pd.DataFrame) -> Figure:
    """Training and validation loss against the step; the scores of its trials for a closed-form model."""
    from fieldcast.figures.training import loss_curve

    return loss_curve(history if "loss" in history else history.assign(loss=history["validation"]))
