"""Trials of the autodecoders: errors of fitted and learnt codes, the record, and the table."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from fieldcast.encoding.checkpoint import Checkpoint
from fieldcast.encoding.states import ImageCodec, space_of_images
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.models.configuration import build
from fieldcast.models.core import Context


class Linear(torch.nn.Module):
    """x = A z + b."""

    reads = "nothing"

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.shift = torch.zeros(64, 64), 0.25

    def forward(self, z: torch.Tensor, c: Context) -> torch.Tensor:
        return (z @ self.matrix.T + self.shift).unflatten(-1, (1, 8, 8))


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with its record and document in an empty folder."""
    script = importlib.import_module("studies.autodecoder_trials")
    document = tmp_path / "tables.md"
    document.write_text("before\n<!-- trials: begin -->\nold\n<!-- trials: end -->\nafter\n")
    monkeypatch.setattr(script, "DOCUMENT", document)
    monkeypatch.setattr(script, "RECORD", tmp_path / "data" / "trials.csv")
    return script


def test_errors_of_codes_of_a_linear_decoder(trials: ModuleType) -> None:
    """A decoder x = b gives every code the error (x - b)^2; with x = z a long enough fit is exact."""
    images = open_images(ImageSource("digits", train=40, test=20))
    config = {
        "type": "vae.VAE", "latent": 64, "likelihood": {"type": "likelihoods.Gaussian"},
        "encoder": {"type": "latent_table.LatentTable"}, "decoder": {"type": "decoders.DenseDecoder"},
    }  # fmt: skip
    model = build(config, space_of_images(images))
    model.decoder = decoder = Linear()
    with torch.no_grad():
        model.encoder.location.data = torch.zeros(40, 64)
        model.encoder.log_scale.data = torch.zeros(40, 64)
    checkpoint = Checkpoint(model, ImageCodec("grey", 17), {})
    rows = list(trials.fitted_errors(checkpoint, images, split(images), (1, 200)))
    x = images["image"].values / 16
    ends = {"train": x[: 40 - 40 // 6], "test": x[40:]}
    assert [(row["steps"], row["split"]) for row in rows] == [
        (0, "train"), *((steps, name) for steps in (1, 200) for name in ("train", "test"))
    ]  # fmt: skip
    for row in rows:
        assert row["error"] == pytest.approx(((ends[row["split"]] - 0.25) ** 2).mean(), rel=0.02)
    decoder.matrix, decoder.shift = torch.eye(64), 0.0
    model.encoder.rate = 0.1
    few, many = (
        [row["error"] for row in trials.fitted_errors(checkpoint, images, split(images), (n,))][1:]
        for n in (3, 300)
    )
    assert max(many) < 1e-4 < min(few)  # x = z is reached exactly


def test_the_table_has_a_row_for_each_trial(trials: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    first = trials.TRIALS[0].label
    jobs = []

    def errors_of(job: object) -> list[dict[str, object]]:
        jobs.append(job)
        steps = [
            {"steps": n, "split": name, "error": 1 / n} for n in trials.STEPS for name in ("train", "test")
        ]
        return [{"steps": 0, "split": "train", "error": 0.125}, *steps]

    monkeypatch.setattr(trials, "errors_of", errors_of)
    monkeypatch.setattr(trials, "trained", lambda job, folders: job.row.label == first)
    monkeypatch.setattr(sys, "argv", ["autodecoder_trials.py"])
    assert trials.main() == 1 and len(jobs) == 1  # the others failed
    assert trials.main() == 1 and len(jobs) == 1  # the first is in the record
    printed = trials.DOCUMENT.read_text()
    assert f"| {first} | 0.1250 | 0.3333 / 0.3333 | 0.1000 / 0.1000 |" in printed
    assert printed.count("| running |") == len(trials.TRIALS) - 1 and "old" not in printed


def test_a_mean_over_pixels_weighs_the_kl_by_their_number(trials: ModuleType) -> None:
    """|x - m|^2 / (2 sigma^2) + w KL, with 2 sigma^2 = 1 and w = 784, is 784 times the mean of squares plus the KL."""
    options = {row.label: row.params for row in trials.TRIALS}["normal, mean of squares + KL"]
    model = "sample.variational_autodecoder.model"
    assert 2 * options[f"{model}.likelihood.sigma"] ** 2 == pytest.approx(1)
    assert options[f"{model}.kl_weight"] == 28 * 28
    assert np.isfinite(options["sample.variational_autodecoder.fit.steps"])
