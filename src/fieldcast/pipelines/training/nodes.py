"""Training: one model, fitted to the training split of its task."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from fieldcast.arguments import by_field
from fieldcast.errors import InputError
from fieldcast.fields.prepared import PreparedData
from fieldcast.figures.style import png
from fieldcast.figures.training import loss_curve
from fieldcast.pipelines.streams import earlier_output, streamed
from fieldcast.tasks import Task
from fieldcast.training.run import TrainingOptions, train


@streamed
@by_field
def fit(
    task: Task, data: PreparedData, training: TrainingOptions, earlier: Mapping[str, Any],
    options: Mapping[str, Any] | None = None, base: bytes | None = None, parts: Mapping[str, bytes] | None = None,
) -> Iterator[tuple[tuple[bytes | None, bytes | None], pd.DataFrame]]:  # fmt: skip
    """Checkpoint with training state, and history, at each save; `options` are those of the task, by name."""
    if task.problem is None:
        raise InputError(f"the task '{task.name}' has a stage 'training' and no problem to train on.")
    problem = task.problem(*(options or {}).values())
    _, state, stored = earlier_output(earlier, "checkpoint")
    for saved in train(training.recipe(problem), data, state, base, parts, stored):
        yield (saved.checkpoint, saved.state), saved.history


def plot_history(history: pd.DataFrame) -> bytes:
    """Training and validation loss against the step; the scores of its trials for a closed-form model. PNG."""
    figure = loss_curve(history if "loss" in history else history.assign(loss=history["validation"]))
    return png(figure)
