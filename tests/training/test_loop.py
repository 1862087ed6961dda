import itertools
import json
import logging
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import Limits, Sparsification
from fieldcast.encoding.tensor_file import pack_bytes, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.inference.options import StateOptions
from fieldcast.lineage import FINISHED_BEFORE, RENAMED
from fieldcast.models import vae
from fieldcast.models.ensemble import Ensemble
from fieldcast.models.gaussian import training_series
from fieldcast.models.optimal_interpolation import OptimalInterpolation
from fieldcast.models.random_streams import RandomStreams, batch_index
from fieldcast.tasks.forecast import Forecasting
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.tasks.sample import StateSampling
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, initial_model, train
from fieldcast.training.training_state import Training, clip_gradients

OPTIONS = Fit(steps=12, batch=4, report_every=3, save_every=0.0, validation=8, tuning=12, learning_rate=3e-3)
VAE = {"type": "vae.ConditionalVAE", "latent": 4}


PROBLEMS = {
    "reconstruct": Reconstruction(Sparsification(noise=0.1)),
    "forecast": Forecasting(),
    "sample": StateSampling(StateOptions()),
}


def recipe(model=VAE, options=OPTIONS, seed=0, **limits) -> Recipe:
    return Recipe(PROBLEMS["reconstruct"], model, options, seed, Limits(**limits), "cpu")


def run(world, recipe, earlier=None, base=None):
    """All that is saved, one after the other."""
    return list(train(recipe, world.data, earlier, base))


def weights(checkpoint: bytes) -> dict[str, torch.Tensor]:
    return {k: v for k, v in unpack_bytes(checkpoint, "")[0].items() if k.startswith("model.")}


def same(a: bytes, b: bytes) -> bool:
    a, b = weights(a), weights(b)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("warm_up", [[0, 0], [4, 8]])
def test_resumed_from_any_save_it_ends_with_the_same_weights(world, warm_up):
    requested = recipe({**VAE, "kl_warm_up": warm_up})
    whole = run(world, requested)
    assert [len(s.history) for s in whole] == [1, 2, 3, 4]
    for part in whole[:-1]:
        torch.rand(7)  # the global generator is somewhere else
        rest = run(world, requested, part.state)
        assert same(rest[-1].checkpoint, whole[-1].checkpoint)
        assert rest[-1].history.drop(columns="seconds").equals(whole[-1].history.drop(columns="seconds"))


def test_between_two_validations_a_training_is_saved_and_resumes_to_the_same_weights_and_history(world):
    requested = recipe(options=replace(OPTIONS, report_every=6, save_every=1e-9))
    whole = run(world, requested)
    assert [len(s.history) for s in whole] == [0] * 5 + [1] * 6 + [2]
    for part in (whole[2], whole[8]):
        rest = run(world, requested, part.state)
        assert same(rest[-1].checkpoint, whole[-1].checkpoint)
        assert rest[-1].history.drop(columns="seconds").equals(whole[-1].history.drop(columns="seconds"))


def test_a_training_that_ends_before_the_warm_up_of_its_kl_is_warned_of(world, caplog):
    run(world, recipe({**VAE, "kl_warm_up": [4, 12]}))
    assert "kl_warm_up ends at step 12, and fit.steps is 12" in caplog.text
    caplog.clear()
    run(world, recipe({**VAE, "kl_warm_up": [4, 11]}))
    assert "kl_warm_up" not in caplog.text


