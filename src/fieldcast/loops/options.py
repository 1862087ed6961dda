"""What a user can set of training and of all that comes before and after it, checked before anything runs."""

import os
from dataclasses import field, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError
from fieldcast.models.pixels import Treatment

STRICT = ConfigDict(extra="forbid")
Pattern = Literal["random", "regular", "stations", "swaths", "blocks"]
PATTERNS: tuple[Pattern, ...] = ("random", "regular", "stations", "swaths", "blocks")
SMALLEST_K = 0.005
FEWEST_SAMPLES = 16  # that sets can be compared by


@dataclass(frozen=True, config=STRICT)
class Fit:
    """How a model is fitted. A model solved in closed form uses `tuning` and `restart` alone."""

    steps: Annotated[int, Field(ge=1)] = 2000
    minutes: Annotated[float, Field(gt=0)] | None = (
        None  # of training; where they end it, the result depends on the machine's speed
    )
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warm_up: Annotated[float, Field(ge=0, lt=1)] = (
        0.05  # share of the steps; the learning rate rises, then a cosine
    )
    clip: Annotated[float, Field(gt=0)] = 1.0  # largest norm of the gradient
    average: Annotated[float, Field(ge=0, lt=1)] = 0.999  # decay of the moving average of the weights
    members: Annotated[int, Field(ge=2)] = 2  # draws a datum of a loss that scores an ensemble
    rollout: Annotated[int, Field(ge=1)] = 1  # steps that a forecast is trained over at the end ...
    rollout_share: Annotated[float, Field(ge=0, le=1)] = 0.4  # ... which is this share of the training
    walked: Annotated[int, Field(ge=0)] = (
        0  # steps before them, at most, without loss; for half of the batches
    )
    report_every: Annotated[int, Field(ge=1)] = (
        100  # steps between two rows of the history, each with a validation
    )
    patience: Annotated[int, Field(ge=1)] = (
        10  # validations without improvement before training goes on to its rollouts, or stops
    )
    validation: Annotated[int, Field(ge=1)] = 64  # states scored at each validation
    save_every: Annotated[float, Field(ge=0)] = 30.0  # seconds between two saves of the training state
    tuning: Annotated[int, Field(ge=1)] = 128  # validation states on which choices are tuned
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    restart: bool = False  # forget an earlier training state

    @property
    def longest(self) -> int:
        """Steps of the longest rollout that is seen."""
        return self.walked + self.rollout

    def capped(self, limits: "Limits") -> "Fit":
        """The options in force under the limits."""
        steps, validation = limits.cap("steps", self.steps), limits.cap("T", self.validation)
        every, tuning = min(self.report_every, steps), limits.cap("T", self.tuning)
        return replace(self, steps=steps, report_every=every, validation=validation, tuning=tuning)


@dataclass(frozen=True, config=STRICT)
class TrainingMasks:
    """Masks drawn while training: every datum its own pattern and its own k, log-uniform between two fractions."""

    patterns: Annotated[tuple[Pattern, ...], Field(min_length=1)] = (
        PATTERNS  # a pattern named twice is drawn twice as often
    )
    k: tuple[float, float] = (0.005, 0.5)

    def __post_init__(self) -> None:
        check_fractions("sparsification.training.k", self.k)


@dataclass(frozen=True, config=STRICT)
class Sparsification:
    """How fields become observations: in training, and in the stored test observations, the same for every method."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    noise: Annotated[float, Field(ge=0)] = 0.0  # error of an observation, in anomaly standard deviations
    per_variable: bool = False  # each variable its own mask
    times: Annotated[int, Field(ge=1)] = 64  # test times scored, evenly spaced
    masks: Annotated[int, Field(ge=1)] = 8  # masks a case, cycled over the times
    cases: dict[Pattern, list[float]] = field(
        default_factory=lambda: {"random": [0.1]}
    )  # pattern: fractions k
    training: TrainingMasks = field(default_factory=TrainingMasks)

    def __post_init__(self) -> None:
        if not any(self.cases.values()):
            raise InputError("sparsification.cases names no fraction: write, for example, {random: [0.1]}.")
        for pattern, fractions in self.cases.items():
            check_fractions(f"sparsification.cases.{pattern}", fractions)


@dataclass(frozen=True, config=STRICT)
class Stability:
    """A long rollout: does it stay finite, and does its climate stay?"""

    starts: Annotated[int, Field(ge=1)] = 2
    steps: Annotated[int, Field(ge=1)] = 500
    members: Annotated[int, Field(ge=1)] = 10


@dataclass(frozen=True, config=STRICT)
class PerfectModel:
    """The simulated planet started again: how well its state is known."""

    initial_error: Annotated[float, Field(ge=0)] = 0.05  # in standard deviations of the weather


@dataclass(frozen=True, config=STRICT)
class Rollout:
    """From where forecasts start, how far they go, and with how many members."""

    starts: Annotated[int, Field(ge=1)] = 64  # in the test split, evenly spaced
    steps: Annotated[int, Field(ge=1)] = 15  # leads that are scored
    members: Annotated[int, Field(ge=1)] = 10
    stability: Stability = field(default_factory=Stability)
    perfect_model: PerfectModel = field(default_factory=PerfectModel)


@dataclass(frozen=True, config=STRICT)
class Drawing:
    """How one experiment's forecasts are drawn."""

    feed: Literal["members", "mean"] = "members"  # what the next step starts from


