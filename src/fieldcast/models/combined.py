"""Models that combine other fitted models, whose checkpoints an experiment names in `uses`."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping

from torch import nn

from fieldcast.errors import InputError
from fieldcast.models.core import Batch, Model, Solved
from fieldcast.models.space import Space


class Combined(Solved, ABC):
    """Fitted models by name; parameters of their combination are fitted to validation states.

    Parameters
    ----------
    space
        Grid of the states.
    parts
        Models by name; training loads each from the checkpoint of the experiment that `uses` lists under this name.

    Raises
    ------
    InputError
        Without parts, or with one that calibrates its rollouts: its members of a single step are not calibrated.
    """

    def __init__(self, space: Space, parts: Mapping[str, Model]):
        super().__init__(space)
        if not parts:
            raise InputError("parts is empty: name the models to combine, as in {first: {type: ...}}.")
        for name, part in parts.items():
            if part.calibrates:
                raise InputError(
                    f"parts.{name} calibrates the leads of a rollout, and cannot be a part of another model: name the "
                    "model that it calibrates."
                )
        self.parts = nn.ModuleDict(parts)
        models = list(parts.values())
        self.history = max(model.history for model in models)
        self.evaluations = max(model.evaluations for model in models)
        self.learned = any(model.learned for model in models)
        declared = {model.conditional for model in models}
        self.conditional = declared.pop() if len(declared) == 1 else None

    def solve(self, training: Iterable[Batch]) -> None:
        """Do nothing: the parts have been fitted, and their combination is fitted to validation states."""
