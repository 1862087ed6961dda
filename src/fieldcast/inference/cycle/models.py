"""Models of a cycle over a user's record: a filter, its forecast model, and climatological members to start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.errors import InputError
from fieldcast.inference.cycle.assimilate import Assimilator
from fieldcast.inference.trained_model import TrainedModel
from fieldcast.models.assimilation.background_errors import (
    free_run_states,
    hybrid_of,
    learn_errors,
    training_stretches,
)
from fieldcast.models.assimilation.filter import CycleState, Filter, Members, cycle
from fieldcast.models.assimilation.hybrid import Hybrid
from fieldcast.models.capabilities import CyclesAlone
from fieldcast.models.core import Context
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.runtime import Progress

Estimates = dict[str, Members]  # estimates of the state at one time, by name


@dataclass(frozen=True, eq=False)
class CycleModels:
    """A filter around a forecast model.

    With optimal interpolation as the updater, `interpolation` is that from which background errors and initial members
    come; otherwise it is None.
    """

    assimilator: Assimilator
    interpolation: OptimalInterpolation | None

    @classmethod
    def of(cls, forecaster: TrainedModel | None, updater: TrainedModel) -> CycleModels:
        """The models of a cycle; the forecaster is not used with a Kalman filter."""
        model, codec = updater.checkpoint.model, updater.checkpoint.field_codec
        kind = type(model).__name__
        if isinstance(model, CyclesAlone):
            return cls(Assimilator(model, None, codec), None)
        if not isinstance(model, OptimalInterpolation | Filter):
            task = updater.checkpoint.header["task"]
            raise InputError(
                f"the updater of a cycle cannot be an experiment of {task} with the model {kind}: choose an optimal "
                "interpolation of reconstruct, or a filter of assimilate."
            )
        if forecaster is None:
            raise InputError(f"{kind} needs a forecast model: name a forecaster, an experiment of forecast.")
        forecaster.check_task("forecast", "the forecaster of a cycle must be")
        forecast = forecaster.checkpoint.model
        steps = {(part.space.step, part.space.months) for part in (forecast, model)}
        if len(steps) > 1 or not standardise_alike(codec, forecaster.checkpoint.field_codec):
            raise InputError(
                "forecaster and updater were trained on different data: use two experiments from the same data_root, "
                "or fit both to the same data set."
            )
        if isinstance(model, OptimalInterpolation):
            return cls(Assimilator(hybrid_of(model), forecast, codec), model)
        return cls(Assimilator(model, forecast, codec), None)

    def start(self, day: Float[Tensor, " batch"], streams: RandomStreams) -> CycleState:
        """Climatological members before the first time.

        Optimal interpolation keeps training states: its members are stretches of these from the same season. Other
        filters keep none and start from the last states of free forecast runs, which also serve if no stretch is long
        enough. A Kalman filter starts from its own climatology.
        """
        filter, past = self.assimilator.filter, self.assimilator.history
        memory = filter.begin(len(day))
        if self.interpolation is not None:
            stretches = training_stretches(self.interpolation, day, streams, past)
            if stretches is not None:
                return CycleState(stretches, memory)
        if isinstance(filter, CyclesAlone):
            return CycleState(filter.draw_members(memory, streams)[:, :, None], memory)
        members = free_run_states(filter.space, self.assimilator.step, day, streams, past)
        if filter.needs_spread and not (members.std(1) > 0).any():
            raise InputError(
                "the updater needs members that differ, and those of the forecaster are identical: choose a forecaster "
                "whose members differ, such as a linear inverse model."
            )
        return CycleState(members, memory)

    @torch.no_grad()
    def run(
        self, c: Context, members: int, seed: int, state: CycleState | None = None, done: int = 0
    ) -> Iterator[tuple[Estimates, CycleState]]:
        """Yield, for each time of a context in order, the estimates and the state that the next step starts from.

        The estimates are climatology, background and analysis; optimal interpolation adds `interpolation`, the analysis
        of each time without a background. An interrupted cycle resumes from its `state`, after `done` steps.
        """
        assert c.day is not None
        datum = torch.zeros(1, dtype=torch.long, device=c.day.device)
        streams = RandomStreams(seed, datum, members)
        # these streams have seeds of their own: forecasts draw persistent noise from the streams of the cycle
        start, season, alone = (
            RandomStreams(seed_for(f"cycle, {use}", seed), datum, members)
            for use in ("start", "season", "alone")
        )
        filter = self.assimilator.filter
        if self.interpolation is not None and isinstance(filter, Hybrid):
            learn_errors(filter, self.interpolation, self.assimilator.step, c, self.assimilator.history, seed)
        initial = self.start(c.day[:1], start)  # the reference of a resumed cycle, too
        state = initial if state is None else state
        contexts = (c[slice(number, number + 1)] for number in range(done, c.count))
        steps = cycle(filter, self.assimilator.step, contexts, state, streams, first=done + 1)
        for number, step in enumerate(Progress(steps, unit="step", initial=done, total=c.count), done):
            current = c[slice(number, number + 1)]
            if self.interpolation is None:
                references = {"climatology": initial.past[:, :, -1]}
            else:
                references = {
                    "climatology": self.interpolation.season(current, season.at_lead(number + 1)),
                    "interpolation": self.interpolation.sample(current, alone.at_lead(number + 1)),
                }
            yield {**references, "background": step.background, "analysis": step.analysis}, step.state


def standardise_alike(a: FieldCodec, b: FieldCodec) -> bool:
    """Whether two codecs standardise the same variables on the same grid by the same statistics."""
    if a.variables != b.variables:
        return False
    pairs = [(a.arrays()[name], b.arrays()[name]) for name in a.arrays()]
    return all(x.shape == y.shape and np.allclose(x, y, equal_nan=True) for x, y in pairs)