def test_epochs_decide_the_number_of_steps_and_a_warm_up_may_be_a_share_of_them(world, caplog):
    """A training of 2 epochs is that of as many steps; its lineage, without epochs, is that of before the option."""
    data = world.split("train").sizes["time"]
    options = replace(OPTIONS, batch=100, report_every=1000)
    steps = -(-2 * data // 100)
    by_epochs = run(world, recipe({**VAE, "kl_warm_up": [0.5, 0.75]}, replace(options, epochs=2.0, steps=7)))[
        -1
    ]
    by_steps = recipe({**VAE, "kl_warm_up": [0.5 * steps, 0.75 * steps]}, replace(options, steps=steps))
    assert list(by_epochs.history["step"]) == [steps]
    assert same(by_epochs.checkpoint, run(world, by_steps)[-1].checkpoint)
    assert "kl_warm_up" not in caplog.text
    assert "epochs" not in by_steps.options()["fit"]
    epochs = (recipe(options=replace(options, epochs=2.0, steps=count)).options() for count in (7, 8))
    assert next(epochs) == next(
        epochs
    )  # another number of steps, which is not in force, trains nothing again
    by_two = replace(options, epochs=2.0)
    assert recipe(options=by_two, steps=3).options() != recipe(options=by_two).options()
    assert replace(options, epochs=0.5).counted(1001).steps == 6  # half of 1001 data in batches of 100
    assert replace(options, epochs=3.0).counted(1000).capped(Limits(steps=4)).steps == 4


def test_another_seed_is_another_run(world):
    assert not same(run(world, recipe())[-1].checkpoint, run(world, recipe(seed=1))[-1].checkpoint)


def test_a_finished_unchanged_experiment_trains_no_step(world, monkeypatch):
    whole = run(world, recipe())
    monkeypatch.setattr(Training, "update", lambda *_: pytest.fail("a step was trained"))
    rarely = run(world, recipe(options=replace(OPTIONS, save_every=5.0)), whole[-1].state)
    assert same(rarely[0].checkpoint, whole[-1].checkpoint)
    again = run(world, recipe(), whole[-1].state)
    assert len(again) == 1
    assert again[0].checkpoint == whole[-1].checkpoint  # to the last byte: what is built on it stays as it is
    assert again[0].state == whole[-1].state
    marks = [saved.history.attrs[FINISHED_BEFORE] for saved in (*whole, *again)]
    assert marks == [False] * (len(marks) - 1) + [True]


def test_a_finished_model_outlives_another_training_that_was_given_up(world, monkeypatch, caplog):
    *unfinished, finished = run(world, recipe())
    assert {saved.checkpoint for saved in unfinished} == {None}  # a finished checkpoint stays where it is
    longer = recipe(options=replace(OPTIONS, steps=24))
    given_up = next(iter(train(longer, world.data, finished.state, stored=finished.checkpoint)))
    assert given_up.checkpoint is None and len(given_up.history) == 1
    damaged = finished.checkpoint[: len(finished.checkpoint) // 2]
    with caplog.at_level(logging.WARNING):
        retrained = list(train(recipe(), world.data, given_up.state, stored=damaged))
    assert re.search(
        "The stored checkpoint is damaged .* train the experiment again. It is trained again now", caplog.text
    )
    assert len(retrained) == 4 and same(retrained[-1].checkpoint, finished.checkpoint)
    monkeypatch.setattr(Training, "update", lambda *_: pytest.fail("a step was trained"))
    (again,) = train(recipe(), world.data, given_up.state, stored=finished.checkpoint)
    assert again.checkpoint == finished.checkpoint
    assert again.state is None  # the other training can still be resumed
    assert again.history.equals(finished.history) and again.history.attrs[FINISHED_BEFORE]


def test_a_renamed_option_trains_nothing_again(world, monkeypatch):
    finished = run(world, recipe())[-1]
    tensors, header = unpack_bytes(finished.checkpoint, "it")
    header["fit"]["rate"] = header["fit"].pop("learning_rate")
    stored = pack_bytes(tensors, header)
    assert len([*train(recipe(), world.data, None, stored=stored)]) > 1
    monkeypatch.setitem(RENAMED, "fit.rate", "learning_rate")
    monkeypatch.setattr(Training, "update", lambda *_: pytest.fail("a step was trained"))
    (again,) = train(recipe(), world.data, None, stored=stored)
    assert again.checkpoint == stored and again.history.attrs[FINISHED_BEFORE]


def test_a_training_that_was_to_restart_resumes(world):
    finished = run(world, recipe())[-1]
    restarted = recipe(options=replace(OPTIONS, restart=True))
    given_up = next(iter(train(restarted, world.data, finished.state, stored=finished.checkpoint)))
    assert given_up.checkpoint is None
    resumed = list(train(recipe(), world.data, given_up.state, stored=finished.checkpoint))
    assert len(resumed) == 3 and same(resumed[-1].checkpoint, finished.checkpoint)


@pytest.mark.parametrize(
    "changed",
    [
        recipe(options=replace(OPTIONS, learning_rate=1e-3)),
        recipe(model={**VAE, "kl_weight": 2.0}),
        recipe(options=replace(OPTIONS, restart=True)),
    ],
)
def test_a_changed_recipe_starts_afresh(world, changed, caplog):
    before = run(world, recipe())[-1]
    with caplog.at_level(logging.WARNING):
        after = run(world, changed, before.state)
    assert len(after) == 4
    assert ("training restarts" in caplog.text) is not changed.fit.restart


def test_changed_data_restart_and_damaged_states_are_reported(world, caplog):
    state = run(world, recipe())[-1].state
    other = world.fields.assign_attrs(digest="0123456789ab")
    assert len(list(train(recipe(), replace(world.data, fields=other), state))) == 4
    assert len(run(world, recipe(), state[:1000])) == 4
    assert "damaged" in caplog.text


def test_the_climatology_is_stored_with_the_finished_model_and_digested_once_before(world, monkeypatch):
    """The climatology is by far the largest part of a file, which training saves every half minute."""
    arrays, calls = FieldCodec.arrays, []
    monkeypatch.setattr(FieldCodec, "arrays", lambda codec: calls.append(codec) or arrays(codec))
    saves = run(world, recipe())
    assert len(saves) == 4 and len(calls) == 2  # for the lineage, and for the checkpoint
    assert [bool(save.checkpoint) for save in saves] == [False, False, False, True]
    shape = world.codec.climatology.shape
    for save in saves:
        tensors, header = unpack_bytes(save.state, "")
        assert all(tensor.shape != shape for tensor in tensors.values())
        assert header["lineage"]["statistics"]
    assert unpack_bytes(saves[-1].checkpoint, "")[0]["codec.climatology"].shape == shape


def test_a_state_of_another_climatology_is_not_resumed(world, caplog):
    state = run(world, recipe())[-1].state
    warmer = world.climatology + 1
    assert len(list(train(recipe(), replace(world.data, climatology=warmer), state))) == 4
    assert "had statistics" in caplog.text


def test_a_state_of_other_weights_is_never_taken_for_this_models(world, caplog):
    """A state of another version of the code must not count as trained, although it has the right lineage."""
    whole = run(world, recipe())
    tensors, header = unpack_bytes(whole[-1].state, "")
    renamed = {name.replace("encoder", "earlier_encoder"): value for name, value in tensors.items()}
    with caplog.at_level(logging.WARNING):
        again = run(world, recipe(), pack_bytes(renamed, header))
    assert len(again) == len(whole) and "training restarts" in caplog.text


def test_the_clock_ends_a_training_between_two_validations(world, monkeypatch):
    """Half an hour a step: the second step is past the 0.6 hours, long before the fourth, which is validated."""
    hours = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: 1800.0 * next(hours))
    saved = run(world, recipe(options=replace(OPTIONS, steps=40, report_every=40, max_minutes=36)))[-1]
    assert saved.history["step"].tolist()[-1] < 5


def test_training_lowers_the_loss_and_keeps_the_best(world):
    model = {**VAE, "kl_weight": 0.01}
    saved = run(world, recipe(model, replace(OPTIONS, steps=240, report_every=40, batch=16)))[-1]
    history = saved.history
    assert history["validation"].iloc[-1] < 0.97 * history["validation"].iloc[0]
    header = unpack_bytes(saved.checkpoint, "")[1]
    assert header["best_step"] == history["step"][history["validation"].idxmin()]


def test_stops_early_without_improvement(world):
    options = replace(OPTIONS, steps=300, report_every=3, patience=2, learning_rate=1e-12)
    assert len(run(world, recipe(options=options))[-1].history) < 20


def test_fit_ends_at_its_time_limit(world):
    assert len(run(world, recipe(options=replace(OPTIONS, max_minutes=1e-6)))) == 1


def test_the_learning_rate_rises_then_falls_to_zero(world):
    run_ = Training(initial_model(VAE, world.space, 0), Fit(steps=100, warm_up=0.1, learning_rate=1.0), 0)
    rates = []
    for run_.step in (0, 9, 10, 55, 100):
        rates.append(run_.learning_rate())
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])
    few = Training(initial_model(VAE, world.space, 0), Fit(steps=50, warm_up=0.05, learning_rate=1.0), 0)
    rates = []
    for few.step in range(4):  # the warm-up takes 2.5 steps
        rates.append(few.learning_rate())
    assert rates == pytest.approx([0.4, 0.8, 1.0, 1.0], abs=1e-3)


