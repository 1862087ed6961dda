"""A model during training: everything that a training state holds, and one step."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fieldcast.encoding.tensor_file import pack_state
from fieldcast.errors import InputError
from fieldcast.lineage import Lineage
from fieldcast.models.core import Solved, Terms, Trained
from fieldcast.training.options import Fit
from fieldcast.training.ranks import SINGLE_RANK, Ranks

LOG = logging.getLogger(__name__)
DIVERGED = "training diverged at step %d of %d: the weights of step %d are kept; lower fit.learning_rate."
TOO_LATE = "fit.max_minutes: %g minutes ended the training at step %d of %d."

Weights = dict[str, Tensor]
# attributes of `Training` that the header of its state holds
FIELDS = ("best_step", "step", "skipped", "seconds", "stepping", "peak_mb", "finished", "history", "added")


def learned_weights(model: Trained) -> Weights:
    """The state of a model without its closed-form parts, which gradient steps do not change."""
    solved = tuple(f"{name}." for name, part in model.named_modules() if isinstance(part, Solved))
    return {k: v for k, v in model.state_dict().items() if not k.startswith(solved)}


def fits_model(model: Trained, tensors: Weights) -> bool:
    """Whether a state holds the weights of a model; another version of the code may have had other weights."""
    stored = {name.removeprefix("model.") for name in tensors if name.startswith("model.")}
    return stored == set(learned_weights(model))


def copy_weights(weights: Weights) -> Weights:
    """Copies of the weights, which do not change with the model."""
    return {name: value.clone() for name, value in weights.items()}


def clip_gradients(parameters: Sequence[nn.Parameter], most: float) -> None:
    """Scale gradients to a norm of at most `most`, as `clip_grad_norm_`; on a CPU smaller ones are not touched."""
    given = [p for p in parameters if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in given if p.grad is not None])
    # a multiplication by 1 takes a fortieth of a step; a GPU would have to be waited for
    if norm.device.type != "cpu" or not norm + 1e-6 <= most:
        nn.utils.clip_grads_with_norm_(given, most, norm)


@contextmanager
def weights_of(model: Trained, weights: Weights) -> Iterator[None]:
    """Give the model other weights for the duration of a block."""
    original = copy_weights(learned_weights(model))
    model.load_state_dict(weights, strict=False)
    try:
        yield
    finally:
        model.load_state_dict(original, strict=False)


class Training:
    """A model during training: everything that a training state holds."""

    def __init__(self, model: Trained, options: Fit, seed: int, parts: Sequence[Solved] = ()):
        """Start training; `parts` are closed-form parts that were solved for this training, for the finished state."""
        self.model, self.options, self.seed, self.parts = model, options, seed, parts
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimiser = torch.optim.AdamW(
            self.parameters, lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
        )
        # not copies: the steps, and states that are loaded, change them in place
        self.learned = learned_weights(model)
        self.average = copy_weights(self.learned)
        self.best, self.best_loss, self.best_step = copy_weights(self.average), math.inf, 0
        self.step, self.seconds, self.stepping, self.peak_mb, self.finished = 0, 0.0, 0.0, 0.0, False
        self.skipped = 0  # steps omitted because validation stopped improving before the rollouts
        self.history: list[dict[str, float]] = []
        self.sums: dict[str, Tensor | float] = {}  # sums of the losses since the last row of the history
        self.added = 0  # number of steps in these sums

    def learning_rate(self) -> float:
        """Linear warm-up, then a cosine to zero (Loshchilov and Hutter 2017, eq. 5)."""
        warm = self.options.warm_up * self.options.steps
        if self.step < warm:
            return self.options.learning_rate * min(1.0, (self.step + 1) / warm)
        progress = (self.step - warm) / max(1.0, self.options.steps - warm)
        return self.options.learning_rate * (1 + math.cos(math.pi * progress)) / 2

    @property
    def first_rollout(self) -> int:
        """First step with the loss of a rollout."""
        options = self.options
        return math.ceil((1 - options.rollout_share) * options.steps) if options.longest > 1 else 0

    @property
    def rollout(self) -> tuple[int, int]:
        """Number of rollout steps in the loss, and of pushforward steps before them, which half of the steps omit."""
        if self.step < self.first_rollout:
            return 1, 0
        random, longest = Random(f"{self.seed} {self.step}"), self.options.pushforward_steps
        return self.options.rollout, random.randint(1, longest) if longest and random.random() < 0.5 else 0

    def work_of(self, step: int) -> float:
        """Expected work of a step: steps of its rollout with a gradient, and a third for each pushforward step."""
        if step < self.first_rollout:
            return 1.0
        longest = self.options.pushforward_steps
        return self.options.rollout + (0.5 * (longest + 1) / 2 / 3 if longest else 0.0)

    @property
    def validation_steps(self) -> int:
        """Number of steps of a validation: one, until training has taken steps over rollouts."""
        return self.options.longest if self.step > self.first_rollout else 1

    def out_of_time(self, begin: float | None = None) -> bool:
        """Whether the time limit ends the training, counting the time since `begin` too."""
        since = 0.0 if begin is None else time.perf_counter() - begin
        return self.options.max_minutes is not None and self.seconds + since >= 60 * self.options.max_minutes

    def update(self, terms: Terms, ranks: Ranks = SINGLE_RANK, weight: float = 1.0) -> None:
        """Take a step of AdamW, and update the moving average; its decay grows, so that it soon forgets early weights.

        With several ranks, `terms` are the losses of this rank's share of the batch, and `weight` is its weight w_r.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = self.learning_rate()
        self.optimiser.zero_grad(set_to_none=True)
        losses = {
            name: weight * value.detach().float()
            for name, value in {"loss": terms.total, **terms.parts}.items()
        }
        (weight * terms.total).backward()
        ranks.add([p.grad for p in self.parameters if p.grad is not None] + list(losses.values()))
        clip_gradients(self.parameters, self.options.max_grad_norm)
        self.optimiser.step()
        self.step += 1
        decay = min(self.options.ema_decay, (1 + self.step) / (10 + self.step))
        pairs = [(self.average[name], value) for name, value in self.learned.items()]
        for average, value in pairs:
            if not value.is_floating_point():
                average.copy_(value)
        averages, values = zip(*(pair for pair in pairs if pair[1].is_floating_point()), strict=True)
        get_ema_multi_avg_fn(decay)(averages, values, self.step)  # one call needs few kernels on a GPU
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.added += 1

    def record(self, loss: float) -> None:
        """Add a row to the history, and keep the average of the weights if its validation is the best so far."""
        losses = {name: float(value) / self.added for name, value in self.sums.items()}
        self.sums, self.added = {}, 0
        over = {"validation_steps": self.validation_steps} if self.options.longest > 1 else {}
        self.history.append(
            {"step": self.step, "seconds": round(self.seconds, 2), **losses, "validation": loss, **over}
        )
        if not math.isfinite(loss) and not math.isfinite(self.best_loss):
            raise InputError("the training diverged before its first validation: lower fit.learning_rate.")
        if self.best_step <= self.first_rollout < self.step:
            self.best_loss = math.inf  # earlier losses are over single steps
        if loss < self.best_loss:
            self.best, self.best_loss, self.best_step = copy_weights(self.average), loss, self.step
        options = self.options
        waiting = options.patience * options.report_every
        if self.step < self.first_rollout and self.step - self.best_step >= waiting:
            # single steps no longer help: continue with the rollouts, from the best weights
            self.skipped, self.step = self.first_rollout - self.step, self.first_rollout
            self.model.load_state_dict(self.best, strict=False)
            self.average = copy_weights(self.best)
        idle = self.step - max(self.best_step, self.first_rollout) >= waiting
        diverged = not math.isfinite(loss)  # the best weights so far are kept
        if diverged:
            LOG.warning(DIVERGED, self.step, options.steps, self.best_step)
        out_of_time = self.out_of_time()
        if out_of_time and self.step < options.steps:
            LOG.warning(TOO_LATE, options.max_minutes, self.step, options.steps)
        self.finished = self.step >= options.steps or idle or out_of_time or diverged

    def state(self, lineage: Lineage) -> bytes:
        """The whole state as the bytes of one file."""
        tensors = {f"model.{k}": v for k, v in self.learned.items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{k}": torch.as_tensor(v) for k, v in moments.items()}
        if self.finished:
            for number, part in enumerate(self.parts):
                tensors |= {f"solved.{number}.{k}": v for k, v in part.state_dict().items()}
        header = {name: getattr(self, name) for name in FIELDS}
        header["sums"] = {name: float(value) for name, value in self.sums.items()}
        best_loss = self.best_loss if math.isfinite(self.best_loss) else None
        return pack_state(tensors, lineage, self.step, **header, best_loss=best_loss)

    def resume(self, tensors: Weights, header: Mapping[str, Any]) -> None:
        groups: dict[str, Weights] = {"model": {}, "average": {}, "best": {}, "optimiser": {}, "solved": {}}
        for name, tensor in tensors.items():
            group, _, key = name.partition(".")
            groups[group][key] = tensor.to(self.parameters[0].device)
        self.model.load_state_dict(groups["model"], strict=False)
        self.learned = learned_weights(self.model)  # a table of latents has taken the stored number of rows
        self.average, self.best = groups["average"], groups["best"]
        for number, part in enumerate(self.parts if groups["solved"] else ()):
            prefix = f"{number}."
            part.load_state_dict(
                {k.removeprefix(prefix): v for k, v in groups["solved"].items() if k.startswith(prefix)}
            )
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor.cpu() if key == "step" else tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        for name in FIELDS:
            setattr(self, name, header[name])
        self.sums = dict(header["sums"])
        self.best_loss = math.inf if header["best_loss"] is None else header["best_loss"]
