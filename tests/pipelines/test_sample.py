"""The task `sample` from data to table, on the planet and on images."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from kedro.config import OmegaConfigLoader
from omegaconf import OmegaConf

import fieldcast
from fieldcast.app.error_messages import sentence
from fieldcast.datasets import ZarrDataset
from fieldcast.encoding.checkpoint import unpack
from fieldcast.encoding.options import Limits
from fieldcast.encoding.states import space_of_images
from fieldcast.errors import InputError
from fieldcast.experiments import experiments
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.fields.prepared import PreparedData
from fieldcast.inference.options import StateOptions
from fieldcast.inference.samples import latent_space, sets
from fieldcast.models.configuration import build
from fieldcast.models.core import Context, Model
from fieldcast.models.random_streams import RandomStreams
from fieldcast.settings import CONFIG_LOADER_ARGS
from fieldcast.tasks.sample import StateSampling
from fieldcast.training.options import Fit
from fieldcast.training.run import Recipe, train

ROOT = Path(__file__).parents[2]
SAMPLE = {name.removeprefix("sample.") for name in experiments(ROOT / "conf") if name.startswith("sample.")}
CODED = {name for name in SAMPLE if "vae" in name or "coder" in name}
POINTS = {"autoencoder", "autodecoder"}


FAMILIES = ("vae", "autoencoder", "variational_autodecoder", "flow", "ddim", "probabilistic_pca")


@pytest.fixture(scope="module")
def sampled(project: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root after an experiment of each family on the planet."""
    data_root = tmp_path_factory.mktemp("sampled")
    project("ingestion", "features", data_root=data_root)
    project("sample", data_root=data_root, namespaces=[f"sample.{name}" for name in (*FAMILIES, "ddpm")])
    project("reporting", data_root=data_root)
    return data_root


IMAGES = {"vae", "vae_vamp", "autoencoder", "variational_autodecoder", "flow", "ddpm", "probabilistic_pca"}


@pytest.fixture(scope="module", params=["some", pytest.param("every", marks=pytest.mark.proof)])
def names(request: pytest.FixtureRequest) -> set[str]:
    """Experiments on images: those that stand for all, or every one."""
    return IMAGES if request.param == "some" else SAMPLE


