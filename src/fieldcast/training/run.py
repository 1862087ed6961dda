"""Training from data sets: from a recipe and fields to the files to save."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import xarray as xr

from fieldcast import lineage
from fieldcast.encoding.checkpoint import FITTED_BY, FORMAT, Codec, codec_digest, pack, read_header, unpack
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import ImageCodec
from fieldcast.errors import InputError, counted
from fieldcast.fields.domain import require_complete
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import select
from fieldcast.kinds import are_images
from fieldcast.models.autoencoder import Autoencoder
from fieldcast.models.configuration import build
from fieldcast.models.core import Combined, Model, Solved, Trained
from fieldcast.models.likelihoods import Bernoulli
from fieldcast.models.options import BINARY
from fieldcast.models.replicas import choose_device
from fieldcast.models.source_code import code_of
from fieldcast.models.space import Space
from fieldcast.training.batches import Batches
from fieldcast.training.loop import FitInputs, Saved, fit
from fieldcast.training.options import Fit
from fieldcast.training.ranks import number_of_ranks
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import BatchOrder
from fieldcast.training.task import TrainingTask

LOG = logging.getLogger(__name__)
# options of a fit that do not change the fitted model
NOT_IN_LINEAGE = ("save_every", "restart", "data", "ranks")
Checkpoints = Mapping[str, bytes]  # checkpoint files by role


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides what a fitted model is: the problem of a task, and options.

    Parameters
    ----------
    problem
        The training problem of the task: its data, checks and batches.
    model
        Type and keywords of the model, as in the YAML file.
    fit, limits
        Options of the fit before the limits are applied, and these limits.
    seed
        Seed of initial weights, batches and draws.
    device
        `auto`, or a device name of torch.
    """

    problem: TrainingTask
    model: Mapping[str, Any]
    fit: Fit
    seed: int
    limits: Limits
    device: str

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: {self.seed} is outside 0 to {2**31 - 1}.")

    def options(self) -> dict[str, Any]:
        """Task, model and all options that change the fitted model: all but NOT_IN_LINEAGE."""
        by_epochs = self.fit.epochs is not None  # then the data decide the number of steps, up to the limit
        options = replace(self.fit, steps=sys.maxsize) if by_epochs else self.fit
        fit = asdict(options.capped(self.limits))
        fit = {key: value for key, value in fit.items() if key not in NOT_IN_LINEAGE}
        if by_epochs:
            fit["steps"] = self.limits.steps
        else:  # the options are as before there were epochs, so that older checkpoints stay in use
            del fit["epochs"]
        return {
            "task": self.problem.task,
            "model": dict(self.model),
            "fit": fit,
            **self.problem.fit_options(),
        }

    def made_from(self, data: PreparedData, parts: Checkpoints) -> dict[str, Any]:
        """The lineage of a checkpoint; among the checkpoints of other experiments that it is made from, `base` is its
        base, and the others are its parts."""
        codec, _ = self.problem.codec(*data.statistics)
        pooled = {role: part for role, part in parts.items() if role != "base"}
        return self.lineage(data, codec, parts.get("base"), pooled)

    def lineage(
        self, data: PreparedData, codec: Codec, base: bytes | None, parts: Checkpoints | None = None
    ) -> dict[str, Any]:
        """Everything that the fitted model depends on except for the device.

        `base` is the checkpoint of its base, `parts` are the checkpoints of its parts. Code, data, statistics, base
        and parts are stored as digests of modules, fields, codec and weights.
        """
        weights = None if base is None else read_header(base, checkpoint_in_role("base"))["weights"]
        pooled = {
            role: read_header(part, checkpoint_in_role(role))["weights"]
            for role, part in (parts or {}).items()
        }
        return {
            **({"parts": pooled} if pooled else {}),
            **self.options(), "code": code_of(self.model),
            "data": data.fields.attrs["digest"], "splits": dict(data.splits),
            "statistics": codec_digest(codec), "seed": self.seed, "base": weights,
        }  # fmt: skip


def train(
    recipe: Recipe, data: PreparedData, previous: bytes | None, base: bytes | None = None,
    parts: Checkpoints | None = None, stored: bytes | None = None,
) -> Iterator[Saved]:  # fmt: skip
    """Fit the model of a recipe to the training split.

    `previous` is the training state to resume from, `stored` a checkpoint, which is kept if it has the same lineage;
    `base` is the checkpoint of its closed-form part, `parts` are the checkpoints of a combined model, by role.
    """
    codec, space = recipe.problem.codec(*data.statistics)
    space = space.to(choose_device(recipe.device))
    model = initial_model(recipe.model, space, recipe.seed).to(space.area.device)
    recipe.problem.check(recipe.model["type"], model, recipe.fit)
    refuse_gaps(recipe, model, data)
    warn_of_grey_values(model, codec)
    training, validation = (
        split_batches(recipe, data, codec, model, name) for name in ("train", "validation")
    )
    options = recipe.fit.counted(len(training)).capped(recipe.limits)
    count_warm_up(model, options.steps)
    if isinstance(model, Trained):
        options = replace(options, ranks=number_of_ranks(options, recipe.device, len(training)))
    # another device, or random numbers of another version, would not continue the same training
    environment = {"device": choose_device(recipe.device).type, "format": FORMAT}
    order = announced_order(model, training)
    sources = {**recipe.lineage(data, codec, base, parts), **environment, **order}
    required = {name: sources[name] for name in ("data", "splits", "seed", *recipe.problem.fit_options())}
    unsolved = load_fitted_parts(model, recipe.model, base, parts or {}, required)
    origin = {"source": data.fields.attrs["source"], **calendar_of(data.fields), **lineage.code()}
    header = {**sources, **origin, FITTED_BY: sorted(recipe.problem.fit_options())}
    inputs = FitInputs(training, validation, options, recipe.seed)
    yield from fit(
        model,
        inputs,
        lambda results: pack(model, codec, {**header, **results}),
        previous,
        sources,
        unsolved,
        stored,
    )