@dataclass(frozen=True, config=STRICT)
class File:
    """The model of an experiment that was made elsewhere: a data set of this run, or a user's file."""

    type: Literal["File"]
    dataset: Literal["perfect_model"] | None = None
    path: str | None = None  # NetCDF file or Zarr store

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.path is None):
            raise InputError("a model of type File has either a path (a file of forecasts) or a dataset.")


@dataclass(frozen=True, config=STRICT)
class Pixels:
    """What one model sees of images (see models/pixels.py); of fields it has no meaning."""

    treatment: Treatment = "threshold"


@dataclass(frozen=True, config=STRICT)
class Sampling:
    """How much is drawn and scored of models of states."""

    samples: Annotated[int, Field(ge=FEWEST_SAMPLES)] = 256  # drawn of each model
    data: Annotated[int, Field(ge=1)] = (
        256  # of the test split, and of the training split, whose likelihood is found
    )
    draws: Annotated[int, Field(ge=1)] = 128  # K of IWAE_K; of the bound of a diffusion: times of the chain

    def capped(self, limits: "Limits") -> dict[str, int]:
        """The numbers in force under the limits."""
        return {
            "samples": max(FEWEST_SAMPLES, limits.cap("T", self.samples)),
            "likelihood": limits.cap("T", self.data),
            "members": limits.cap("members", self.draws),
        }


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """How many draws are scored: 19 members make the coverage of 50 % and 90 % by ranks exact."""

    members: Annotated[int, Field(ge=1)] = 19


@dataclass(frozen=True, config=STRICT)
class Fill:
    """Which file is filled, by which experiment, and how."""

    observations: str | None = None
    experiment: str = "reconstruct.optimal_interpolation"
    members: Annotated[int, Field(ge=1)] = 19
    noise: Annotated[float, Field(ge=0)] = 0.0  # error of an observation, in anomaly standard deviations
    output: str | None = None  # read by the catalog, from the command line

    def file(self) -> str:
        """The user's file.

        Raises
        ------
        InputError
            Without one, or where the result would take its place.
        """
        return file_of(self.observations, self.output, "fill.observations", "fill.output")


@dataclass(frozen=True, config=STRICT)
class Predict:
    """From which file the future is forecast, by which experiment, and how far."""

    states: str | None = None
    experiment: str = "forecast.crps_ensemble"
    steps: Annotated[int, Field(ge=1)] = 10
    members: Annotated[int, Field(ge=1)] = 10
    output: str | None = None  # read by the catalog, from the command line

    def file(self) -> str:
        """The user's file.

        Raises
        ------
        InputError
            Without one, or where the result would take its place.
        """
        return file_of(self.states, self.output, "predict.states", "predict.output")


@dataclass(frozen=True, config=STRICT)
class Tables:
    """Which runs, each of another seed, are gathered into mean and standard deviation."""

    runs: str | list[str] | None = (
        None  # their data_root; a text has `+` between them: commas part parameters
    )

    def folders(self) -> list[str]:
        """The runs, one by one.

        Raises
        ------
        InputError
            Without one.
        """
        named = self.runs.split("+") if isinstance(self.runs, str) else self.runs or []
        found = [one.strip() for one in named if one.strip()]
        if not found:
            raise InputError(
                "tables.runs is not set: say which runs, with --params tables.runs=FOLDER+FOLDER+FOLDER."
            )
        return found


@dataclass(frozen=True, config=STRICT)
class Limits:
    """Caps on everything at once, for a quick look and for the tests; None leaves it as it is."""

    steps: Annotated[int, Field(ge=1)] | None = None
    members: Annotated[int, Field(ge=1)] | None = None
    T: Annotated[int, Field(ge=1)] | None = None  # scored times

    def cap(self, name: str, value: int) -> int:
        limit = getattr(self, name)
        return value if limit is None else min(value, limit)


def file_of(path: str | None, output: str | None, key: str, output_key: str) -> str:
    """A path that is set and is not that of the result."""
    if path is None:
        raise InputError(f"{key} is not set: say which file, with --params {key}=FILE.")
    if output and os.path.realpath(output) == os.path.realpath(path):
        raise InputError(f"{output_key} is {key} itself, '{output}': choose another file.")
    return path


def check_fractions(key: str, fractions: list[float] | tuple[float, ...]) -> None:
    """Raise an InputError for a fraction k outside its range."""
    for k in fractions:
        if not SMALLEST_K <= k <= 1:
            raise InputError(
                f"{key}: the observed fraction {k:g} is outside {SMALLEST_K} to 1; write 0.1 for 10 %."
            )
