"""What a user can set of training and of sparsification, checked before anything runs."""

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError

STRICT = ConfigDict(extra="forbid")
Pattern = Literal["random", "regular", "stations", "swaths", "blocks"]
PATTERNS: tuple[Pattern, ...] = ("random", "regular", "stations", "swaths", "blocks")
SMALLEST_K = 0.005


@dataclass(frozen=True, config=STRICT)
class Fit:
    """How a model is fitted. A model solved in closed form uses `tuning` and `restart` alone."""

    steps: int = Field(2000, ge=1)
    batch: int = Field(16, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(1e-4, ge=0)
    warm_up: float = Field(
        0.05, ge=0, lt=1
    )  # share of the steps over which the learning rate rises; then cosine
    clip: float = Field(1.0, gt=0)  # largest norm of the gradient
    average: float = Field(0.999, ge=0, lt=1)  # decay of the moving average of the weights
    members: int = Field(2, ge=2)  # draws a datum of a loss that scores an ensemble
    report_every: int = Field(100, ge=1)  # steps between two rows of the history, each with a validation
    patience: int = Field(10, ge=1)  # validations without improvement before training stops
    validation: int = Field(64, ge=1)  # states scored at each validation
    save_every: float = Field(30.0, ge=0)  # seconds between two saves of the training state
    tuning: int = Field(48, ge=1)  # validation states on which choices are tuned
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    restart: bool = False  # forget an earlier training state


@dataclass(frozen=True, config=STRICT)
class TrainingMasks:
    """Masks drawn while training: every datum its own pattern and its own k, log-uniform between two fractions."""

    patterns: tuple[Pattern, ...] = PATTERNS  # a pattern named twice is drawn twice as often
    k: tuple[float, float] = (0.005, 0.5)

    def __post_init__(self) -> None:
        check_fractions("sparsification.training.k", self.k)


@dataclass(frozen=True, config=STRICT)
class Sparsification:
    """How fields become observations: in training, and in the stored test observations, the same for every method."""

    seed: int = 0
    noise: float = Field(
        0.0, ge=0
    )  # standard deviation of the error of an observation, in anomaly standard deviations
    per_variable: bool = False  # each variable its own mask
    times: int = Field(64, ge=1)  # test times scored, evenly spaced
    masks: int = Field(8, ge=1)  # masks a case, cycled over the times
    cases: dict[Pattern, list[float]] = Field(
        default_factory=lambda: {"random": [0.1]}
    )  # pattern: fractions k
    training: TrainingMasks = Field(default_factory=TrainingMasks)

    def __post_init__(self) -> None:
        for pattern, fractions in self.cases.items():
            check_fractions(f"sparsification.cases.{pattern}", fractions)


@dataclass(frozen=True, config=STRICT)
class Evaluation:
    """How many draws are scored: 19 members make the coverage of 50 % and 90 % by ranks exact."""

    members: int = Field(19, ge=1)


@dataclass(frozen=True, config=STRICT)
class Limits:
    """Caps on everything at once, for a quick look and for the tests; None leaves it as it is."""

    steps: int | None = None
    members: int | None = None
    T: int | None = None  # scored times

    def cap(self, name: str, value: int) -> int:
        limit = getattr(self, name)
        return value if limit is None else min(value, limit)


def check_fractions(key: str, fractions: list[float] | tuple[float, ...]) -> None:
    """Raise an InputError for a fraction k outside its range."""
    for k in fractions:
        if not SMALLEST_K <= k <= 1:
            raise InputError(
                f"{key}: the observed fraction {k:g} is outside {SMALLEST_K} to 1; write 0.1 for 10 %."
            )
