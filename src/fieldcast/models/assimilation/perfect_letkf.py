"""The LETKF around the model that the truth follows: an approximate upper bound on skill, for simulated data.

    q_b(t) = M(q_a(t-1)),  x_b = w(q_b),  psi_a,m = psi_b,m + sum_j X_j w_jm,  q_a = q(psi_a),  x_a = w(q_a)

M is the exact model, q its state, w(q) its observable fields, a function that need not be linear, and psi(q) maps that
are linear in the state; X_j are their deviations from the mean of the members. The members of x_b and the observations
give the weights w_jm (`ensemble_weights`), which move psi. The analysis is therefore a state of the model, as balanced
as its members are, and its remaining error comes only from the limited numbers of observations and members.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from fieldcast.errors import InputError
from fieldcast.models.assimilation.ensemble_weights import move_members
from fieldcast.models.assimilation.filter import CycleState, Members, Memory, Step
from fieldcast.models.assimilation.letkf import LETKF
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams

PlanetStates = Float[Tensor, "batch members *state"]
STATE = "q"  # name of the model states in the memory


@runtime_checkable
class ForecastModel(Protocol):
    """The model that the truth follows; days are fractions of the year."""

    def ahead(self, q: PlanetStates, day: Float[Tensor, " batch"]) -> PlanetStates:
        """States at a time of the year, from the states one step before."""
        ...

    def weather(self, q: PlanetStates, day: Float[Tensor, " batch"]) -> Members:
        """Standardised anomalies of the states at a time of the year."""
        ...

    def maps(self, q: PlanetStates) -> Float[Tensor, "batch members level y x"]:
        """Linear functions of the states on the cells of the grid."""
        ...

    def plus(self, q: PlanetStates, increments: Float[Tensor, "batch members level y x"]) -> PlanetStates:
        """States whose maps differ by increments, as far as the model resolves these."""
        ...


class PerfectLETKF(LETKF):
    """The LETKF with the exact model's forecasts and states; see the module for the equations.

    Its memory holds the states. Before a cycle, `dynamics` and the states of the first step must be set.
    """

    needs_forecast = False
    dynamics: ForecastModel | None = None
    start: Mapping[str, float] = MappingProxyType(
        {"localisation": 3000.0, "relaxation": 0.4, "inflation": 1.02}
    )
    choices: Mapping[str, Sequence[float]] = MappingProxyType(
        {
            "localisation": (2000.0, 3000.0, 4000.0),
            "relaxation": (0.2, 0.4, 0.6, 0.8),
            "inflation": (1.0, 1.02, 1.05, 1.1),
        }
    )

    def background(
        self, state: CycleState, day: Float[Tensor, " batch"], forecast: Step, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        q = self._exact().ahead(state.memory[STATE], day)
        return self._exact().weather(q, day), {**state.memory, STATE: q}

    def update(
        self, background: Members, c: Context, memory: Memory, streams: RandomStreams
    ) -> tuple[Members, Memory]:
        assert c.day is not None
        psi = self._exact().maps(memory[STATE])
        increments = move_members(psi, self.weights(background, c, streams)) - psi
        q = self._exact().plus(memory[STATE], increments)
        return self._exact().weather(q, c.day).to(background), {**memory, STATE: q}

    def _exact(self) -> ForecastModel:
        """The exact model."""
        if self.dynamics is None:
            raise InputError(
                "the filter of the perfect model needs the model that made the truth: use it on the simulated planet "
                "(ingestion.source = planet), in the task assimilate."
            )
        return self.dynamics