ROLLED = replace(OPTIONS, steps=20, rollout=2, pushforward_steps=3, rollout_share=0.25)
STEPPED = {"type": "stepped.Stepped", "model": {"type": "ensemble.Ensemble", "channels": [8, 16], "noise": 4}}


def test_rollouts_come_late_and_each_step_walks_a_number_of_its_own(world):
    def rollouts(seed):
        at = Training(initial_model(STEPPED, world.space, 0), ROLLED, seed)
        return [at.rollout for at.step in range(20)]

    assert rollouts(0)[:15] == [(1, 0)] * 15
    assert {scored for scored, _ in rollouts(0)[15:]} == {2}
    pushforward = [pushforward for seed in range(40) for _, pushforward in rollouts(seed)[15:]]
    assert set(pushforward) == {0, 1, 2, 3}
    assert abs(pushforward.count(0) / len(pushforward) - 1 / 2) < 0.15  # four standard errors
    assert abs(sum(pushforward) / len(pushforward) - 1) < 0.3  # half of the mean of 1, 2 and 3
    assert rollouts(1) == rollouts(1) != rollouts(2)


def test_where_nothing_improves_rollouts_begin_at_once(world):
    options = replace(ROLLED, steps=60, report_every=3, patience=2, learning_rate=1e-12)
    forecast = replace(recipe(STEPPED, options), problem=Forecasting())
    saved = run(world, forecast)
    steps = saved[-1].history["step"].tolist()
    assert [step for step in steps if step <= 45] == [3, 6, 9]  # the first is the best
    assert steps[3] > 45 and steps[-1] < 60
    assert unpack_bytes(saved[-1].state, "")[1]["skipped"] == 45 - 9
    assert same(run(world, forecast, saved[2].state)[-1].checkpoint, saved[-1].checkpoint)


