"""Training from data sets: a recipe and some fields become files to save."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import xarray as xr

from fieldcast import lineage, provenance
from fieldcast.argument_groups import ArgumentGroup
from fieldcast.encoding.checkpoint import FORMAT, Codec, codec_digest, pack, read_header, unpack
from fieldcast.encoding.device import choose_device
from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.fields.domain import require_complete
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import select
from fieldcast.kinds import are_images
from fieldcast.models.autoencoder import Autoencoder
from fieldcast.models.combined import Combined
from fieldcast.models.configuration import build
from fieldcast.models.core import Model, Solved, Trained
from fieldcast.models.source_code import code_of
from fieldcast.models.space import Space
from fieldcast.training.batch_order import BatchOrder
from fieldcast.training.batches import Batches
from fieldcast.training.loop import Saved, fit
from fieldcast.training.options import Fit
from fieldcast.training.problem import Problem
from fieldcast.training.ranks import number_of_ranks
from fieldcast.training.state_source import InMemory

LOG = logging.getLogger(__name__)
# options of a fit that do not decide what is fitted
NOT_IN_LINEAGE = ("save_every", "restart", "data", "ranks")
Checkpoints = Mapping[str, bytes]  # by role


@dataclass(frozen=True)
class Recipe:
    """Everything but the data that decides what a fitted model is: the problem of a task, and options.

    Parameters
    ----------
    problem
        What the task trains on, checks and batches.
    model
        Type and keywords, as in the YAML.
    fit, limits
        Options, before the limits are applied.
    seed
        Seed of initial weights, batches and draws.
    device
        `auto`, or a name that torch knows.

    Raises
    ------
    InputError
        For a seed outside its range.
    """

    problem: Problem
    model: Mapping[str, Any]
    fit: Fit
    seed: int
    limits: Limits
    device: str

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed: {self.seed} is outside 0 to {2**31 - 1}.")

    def options(self) -> dict[str, Any]:
        """Task, model and options that decide what is fitted: not those in NOT_IN_LINEAGE."""
        fit = asdict(self.fit.capped(self.limits))
        fit = {key: value for key, value in fit.items() if key not in NOT_IN_LINEAGE}
        return {"task": self.problem.task, "model": dict(self.model), "fit": fit, **self.problem.fitted_by()}

    def lineage(
        self, data: PreparedData, codec: Codec, base: bytes | None, parts: Checkpoints | None = None
    ) -> dict[str, Any]:
        """Everything that the fitted model depends on but its device.

        `base` is the checkpoint that it starts from, `parts` those of its parts. Code, data, statistics, base and
        parts are digests: of modules, of the fields, of the codec that is made from their statistics, and of weights.
        """
        weights = None if base is None else read_header(base, in_role("base"))["weights"]
        pooled = {role: read_header(part, in_role(role))["weights"] for role, part in (parts or {}).items()}
        return {
            **({"parts": pooled} if pooled else {}),
            **self.options(), "code": code_of(self.model),
            "data": data.fields.attrs["digest"], "splits": dict(data.splits),
            "statistics": codec_digest(codec), "seed": self.seed, "base": weights,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrainingOptions(ArgumentGroup):
    """Everything of a recipe but the problem, as a run passes it to a node; fields as in `Recipe`."""

    model: dict[str, Any]
    fit: Fit
    seed: int
    limits: Limits
    device: str

    def recipe(self, problem: Problem) -> Recipe:
        """The recipe for a problem."""
        return Recipe(problem, self.model, self.fit, self.seed, self.limits, self.device)


def train(
    recipe: Recipe, data: PreparedData, earlier: bytes | None, base: bytes | None = None,
    parts: Checkpoints | None = None,
) -> Iterator[Saved]:  # fmt: skip
    """Fit the model of a recipe to the training split.

    `base` is the checkpoint of its closed-form part, `parts` are those of the parts of a combined model, by role.

    Raises
    ------
    InputError
        For a model that cannot be built or does not fit the task, a missing device, a base of another model or other
        data.
    """
    codec, space = recipe.problem.codec(*data.statistics)
    space = space.to(choose_device(recipe.device))
    model = initialised(recipe.model, space, recipe.seed).to(space.area.device)
    options = recipe.fit.capped(recipe.limits)
    recipe.problem.check(recipe.model["type"], model, recipe.fit)
    refuse_gaps(recipe, model, data)
    warn_of_warm_up(recipe, model)
    training, validation = (
        split_batches(recipe, data, codec, model, name) for name in ("train", "validation")
    )
    if isinstance(model, Trained):
        options = replace(options, ranks=number_of_ranks(options, recipe.device, len(training)))
    # another device, or random numbers of another version, would not continue a training as it began
    here = {"device": choose_device(recipe.device).type, "format": FORMAT}
    order = announced_order(model, training)
    sources = {**recipe.lineage(data, codec, base, parts), **here, **order}
    same = {name: sources[name] for name in ("data", "splits", "seed", *recipe.problem.fitted_by())}
    unsolved = load_fitted_parts(model, recipe.model, base, parts or {}, same)
    origin = {"source": data.fields.attrs["source"], **calendar_of(data.fields), **provenance.code()}
    header = {**sources, **origin}
    yield from fit(
        model, training, validation, options, recipe.seed,
        lambda results: pack(model, codec, {**header, **results}), earlier, sources, unsolved,
    )  # fmt: skip


def split_batches(recipe: Recipe, data: PreparedData, codec: Codec, model: Model, name: str) -> Batches:
    """Batches of a split: "train" or "validation"."""
    fields = select(data.fields, data.splits, name)
    return recipe.problem.batches(fields, codec, model, recipe.fit, name == "train")


def load_fitted_parts(
    model: Model, config: Mapping[str, Any], base: bytes | None, parts: Checkpoints, same: Mapping[str, Any]
) -> Sequence[Solved]:
    """Load the parts of a model that are fitted; return its closed-form parts that are not, and must be solved.

    The checkpoints must agree with `same` about what they were fitted to.
    """
    if isinstance(model, Combined):
        load_parts(model, config, parts, same)
        return []
    if base is None:
        return closed_form_parts(model)
    for part in closed_form_parts(model):
        load_part(part, base, "base", "model.base", {"model": base_of(config), **same})
    return []


def calendar_of(fields: xr.Dataset) -> dict[str, str]:
    """The calendar of fields, as an entry of the header; none for images."""
    return {} if are_images(fields) else {"calendar": str(fields["time"].dt.calendar)}


def announced_order(model: Model, training: Batches) -> dict[str, int]:
    """Return what the order of the batches adds to the lineage of a training state; log it for streamed data."""
    order = BatchOrder(training, None, 0, 1)
    if not isinstance(training.data, InMemory):
        LOG.info(
            "The training data are streamed: %d shards in %d windows (fit.data=memory holds them in memory).",
            len(training.data.shards), order.windows,
        )  # fmt: skip
    return {"windows": order.windows} if isinstance(model, Trained) else {}


def refuse_gaps(recipe: Recipe, model: Model, data: PreparedData) -> None:
    """Raise an InputError for data with missing values if the task or the model needs complete fields."""
    if not recipe.problem.takes_gaps:
        require_complete(data.fields, f"experiments of the task {recipe.problem.task}")
    if not model.learns_from_gaps:
        require_complete(data.fields, f"models of the type {recipe.model['type']}")


def warn_of_warm_up(recipe: Recipe, model: Model) -> None:
    """Log a warning if a VAE is not trained longer than the weight of its KL divergence takes to rise."""
    ends = [part.kl_warm_up[1] for part in model.modules() if isinstance(part, Autoencoder)]
    if max(ends, default=0) >= recipe.fit.steps:
        LOG.warning(
            "kl_warm_up ends at step %d, and fit.steps is %d: the KL term never reaches its full weight; train "
            "it longer, or lower kl_warm_up.", max(ends), recipe.fit.steps,
        )  # fmt: skip


def initialised(config: Mapping[str, Any], space: Space, seed: int) -> Model:
    """A model whose first weights are a function of the seed; torch's global generator is unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # weights are initialised on the processor
        model: Model = build(config, space, expected=Model)
    return model


