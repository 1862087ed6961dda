"""User options for training, checked before anything runs."""

import math
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT, Limits


@dataclass(frozen=True, config=STRICT)
class Fit:
    """Options of a fit. A model that is fitted in closed form uses only `tuning`, `data` and `restart`.

    Training restarts, with a message, after any change that affects the result: of the model or its code, `fit`,
    training masks, seed, data, or type of device. Comments and docstrings are ignored, and so are differences between
    releases in the code of Fieldcast's own classes (CONTRIBUTING.md#while-you-develop-a-model). Changes of
    `save_every`, `ranks`, `restart` and the cases of the test do not count. Nor does a change of `data`, as long as the
    training fields take no more than two shards of 64 MB; beyond that, streaming changes the order of the batches. It
    can also change the signs of modes, which are arbitrary: draws of the linear inverse model, of
    `corrected_inverse_model` and of probabilistic PCA then differ but have the same distribution, and values tuned on
    them may differ.

    The stages that draw from a model refuse a checkpoint whose model, `fit`, training masks, data, splits or seed
    differ from those of the run, and initial times or observations made with other data, splits or options; scoring
    refuses draws of another checkpoint. `fill`, `predict`, `record_cycle` and `station_scores` make none of these
    comparisons: they use the experiments' checkpoints under `data_root` as they are.

    Parameters
    ----------
    steps
        Maximum number of training steps.
    epochs
        Number of passes over the training data, which then decides the number of steps in place of `steps`.
    max_minutes
        Time limit in minutes; the 300 of most experiments only guard against endless training: if the limit ends a
        training, the result depends on the speed of the machine, and the log and the tables say so.
    batch
        Batch size, in fields.
    learning_rate
        Maximum learning rate of AdamW.
    weight_decay
        Weight decay of AdamW.
    warm_up
        Fraction of the steps over which the learning rate rises; it then decays as a cosine.
    max_grad_norm
        Maximum norm of the gradient.
    ema_decay
        Decay of the exponential moving average of the weights; predictions use the average.
    members
        Number of draws for each item of the batch in a loss that scores an ensemble.
    rollout
        Number of steps of the rollouts on which a forecast is trained at the end; each step starts from the model's own
        draws.
    rollout_share
        Fraction of training steps spent on rollouts.
    pushforward_steps
        Maximum number of push-forward steps (no loss, no gradient) before the scored rollout, used in half of the
        batches; segments shorter than these steps and the rollout together are left out.
    report_every
        Number of steps between validations; each adds a row to the history.
    patience
        Number of validations without improvement after which training proceeds to its rollouts, from the best weights
        so far, or stops.
    validation
        Number of validation states; forecasts are scored over one step, and once training on rollouts begins, over
        `pushforward_steps` + `rollout` steps.
    save_every
        Seconds between saves of the training state; 0 saves it at every validation.
    tuning
        Number of validation states on which a model's free parameters are tuned.
    precision
        Number format of the networks, `float32` or `bfloat16`; on small grids the latter slows a GPU down
        (docs/scale.md#a-gpu).
    compile
        Whether to use `torch.compile`, which slows the start and helps only on a GPU.
    data
        `memory` holds the training data in memory; `stream` reads them from their store as they are needed; `auto`
        streams fields that take more than a quarter of the memory available, and the log says so.
    ranks
        Number of processes that train together, each with a share of every batch; `auto` is one for each GPU, else 1
        (docs/scale.md#several-devices).
    restart
        Whether to discard an earlier training run and start again.
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
