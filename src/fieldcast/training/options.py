"""User options for training, checked before anything runs."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT, Limits


@dataclass(frozen=True, config=STRICT)
class Fit:
    """Options of a fit. A model with a closed-form solution uses `tuning` and `restart` alone."""

    steps: Annotated[int, Field(ge=1)] = 2000
    max_minutes: Annotated[float, Field(gt=0)] | None = (
        None  # of training; where they end it, the result depends on the machine's speed
    )
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warm_up: Annotated[float, Field(ge=0, lt=1)] = (
        0.05  # share of the steps; the learning rate rises, then a cosine
    )
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0  # to which the gradient is clipped
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999  # of the exponential moving average of the weights
    members: Annotated[int, Field(ge=2)] = 2  # draws per datum in a loss that scores an ensemble
    rollout: Annotated[int, Field(ge=1)] = (
        1  # steps of the rollouts that a forecast is trained over at the end ...
    )
    rollout_share: Annotated[float, Field(ge=0, le=1)] = 0.4  # ... which is this share of the training
    pushforward_steps: Annotated[int, Field(ge=0)] = (
        0  # at most so many steps before them, without loss or gradient, in half of the batches
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
        """Steps of the longest rollout in training."""
        return self.pushforward_steps + self.rollout

    def capped(self, limits: "Limits") -> "Fit":
        """The options in force under the limits."""
        steps, validation = limits.cap("steps", self.steps), limits.cap("times", self.validation)
        every, tuning = min(self.report_every, steps), limits.cap("times", self.tuning)
        return replace(self, steps=steps, report_every=every, validation=validation, tuning=tuning)
