"""The history of an experiment: a row a validation of its training, or a trial of what was chosen on validation data.

Rows of training have a `loss`. A closed-form solution has trials alone, whose score is called `validation`; what was
tried after a training has the score `tuning`, for it is no validation loss.
"""

from __future__ import annotations

import pandas as pd


def descent(history: pd.DataFrame) -> pd.DataFrame:
    """The rows of gradient steps."""
    return history[history["tuning"].isna()] if "tuning" in history else history


def tried(history: pd.DataFrame) -> pd.DataFrame:
    """The trials, numbered by `step`, their score as `validation`."""
    if "loss" not in history:
        return history
    after = history[history["tuning"].notna()] if "tuning" in history else history[:0]
    after = after.drop(columns="validation", errors="ignore").dropna(axis=1, how="all")
    return after.rename(columns={"tuning": "validation"}).assign(step=range(len(after)))