def closed_form_parts(model: Model) -> list[Solved]:
    """Parts of a trained model that are solved before training, such as the base of a correction."""
    return [part for part in model.modules() if isinstance(part, Solved) and part is not model]


def base_of(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Configuration of the closed-form base of a correction, which may stand inside `Stepped`."""
    base: Mapping[str, Any] | None = config.get("base")
    return base_of(config["model"]) if base is None and "model" in config else base


def load_part(part: Model, stored: bytes, role: str, option: str, present: lineage.Lineage) -> None:
    """Load a part of a model from the checkpoint of another experiment, which must be fitted to these data."""
    checkpoint = unpack(stored, in_role(role))
    lineage.require(
        checkpoint.header,
        present,
        f"{in_role(role)} was fitted",
        f"set {option} to the same options, or fit that experiment again with `kedro run --pipelines training`",
    )
    part.load_state_dict(checkpoint.model.state_dict())


def load_parts(
    combined: Combined, config: Mapping[str, Any], stored: Checkpoints, same: lineage.Lineage
) -> None:
    """Load the parts of a model, each from the checkpoint in the role of its name.

    Raises
    ------
    InputError
        For roles in `uses` that are not the names of the parts; for a part of another model or other data.
    """
    if set(stored) != set(combined.parts):
        raise InputError(
            f"model.parts names {', '.join(combined.parts)}, and uses {', '.join(stored) or 'nothing'}: give each part "
            "the experiment whose checkpoint it is, as in uses: {"
            + f"{next(iter(combined.parts))}: <task>.<experiment>}}."
        )
    for name, part in combined.parts.items():
        load_part(part, stored[name], name, f"model.parts.{name}", {"model": config["parts"][name], **same})


def in_role(name: str) -> str:
    """The checkpoint in a role, as messages name it."""
    return f"the checkpoint named by '{name}'"
