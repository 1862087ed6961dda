"""The annotations of a constructor are the rule of what YAML may say, and no Space is needed to apply it."""

from collections.abc import Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from fieldcast import models
from fieldcast.errors import InputError
from fieldcast.models.conditional import Encoder
from fieldcast.models.configuration import build, check_model, check_value, options, resolve
from fieldcast.models.core import Model
from fieldcast.models.vae import ConditionalVAE

ROOT = Path(__file__).parents[2]
PART = {"type": "conditional.PriorEncoder", "latent": 3}
OTHER = {"type": "climatology.Climatology"}


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [0, -3], [True, 3.0, "3", "many", None, [3], PART]),
        (float, [1.5, 1, float("inf")], [True, "1.5", "heavy", None, {}, PART]),
        (bool, [True, False], [1, 0, "true", "maybe", None]),
        (str, ["", "rk4"], [3, True, None, ["rk4"]]),
        (Literal["euler", "rk4"], ["euler"], ["leapfrog", 1, None]),
        (float | None, [None, 2], ["2", False]),
        (str | float | int, ["tendency", 1, 0.5], [True, [1], None]),
        (Sequence[int], [[], [8, 16], (8, 16)], [8, "8", [8, "x"], [8.5], [True], {"0": 8}]),
        (Sequence[float | int] | None, [None, [0, 1.5]], [[0, "x"], 1]),
        (tuple[int, int], [[8, 16], (8, 16)], [[8], [8, 16, 32], 8]),
        (Mapping[str, float], [{}, {"a": 1}], [{"a": "x"}, [1], 1]),
        (Encoder, [PART], [5, "x", None, {"latent": 3}]),
        (Encoder | None, [PART, None], [5, [PART]]),
        (Model, [OTHER], [PART, 5]),
        (
            Mapping[str, Model],
            [{"a": OTHER, "b": OTHER}],
            [{"a": OTHER, "b": PART}, {"a": OTHER, "b": 5}, [OTHER]],
        ),
        (Any, [5, "x", None, PART], [{"type": "vae.VEA"}]),
        (Parameter.empty, [5, [1], PART], [{"type": "vae.VEA"}]),
    ],
)
def test_a_value_fits_its_annotation_or_is_refused_by_name(
    annotation: Any, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        check_value(value, annotation, "model.option")
    for value in bad:
        with pytest.raises(InputError, match=r"^model\.option") as caught:
            check_value(value, annotation, "model.option")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "import not_installed",
            "the module of 'broken.Ridge' cannot be imported: No module named 'not_installed'",
        ),
        ("from fieldcast.models.core import Solvd", "cannot be imported: cannot import name 'Solvd'"),
        ("def (", r"^mine\.model\.type: .*broken\.py, line 1: invalid syntax: correct it\.$"),
        ("\n{}['a']", r"^mine\.model\.type: .*broken\.py, line 2: KeyError: 'a': correct it\.$"),
        ("import math; math.sqrt(-1)", r"broken\.py, line 1: ValueError: math domain error: correct it\.$"),
    ],
)
def test_a_failed_import_is_reported_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, sentence: str
) -> None:
    (tmp_path / "broken.py").write_text(f"{line}\n")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    with pytest.raises(InputError, match=sentence):
        check_model({"type": "broken.Ridge"}, "mine.model")


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"kl_weight": "heavy"}, ".kl_weight = 'heavy' should be a valid number."),
        ({"likelihood_noise": "maybe"}, ".likelihood_noise = 'maybe' should be a valid boolean."),
        ({"latent": "many"}, ".latent = 'many' should be a valid integer."),
        (
            {"encoder": {"type": "conditional.ContextEncoder"}, "latent": 0},
            ".latent = 0 should be greater than or equal to 1.",
        ),
        (
            {"encoder": {"type": "conditional.ContextEncoder", "latent": 0}, "latent": 0},
            ".encoder.latent = 0 should be greater than or equal to 1.",
        ),
        ({"latnet": 3}, ".latnet: unknown option of vae.ConditionalVAE; did you mean 'latent'?"),
        ({"space": 3}, ".space: unknown option of vae.ConditionalVAE; did you mean 'latent'?"),
        (
            {"likelihood": {"type": "likelihoods.Bernoulli", "sigma": 1}},
            ".likelihood.sigma: unknown option of likelihoods.Bernoulli, which takes no options.",
        ),
        (
            {"type": "vae.VAE", "prior": {"type": "priors.Vamp", "bounds": [0, "x"]}},
            ".prior.bounds.1 = 'x' should be a valid number.",
        ),
        (
            {"prior": {"type": "priors.Vamp"}},
            ".prior.type: priors.Vamp is not a distributions.Prior.",
        ),
        (
            {"encoder": {"type": "encoders.Network"}},
            ".encoder.type: encoders.Network is not a conditional.Encoder.",
        ),
        (
            {"type": "edm.GuidedEDM", "sampler": {"type": "posterior_samplers.RePaint", "repeats": 0}},
            ".sampler.repeats = 0 should be greater than or equal to 1.",
        ),
        (
            {"type": "edm.GuidedEDM", "sampler": {"type": "posterior_samplers.DiffPIR", "zeta": 2.0}},
            ".sampler.zeta = 2.0 should be less than or equal to 1.",
        ),
        ({"type": "edm.EDM", "levels": 0}, ".levels = 0 should be greater than or equal to 1."),
        ({"type": "edm.EDM", "history": -2}, ".history = -2 should be greater than or equal to 0."),
        ({"type": "flow.Flow", "layers": -2}, ".layers = -2 should be greater than or equal to 1."),
        (
            {"type": "vae.ConditionalVAE", "likelihood": {"type": "likelihoods.Gaussian", "sigma": 0}},
            ".likelihood.sigma = 0 should be greater than 0.",
        ),
        (
            {"type": "vae.ConditionalVAE", "prior": {"type": "priors.Mixture", "components": 0}},
            ".prior.components = 0 should be greater than or equal to 1.",
        ),
        (
            {"type": "vae.ConditionalVAE", "kl_weight": -1},
            ".kl_weight = -1 should be greater than or equal to 0.",
        ),
        (
            {
                "type": "vae.VAE",
                "encoder": {"type": "encoders.Network", "hidden": []},
                "decoder": {"type": "decoders.DenseDecoder"},
            },
            ".encoder.hidden = [] should have at least 1 item.",
        ),
        (
            {"type": "diffusion.Diffusion", "ddim_steps": 0},
            ".ddim_steps = 0 should be greater than or equal to 1.",
        ),
        ({"type": "ensemble.Ensemble", "history": 0}, ".history = 0 should be greater than or equal to 1."),
        (
            {"type": "flow.Flow", "interval": [0]},
            ".interval = [0] should have at least 2 items.",
        ),
        ({"likelihood": OTHER}, ".likelihood.type: climatology.Climatology is not a likelihoods.Likelihood."),
        (
            {"type": "vae.ConditionalVea"},
            ".type: there is no 'vae.ConditionalVea' in fieldcast.models; did you mean vae.ConditionalVAE?",
        ),
        (
            {"type": "autoencoders.Autoencoder"},
            ".type: there is no 'autoencoders.Autoencoder' in fieldcast.models; did you mean autoencoder.Autoencoder?",
        ),
        (
            {"type": "LSTM"},
            ".type: there is no 'LSTM' in fieldcast.models; write module.Class, such as vae.VAE.",
        ),
        ({"encoder": "deep"}, ".encoder = 'deep' should be {type: module.Class, keyword: value ...}."),
        (
            {"type": "corrected.Corrected"},
            ".base is not set, and corrected.Corrected has no default for it.",
        ),
        (
            {"type": "corrected.Corrected", "base": {"type": "kriging.Kriging"}},
            ".base.type: kriging.Kriging is not a capabilities.HasMoments.",
        ),
        (
            {"latent": 4, "decoder": {"type": "decoders.DenseDecoder", "latent": 5}},
            ".decoder.latent = 5, but reconstruct.mine.model.latent = 4: set it there alone.",
        ),
        ({"type": "conditional.FieldDecoder"}, ".type: conditional.FieldDecoder is not a core.Model."),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_is_built(
    space: Any, config: dict[str, Any], sentence: str
) -> None:
    config = {"type": "vae.ConditionalVAE", **config}
    with pytest.raises(InputError) as checked:
        check_model(config, "reconstruct.mine.model", Model)
    assert str(checked.value) == f"reconstruct.mine.model{sentence}"
    with pytest.raises(InputError) as built:
        build(config, space, "reconstruct.mine.model", Model)
    assert str(built.value) == str(checked.value)


