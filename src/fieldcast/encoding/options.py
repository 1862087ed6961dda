"""User options for observations and initial times, and caps on all numbers; checked before anything runs."""

from collections.abc import Mapping
from dataclasses import field, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError
from fieldcast.models.options import MIN_K, PATTERNS, Pattern

STRICT = ConfigDict(extra="forbid")
POINTS: Literal["points"] = "points"  # stations between the cells, in scored cases only


@dataclass(frozen=True, config=STRICT)
class Limits:
    """Caps on numbers of gradient steps, members and times, for quick runs and tests; without a key there is no cap.

    Parameters
    ----------
    steps
        Maximum number of gradient steps of a training.
    members
        Maximum number of ensemble members.
    times
        Maximum number of scored times, of initial times and steps of a forecast, of steps of a cycle and its spin-up,
        of samples (though at least 16), and of validation and tuning states.
    """

    steps: Annotated[int, Field(ge=1)] | None = None
    members: Annotated[int, Field(ge=1)] | None = None
    times: Annotated[int, Field(ge=1)] | None = None

    def cap(self, name: str, value: int) -> int:
        """The value, at most the limit `name`; the value itself without such a limit."""
        limit = getattr(self, name)
        return value if limit is None else min(value, limit)


@dataclass(frozen=True, config=STRICT)
class TrainingMasks:
    """Masks of the training: each datum has its own pattern and its own k, log-uniform between two fractions.

    Parameters
    ----------
    patterns
        Patterns that are drawn; a repeated pattern is drawn more often.
    k
        [minimum, maximum] of the fraction, which is drawn log-uniformly.
    """

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
    """Options of the observations of fields, in training and in the stored test observations of all methods.

    Patterns: `random` cells, a `regular` lattice, fixed `stations` (of uneven density), satellite `swaths`, and
    `blocks` (clouds).

    Parameters
    ----------
    seed
        Seed of the masks and observation errors of the test.
    noise
        Standard deviation of the observation error, in anomaly standard deviations; 0 with `netcdf` and `era5`.
    per_variable
        Whether each variable has a separate mask.
    times
        Number of scored test times, evenly spaced.
    masks
        Number of masks of each case; the scored times use them in turn.
    cases
        Scored cases, `{pattern: [k, ...]}`; k is the fraction observed, 0.005 to 1 (0.1 is 10 %). The pattern `points`
        puts the same number of observations between the cells, where their values are bilinear interpolations of the
        field; it can be scored for models that accept them, which `optimal_interpolation`, `kriging`,
        `corrected_interpolation`, `pooled`, `linear`, `nearest`, `thin_plate` and `climatology` do.
    training
        Masks of the training.
    """

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    noise: Annotated[float, Field(ge=0)] = 0.0
    per_variable: bool = False
    times: Annotated[int, Field(ge=1)] = 64
    masks: Annotated[int, Field(ge=1)] = 8
    cases: dict[Pattern | Literal["points"], list[float]] = field(default_factory=lambda: {"random": [0.1]})
    training: TrainingMasks = field(default_factory=TrainingMasks)

    def __post_init__(self) -> None:
        check_cases("sparsification.cases", self.cases)


@dataclass(frozen=True, config=STRICT)
class Stability:
    """A long rollout, which tests whether a model stays finite and keeps its climate.

    Parameters
    ----------
    initial_times
        Number of initial times; the rollout continues past the end of a short test split.
    steps
        Length of the rollout.
    members
        Number of ensemble members.
    """

    initial_times: Annotated[int, Field(ge=1)] = 2
    steps: Annotated[int, Field(ge=1)] = 500
    members: Annotated[int, Field(ge=1)] = 10


@dataclass(frozen=True, config=STRICT)
class PerfectModel:
    """The simulated planet started again from an imperfectly known state.

    Parameters
    ----------
    initial_error
        Initial error of the perfect model, in standard deviations of the weather.
    """

    initial_error: Annotated[float, Field(ge=0)] = 0.05


@dataclass(frozen=True, config=STRICT)
class Rollout:
    """Initial times and length of forecasts.

    The stage `initial_times` selects the initial times; later stages refuse them if they were selected with other
    options. `limits.times` caps the initial times and the leads, `limits.members` the members.

    Parameters
    ----------
    initial_times
        Number of scored initial times, evenly spaced over the test split, each preceded by at least five states and
        followed by all `steps`.
    steps
        Number of scored leads.
    members
        Number of ensemble members.
    stability
        The long rollout, which tests whether a model stays finite and keeps its climate.
    perfect_model
        The planet itself, started again from an imperfectly known state.
    """

    initial_times: Annotated[int, Field(ge=1)] = 64
    steps: Annotated[int, Field(ge=1)] = 15
    members: Annotated[int, Field(ge=1)] = 10
    stability: Stability = field(default_factory=Stability)
    perfect_model: PerfectModel = field(default_factory=PerfectModel)


