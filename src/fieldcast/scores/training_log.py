"""The history of an experiment: one row for each validation of its training and each trial of its tuning.

Rows of training have a `loss`. A closed-form solution has trials alone, whose score is called `validation`; trials that
follow a training have the score `tuning`, because it is not a validation loss.
"""

from __future__ import annotations

import pandas as pd


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
