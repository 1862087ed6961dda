"""Checkpoints of a run as logged and registered models of MLflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from fieldcast.scores.headline import Headline

    MlflowClient = Any  # importing its type would import mlflow

LOG = logging.getLogger(__name__)
# alias of the best version among those scored on the data and cases of the first champion
CHAMPION = "champion"


@dataclass
class LoggedCheckpoint:
    """A checkpoint and its logged model, which is identified by the digest of its weights.

    Parameters
    ----------
    address
        Its experiment, `<task>.<name>`.
    weights
        Digest of its weights.
    path
        Its file.
    tuned
        Its tuned values by name; those of an assimilation perhaps by fraction observed and name.
    model_id
        Identifier of the logged model; empty where there is none.
    """

    address: str
    weights: str
    path: Path
    tuned: Mapping[str, Any] = field(default_factory=dict)
    model_id: str = ""

    @classmethod
    def of(cls, address: str, path: Path) -> LoggedCheckpoint:
        """The checkpoint in a file, of which only the header is read."""
        from fieldcast.encoding.checkpoint import read_header  # here: torch takes a second to import

        with path.open("rb") as file:
            size = file.read(8)
            head = size + file.read(min(int.from_bytes(size, "little"), path.stat().st_size))
        header = read_header(head, str(path))
        return cls(address, header["weights"], path, header.get("tuned", {}))

    def find(self, client: MlflowClient, folder: str) -> None:
        """Look for the logged model of these weights among those of MLflow's experiment `folder`."""
        models = client.search_logged_models([folder], f"tags.weights = '{self.weights}'")
        ready = [m for m in models if str(m.status) == "READY" and m.tags["experiment"] == self.address]
        self.model_id = ready[0].model_id if ready else ""

    def log(self, client: MlflowClient, folder: str, run: str) -> None:
        """Store the checkpoint as a model of the run, which `mlflow.pyfunc.load_model` loads."""
        from fieldcast.app.tracking import pyfunc_model  # here: it imports mlflow, which takes a second

        tags = {"weights": self.weights, "experiment": self.address}
        name = self.address.replace(".", "-")
        model = client.create_logged_model(folder, name, run, tags, model_type="fieldcast")
        try:
            with tempfile.TemporaryDirectory() as temporary:
                pyfunc_model.save(self.path, Path(temporary) / "model", model.model_id)
                client.log_model_artifacts(model.model_id, str(Path(temporary) / "model"))
        except Exception:
            client.finalize_logged_model(model.model_id, "FAILED")
            raise
        client.finalize_logged_model(model.model_id, "READY")
        self.model_id = model.model_id

    def register(
        self, client: MlflowClient, run: str, scored: Mapping[str, str], headline: float | None
    ) -> str:
        """Register the model as a version of `fieldcast-<task>`, and give the best of its competitors the alias.

        `scored` are the digests of the data and of the scored cases: scores under other digests are not comparable, so
        the alias stays with those of the first champion. A model without a headline does not compete. Returns the name
        of the version as messages give it.
        """
        name = f"fieldcast-{self.address.partition('.')[0]}"
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name)
        identity = {"experiment": self.address, "weights": self.weights, **scored}
        tags = identity | ({} if headline is None else {"headline": repr(headline)})
        versions = {v.version: v for v in client.search_model_versions(f"name = '{name}'")}
        existing = [v for v in versions.values() if identity.items() <= v.tags.items()]
        if existing:
            version = existing[0]
            for key, value in tags.items():
                client.set_model_version_tag(name, version.version, key, value)
        else:
            # not models:/<id>, which MLflow looks up on the server of its environment
            source = client.get_logged_model(self.model_id).artifact_location
            version = client.create_model_version(name, source, run, tags, model_id=self.model_id)
        competitors = {number: v.tags for number, v in versions.items()} | {version.version: tags}
        champion = client.get_registered_model(name).aliases.get(CHAMPION)
        ranked = [
            (float(its_tags["headline"]), number)
            for number, its_tags in competitors.items()
            if scored.items() <= its_tags.items() and "headline" in its_tags
        ]
        is_ours = champion is None or scored.items() <= competitors.get(champion, {}).items()
        best = min(ranked)[1] if ranked and is_ours else champion
        if best is not None and best != champion:
            client.set_registered_model_alias(name, CHAMPION, best)
        return f"{name}, version {version.version}{f' ({CHAMPION})' if version.version == best else ''}"


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
        if "case_digest" in table and len(table):
            self._scored[name] = str(table["case_digest"].iloc[0])

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
            version = checkpoint.register(
                self._client, self._runs[name], {"data": self.digest, **cases}, score
            )
            LOG.info("registered %s as %s", name, version)
