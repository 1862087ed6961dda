"""A stored checkpoint, and the check that this run would train the same model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fieldcast.encoding.checkpoint import Checkpoint, model_digest, read_header, unpack
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import ImageCodec
from fieldcast.fields.prepared import PreparedData
from fieldcast.lineage import require
from fieldcast.models.replicas import choose_devices, replicate
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.task import TrainingTask


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A checkpoint with the options of this run, which must be the options of its training.

    Parameters
    ----------
    checkpoint
        Bytes of the file.
    model
        Configuration of the model to draw from: that of the training, or another one with the same weights.
    trained_by
        Address of the experiment whose checkpoint it is.
    trained_model, fit
        Configuration of the model of that experiment in this run, and options of its fit.
    seed, limits, device
        Options of this run.
    parts
        Checkpoints of the parts of a combined model, by role; `base` is the one that the training would start from.
    """

    checkpoint: bytes
    model: dict[str, Any]
    trained_by: str
    trained_model: dict[str, Any]
    fit: Fit
    seed: int
    limits: Limits
    device: str
    parts: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def base(self) -> bytes | None:
        """Checkpoint that the training would start from, if there is one."""
        return self.parts.get("base")

    def restore(self, data: PreparedData, problem: TrainingTask) -> Checkpoint:
        """The checkpoint with its weights in `model`, on the device or on all GPUs."""
        recipe = self._recipe(problem)
        self._require(recipe.options())
        trained = unpack(self.checkpoint, self._where, self.model)
        if not isinstance(trained.codec, ImageCodec):
            trained.codec.require_variables(data.fields)
            trained.codec.require_grid(data.fields, "the data set")
        self._require(self._lineage(recipe, data))
        return replace(trained, model=replicate(trained.model, choose_devices(self.device)))

    def digest(self, data: PreparedData, problem: TrainingTask) -> str:
        """Digest of the model and weights that this run draws from, see `model_digest`."""
        header = self._require(self._lineage(self._recipe(problem), data))
        return model_digest(header, self.model)

    def _recipe(self, problem: TrainingTask) -> Recipe:
        return Recipe(problem, self.trained_model, self.fit, self.seed, self.limits, self.device)

    def _lineage(self, recipe: Recipe, data: PreparedData) -> dict[str, Any]:
        return recipe.made_from(data, self.parts)

    @property
    def _where(self) -> str:
        return f"the checkpoint of '{self.trained_by}'"

    def _require(self, expected: Mapping[str, Any]) -> dict[str, Any]:
        again = f"train it again with `kedro run --pipelines training --namespaces {self.trained_by}`"
        header = read_header(self.checkpoint, self._where)
        require(header, expected, f"{self._where} was trained", again)
        return header
