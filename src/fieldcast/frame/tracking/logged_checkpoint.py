"""Checkpoints among MLflow's logged and registered models."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldcast.lineage import digest

if TYPE_CHECKING:
    MlflowClient = Any  # importing its type would import mlflow

CHAMPION = "champion"  # alias of the best version on the data that were scored first


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
        """The checkpoint in a file."""
        from fieldcast.encoding.checkpoint import read_header  # here: torch takes a second to import

        with path.open("rb") as file:  # the header alone
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
        from fieldcast.frame.tracking import pyfunc_model  # here: it imports mlflow, which takes a second

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
        """Register the model as a version of `fieldcast-<task>`, and give the best of its competitors the aliases.

        `scored` are the digests of the data and of the scored cases: scores under other digests are not comparable.
        Each combination has an alias `champion-<digest>` of its own; `champion` stays with the first one. Models
        without a headline do not compete. Returns the name of the version as messages give it.
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
        ranked = [
            (float(its_tags["headline"]), number)
            for number, its_tags in competitors.items()
            if scored.items() <= its_tags.items() and "headline" in its_tags
        ]
        best = min(ranked)[1] if ranked else ""
        aliases = [alias_of(scored)] if best else []
        champion = client.get_registered_model(name).aliases.get(CHAMPION)
        if best and (champion is None or scored.items() <= competitors.get(champion, {}).items()):
            aliases.append(CHAMPION)
        for alias in aliases:
            client.set_registered_model_alias(name, alias, best)
        aliases_won = f" ({', '.join(aliases)})" if version.version == best else ""
        return f"{name}, version {version.version}{aliases_won}"


def alias_of(scored: Mapping[str, str]) -> str:
    """The alias of the best version among those that were scored on the same data and cases."""
    return f"{CHAMPION}-{digest(dict(scored))}"
