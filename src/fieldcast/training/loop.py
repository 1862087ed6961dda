"""Fitting as a generator: it yields the files to save, and may be interrupted at any moment.

The batch of step t, its masks and its draws are functions of (seed, t) alone; the training state holds the weights,
their moving average, the best average so far, the optimiser's moments and the history. A run that was killed and is
started again therefore ends with bit for bit the weights of an uninterrupted run on the same machine's CPU.

At the end `latent_use` says whether the decoder of a VAE uses its latent: the error of its draws with other latents
than those of the datum.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding import checkpoint
from fieldcast.encoding.checkpoint import read_header, unpack
from fieldcast.encoding.tensor_file import UNREADABLE, header_of, pack_state, resume
from fieldcast.errors import InputError
from fieldcast.lineage import FINISHED_BEFORE, Lineage, matches
from fieldcast.models.autoencoder import Autoencoder
from fieldcast.models.core import Batch, Context, Model, Solved, Trained
from fieldcast.models.emos import EMOS
from fieldcast.models.latent_table import LatentTable
from fieldcast.models.pool import Pool
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.space import evenly
from fieldcast.models.stepped import Stepped, step
from fieldcast.runtime import Progress
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit
from fieldcast.training.rank_processes import train_ranks_until_due
from fieldcast.training.state_source import InMemory
from fieldcast.training.steps import train_until_due
from fieldcast.training.training_state import (
    Training,
    Weights,
    copy_weights,
    fits_model,
    learned_weights,
    weights_of,
)
from fieldcast.training.tuning import fit_emos, scored_trials, tune, tune_weights

LOG = logging.getLogger(__name__)

HISTORY = "history"  # rows of the history in the header of a checkpoint
LATENT_DRAWS = 8  # draws of z for each datum


class Saved(NamedTuple):
    """The files to save at each yield.

    The checkpoint is stored before the state: if a kill falls between the two, the training resumes from the last
    state, and ends with the same checkpoint.
    """

    state: bytes | None  # None if the checkpoint was finished by an earlier run with another state
    checkpoint: bytes | None  # None until the training has finished: the last finished one stays in use
    history: pd.DataFrame


class FitInputs(NamedTuple):
    """The data of both splits that a fit uses, its options and its seed."""

    training: Batches
    validation: Batches
    options: Fit
    seed: int


Pack = Callable[[Mapping[str, Any]], bytes]  # from the results of the fit, for the header, to the checkpoint


def fit(
    model: Model, inputs: FitInputs, pack: Pack, previous: bytes | None, lineage: Lineage,
    unsolved: Sequence[Solved] = (), stored: bytes | None = None,
) -> Iterator[Saved]:  # fmt: skip
    """Fit a model and yield the files to save, at regular intervals and at the end.

    Training resumes from a `previous` state with this `lineage`; a finished state is only unpacked, and a
    `stored` checkpoint of this lineage is kept. `unsolved` are the closed-form parts of a trained model, which are
    solved before its first step.
    """
    if finished := finished_files(stored, previous, lineage, inputs.options.restart):
        yield finished
        return
    work = "fit" if isinstance(model, Solved) else "training"
    previous = None if inputs.options.restart else previous
    tensors, header, _ = resume(previous, lineage, work, warn=True)
    checkpoint.reset_peak(inputs.training.space.area.device)
    if isinstance(model, Solved):
        yield solve_and_pack(model, inputs, pack, (tensors, header), lineage)
    elif isinstance(model, Trained):
        yield from train_by_gradient(model, inputs, pack, (tensors, header), lineage, unsolved)
    else:
        raise TypeError(f"{type(model).__name__} is neither Solved nor Trained")


def finished_files(
    stored: bytes | None, previous: bytes | None, lineage: Lineage, restart: bool
) -> Saved | None:
    """The files of a stored checkpoint of this lineage, which is kept; None if there is work to do.

    The `previous` state may be that of another training, and is left as it is. An unfinished one of this lineage goes
    first: a training that was to start again, or was interrupted between the checkpoint and the state, resumes.
    """
    if stored is None or restart or is_unfinished(previous, lineage):
        return None
    try:
        header = read_header(stored, "The stored checkpoint")
        readable = {**lineage, "format": header["format"]}  # of any format that is read
        if HISTORY not in header or not matches(header, readable):
            return None
        unpack(stored, "The stored checkpoint")
    except InputError as error:  # damaged, or of another version
        LOG.warning("%s It is trained again now.", error)
        return None
    LOG.info("Already fitted, and nothing has changed since.")
    return Saved(None, stored, table_of(header[HISTORY], finished_before=True))


def is_unfinished(state: bytes | None, lineage: Lineage) -> bool:
    """Whether a state of this lineage has steps or forecasts left; closed-form fits have no such state."""
    if state is None:
        return False
    try:
        header = header_of(state)[2]
    except UNREADABLE:
        return False
    return not header.get("finished", True) and matches(header.get("lineage", {}), lineage)


def solve(model: Solved, inputs: FitInputs) -> list[dict[str, Any]]:
    """Solve in closed form, tune on validation data and return the trials."""
    training, validation, options, seed = inputs
    model.eval()  # parts with weights of their own draw as in their checkpoints
    if isinstance(training.data, InMemory):
        model.solve(training.states())
    else:
        model.solve_streamed(training.states)
    if isinstance(model, EMOS):
        return fit_emos(model, validation, options.tuning, seed)
    if isinstance(model, Pool):
        return tune_weights(model, scored_trials(model.space, validation, options.tuning, seed))
    return tune(model, validation, options, seed)


def solve_and_pack(
    model: Solved,
    inputs: FitInputs,
    pack: Pack,
    previous: tuple[Weights, Mapping[str, Any]],
    lineage: Lineage,
) -> Saved:
    """Solve a model in closed form, unless a state of it is given; return state, checkpoint and trials."""
    tensors, header = previous
    if header:
        LOG.info("Already fitted, and nothing has changed since.")
        model.load_state_dict(tensors)
        history, spent = header["history"], header["costs"]
    else:
        begin = time.perf_counter()
        history = solve(model, inputs)
        seconds = round(time.perf_counter() - begin, 2)
        spent = {
            "train_seconds": seconds,
            "step_ms": None,
            "peak_mb": checkpoint.peak_mb(model.space.area.device),
        }
    state = pack_state(model.state_dict(), lineage, 1, history=history, costs=spent)
    results = {"costs": spent, "tuned": model.tuned_values(), HISTORY: history}
    return Saved(state, pack(results), table_of(history, finished_before=bool(header)))


def train_by_gradient(
    model: Trained, inputs: FitInputs, pack: Pack, previous: tuple[Weights, Mapping[str, Any]], lineage: Lineage,
    unsolved: Sequence[Solved],
) -> Iterator[Saved]:  # fmt: skip
    """Take the gradient steps, after solving the closed-form parts; a finished state holds these parts."""
    training, validation, options, seed = inputs
    tensors, header = previous
    fits = fits_model(model, tensors)
    if not (header.get("finished") and fits):
        # the model assigns draws to its data
        no_datum = torch.empty(0, dtype=torch.long, device=model.space.area.device)
        model.prepare(training.states(), RandomStreams(seed_for("preparation", seed), no_datum))
        for part in unsolved:
            solve(part, inputs)
    run = Training(model, options, seed, unsolved)
    if header and not fits:
        LOG.warning("The saved training state has other parameters than this network: training restarts.")
    elif header:
        run.resume(tensors, header)
        LOG.info("Already trained to step %d: %s.", run.step, "nothing to do" if run.finished else "resuming")
    if run.finished:
        yield files_to_save(run, pack, lineage, validation, finished_before=True)
        return
    work = [run.work_of(step) for step in range(options.steps)]
    with Progress(total=options.steps, initial=run.step, unit="step", work=work) as bar:

        def report(step: int, score: float | None) -> None:
            if bar.n < run.first_rollout < step:  # it may have jumped ahead to the rollouts
                work[int(bar.n) : run.first_rollout] = [0.0] * (run.first_rollout - int(bar.n))
            bar.update(step - bar.n)
            if score is not None:
                bar.set_postfix(validation=f"{score:.4f}")

        if isinstance(options.ranks, int) and options.ranks > 1:
            due_saves = train_ranks_until_due(run, training, validation, report, options.ranks)
        else:
            due_saves = train_until_due(run, training, validation, report)
        for _ in due_saves:
            if run.finished:
                model.load_state_dict(run.best, strict=False)
                if model.choices:
                    model.eval()  # with several ranks, copies are validated, and this model is still training
                    run.history += tuning_rows(run.step, tune(model, validation, options, seed))
                run.best = copy_weights(learned_weights(model))
            yield files_to_save(run, pack, lineage, validation)


def tuning_rows(step: int, trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Trials after a number of steps as rows of a history, with the score in the column `tuning`."""
    return [
        {("tuning" if key == "validation" else key): value for key, value in trial.items()} | {"step": step}
        for trial in trials
    ]


