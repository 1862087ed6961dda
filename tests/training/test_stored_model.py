"""A checkpoint must be of the model, options, variables, grid, data, statistics, splits, seed and base of this run."""

from dataclasses import replace

import pytest
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.checkpoint import model_digest, pack, unpack
from fieldcast.encoding.options import Limits, Sparsification, TrainingMasks
from fieldcast.encoding.tensor_file import pack_bytes, unpack_bytes
from fieldcast.errors import InputError
from fieldcast.inference.compatibility import match_model
from fieldcast.lineage import RENAMED
from fieldcast.models.configuration import build
from fieldcast.tasks.reconstruct import Reconstruction
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe
from fieldcast.training.stored_model import StoredModel

VAE = {"type": "vae.ConditionalVAE", "latent": 4}
STEPPED = {"type": "stepped.Stepped", "scale": 1, "model": VAE}
CLIMATOLOGY = {"type": "climatology.Climatology"}


FIT, LIMITS, SPARSIFICATION = Fit(), Limits(), Sparsification()
AGAIN = ": train it again with `kedro run --pipelines training --namespaces reconstruct.mine`"


@pytest.fixture
def codec(world):
    return FieldCodec.of(world.fields, world.climatology, world.normalisation)


@pytest.fixture
def data(world, codec):
    return world.fields[list(codec.variables)].isel(time=slice(0, 3)).assign_attrs(digest="abc")


def packed(world, codec, model=CLIMATOLOGY, **header):
    """The checkpoint of reconstruct.mine, as it is trained."""
    recipe = Recipe(Reconstruction(SPARSIFICATION), model, FIT, 0, LIMITS, "cpu")
    data = replace(world.data, fields=world.fields.assign_attrs(digest="abc"))
    sources = recipe.lineage(data, codec, header.pop("start", None))
    return pack(build(model, world.space), codec, {**sources, **header})


@pytest.fixture
def check(world, data):
    """A checkpoint that this run draws from, with the data, the seed and the splits of the world."""

    def run(checkpoint, model=CLIMATOLOGY, configured=None, options=(FIT, LIMITS, SPARSIFICATION), **changes):
        fit, limits, sparsification = options
        base = changes.pop("base", None)
        of_run = {"seed": changes.pop("seed", 0), "parts": {} if base is None else {"base": base}}
        stored = StoredModel(
            checkpoint,
            model,
            "reconstruct.mine",
            configured or model,
            fit,
            limits=limits,
            device="cpu",
            **of_run,
        )
        here, problem = replace(world.data, **{"fields": data, **changes}), Reconstruction(sparsification)
        trained = stored.restore(here, problem)
        assert stored.digest(here, problem) == model_digest(trained.header, model)
        return trained

    return run


@pytest.fixture
def checkpoint(world, codec):
    return packed(world, codec)


def test_the_data_a_model_was_trained_on_fit_it(codec, data, checkpoint, check):
    check(checkpoint)
    xr.testing.assert_equal(match_model(data, codec, "it")[0], data.drop_vars("segment", errors="ignore"))


def test_coordinates_in_single_precision_fit(codec, data):
    single = data.assign_coords({axis: data[axis].astype("float32") for axis in ("latitude", "longitude")})
    xr.testing.assert_equal(
        match_model(single, codec, "it")[0]["latitude"], match_model(data, codec, "it")[0]["latitude"]
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda d: d.drop_vars("z"), "the fields are of t, the checkpoint of t, z: train"),
        (lambda d: d.rename(z="y"), "the fields are of t, y, the checkpoint of t, z: train"),
        (lambda d: d.isel(latitude=slice(1, None)), "the latitudes of the data set are 6 from"),
        (
            lambda d: d.assign_coords(longitude=d["longitude"] + 1),
            "the longitudes of the data set are 12",
        ),
        (
            lambda d: d.assign_attrs(digest="xyz"),
            "the checkpoint of 'reconstruct.mine' was trained with data abc, this run has xyz" + AGAIN,
        ),
    ],
)
def test_other_fields_are_reported_in_one_sentence(data, checkpoint, check, spoil, words):
    with pytest.raises(InputError) as caught:
        check(checkpoint, fields=spoil(data))
    assert str(caught.value).startswith(words) and "\n" not in str(caught.value)


def test_a_checkpoint_of_another_seed_is_refused(checkpoint, check):
    with pytest.raises(InputError, match="trained with seed 0, this run has 1" + AGAIN):
        check(checkpoint, seed=1)