def test_rollouts_begin_from_the_best_weights(world):
    at = Training(initial_model(STEPPED, world.space, 0), replace(ROLLED, patience=2), 0)
    weight = at.parameters[0]
    for at.step, loss in ((3, 1.0), (6, 2.0), (9, 3.0)):
        with torch.no_grad():
            weight += 1
            at.average = {name: value.clone() for name, value in at.model.state_dict().items()}
        at.record(loss)
        if loss == 1.0:
            best = weight.detach().clone()
    assert at.step == at.first_rollout == 15
    assert torch.equal(weight, best)
    assert all(torch.equal(at.average[name], at.best[name]) for name in at.best)


def test_the_best_of_a_training_over_rollouts_is_the_best_over_rollouts(world):
    """Single steps have the lower loss, and are not compared with rollouts."""
    at = Training(initial_model(STEPPED, world.space, 0), ROLLED, 0)
    best = []
    for at.step, loss in ((12, 1.0), (15, 0.9), (18, 1.7), (19, 1.5), (20, 1.6)):
        at.record(loss)
        best.append((at.best_step, at.best_loss))
    assert best == [(12, 1.0), (15, 0.9), (18, 1.7), (19, 1.5), (19, 1.5)]
    saved = run(world, replace(recipe(STEPPED, ROLLED), problem=Forecasting()))[-1]
    after = saved.history[saved.history.step > 15]
    best_step = after["step"][after["validation"].idxmin()]
    assert unpack_bytes(saved.checkpoint, "")[1]["best_step"] == best_step