@dataclass(frozen=True, config=STRICT)
class Events:
    """Events on which forecasts and analyses are scored: values beyond a climatological quantile of their day of the
    year and cell.

    The stage `events` estimates the quantiles from the training split.

    Parameters
    ----------
    quantiles
        Quantiles in increasing order; for those below 0.5 the event is a value below the quantile, for the others a
        value above it.
    window
        Length in days of the window about a day of the year whose values enter its quantile, with linearly decreasing
        weights as in the climatology; monthly data use the values of the calendar month.
    """

    quantiles: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1)] = (
        *(0.05, 0.1),
        *(0.9, 0.95, 0.99),
    )
    window: Annotated[int, Field(ge=3)] = 61

    def __post_init__(self) -> None:
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise InputError(
                f"events.quantiles = {list(self.quantiles)} must increase: give each quantile once, in order."
            )


@dataclass(frozen=True, config=STRICT)
class Calibration:
    """Cycles that calibrate a filter: first its background errors in the training split, then its tuned values.

    Parameters
    ----------
    pattern, k
        The observing network of the calibration; filters with `fractions` use these instead of `k`.
    members
        Number of ensemble members of the cycles whose background errors a filter learns; tuning uses the `members` of
        the scored cycles.
    spin_up
        Number of first steps of each cycle, which are discarded.
    cycles
        Number of cycles in the training split whose background errors a filter learns.
    steps
        Length of these cycles.
    sweeps
        Number of passes; each uses the covariance estimated by the previous one.
    tuning
        Number of steps of the validation split on which a filter's parameters are tuned.
    """

    pattern: Pattern = "random"
    k: float = 0.05
    members: Annotated[int, Field(ge=2)] = 8
    spin_up: Annotated[int, Field(ge=0)] = 15
    cycles: Annotated[int, Field(ge=1)] = 24
    steps: Annotated[int, Field(ge=1)] = 60
    sweeps: Annotated[int, Field(ge=1)] = 2
    tuning: Annotated[int, Field(ge=1)] = 40

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
    """Cycles of a one-step forecast and an update by the observations of its time.

    The stage `observing_network` observes successive states of the test split, with the noise and the seed of
    `sparsification`; the stage `calibration` fits each filter to the training and validation splits. Lengths are
    numbers of time steps of the data. `limits.times` caps the scored steps, `limits.members` the members.

    Parameters
    ----------
    spin_up
        Number of first steps of a cycle, which starts from a climatological ensemble; they are not scored.
    steps
        Number of scored steps.
    members
        Number of ensemble members.
    cases
        Fractions observed at each step, `{pattern: [k, ...]}`.
    assumed_error
        Ratio of the assumed to the true standard deviation of observation errors.
    gross_errors
        Share of observations that are wrong by five anomaly standard deviations.
    forecast_every
        Number of steps between the starts of the forecasts from analyses, which are compared with forecasts from the
        truth.
    forecast_steps
        Number of leads of these forecasts.
    calibration
        Cycles that calibrate a filter.
    """

    spin_up: Annotated[int, Field(ge=0)] = 30
    steps: Annotated[int, Field(ge=1)] = 120
    members: Annotated[int, Field(ge=2)] = 24
    cases: dict[Pattern, list[float]] = field(default_factory=lambda: {"random": [0.01, 0.05]})
    assumed_error: Annotated[float, Field(gt=0)] = 1.0
    gross_errors: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.0
    forecast_every: Annotated[int, Field(ge=1)] = 10
    forecast_steps: Annotated[int, Field(ge=1)] = 10
    calibration: Calibration = field(default_factory=Calibration)

    def capped(self, limits: Limits) -> dict[str, int]:
        """The number of members under the limits, by name."""
        return {"members": limits.cap("members", self.members)}

    def __post_init__(self) -> None:
        check_cases("assimilation.cases", self.cases)


def check_cases(key: str, cases: Mapping[Any, list[float]]) -> None:
    """Raise an InputError unless cases name fractions k within their range."""
    if not any(cases.values()):
        raise InputError(f"{key} names no fraction: write, for example, {{random: [0.05]}}.")
    for pattern, fractions in cases.items():
        check_fractions(f"{key}.{pattern}", fractions)


def check_fractions(key: str, fractions: list[float] | tuple[float, ...]) -> None:
    """Raise an InputError if a fraction k is outside its range."""
    for k in fractions:
        if not MIN_K <= k <= 1:
            raise InputError(
                f"{key}: the observed fraction {k:g} is outside {MIN_K} to 1; write 0.1 for 10 %."
            )
