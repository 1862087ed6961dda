"""Training: one model, fitted to the training split of its task."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.figures.png import png
from fieldcast.figures.training import loss_curve
from fieldcast.pipelines.streams import streamed
from fieldcast.tasks import Task
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train


@streamed
def fit(
    task: Task, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset, splits: dict[str, Any],
    earlier: Mapping[str, Any], model: dict[str, Any], fit: Fit, seed: int, limits: Limits, device: str,
    options: Any = None, base: bytes | None = None,
) -> Iterator[tuple[tuple[bytes, bytes], pd.DataFrame]]:  # fmt: skip
    """Checkpoint with training state, and history, again and again until the end; `options` are those of the task.

    Kedro finds the types of parameters by their place, so `base`, which not all experiments have, comes last.
    """
    if task.problem is None:
        raise InputError(f"the task '{task.name}' has a stage 'training' and no problem to train on.")
    problem = task.problem() if task.options is None else task.problem(options)
    recipe = Recipe(problem, model, fit, seed, limits, device)
    _, state = earlier.get("checkpoint", (0, None))
    for saved in train(recipe, fields, climatology, normalisation, splits, state, base):
        yield (saved.checkpoint, saved.state), saved.history


def fit_on(task: Task) -> Callable[..., Iterator[tuple[tuple[bytes, bytes], pd.DataFrame]]]:
    """`fit` for a task, whose options Kedro checks by the annotation of their argument."""
    function = partial(fit, task)
    function.__name__ = "fit"  # type: ignore[attr-defined]  # which Kedro's messages quote
    function.__annotations__ = {**fit.__annotations__, "options": task.options[1] if task.options else Any}
    return function


def plot_history(history: pd.DataFrame) -> bytes:
    """Training and validation loss against the step; the scores of its trials for a closed-form model. PNG."""
    figure = loss_curve(history if "loss" in history else history.assign(loss=history["validation"]))
    return png(figure)