def test_a_training_over_rollouts_is_resumed_to_the_same_weights(world):
    forecast = replace(recipe(STEPPED, ROLLED), problem=Forecasting())
    whole = run(world, forecast)
    assert same(run(world, forecast, whole[-2].state)[-1].checkpoint, whole[-1].checkpoint)


def test_the_batch_of_a_step_is_a_function_of_seed_and_step():
    assert torch.equal(batch_index(3, 1, None, 100, 8), batch_index(3, 1, None, 100, 8))
    assert not torch.equal(batch_index(3, 1, None, 100, 8), batch_index(4, 1, None, 100, 8))
    assert not torch.equal(batch_index(3, 1, None, 100, 8), batch_index(3, 2, None, 100, 8))
    groups = torch.arange(100) % 3
    for step in range(5):
        index = batch_index(step, 0, groups, 100, 8)
        assert groups[index].unique().numel() == 1
        assert index.unique().numel() == 8


def test_a_closed_form_model_is_tuned_stored_and_not_solved_again(world, monkeypatch):
    config = {"type": "gappy_pca.GappyPCA"}
    first = run(world, recipe(config))
    header = unpack_bytes(first[0].checkpoint, "")[1]
    best = first[0].history.loc[first[0].history["validation"].idxmin()]
    assert header["tuned"] == pytest.approx({name: best[name] for name in header["tuned"]})
    from fieldcast.models.gappy_pca import GappyPCA

    monkeypatch.setattr(GappyPCA, "solve", lambda *_: pytest.fail("solved again"))
    again = run(world, recipe(config), first[0].state)
    assert again[0].checkpoint == first[0].checkpoint
    assert [saved[0].history.attrs[FINISHED_BEFORE] for saved in (first, again)] == [False, True]


def test_a_correction_takes_the_base_of_another_experiment_and_does_not_train_it(world):
    oi = {"type": "optimal_interpolation.OptimalInterpolation"}
    base = run(world, recipe(oi, times=6))[0].checkpoint
    config = {"type": "corrected.Corrected", "base": oi, "channels": [8, 16]}
    saved = run(world, recipe(config, steps=2, times=6), base=base)
    ours, reference = weights(saved[-1].checkpoint), weights(base)
    for name, value in reference.items():
        assert torch.equal(ours[name.replace("model.", "model.base.")], value)
    assert not any("base" in name for name in unpack_bytes(saved[-1].state, "")[0])


def test_a_closed_form_part_is_solved_unless_the_training_is_finished(world, monkeypatch):
    """A finished state holds the part; one that is resumed solves it again, to the same weights."""
    solved, solve = [], OptimalInterpolation.solve
    monkeypatch.setattr(OptimalInterpolation, "solve", lambda *args: solved.append(1) or solve(*args))
    config = {
        "type": "corrected.Corrected", "channels": [8, 16],
        "base": {"type": "optimal_interpolation.OptimalInterpolation"},
    }  # fmt: skip
    correction = recipe(config, replace(OPTIONS, steps=4, report_every=2), times=6)
    saved = run(world, correction)
    assert len(solved) == 1
    again = run(world, correction, saved[-1].state)
    assert len(solved) == 1
    assert again[0].checkpoint == saved[-1].checkpoint and again[0].state == saved[-1].state
    assert same(run(world, correction, saved[0].state)[-1].checkpoint, saved[-1].checkpoint)
    assert len(solved) == 2


def test_no_step_of_a_correction_reads_the_state_of_its_closed_form_part(world, monkeypatch):
    """Only states and checkpoints that are saved do."""
    read: list[int] = []
    stored = OptimalInterpolation._save_to_state_dict
    monkeypatch.setattr(
        OptimalInterpolation, "_save_to_state_dict", lambda *args: read.append(1) or stored(*args)
    )
    config = {
        "type": "corrected.Corrected", "channels": [8, 16],
        "base": {"type": "optimal_interpolation.OptimalInterpolation"},
    }  # fmt: skip
    counts = []
    for steps in (2, 8):
        read.clear()
        run(world, recipe(config, replace(OPTIONS, steps=steps, report_every=steps), times=6))
        counts.append(len(read))
    assert counts[0] == counts[1]


