"""A model, trained by gradient steps or solved in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from fieldcast.models.core.batch import Batch
from fieldcast.models.core.context import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

Density = Literal["exact", "lower bound"] | None  # log p(x) itself, or a bound on it


class Terms(NamedTuple):
    """A loss and its parts."""

    total: Float[Tensor, ""]
    parts: Mapping[str, Tensor]


class Model(nn.Module, ABC):
    """p(x | c). Its state is its buffers and parameters: configuration, Space and state_dict rebuild it.

    `choices` lists the candidate values of tuned parameters, among which the training loop selects on the validation
    split; current values are 0-dim buffers named by the keys of `choices`, so checkpoints store them.
    """

    history: int = 0  # number of past states in the context
    conditional: bool | None = None  # whether it needs observations or past states; None: not declared
    deterministic: bool = False  # all draws are equal: one member suffices
    evaluations: int = 1  # evaluations of its network in a draw
    learned: bool = False  # fitted by gradient steps, not in closed form
    accepts_points: bool = False  # uses `Context.points`
    omits_noise: bool = False  # draws are means of a likelihood, without its noise: expect too little spread
    learns_from_gaps: bool = False  # can be fitted to data with missing values, `Batch.observed`
    trains_over_rollouts: bool = False  # its loss takes several successive states, `Batch.x` (B, T, V, Y, X)
    calibrates: bool = False  # defines `calibrated`: draws of a single step are not calibrated
    density: Density = None  # kind of `HasDensity.log_weights`; None: not available
    choices: Mapping[str, Sequence[float]] = MappingProxyType({})
    # names of buffers whose values are representable in half precision, in which checkpoints store them
    half_precision: Sequence[str] = ()
    replicas: Sequence[Model] = ()  # copies on further devices, which draw at the same time (`replicas.draw`)

    def __init__(self, space: Space):
        super().__init__()
        self.space = space

    @abstractmethod
    def sample(self, c: Context, draws: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Draw M members of x for each context."""

    def calibrated(
        self, x: Float[Tensor, "batch members variable y x"], draws: RandomStreams
    ) -> Float[Tensor, "batch members variable y x"]:
        """Members of one lead of a rollout as they are stored and scored; the next step starts from x itself."""
        return x

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        """Store the buffers of `half_precision` as such; loading returns them to single precision."""
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in self.half_precision:
            destination[prefix + name] = destination[prefix + name].half()

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Resize the buffers with a row for each training datum to the stored number of rows.

        Any other empty dimension takes its stored size too.
        """
        for name, buffer in self._buffers.items():
            stored = state.get(prefix + name)
            if buffer is None or stored is None or stored.shape == buffer.shape or stored.ndim != buffer.ndim:
                continue
            pairs = zip(buffer.shape[1:], stored.shape[1:], strict=True)
            if all(size in (0, stored_size) for size, stored_size in pairs):
                setattr(self, name, buffer.new_empty(stored.shape))
        super()._load_from_state_dict(state, prefix, *rest)

    @property
    def facts(self) -> dict[str, Any]:
        """Facts about the model that are stored with its costs; `density` is an empty string if it has none."""
        return {
            "parameters": sum(weight.numel() for weight in self.parameters()),
            "learned": self.learned,
            "density": self.density or "",
            "omits_noise": self.omits_noise,
        }

    def choose(self, **values: float) -> None:
        """Set tuned values."""
        for name, value in values.items():
            self.get_buffer(name).fill_(value)

    def tuned_values(self) -> dict[str, float]:
        """The current tuned values."""
        return {name: float(self.get_buffer(name)) for name in self.choices}


class Trained(Model):
    """Fitted by gradient steps."""

    learned = True
    shares_mask: bool = False  # all data of a training batch share one mask
    ensemble: bool = False  # the loss scores several draws of a datum together
    compares_draws: bool = False  # `compare` allows training through steps and rollouts

    def groups(self) -> Int[Tensor, " training"] | None:
        """Group of each training datum, if a batch must come from a single group; None: no such restriction."""
        return None

    def prepare(self, training: Iterable[Batch], draws: RandomStreams) -> None:
        """Initialise what depends on the training states: their number, initial values of parameters.

        Called once, for every task. Models that do not need `training` do not read it; `draws` belong to no datum yet.
        """

    @abstractmethod
    def loss(self, batch: Batch, draws: RandomStreams) -> Terms:
        """The training loss, averaged over the batch."""

    def compare(
        self,
        x: Float[Tensor, "batch variable y x"],
        drawn: Float[Tensor, "batch members variable y x"],
        c: Context,
        draws: RandomStreams,
    ) -> Terms:
        """The training loss of draws that a wrapper has made with the model, such as those of a Runge-Kutta step.

        Raises
        ------
        TypeError
            Unless the model supports rollouts.
        """
        raise TypeError(f"{type(self).__name__} cannot be trained through steps or rollouts")


class Solved(Model):
    """Fitted in closed form, in one pass over the training states."""

    @abstractmethod
    def solve(self, training: Iterable[Batch]) -> None:
        """Solve for the state of the model from the training states."""

    def solve_streamed(self, passes: Callable[[], Iterator[Batch]]) -> None:
        """Solve from states that are not in memory together; by default in one pass. `passes` begins another one."""
        self.solve(passes())