def files_to_save(
    run: Training, pack: Pack, lineage: Lineage, validation: Batches, finished_before: bool = False
) -> Saved:
    """State and history, and the checkpoint of the best weights once training has finished, in this run or before."""
    model = run.model
    spent = {
        "train_steps": run.step - run.skipped,
        "train_seconds": round(run.seconds, 2),
        "step_ms": round(1000 * run.stepping / max(run.step - run.skipped, 1), 3),
        "peak_mb": run.peak_mb,
    }
    results = {"costs": spent, "step": run.step, "best_step": run.best_step, HISTORY: run.history}
    checkpoint = None
    if run.finished:
        model.eval()
        with weights_of(model, run.best):
            spent |= latent_use(model, validation, run.seed, run.options.validation)
            checkpoint = pack({**results, "tuned": model.tuned_values()})
    return Saved(run.state(lineage), checkpoint, table_of(run.history, finished_before))


def table_of(history: list[dict[str, Any]], finished_before: bool) -> pd.DataFrame:
    """The rows of a history, marked if an earlier run had finished the fit."""
    table = pd.DataFrame(history, columns=None if history else ["step", "validation"])
    table.attrs[FINISHED_BEFORE] = finished_before
    return table


class FixedLatent(Model):
    """A VAE whose latent is given: every draw, at each stage of a step, decodes the same z."""

    def __init__(self, vae: Autoencoder, z: Float[Tensor, "rows 1 latent"]):
        super().__init__(vae.space)
        self.vae, self.z = vae, z

    def sample(self, c: Context, streams: RandomStreams) -> Float[Tensor, "rows 1 variable y x"]:
        return self.vae.restore(self.z, c, streams)


