"""User options for observations and initial times, and caps on all numbers; checked before anything runs."""

from dataclasses import field, replace
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError
from fieldcast.models.options import MIN_K, PATTERNS, Pattern

STRICT = ConfigDict(extra="forbid")
POINTS: Literal["points"] = "points"  # stations between the cells, in scored cases only


@dataclass(frozen=True, config=STRICT)
class Limits:
    """Caps on numbers of gradient steps, members and times, for quick runs and tests; None means no cap.

    `times` caps the numbers of scored and initial times, of steps of rollouts and of cycles with their spin-up, and of
    states in samples, validation and tuning.
    """

    steps: Annotated[int, Field(ge=1)] | None = None  # gradient steps of a training
    members: Annotated[int, Field(ge=1)] | None = None
    times: Annotated[int, Field(ge=1)] | None = None

    def cap(self, name: str, value: int) -> int:
        """The value, at most the limit `name`; the value itself without such a limit."""
        limit = getattr(self, name)
        return value if limit is None else min(value, limit)


@dataclass(frozen=True, config=STRICT)
class TrainingMasks:
    """Masks of the training: each datum has its own pattern and its own k, log-uniform between two fractions."""

    # a pattern that is named twice is drawn twice as often
    patterns: Annotated[tuple[Pattern, ...], Field(min_length=1)] = PATTERNS
    k: tuple[float, float] = (0.005, 0.5)

    def __post_init__(self) -> None:
        check_fractions("sparsification.training.k", self.k)
        if self.k[0] > self.k[1]:
            raise InputError(
                f"sparsification.training.k = {list(self.k)} is reversed: give the smaller fraction first."
            )


@dataclass(frozen=True, config=STRICT)
class Sparsification:
    """Options of the observations of fields, in training and in the stored test observations of all methods."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    noise: Annotated[float, Field(ge=0)] = 0.0  # observation error, in anomaly standard deviations
    per_variable: bool = False  # a separate mask for each variable
    times: Annotated[int, Field(ge=1)] = 64  # test times scored, evenly spaced
    masks: Annotated[int, Field(ge=1)] = 8  # masks per case, cycled over the times
    # fractions k of each pattern
    cases: dict[Pattern | Literal["points"], list[float]] = field(default_factory=lambda: {"random": [0.1]})
    training: TrainingMasks = field(default_factory=TrainingMasks)

    def __post_init__(self) -> None:
        if not any(self.cases.values()):
            raise InputError("sparsification.cases names no fraction: write, for example, {random: [0.1]}.")
        for pattern, fractions in self.cases.items():
            check_fractions(f"sparsification.cases.{pattern}", fractions)


@dataclass(frozen=True, config=STRICT)
class Stability:
    """A long rollout, which tests whether a model stays finite and keeps its climate."""

    initial_times: Annotated[int, Field(ge=1)] = 2
    steps: Annotated[int, Field(ge=1)] = 500
    members: Annotated[int, Field(ge=1)] = 10


@dataclass(frozen=True, config=STRICT)
class PerfectModel:
    """The simulated planet started again from an imperfectly known state."""

    initial_error: Annotated[float, Field(ge=0)] = 0.05  # in standard deviations of the weather


@dataclass(frozen=True, config=STRICT)
class Rollout:
    """Number of initial times, lead times and members of forecasts."""

    initial_times: Annotated[int, Field(ge=1)] = 64  # evenly spaced in the test split
    steps: Annotated[int, Field(ge=1)] = 15  # number of scored leads
    members: Annotated[int, Field(ge=1)] = 10
    stability: Stability = field(default_factory=Stability)
    perfect_model: PerfectModel = field(default_factory=PerfectModel)


@dataclass(frozen=True, config=STRICT)
class Events:
    """Events that forecasts and analyses are scored on: values beyond climatological quantiles."""

    quantiles: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (
        *(0.05, 0.1),  # below 1/2, the event is a value below the quantile
        *(0.9, 0.95, 0.99),
    )
    # length [days] of the window around a day of the year for its quantile
    window: Annotated[int, Field(ge=3)] = 61

    def __post_init__(self) -> None:
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise InputError(
                f"events.quantiles = {list(self.quantiles)} must increase: give each quantile once, in order."
            )


@dataclass(frozen=True, config=STRICT)
class Calibration:
    """Cycles that calibrate a filter: first its background errors in the training split, then its tuned values."""

    pattern: Pattern = "random"
    k: float = 0.05
    members: Annotated[int, Field(ge=2)] = 8
    spin_up: Annotated[int, Field(ge=0)] = 15  # first steps of a cycle, which are discarded
    cycles: Annotated[int, Field(ge=1)] = 24  # number of parallel cycles in the training split
    steps: Annotated[int, Field(ge=1)] = 60  # number of steps of each cycle
    # number of sweeps, each with the background errors of the last one
    sweeps: Annotated[int, Field(ge=1)] = 2
    tuning: Annotated[int, Field(ge=1)] = 40  # number of steps in the validation split

    def __post_init__(self) -> None:
        check_fractions("assimilation.calibration.k", [self.k])
        if self.k == 1:
            raise InputError(
                "assimilation.calibration.k = 1 leaves no unobserved cell to tune on: set it lower."
            )

    def capped(self, limits: Limits) -> "Calibration":
        """The options under the limits."""
        names = ("spin_up", "cycles", "steps", "tuning")
        counts = {name: limits.cap("times", getattr(self, name)) for name in names}
        members = max(2, limits.cap("members", self.members))
        return replace(self, members=members, **counts)  # type: ignore[arg-type]


@dataclass(frozen=True, config=STRICT)
class CycledAssimilation:
    """Length, members and observing networks of cycles in the test split; noise and seed are in `Sparsification`."""

    spin_up: Annotated[int, Field(ge=0)] = 30  # first steps of a cycle, which are not scored
    steps: Annotated[int, Field(ge=1)] = 120  # number of scored steps
    members: Annotated[int, Field(ge=2)] = 24
    cases: dict[Pattern, list[float]] = field(default_factory=lambda: {"random": [0.01, 0.05]})
    # ratio of the error that filters assume to the true one
    assumed_error: Annotated[float, Field(gt=0)] = 1.0
    # share of observations with a gross error
    gross_errors: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    forecast_every: Annotated[int, Field(ge=1)] = 10  # steps between the starts of forecasts from analyses
    forecast_steps: Annotated[int, Field(ge=1)] = 10  # number of leads of these forecasts
    calibration: Calibration = field(default_factory=Calibration)

    def capped(self, limits: Limits) -> dict[str, int]:
        """The number of members under the limits, by name."""
        return {"members": limits.cap("members", self.members)}

    def __post_init__(self) -> None:
        if not any(self.cases.values()):
            raise InputError("assimilation.cases names no fraction: write, for example, {random: [0.05]}.")
        for pattern, fractions in self.cases.items():
            check_fractions(f"assimilation.cases.{pattern}", fractions)


def check_fractions(key: str, fractions: list[float] | tuple[float, ...]) -> None:
    """Raise an InputError if a fraction k is outside its range."""
    for k in fractions:
        if not MIN_K <= k <= 1:
            raise InputError(
                f"{key}: the observed fraction {k:g} is outside {MIN_K} to 1; write 0.1 for 10 %."
            )