def test_no_other_package_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "unrelated"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit")
    (package / "mod.py").write_text("class Model: pass")
    monkeypatch.syspath_prepend(str(tmp_path))
    for kind in ("unrelated:mod.Model", "unrelated.mod:part.Model"):
        with pytest.raises(
            InputError, match=f"no installed package '{kind.partition(':')[0]}' depends on fieldcast"
        ):
            resolve(kind, "model")


def test_a_model_must_be_a_mapping() -> None:
    with pytest.raises(
        InputError, match=r"^a\.b\.model = 'vae\.ConditionalVAE' should be \{type: module\.Class"
    ):
        check_model("vae.ConditionalVAE", "a.b.model", Model)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "conf/base/parameters/experiments").glob("*/*.yml")), ids=lambda file: file.stem
)
def test_every_experiment_is_described_well(file: Path) -> None:
    config = yaml.safe_load(file.read_text())[file.parent.name][file.stem]["model"]
    if config["type"] != "File":
        assert issubclass(check_model(config, f"{file.parent.name}.{file.stem}.model", Model), Model)


def test_options_are_what_the_constructor_takes_but_the_space() -> None:
    assert list(options(ConditionalVAE)) == [
        *("encoder", "decoder", "likelihood", "prior", "latent", "history", "random"),
        *("kl_weight", "kl_warm_up", "likelihood_noise"),
    ]