def split_batches(recipe: Recipe, data: PreparedData, codec: Codec, model: Model, name: str) -> Batches:
    """Batches of a split: "train" or "validation"."""
    fields = select(data.fields, data.splits, name)
    return recipe.problem.batches(fields, codec, model, recipe.fit, name == "train")


def load_fitted_parts(
    model: Model,
    config: Mapping[str, Any],
    base: bytes | None,
    parts: Checkpoints,
    required: Mapping[str, Any],
) -> Sequence[Solved]:
    """Load the fitted parts of a model; return its other closed-form parts, which must be solved.

    `required` holds the entries that the headers of the checkpoints must have.
    """
    if isinstance(model, Combined):
        load_parts(model, config, parts, required)
        return []
    if base is None:
        return closed_form_parts(model)
    for part in closed_form_parts(model):
        load_part(part, base, "base", "model.base", {"model": base_config(config), **required})
    return []


def calendar_of(fields: xr.Dataset) -> dict[str, str]:
    """The calendar of fields as an entry of the header; empty for images."""
    return {} if are_images(fields) else {"calendar": str(fields["time"].dt.calendar)}


def announced_order(model: Model, training: Batches) -> dict[str, int]:
    """Entries for the order of the batches in the lineage of a training state; streamed data are logged."""
    order = BatchOrder(training, None, 0, 1)
    if not isinstance(training.data, InMemory):
        LOG.info(
            "The training data are streamed: %s in %s (fit.data=memory holds them in memory).",
            counted(len(training.data.shards), "shard"), counted(order.windows, "window"),
        )  # fmt: skip
    return {"windows": order.windows} if isinstance(model, Trained) else {}


def refuse_gaps(recipe: Recipe, model: Model, data: PreparedData) -> None:
    """Raise an InputError if the data have missing values, and the task or the model needs complete fields."""
    if not recipe.problem.takes_gaps:
        require_complete(data.fields, f"experiments of the task {recipe.problem.task}")
    if not model.learns_from_gaps:
        require_complete(data.fields, f"models of the type {recipe.model['type']}")


def count_warm_up(model: Model, steps: int) -> None:
    """Count the warm-up of the KL divergence of VAEs in steps; warn if the training ends before its weight is 1."""
    vaes = [part for part in model.modules() if isinstance(part, Autoencoder)]
    for vae in vaes:
        vae.kl_warm_up = vae.warm_up_in(steps)
    end = max((vae.kl_warm_up[1] for vae in vaes), default=0)
    if end >= steps:
        LOG.warning(
            "kl_warm_up ends at step %d, and fit.steps is %d: the KL term never reaches its full weight; train "
            "it longer, or lower kl_warm_up.", end, steps,
        )  # fmt: skip


def warn_of_grey_values(model: Model, codec: Codec) -> None:
    """Log a warning if a Bernoulli likelihood, which is one of zeros and ones, is trained on grey values."""
    has_bernoulli = any(isinstance(part, Bernoulli) for part in model.modules())
    if has_bernoulli and isinstance(codec, ImageCodec) and codec.treatment not in BINARY:
        LOG.warning(
            "likelihoods.Bernoulli is no density of the grey values that options.treatment: %s gives, so the ELBO is "
            "no bound of a likelihood: take likelihoods.ContinuousBernoulli, or treatment: threshold.", codec.treatment,
        )  # fmt: skip


def initial_model(config: Mapping[str, Any], space: Space, seed: int) -> Model:
    """A model with initial weights that depend on the seed alone; the global generator of torch is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # weights are initialised on the CPU
        model: Model = build(config, space, expected=Model)
    return model


def closed_form_parts(model: Model) -> list[Solved]:
    """Parts of a trained model that are solved before training, such as the base of a correction."""
    return [part for part in model.modules() if isinstance(part, Solved) and part is not model]


def base_config(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Configuration of the closed-form base of a correction, which may be inside `Stepped`."""
    base: Mapping[str, Any] | None = config.get("base")
    return base_config(config["model"]) if base is None and "model" in config else base


def load_part(part: Model, stored: bytes, role: str, option: str, expected: lineage.Lineage) -> None:
    """Load a part of a model from the checkpoint of another experiment; its header must have the entries `expected`."""
    checkpoint = unpack(stored, checkpoint_in_role(role))
    lineage.require(
        checkpoint.header,
        expected,
        f"{checkpoint_in_role(role)} was fitted",
        f"set {option} to the same options, or fit that experiment again with `kedro run --pipelines training`",
    )
    part.load_state_dict(checkpoint.model.state_dict())


def load_parts(
    combined: Combined, config: Mapping[str, Any], stored: Checkpoints, required: lineage.Lineage
) -> None:
    """Load the parts of a model, each from the checkpoint in the role of its name."""
    if set(stored) != set(combined.parts):
        raise InputError(
            f"model.parts names {', '.join(combined.parts)}, and uses {', '.join(stored) or 'nothing'}: give each part "
            "the experiment whose checkpoint it is, as in uses: {"
            + f"{next(iter(combined.parts))}: <task>.<experiment>}}."
        )
    for name, part in combined.parts.items():
        load_part(
            part, stored[name], name, f"model.parts.{name}", {"model": config["parts"][name], **required}
        )


def checkpoint_in_role(name: str) -> str:
    return f"the checkpoint named by '{name}'"