def test_no_step_of_a_correction_works_out_the_folds_again(world, monkeypatch):
    worked_out, folds = [], training_series.cross_fitting_folds
    monkeypatch.setattr(
        training_series, "cross_fitting_folds", lambda days: worked_out.append(1) or folds(days)
    )
    config = {
        "type": "corrected.Corrected", "channels": [8, 16],
        "base": {"type": "optimal_interpolation.OptimalInterpolation"},
    }  # fmt: skip
    run(world, recipe(config, replace(OPTIONS, steps=4), times=6))
    assert len(worked_out) == 1


@pytest.mark.parametrize(
    ("kind", "model"), [("reconstruct", "vae.ConditionalVAE"), ("forecast", "ensemble.Ensemble")]
)
def test_a_model_of_any_task_is_prepared_by_all_training_states(world, monkeypatch, kind, model):
    prepared = []

    def prepare(model, training, draws):
        prepared.append(sum(len(batch.x) for batch in training))

    cls = {"vae.ConditionalVAE": vae.ConditionalVAE, "ensemble.Ensemble": Ensemble}[model]
    monkeypatch.setattr(cls, "prepare", prepare)
    config = {"type": "stepped.Stepped", "model": {"type": model}}
    requested = replace(recipe(config, replace(OPTIONS, steps=1)), problem=PROBLEMS[kind])
    run(world, requested)
    history = 2 if kind == "forecast" else 0
    assert prepared == [world.split("train").sizes["time"] - history]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "0123456789ab"}, r"data \w+, this run has 0123456789ab"),
        ({"last": "2002-12-31T00:00:00"}, r"splits.train .*2002-12-31T00:00:00'\]"),
        ({"seed": 1}, "seed 0, this run has 1"),
        ({"noise": 0.3}, "sparsification.noise 0.1, this run has 0.3"),
    ],
)
def test_a_base_that_was_fitted_in_another_way_is_refused(world, changes, words):
    oi = {"type": "optimal_interpolation.OptimalInterpolation"}
    base = run(world, recipe(oi, times=6))[0].checkpoint
    fields = world.fields.assign_attrs(digest=changes.get("data", world.fields.attrs["digest"]))
    splits = {name: list(period) for name, period in world.splits.items()}  # as they are read from their file
    splits["train"][1] = changes.get("last", splits["train"][1])
    requested = recipe({"type": "corrected.Corrected", "base": oi}, seed=changes.get("seed", 0), times=6)
    requested = replace(requested, problem=Reconstruction(Sparsification(noise=changes.get("noise", 0.1))))
    with pytest.raises(
        InputError,
        match=f"the checkpoint named by 'base' was fitted with {words}.*: set model.base to the same options, or fit",
    ):
        list(train(requested, replace(world.data, fields=fields, splits=splits), None, base))


def test_a_correction_lists_the_inflations_it_tried_and_resumes_to_the_same_weights(world):
    oi = {"type": "optimal_interpolation.OptimalInterpolation"}
    base = run(world, recipe(oi, times=6))[0].checkpoint
    config = {"type": "corrected.Corrected", "base": oi, "channels": [8, 16]}
    requested = recipe(config, replace(OPTIONS, steps=4, report_every=1), times=6)
    saved = run(world, requested, base=base)
    history, header = saved[-1].history, unpack_bytes(saved[-1].checkpoint, "")[1]
    tried = history[history["tuning"].notna()]
    assert history["loss"].notna().sum() == 4 and len(tried) >= 7  # the first is an inflation of 1
    assert header["tuned"]["inflation"] == pytest.approx(tried.loc[tried["tuning"].idxmin(), "inflation"])
    for before in saved[:-1]:  # the covariances of the folds are no part of a state: they are made again
        again = run(world, requested, before.state, base=base)[-1]
        assert same(again.checkpoint, saved[-1].checkpoint)


