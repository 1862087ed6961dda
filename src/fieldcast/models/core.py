"""Core concepts shared by all models, training, inference and pipelines: a model is a distribution p(x | c).

All tensors are standardised. Letters of shapes: B data, M members, L past states, V variables, Y x X cells (an image:
V = 1, L = 0). The context c distinguishes the tasks: observations (`reconstruct`), past states (`forecast`), or
nothing (`sample`). A model is `Trained` by gradient steps or `Solved` in closed form.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from fieldcast.errors import InputError
from fieldcast.models.points import Points
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
    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "batch members variable y x"]:
        """Draw M members of x for each context."""

    def calibrated(
        self, x: Float[Tensor, "batch members variable y x"], streams: RandomStreams
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

    def prepare(self, training: Iterable[Batch], streams: RandomStreams) -> None:
        """Initialise what depends on the training states: their number, initial values of parameters.

        Called once, for every task. Models that do not need `training` do not read it;
        `streams` belong to no datum yet.
        """

    @abstractmethod
    def loss(self, batch: Batch, streams: RandomStreams) -> Terms:
        """The training loss, averaged over the batch."""

    def compare(
        self,
        x: Float[Tensor, "batch variable y x"],
        drawn: Float[Tensor, "batch members variable y x"],
        c: Context,
        streams: RandomStreams,
    ) -> Terms:
        """The training loss of draws that a wrapper has made with the model, such as those of a Runge-Kutta step."""
        raise TypeError(f"{type(self).__name__} cannot be trained through steps or rollouts")


class Solved(Model):
    """Fitted in closed form, in one pass over the training states."""

    @abstractmethod
    def solve(self, training: Iterable[Batch]) -> None:
        """Solve for the state of the model from the training states."""

    def solve_streamed(self, passes: Callable[[], Iterator[Batch]]) -> None:
        """Solve from states that are not in memory together; by default in one pass. `passes` begins another one."""
        self.solve(passes())


# The context c of a model p(x | c): observations, past states, the day.


def _required(part: Tensor | None, what: str, task: str) -> Tensor:
    """A part of a context, which a model reads and only contexts of one task have."""
    if part is None:
        raise InputError(
            f"the model reads {what}, and the task has none: use it in an experiment of the task {task}."
        )
    return part


ExtraChannel = Literal["mask", "season", "static"]  # input channels of a network besides states


@dataclass(frozen=True, eq=False)
class Context:
    """The context c of p(x | c); absent parts are None.

    Parameters
    ----------
    count
        Number of data B.
    past
        The last states, oldest first.
    observed
        The sparse field m * y.
    mask
        The mask m of the observations.
    day
        The day of the target state, as a fraction of the year.
    noise
        Standard deviation of the error of the observations in cells.
    points
        Observations between cells, which only models with `accepts_points` use.
    """

    count: int
    past: Float[Tensor, "batch past variable y x"] | None = None
    observed: Float[Tensor, "batch variable y x"] | None = None
    mask: Bool[Tensor, "batch variable y x"] | None = None
    day: Float[Tensor, " batch"] | None = None
    noise: float = 0.0
    points: Points | None = None

    def base(self) -> Float[Tensor, "batch variable y x"]:
        """The state from which a stepped model starts: the last state, else the sparse field."""
        base = self.past[:, -1] if self.past is not None else self.observed
        if base is None:
            raise InputError(
                "the model steps from observations or past states, and the task has neither: use it in an experiment "
                "of the task reconstruct or forecast."
            )
        return base

    def observations(self) -> tuple[Float[Tensor, "batch variable y x"], Bool[Tensor, "batch variable y x"]]:
        """The sparse field m * y and its mask m."""
        observed = _required(self.observed, "observations", "reconstruct")
        return observed, _required(self.mask, "observations", "reconstruct")

    def states(self) -> Float[Tensor, "batch past variable y x"]:
        """Past states, oldest first."""
        return _required(self.past, "past states", "forecast")

    def fraction(self, space: Space) -> Float[Tensor, " batch"]:
        """k: the observed share of the cells that exist."""
        mask = _required(self.mask, "observations", "reconstruct")
        return mask.float().sum(dim=(1, 2, 3)) / (mask.shape[1] * space.exists.sum())

    def channels(
        self, space: Space, extra_channels: Collection[ExtraChannel] = ("mask", "season", "static")
    ) -> Float[Tensor, "batch channel y x"]:
        """Input channels of a network: past and observed states, and `extra_channels`."""
        channels = []
        if self.past is not None:
            channels.append(self.past.flatten(1, 2))
        if self.observed is not None:
            channels.append(self.observed)
        if self.mask is not None and "mask" in extra_channels:
            channels.append(self.mask.float())
        if self.day is not None and "season" in extra_channels:
            angle = 2 * math.pi * self.day
            season = torch.stack([torch.cos(angle), torch.sin(angle)], dim=1)
            channels.append(season[:, :, None, None].expand(-1, -1, *space.shape))
        if "static" in extra_channels:
            channels.append(space.static.expand(self.count, -1, -1, -1))
        return torch.cat(channels, dim=1)

    def at(self, x: Float[Tensor, "batch variable y x"]) -> Context:
        """Replace the base of the context by x: a stage of a Runge-Kutta step."""
        if self.past is not None:
            return replace(self, past=torch.cat([self.past[:, :-1], x[:, None]], dim=1))
        return replace(self, observed=x)

    def advance(self, x: Float[Tensor, "batch variable y x"], dt: float) -> Context:
        """The context of the next step: the past shifted by x, the day moved by dt (fraction of a year)."""
        past = None if self.past is None else torch.cat([self.past[:, 1:], x[:, None]], dim=1)
        return replace(self, past=past, day=None if self.day is None else (self.day + dt) % 1)

    def repeat(self, members: int) -> Context:
        """Repeat B rows to B * M rows, the members of a datum next to each other; networks get no points."""
        if members == 1:
            return self
        fields = {name: getattr(self, name) for name in ("past", "observed", "mask", "day")}
        repeated = {k: None if v is None else v.repeat_interleave(members, dim=0) for k, v in fields.items()}
        return Context(self.count * members, **repeated, noise=self.noise)

    def __getitem__(self, index: Int[Tensor, " selected"] | slice) -> Context:
        """Select the context of some of the data, each at most once if there are points."""
        fields = {name: getattr(self, name) for name in ("past", "observed", "mask", "day")}
        selected = {k: None if v is None else v[index] for k, v in fields.items()}
        data = torch.arange(self.count)[index if isinstance(index, slice) else index.cpu()]
        points = None if self.points is None else self.points.of(data)
        return Context(len(data), **selected, noise=self.noise, points=points)


def channel_count(
    space: Space, history: int = 0, observed: bool = False,
    extra_channels: Collection[ExtraChannel] = ("mask", "season", "static"),
) -> int:  # fmt: skip
    """Number of `Context.channels` of a context with a day, `history` past states and, if `observed`, observations."""
    states = history + observed + (observed and "mask" in extra_channels)
    season = 2 * ("season" in extra_channels)
    return states * len(space.variables) + season + len(space.static) * ("static" in extra_channels)


# States with their contexts.


@dataclass(frozen=True, eq=False)
class Batch:
    """States and their contexts.

    Parameters
    ----------
    x
        States (B, V, Y, X), or (B, T, V, Y, X) for a loss over a rollout.
    context
        Their contexts.
    index
        Index of each state in the training set; None for unseen data.
    label
        Class of each image.
    observed
        Mask of the observed values; x is 0 at missing values. None if no value is missing.
    group
        Common group of these training data, for a model that defines `Trained.groups`.
    pushforward
        Number of first steps of a rollout that the loss leaves out: they produce its initial states.
    """

    x: Tensor
    context: Context
    index: Tensor | None = None
    label: Tensor | None = None
    observed: Tensor | None = None
    group: int | None = None
    pushforward: int = 0

    def __getitem__(self, index: Int[Tensor, " selected"] | slice) -> Batch:
        """Select some of the data, as `Context` does."""
        fields = {name: getattr(self, name) for name in ("index", "label", "observed")}
        selected: dict[str, Any] = {
            name: None if field is None else field[index] for name, field in fields.items()
        }
        return replace(self, x=self.x[index], context=self.context[index], **selected)


def join_batches(batches: Iterable[Batch]) -> Batch:
    """Join the states, indices and labels of several batches into one; a single batch is returned as it is."""
    first, *others = batches
    if not others:
        return first
    all_batches = [first, *others]
    index, label = (
        None if getattr(first, name) is None else torch.cat([getattr(batch, name) for batch in all_batches])
        for name in ("index", "label")
    )
    x = torch.cat([batch.x for batch in all_batches])
    return Batch(x, Context(len(x)), index=index, label=label)


def observed_values(batches: Iterable[Batch]) -> Bool[Tensor, "batch values"] | None:
    """Mask of the observed values of all states, flattened; None if none is missing."""
    masks = [batch.observed.flatten(1) for batch in batches if batch.observed is not None]
    return torch.cat(masks) if masks else None


# Cache of quantities derived from a fitted state, recomputed when that state changes.


Value = TypeVar("Value")


class Derived:
    """A model that caches quantities derived from one of its tensors; copies of the model start without them."""

    def derived(self, key: Hashable, derive: Callable[[], Value], source: Tensor) -> Value:
        """Return `derive()`, cached under `key` until `source` is replaced, moved or modified.

        All cached quantities of a model must have the same source.
        """
        tensor, version, values = self.__dict__.get("_derived", (None, 0, {}))
        if tensor is not source or version != source._version:
            values = {}
            self.__dict__["_derived"] = source, source._version, values
        if key not in values:
            values[key] = derive()
        value: Value = values[key]
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_derived"}


# Models that combine other fitted models, whose checkpoints an experiment names in `uses`.


class Combined(Solved, ABC):
    """Fitted models by name; parameters of their combination are fitted to validation states.

    Parameters
    ----------
    space
        Grid of the states.
    parts
        Models by name; training loads each from the checkpoint of the experiment that `uses` lists under this name.
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