@torch.no_grad()
def latent_use(model: Model, data: Batches, seed: int, count: int) -> dict[str, float]:
    """The KL divergence of a VAE [nats], and the error of one draw with z of three sources.

    The error is the root of the area-weighted mean square over `count` evenly spaced data and `LATENT_DRAWS` draws, in
    standardised units: `rmse_posterior` with z ~ q, `rmse_other` with the z of another datum, a third of the data
    away, and `rmse_prior` with z ~ p. The decoder does not use z if the three are equal. `latent_kl` is KL(q || p),
    summed over the components of z. z is held over the stages of a Runge-Kutta step, and all other random numbers are
    those of the first source. Empty for a model without an encoder.
    """
    vae = model.model if isinstance(model, Stepped) else model
    if not isinstance(vae, Autoencoder) or isinstance(vae.encoder, LatentTable):
        return {}
    index = evenly(len(data), count).to(model.space.area.device)
    streams = RandomStreams(seed_for("latent use", seed), index, LATENT_DRAWS)
    batch = data.batch(index, streams)
    batch = replace(batch, index=None)
    difference = model.difference(batch) if isinstance(model, Stepped) else batch
    q, p = vae.posterior(difference, streams.alone()), vae.latent_prior(batch.context)
    z = q.draw(streams)
    sources = {"posterior": z, "other": z.roll(len(z) // 3, dims=0), "prior": p.draw(streams)}
    row_streams = streams.per_row()
    return {
        "latent_kl": float(vae.divergence(q, z[:, :1], batch.context).mean()),
        **{f"rmse_{name}": rmse(model, vae, batch, latent, row_streams) for name, latent in sources.items()},
    }


def rmse(
    model: Model,
    vae: Autoencoder,
    batch: Batch,
    z: Float[Tensor, "batch members latent"],
    streams: RandomStreams,
) -> float:
    """Root of the area-weighted mean squared error of draws of the model with these latents."""
    fixed, c = FixedLatent(vae, z.flatten(0, 1)[:, None]), batch.context.repeat(z.shape[1])
    if isinstance(model, Stepped):
        x = step(fixed, c, streams, model.scale, model.scheme)
        x = x if model.filter is None else model.filter(x)
    else:
        x = fixed.sample(c, streams.again())[:, 0]
    squared = (x.unflatten(0, z.shape[:2]) - batch.x[:, None]).square() * model.space.weight
    return math.sqrt(float(squared.sum(dim=(-2, -1)).mean()))