def test_nothing_of_the_test_split_reaches_training(world):
    """Other test years, the same fitted numbers to the last bit."""
    first, _ = world.splits["test"]
    late = world.fields["time"] >= world.fields["time"].sel(time=first)
    other = world.fields.map(lambda v: v.where(~late, 3 * v + 7) if "time" in v.dims else v).assign_attrs(
        world.fields.attrs
    )
    data = world.data, replace(world.data, fields=other)
    for config in (VAE, {"type": "kriging.Kriging"}):
        a, b = (list(train(recipe(config, times=6), d, None))[-1] for d in data)
        assert same(a.checkpoint, b.checkpoint)
        assert a.history.drop(columns="seconds", errors="ignore").equals(
            b.history.drop(columns="seconds", errors="ignore")
        )


MIXTURE = {
    "type": "vae.ConditionalVAE",
    "latent": 4,
    "prior": {"type": "priors.Mixture", "latent": 4, "components": 2},
}
LASTING = {
    "type": "stepped.Stepped", "scheme": "euler", "noise": 0.1,
    "model": {"type": "ensemble.Ensemble", "history": 1, "noise": 4, "persistent_noise": 0.5, "channels": [8, 16]},
}  # fmt: skip
CODED = {
    "type": "vae.VAE", "latent": 4, "decoder": {"type": "decoders.DenseDecoder", "latent": 4, "hidden": [8]},
    "encoder": {"type": "latent_table.LatentTable", "family": "normal", "steps": 2},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "model"),
    [("reconstruct", MIXTURE), ("forecast", LASTING), ("sample", CODED)],
    ids=lambda x: str(x)[:11],
)
def test_no_number_is_drawn_twice_in_a_training(world, monkeypatch, kind, model):
    """Preparation, masks, errors, noise and losses of four steps, and those of the one validation after them."""
    drawn: list[tuple[int, ...]] = []
    new = RandomStreams._new_words

    def recorded(streams: RandomStreams, call: int, size: int) -> torch.Tensor:
        for row, datum in enumerate(streams.datum.tolist()):
            members = range(streams.first, streams.first + streams.members)
            for member in members if streams.number is None else [int(streams.number[row])]:
                drawn.append((*streams.key, call, member, datum))
        return new(streams, call, size)

    monkeypatch.setattr(RandomStreams, "_new_words", recorded)
    run(
        world,
        replace(recipe(model, replace(OPTIONS, steps=4, report_every=4, members=2)), problem=PROBLEMS[kind]),
    )
    assert len(drawn) > 40
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("size", [0.0, 1e-3, 0.999999, 1.0, 1.000001, 30.0, math.inf, math.nan])
def test_gradients_are_clipped_as_by_torch_to_the_last_digit(size):
    directions = [torch.randn(shape, generator=torch.Generator().manual_seed(3)) for shape in ((5, 7), (9,))]
    norm = nn.utils.get_total_norm(directions)
    weights = [
        [nn.Parameter(torch.zeros(3)), *(nn.Parameter(torch.zeros_like(x)) for x in directions)] for _ in "ab"
    ]
    for each in weights:
        for parameter, direction in zip(each[1:], directions, strict=True):  # the first has no gradient
            parameter.grad = direction * (size / norm)
    clip_gradients(weights[0], 1.0)
    nn.utils.clip_grad_norm_(weights[1], 1.0)
    for ours, theirs in zip(*(each[1:] for each in weights), strict=True):
        assert torch.equal(ours.grad.nan_to_num(7.0), theirs.grad.nan_to_num(7.0))


def test_a_batch_draws_a_mask_for_each_datum_or_one_for_all(world):
    model = initial_model(VAE, world.space, 0)
    reconstruct = PROBLEMS["reconstruct"].batches(world.split("train"), world.codec, model, OPTIONS, True)
    index = torch.arange(6)
    private = reconstruct.batch(index, RandomStreams(0, index, 2, 5)).context
    item = reconstruct.batch(index, RandomStreams(0, index, 2, 5), shared_mask=True).context
    assert private.mask.flatten(1).unique(dim=0).shape[0] == 6
    assert item.mask.flatten(1).unique(dim=0).shape[0] == 1
    assert torch.equal(
        reconstruct.batch(index[2:4], RandomStreams(0, index[2:4], 2, 5)).context.observed,
        private.observed[2:4],
    )


