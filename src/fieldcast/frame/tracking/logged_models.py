"""The checkpoints of one run as logged models: each rated by its headline and, if requested, registered."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from fieldcast.frame.tracking.logged_checkpoint import LoggedCheckpoint

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.scores.headline import Headline

    MlflowClient = Any

LOG = logging.getLogger(__name__)


class LoggedModels:
    """The logged models of a run, by experiment.

    Parameters
    ----------
    client, folder
        The client of MLflow, and the identifier of its experiment.
    runs
        The identifiers of MLflow's runs by experiment.
    """

    def __init__(self, client: MlflowClient, folder: str, runs: Mapping[str, str]) -> None:
        self._client, self._folder, self._runs = client, folder, runs
        self._checkpoints: dict[str, LoggedCheckpoint] = {}
        self._scored: dict[str, str] = {}  # digest of the scored cases
        self._scored_at: dict[str, int] = {}  # milliseconds since 1970
        self.digest = ""  # digest of the fields

    def note_scores(self, name: str, table: pd.DataFrame, now: int) -> None:
        """Note when an experiment was scored, and on which cases."""
        self._scored_at[name] = now
        if "scored" in table and len(table):
            self._scored[name] = str(table["scored"].iloc[0])

    def log(self, name: str, checkpoint: LoggedCheckpoint) -> None:
        """Log a checkpoint as a model and as the output of its run; the same weights are logged once."""
        from mlflow.entities import LoggedModelOutput

        checkpoint.find(self._client, self._folder)
        if not checkpoint.model_id:
            checkpoint.log(self._client, self._folder, self._runs[name])
        self._checkpoints[name] = checkpoint
        self._client.log_outputs(self._runs[name], [LoggedModelOutput(checkpoint.model_id, step=0)])

    def log_input(self, name: str, checkpoint: LoggedCheckpoint) -> None:
        """Record the logged model of a checkpoint, if there is one, as the input of a run."""
        from mlflow.entities import LoggedModelInput

        checkpoint.find(self._client, self._folder)
        if checkpoint.model_id:
            self._client.log_inputs(self._runs[name], models=[LoggedModelInput(checkpoint.model_id)])

    def rate(self, headlines: Mapping[str, Headline]) -> None:
        """Record each headline on the logged model, too, by which MLflow ranks models, with the time of the score."""
        from mlflow.entities import Metric

        for name, checkpoint in self._checkpoints.items():
            if name in headlines and checkpoint.model_id:
                score, run = headlines[name].value, self._runs[name]
                rated = Metric("headline", score, self._scored_at[name], 0, checkpoint.model_id, run_id=run)
                self._client.log_batch(run, metrics=[rated])

    def register(self, headlines: Mapping[str, Headline], bounds: Collection[str]) -> None:
        """Register the models; a bound never becomes champion."""
        for name, checkpoint in self._checkpoints.items():
            score = headlines[name].value if name in headlines and name not in bounds else None
            cases = {"scored": self._scored[name]} if self._scored.get(name) else {}
            scored = {"data": self.digest, **cases}
            version = checkpoint.register(self._client, self._runs[name], scored, score)
            LOG.info("registered %s as %s", name, version)
