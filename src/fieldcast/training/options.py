"""User options for training, checked before anything runs."""

import math
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT, Limits


@dataclass(frozen=True, config=STRICT)
class Fit:
    """Options of a fit. A model with a closed-form solution uses only `tuning`, `data` and `restart`.

    Parameters
    ----------
    steps
        Number of gradient steps.
    epochs
        Number of passes over the training data, which then decides the number of steps in place of `steps`.
    max_minutes
        Time limit of the training. If it ends the training, the result depends on the speed of the machine.
    batch
        Number of data in a batch.
    learning_rate, weight_decay
        Options of AdamW; `learning_rate` is the highest rate.
    warm_up
        Share of the steps in which the learning rate rises, before it falls as a cosine.
    max_grad_norm
        Norm to which the gradient is clipped.
    ema_decay
        Decay of the exponential moving average of the weights.
    members
        Number of draws per datum in a loss that scores an ensemble.
    rollout
        Number of steps of the rollouts over which a forecast is trained at the end.
    rollout_share
        Share of the training that these rollouts take.
    pushforward_steps
        Largest number of steps before a rollout, without loss or gradient, in half of the batches.
    report_every
        Number of steps between two rows of the history, each with a validation.
    patience
        Number of validations without improvement after which training proceeds to its rollouts, or stops.
    validation
        Number of states scored at each validation.
    save_every
        Seconds between two saves of the training state; 0 saves it with each row of the history.
    tuning
        Number of validation states on which choices are tuned.
    precision
        Number format of the networks. On grids of a few thousand cells bfloat16 only slows a GPU down.
    compile
        Whether torch compiles the model.
    data
        Whether the training data are in memory, or read from their store on demand; "auto" streams fields that are
        opened lazily, as those are that take more than a quarter of the memory available.
    ranks
        Number of processes that train together, each with a share of every batch; "auto" is one for each GPU.
    restart
        Whether to ignore an earlier training state.
    """

    steps: Annotated[int, Field(ge=1)] = 2000
    epochs: Annotated[float, Field(gt=0)] | None = None
    max_minutes: Annotated[float, Field(gt=0)] | None = None
    batch: Annotated[int, Field(ge=1)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    members: Annotated[int, Field(ge=2)] = 2
    rollout: Annotated[int, Field(ge=1)] = 1
    rollout_share: Annotated[float, Field(ge=0, le=1)] = 0.4
    pushforward_steps: Annotated[int, Field(ge=0)] = 0
    report_every: Annotated[int, Field(ge=1)] = 100
    patience: Annotated[int, Field(ge=1)] = 10
    validation: Annotated[int, Field(ge=1)] = 64
    save_every: Annotated[float, Field(ge=0)] = 30.0
    tuning: Annotated[int, Field(ge=1)] = 128
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    data: Literal["auto", "memory", "stream"] = "auto"
    ranks: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    restart: bool = False

    @property
    def longest(self) -> int:
        """Steps of the longest rollout in training."""
        return self.pushforward_steps + self.rollout

    def counted(self, data: int) -> "Fit":
        """The options with the number of steps that `epochs` passes over a number of data take, if they are given."""
        return (
            self if self.epochs is None else replace(self, steps=math.ceil(self.epochs * data / self.batch))
        )

    def capped(self, limits: "Limits") -> "Fit":
        """The options in force under the limits."""
        steps, validation = limits.cap("steps", self.steps), limits.cap("times", self.validation)
        report_every, tuning = min(self.report_every, steps), limits.cap("times", self.tuning)
        return replace(self, steps=steps, report_every=report_every, validation=validation, tuning=tuning)