def test_limits_that_change_a_fit_are_part_of_its_lineage():
    def lineage(**limits):
        return recipe(**limits).options()

    assert lineage() != lineage(times=2)
    assert lineage() != lineage(steps=2)
    assert lineage() == lineage(members=2)


def test_diverging_training_is_reported_or_keeps_the_best_weights(world, caplog):
    with pytest.raises(InputError, match=r"diverged.*fit\.learning_rate"):
        run(world, recipe(options=replace(OPTIONS, learning_rate=1e18, max_grad_norm=1e18, warm_up=0.0)))
    training = Training(initial_model(VAE, world.space, 0), OPTIONS, 0)
    training.step = 1
    training.record(1.0)
    training.step = 2
    training.record(float("nan"))
    assert "training diverged at step 2 of" in caplog.text and "weights of step 1 are kept" in caplog.text
    assert training.finished
    assert training.best_loss == 1.0


def test_a_seed_out_of_range_is_reported_in_one_sentence():
    with pytest.raises(InputError, match="seed: -1"):
        recipe(seed=-1)


def test_compiled_steps_draw_outside_of_their_graphs_and_have_the_losses_of_eager_ones():
    root = Path(__file__).parents[2]
    script = ["-c", "from training import compiled_steps; compiled_steps.main()"]
    done = subprocess.run(
        [sys.executable, *script], cwd=root / "tests", env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert "conv2d" in result["operations"]
    assert not {"xor", "rshift", "lshift"} & set(result["operations"])  # the integers of the generator
    assert result["losses"]["True"] == pytest.approx(result["losses"]["False"], rel=1e-5)


def test_a_finished_table_of_latents_is_saved_again_as_it_is(world):
    coded = replace(recipe(CODED), problem=PROBLEMS["sample"])
    first = run(world, coded)[-1]
    (again,) = run(world, coded, first.state)
    before, after = (unpack_bytes(saved.state, "")[0] for saved in (first, again))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("kind", ["emos.EMOS", "pool.Pool"])
def test_parts_with_running_statistics_stay_those_of_their_checkpoint(world, kind):
    """Batch normalisation draws with its running statistics, and calibration leaves these as they are."""
    decoder = {"type": "decoders.TransposedDecoder", "channels": [8, 8]}
    part = {"type": "vae.ConditionalVAE", "latent": 4, "history": 1, "decoder": decoder}
    fitted = run(world, replace(recipe(part), problem=PROBLEMS["forecast"]))[-1].checkpoint
    combined = replace(recipe({"type": kind, "parts": {"only": part}}), problem=PROBLEMS["forecast"])
    *_, last = train(combined, world.data, None, None, {"only": fitted})
    before, after = weights(fitted), weights(last.checkpoint)
    for name, value in before.items():
        assert torch.equal(after[name.replace("model.", "model.parts.only.", 1)], value), name


@pytest.mark.parametrize(
    ("task", "model", "words"),
    [
        ("sample", VAE, "reconstruct or forecast"),
        ("sample", {"type": "edm.EDM", "channels": [8, 8]}, "reconstruct or forecast"),
        ("sample", {"type": "stepped.Stepped", "model": VAE}, "reconstruct or forecast"),
        ("sample", {"type": "persistence.Persistence"}, "reconstruct or forecast"),
        ("reconstruct", {"type": "persistence.Persistence"}, "needs past states"),
        ("reconstruct", {"type": "probabilistic_pca.ProbabilisticPCA"}, "reads no observations"),
        ("reconstruct", {"type": "flow.Flow", "layers": 2, "hidden": 8}, "reads no observations"),
        ("reconstruct", {"type": "diffusion.Diffusion", "channels": [8, 8]}, "reads no observations"),
    ],
)
def test_models_of_another_task_are_refused(world, task, model, words):
    with pytest.raises(InputError, match=words):
        run(world, replace(recipe(model), problem=PROBLEMS[task]))