def test_a_checkpoint_of_other_splits_is_refused(world, codec, checkpoint, check):
    """Else it would be scored on days that it was trained on."""
    later = {**world.splits, "test": ["2004-01-01T00:00:00", world.splits["test"][1]]}
    phrases = rf"trained with splits\.test \['{world.splits['test'][0]}', .*, this run has \['2004-01-01T00:00:00', "
    with pytest.raises(InputError, match=phrases + f".*{AGAIN}"):
        check(checkpoint, splits=later)
    with pytest.raises(InputError, match=r"trained with splits\.train unset, this run has"):
        check(packed(world, codec, splits={}))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({**STEPPED, "model": {**VAE, "latent": 8}}, "model.model.latent 4, this run has 8"),
        ({**STEPPED, "scheme": "rk4"}, "model.scheme unset, this run has rk4"),
        ({"type": "stepped.Stepped", "model": VAE}, "model.scale 1, this run has unset"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(world, codec, check, changed, words):
    """Whichever experiment draws from it: the weights are not those that this run would train."""
    for model in (changed, STEPPED):
        with pytest.raises(InputError) as caught:
            check(packed(world, codec, STEPPED), model, changed)
        sentence = f"the checkpoint of 'reconstruct.mine' was trained with {words}{AGAIN}"
        assert str(caught.value).startswith(sentence) and "\n" not in str(caught.value)


def test_an_experiment_may_draw_from_anothers_checkpoint_in_its_own_way(world, codec, check):
    checkpoint = packed(world, codec, STEPPED)
    borrower = check(checkpoint, {**STEPPED, "scheme": "rk4"}, STEPPED)
    assert (borrower.model.scheme, check(checkpoint, STEPPED).model.scheme) == ("rk4", "euler")
    with pytest.raises(InputError, match=r"'reconstruct\.mine' holds the weights of stepped\.Stepped"):
        check(checkpoint, {**STEPPED, "model": {**VAE, "latent": 8}}, STEPPED)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((Fit(steps=3000), Limits(), Sparsification()), "fit.steps 2000, this run has 3000"),
        ((Fit(), Limits(times=8), Sparsification()), "fit.validation 64, this run has 8"),
        ((Fit(), Limits(), Sparsification(noise=0.1)), "sparsification.noise 0.0, this run has 0.1"),
        (
            (Fit(), Limits(), Sparsification(training=TrainingMasks(k=(0.1, 0.2)))),
            r"sparsification.training.k [0.005, 0.5], this run has [0.1, 0.2]",
        ),
    ],
)
def test_weights_that_this_run_would_fit_in_another_way_are_refused(checkpoint, check, options, words):
    with pytest.raises(InputError) as caught:
        check(checkpoint, options=options)
    assert str(caught.value).startswith(
        f"the checkpoint of 'reconstruct.mine' was trained with {words}{AGAIN}"
    )


def test_how_often_a_training_is_saved_and_what_is_tested_do_not_matter(checkpoint, check):
    tested = Sparsification(times=3, cases={"blocks": [0.2]})
    otherwise = check(checkpoint, options=(Fit(save_every=1, restart=True), Limits(members=2), tested))
    assert otherwise.header == check(checkpoint).header


def test_a_checkpoint_of_another_climatology_is_refused(world, checkpoint, check):
    """The fields, and so their digest, are the same."""
    phrases = rf"trained with statistics \w+, this run has \w+{AGAIN}"
    for changes in (
        {"climatology": world.climatology + 0.1},
        {"normalisation": world.normalisation * 1.1},
    ):
        with pytest.raises(InputError, match=phrases):
            check(checkpoint, **changes)


def test_a_checkpoint_that_started_from_another_base_is_refused(world, codec, check):
    base, other = (packed(world, codec, model) for model in (CLIMATOLOGY, STEPPED))
    checkpoint = packed(world, codec, start=base)
    check(checkpoint, base=base)
    for now in (other, None):
        with pytest.raises(InputError, match=rf"trained with base \w+, this run has \w+{AGAIN}"):
            check(checkpoint, base=now)


def test_a_checkpoint_stored_before_options_were_renamed_is_drawn_from(world, codec, check, monkeypatch):
    tensors, header = unpack_bytes(packed(world, codec, VAE), "it")
    header["fit"]["rate"] = header["fit"].pop("learning_rate")
    header["model"]["dimensions"] = header["model"].pop("latent")
    stored = pack_bytes(tensors, header)
    with pytest.raises(
        InputError, match=r"'reconstruct.mine' was trained with model.latent unset, this run has 4"
    ):
        check(stored, VAE)
    monkeypatch.setitem(RENAMED, "model.dimensions", "latent")
    with pytest.raises(InputError, match=r"'reconstruct.mine' was trained with fit.learning_rate unset"):
        check(stored, VAE)
    monkeypatch.setitem(RENAMED, "fit.rate", "learning_rate")
    assert check(stored, VAE).header["model"] == unpack(stored).header["model"] == VAE
