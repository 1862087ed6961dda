"""Whatever is wrong in the configuration is refused before the first node, in one sentence."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from kedro.pipeline.node import Node
from refusals import ROOT, only_a_sentence

PARAMETERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": (
        {"sparsification": {"nois": 0.1}},
        ("sparsification.nois", "did you mean sparsification.noise?"),
    ),
    "misspelt key of an experiment": (
        {"reconstruct": {"denoising_vae": {"fit": {"step": 3}}}},
        ("reconstruct.denoising_vae.fit.step", "did you mean reconstruct.denoising_vae.fit.steps?"),
    ),
    "misspelt key of the planet": (
        {"ingestion": {"planet": {"yaers": 3}}},
        ("ingestion.planet.yaers", "years"),
    ),
    "misspelt name": ({"devise": "cpu"}, ("devise", "did you mean device?")),
    "wrong type": (
        {"reconstruct": {"denoising_vae": {"fit": {"steps": "many"}}}},
        ("reconstruct.denoising_vae.fit.steps = 'many'", "integer"),
    ),
    "one of several types": ({"ingestion": {"path": 5}}, ("ingestion.path = 5 should be a valid string or",)),
    "a number for the experiments of a task": (
        {"reconstruct": 3},
        ("reconstruct = 3, but it holds the experiments",),
    ),
    "a number for an experiment": (
        {"reconstruct": {"denoising_vae": 5}},
        ("reconstruct.denoising_vae = 5, but it holds the options of an experiment",),
    ),
    "a seed with a point": ({"seed": 1e3}, ("seed = 1000.0: give a whole number from 0",)),
    "a negative seed": ({"seed": -1}, ("seed = -1: give a whole number from 0",)),
    "unknown device": ({"device": "gpu"}, ("device 'gpu' is not available here: set device to auto",)),
    "no data root": ({"data_root": None}, ("data_root = null is not the name of a folder: give one",)),
    "a number for the data root": (
        {"data_root": 5},
        ("data_root = 5 is not the name of a folder: give one",),
    ),
    "a file with the planet for a source": (
        {"ingestion": {"path": "mine.nc"}},
        ("ingestion.path = 'mine.nc', but the source is the simulated planet: use --env netcdf",),
    ),
    "k too large": (
        {"sparsification": {"cases": {"random": [10.0]}}},
        ("sparsification", "random", "10", "write 0.1 for 10 %"),
    ),
    "k of no pattern": (
        {"sparsification": {"cases": {"randm": [0.1]}}},
        ("sparsification.cases", "'random'"),
    ),
    "k of training": (
        {"sparsification": {"training": {"k": [0.0, 0.5]}}},
        ("sparsification.training", "0.005"),
    ),
    "test period outside the data": (
        {
            "ingestion": {
                "splits": {
                    "train": ["0001", "0002"],
                    "validation": ["0003", "0003"],
                    "test": ["0030", "0031"],
                }
            }
        },
        ("ingestion.splits.test", "0030"),
    ),
}
FORECAST_PARAMETERS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "misspelt key": (
        {"rollout": {"intial_times": 3}},
        ("rollout.intial_times", "did you mean rollout.initial_times?"),
    ),
    "misspelt key of the long rollout": (
        {"rollout": {"stability": {"step": 3}}},
        ("rollout.stability.step", "did you mean rollout.stability.steps?"),
    ),
    "no initial time": (
        {"rollout": {"initial_times": 0}},
        ("rollout.initial_times = 0", "greater than or equal to 1"),
    ),
    "negative error": (
        {"rollout": {"perfect_model": {"initial_error": -0.1}}},
        ("rollout.perfect_model.initial_error = -0.1", "greater than or equal to 0"),
    ),
    "unknown feedback": (
        {"forecast": {"vae_mean": {"options": {"feedback": "median"}}}},
        ("forecast.vae_mean.options.feedback = 'median'", "'members' or 'mean'"),
    ),
    "members of one experiment alone": (
        {"forecast": {"vae": {"options": {"members": 50}}}},
        ("forecast.vae.options.members", "there is no such option"),
    ),
}
MODELS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "misspelt option": (
        {"latnet": 20},
        (".latnet: unknown option of vae.ConditionalVAE", "did you mean 'latent'?"),
    ),
    "misspelt type": ({"type": "vae.VEA"}, (".type", "'vae.VEA'", "did you mean vae.VAE?")),
    "misspelt option of a part": (
        {"encoder": {"latnet": 20}},
        (".encoder.latnet", "did you mean 'latent'?"),
    ),
    "a word for a number": ({"kl_weight": "heavy"}, (".kl_weight = 'heavy'", "number")),
    "a word for a whole number": ({"latent": "many"}, (".latent = 'many'", "integer")),
    "a word for true or false": ({"likelihood_noise": "maybe"}, (".likelihood_noise = 'maybe'", "boolean")),
    "no such word": (
        {"encoder": {"extra_channels": ["masks"]}},
        (".encoder.extra_channels", "'masks'", "'mask', 'season' or 'static'"),
    ),
    "a number for a part": ({"decoder": 5}, (".decoder = 5", "{type: module.Class")),
    "a part for a model": (
        {"type": "conditional.PriorEncoder"},
        (".type: conditional.PriorEncoder is not a core.Model",),
    ),
}


@pytest.mark.parametrize("family", PARAMETERS)
def test_parameters(message: Any, refusal: Any, family: str) -> None:
    """A session says for the first what its check of parameters says for all, and for those that this accepts."""
    parameters, phrases = PARAMETERS[family]
    text = refusal(parameters)
    if text is None or family == "misspelt key":
        in_a_session = message("reconstruct.denoising_vae", parameters=parameters)
        assert text in (None, in_a_session)
        text = in_a_session
    assert all(word in text for word in phrases), text


@pytest.mark.parametrize("family", FORECAST_PARAMETERS)
def test_parameters_of_forecasts(refusal: Any, family: str) -> None:
    parameters, phrases = FORECAST_PARAMETERS[family]
    text = refusal(parameters)
    assert all(word in text for word in phrases), text


def test_codes_that_start_by_class_need_labels(message: Any) -> None:
    parameters = {"sample": {"autodecoder": {"model": {"encoder": {"by_class": True}}}}}
    text = message("training", namespaces=["sample.autodecoder"], parameters=parameters)
    assert "codes that start by class need labels" in text and "set by_class: false" in text


@pytest.mark.parametrize(("key", "value"), [("steps", 0), ("members", 0)])
def test_a_prediction_of_nothing(message: Any, key: str, value: int) -> None:
    text = message("predict", parameters={"predict": {"states": "states.nc", key: value}})
    assert f"predict.{key} = {value} should be greater than or equal to 1" in text


@pytest.mark.parametrize("family", MODELS)
def test_models_before_the_first_node(message: Any, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    def run(self: Node, *_: Any) -> None:
        raise AssertionError(f"{self.name} has run")

    monkeypatch.setattr(Node, "run", run)
    model, phrases = MODELS[family]
    for pipeline in ("reconstruct.denoising_vae", "__default__")[: 2 if family == "misspelt option" else 1]:
        text = message(pipeline, parameters={"reconstruct": {"denoising_vae": {"model": model}}})
        assert text.startswith("reconstruct.denoising_vae.model."), text
        assert all(word in text for word in phrases), text


def test_an_unknown_experiment(message: Any) -> None:
    text = message("reconstruct.krigging")
    assert "named 'reconstruct.krigging'" in text and "reconstruct.kriging" in text
    fill = {"fill": {"observations": "x.nc", "experiment": "reconstruct.krigging"}}
    assert "x.nc" in message("fill", parameters=fill)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "reconstruct: {mine: {modle: {}}}",
            ("reconstruct.mine.modle:", "mean reconstruct.mine.model?"),
        ),
        ("reconstruct: {mine: {model: [}}", ("mine.yml",)),
        ("reconstruct: {yours: {model: {}}}", ("reconstruct.yours has no 'fit'",)),
        (
            "reconstruct: {mine: {fit: {}, model: {type: vae.VEA}}}",
            ("reconstruct.mine.model.type", "vae.VEA"),
        ),
        (
            "reconstruct: {mine: {fit: {}, model: vae.ConditionalVAE}}",
            ("reconstruct.mine.model = 'vae.ConditionalVAE'", "{type: module"),
        ),
        ("reconstruct: {mine: {fit: {}, model: {type: stepped.Stepped}}}", ("mine.model.model is not set",)),
        (
            "reconstruct: {mine: {uses: {weights: reconstruct.liner}, model: {type: vae.ConditionalVAE}}}",
            ("liner", "linear"),
        ),
    ],
)
def test_an_experiments_file(message: Any, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "base/parameters/experiments/reconstruct/mine.yml").write_text(text)
    displayed = message("reconstruct.mine", conf=conf)
    assert all(word in displayed for word in words), displayed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sed: 1", "sed: there is no such parameter; did you mean seed"),
        ("limit: {steps: 2}", "limit: there is no such parameter; did you mean limits?"),
        (
            "reconstruct: {lineer: {fit: {steps: 2}}}",
            "reconstruct.lineer: there is no such experiment; did you mean reconstruct.linear?",
        ),
    ],
)
def test_a_file_of_an_environment(message: Any, tmp_path: Path, text: str, words: str) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "test/parameters_mine.yml").write_text(text)
    assert words in message("reconstruct.linear", conf=conf)


@pytest.mark.proof
def test_a_configuration_in_a_real_process(kedro: Any, unharmed: Path) -> None:
    address = "reconstruct.denoising_vae"
    done = kedro("--pipelines", address, "--params", f"data_root={unharmed},{address}.fit.learning_rat=0.1")
    only_a_sentence(done, f"{address}.fit.learning_rat", f"did you mean {address}.fit.learning_rate?")


@pytest.mark.proof
def test_a_model_in_a_real_process(kedro: Any, tmp_path: Path) -> None:
    address = "reconstruct.denoising_vae"
    given = f"data_root={tmp_path / 'data'},{address}.model.likelihood_noise=maybe"
    done = kedro("--pipelines", address, "--params", given)
    only_a_sentence(done, f"{address}.model.likelihood_noise = 'maybe' should be a valid boolean.")
    assert len(done.stderr.splitlines()) == 1  # no node was told
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_refused_before_the_first_node(
    message: Any, file: Path, tmp_path: Path
) -> None:
    for output, cause in (
        (tmp_path, "is a folder, not a file"),
        (tmp_path / ("x" * 300), "is too long a name"),
        (
            tmp_path / "filled.txt",
            "filled.txt' ends in '.txt', but results are NetCDF: give a name that ends in .nc",
        ),
    ):
        fill = {"observations": str(file), "experiment": "reconstruct.climatology", "output": str(output)}
        text = message("fill", parameters={"fill": fill})
        assert text.startswith(f"fill.output '{tmp_path}") and cause in text