@pytest.fixture(scope="module")
def on_images(project: Any, names: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root after experiments on images: models of the environment `digits`, limits of `conf/test`."""
    small = OmegaConf.load(ROOT / "conf/test/parameters.yml")["sample"]
    models = OmegaConf.to_container(OmegaConf.merge(of_images("digits"), small))
    data = {"source": "images", "images": {"train": 120, "test": 30}}
    data_root = tmp_path_factory.mktemp("on_images")
    given: dict[str, Any] = {"data_root": data_root, "parameters": {"ingestion": data, "sample": models}}
    if names == SAMPLE:  # the pipeline of the task ends in the report
        project("sample", **given)
        return data_root
    project("ingestion", "features", **given)
    project("sample", namespaces=[f"sample.{name}" for name in sorted(names)], **given)
    project("reporting", **given)
    return data_root


def of_images(env: str) -> dict[str, Any]:
    """The experiments as an environment of images has them."""
    loader = OmegaConfigLoader(str(ROOT / "conf"), env=env, **CONFIG_LOADER_ARGS)
    return dict(loader["parameters"]["sample"])


@pytest.fixture(scope="module")
def board(on_images: Path) -> pd.DataFrame:
    return pd.read_csv(on_images / "08_reporting/leaderboard_sample.csv")


def test_the_leaderboard_has_every_score_that_a_model_has(board: pd.DataFrame, names: set[str]) -> None:
    assert list(board) == ["experiment", "seed", "data_digest", "score", "value", "low", "high"]
    coded = CODED & names
    having = {score: set(part["experiment"]) for score, part in board.groupby("score")}
    everything = ("fid", "kid", "fid_floor", "kid_floor", "c2st")
    assert all(having[score] == names for score in everything)
    assert having["test_loss"] == having["train_loss"] == having["active_units"] == coded
    assert having["iwae"] == having["kl"] == having["reconstruction"] == coded - POINTS
    assert having["outside_prior"] == having["unused_prior"] == having["aggregate_kl"] == coded - POINTS
    assert having["bits_per_dim"] == names - CODED
    assert having["elbo"] == names - POINTS
    assert not board.duplicated(["experiment", "score"]).any()


def test_the_elbo_is_its_two_terms_and_below_the_iwae(board: pd.DataFrame, names: set[str]) -> None:
    coded = sorted(CODED & names - POINTS)
    wide = board.pivot(index="experiment", columns="score", values="value").loc[coded]
    assert np.allclose(wide["elbo"], wide["reconstruction"] - wide["kl"])
    assert (wide["iwae"] >= wide["elbo"]).all()


def test_the_report_shows_fields(sampled: Path) -> None:
    page = (sampled / "08_reporting/report.html").read_text(encoding="utf-8")
    assert "Sampling" in page and "FID" in page
    figures = sampled / "08_reporting/figures/sample"
    assert len(list(figures.glob("*.png"))) > 5
    board = pd.read_csv(sampled / "08_reporting/leaderboard_sample.csv")
    assert set(board.loc[board["score"] == "kid", "experiment"]) == {
        *FAMILIES,
        "ddpm",
    }  # whose weights ddim has


def test_the_report_shows_images(on_images: Path) -> None:
    pictures = {file.stem for file in (on_images / "08_reporting/figures/sample").glob("*.png")}
    assert {"samples", "embeddings", "latent_grid_vae", "denoising_ddpm", "nearest", "priors"} <= pictures


def test_samples_are_not_scored_as_what_they_are_not(project: Any, sampled: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"the checkpoint of 'sample\.vae' was trained with seed 0, this run has 1: train it again",
    ):
        project("evaluation", data_root=sampled, namespaces=["sample.vae"], parameters={"seed": 1})


def test_finished_samples_are_drawn_once(
    project: Any, sampled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any, **__: Any) -> None:
        raise AssertionError("something was drawn")

    monkeypatch.setattr(sets, "draw_states", draw)
    monkeypatch.setattr(latent_space, "examine", draw)
    project("sampling", data_root=sampled, namespaces=["sample.vae"])
    with pytest.raises(AssertionError, match="something was drawn"):
        requested = {"limits": {"members": 2}}
        project("sampling", data_root=sampled, namespaces=["sample.vae"], parameters=requested)


def test_densities_of_other_weights_are_refused(project: Any, sampled: Path) -> None:
    """Likelihoods of an older training: their node may not have run since the training."""
    (store,) = (sampled / "07_model_output/sample/vae").glob("latents.zarr")
    with ZarrDataset(filepath=str(store)).load() as stored:
        latents = stored.load()
    ZarrDataset(filepath=str(store)).save(latents.assign_attrs(model="0" * 12))
    with pytest.raises(InputError, match="the latents were drawn with model 000000000000, this run has"):
        project("evaluation", data_root=sampled, namespaces=["sample.vae"])
    ZarrDataset(filepath=str(store)).save(latents)
    project("evaluation", data_root=sampled, namespaces=["sample.vae"])


def test_samples_drawn_in_another_way_are_refused(project: Any, sampled: Path) -> None:
    """The weights are those of `ddpm`, whatever the number of steps."""
    requested = {"sample": {"ddim": {"model": {"ddim_steps": 2}}}}
    with pytest.raises(InputError, match=r"the samples were drawn with model .* draw them again"):
        project("evaluation", data_root=sampled, namespaces=["sample.ddim"], parameters=requested)


def test_a_trained_model_samples_alone(sampled: Path) -> None:
    model = fieldcast.load(sampled / "06_models/sample/vae/checkpoint.safetensors")
    fields = xr.open_zarr(sampled / "03_primary/fields.zarr")
    drawn, stored = (
        model.sample(3),
        xr.open_zarr(sampled / "07_model_output/sample/vae/draws.zarr"),
    )
    for name, values in drawn.data_vars.items():
        assert values.dims == ("sample", "latitude", "longitude")
        assert values.attrs["units"] == fields[name].attrs["units"]
        assert np.allclose(values, stored[name][:3], rtol=1e-5)
    with pytest.raises(Exception, match="of the task 'sample'"):
        model.fill(fields)


@pytest.mark.parametrize("env", ["digits", "mnist", "fashion_mnist"])
def test_every_model_of_the_image_environments_draws_images(env: str) -> None:
    space = space_of_images(open_images(ImageSource("digits", train=6, test=1)))
    for name, experiment in of_images(env).items():
        assert "fit" not in experiment or Fit(**experiment["fit"])
        model = build(experiment["model"], space).eval()
        assert isinstance(model, Model)
        quick = name in ("vae", "vae_vamp", "vae_flow", "autodecoder", "flow", "ddim")
        if quick and env == "digits":
            with torch.no_grad():
                assert model.sample(Context(2), RandomStreams(0, torch.arange(2))).shape == (2, 1, 1, 8, 8)


def test_a_table_of_codes_resumes_to_the_same_weights() -> None:
    images = open_images(ImageSource("digits", train=60, test=10))
    model = {
        "type": "vae.VAE", "latent": 3,
        "encoder": {"type": "latent_table.LatentTable", "latent": 3, "family": "normal", "steps": 2},
        "decoder": {"type": "decoders.DenseDecoder", "latent": 3, "hidden": [8]},
    }  # fmt: skip
    fit = Fit(steps=6, batch=8, report_every=2, validation=4, save_every=0)
    recipe = Recipe(StateSampling(StateOptions("grey")), model, fit, 0, Limits(), "cpu")
    given = recipe, PreparedData(images, xr.Dataset(), xr.Dataset(), split(images))
    whole = list(train(*given, None))
    resumed = list(train(*given, whole[0].state))
    assert len(resumed) < len(whole)

    def weights(saved: Any) -> dict[str, torch.Tensor]:
        return dict(unpack(saved.checkpoint).model.state_dict())

    item, other = weights(whole[-1]), weights(resumed[-1])
    assert item["encoder.location"].shape == (50, 3)
    assert all(torch.equal(item[name], other[name]) for name in item)


def test_codes_that_start_by_class_need_labels() -> None:
    images = open_images(ImageSource("digits", train=60, test=10))
    model = {
        "type": "vae.VAE", "latent": 3, "decoder": {"type": "decoders.DenseDecoder", "latent": 3},
        "encoder": {"type": "latent_table.LatentTable", "latent": 3, "by_class": True, "steps": 2},
    }  # fmt: skip
    fit = Fit(steps=1, batch=8, validation=4)
    recipe = Recipe(StateSampling(StateOptions("grey")), model, fit, 0, Limits(), "cpu")
    for data, refused in ((images, False), (images.drop_vars("label"), True)):
        run = train(recipe, PreparedData(data, xr.Dataset(), xr.Dataset(), split(data)), None)
        if refused:
            with pytest.raises(Exception, match="need labels"):
                next(run)
        else:
            next(run)


@pytest.mark.parametrize("task", ["reconstruct.climatology", "forecast.climatology"])
def test_only_sample_takes_images(project: Any, tmp_path: Path, task: str) -> None:
    parameters = {"ingestion": {"source": "images", "images": {"train": 60, "test": 20}}}
    with pytest.raises(Exception) as caught:
        project(task, data_root=tmp_path / "data", parameters=parameters)
    informed = sentence(caught.value) or ""
    assert "only the task sample takes them" in informed and "\n" not in informed
