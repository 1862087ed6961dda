"""Distances of samples in other feature spaces, and their place in the record of `make tables`."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xarray as xr
from sklearn.decomposition import PCA

from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.fields.images import split
from fieldcast.inference.samples.features import SHIPPED, stored_weights
from fieldcast.inference.samples.sets import SplitStates
from fieldcast.scores.distances import Sets

SIDE, TRAINING, TEST, SAMPLES = 28, 260, 60, 40


@pytest.fixture
def spaces(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script."""
    return importlib.import_module("studies.feature_spaces")


def blobs(count: int, seed: int, shift: float = 0.0) -> xr.Dataset:
    """Grey images of one soft spot each, whose place varies."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE]
    place = 14 + shift + 3 * rng.standard_normal((2, count, 1, 1))
    image = 255 * np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 18)
    return xr.Dataset(
        {"image": (("sample", "y", "x"), image.astype("f4"))},
        {"label": ("sample", rng.integers(10, size=count))},
    )


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """A data root with the samples of two experiments: images like the test images, and shifted ones."""
    fields = xr.concat([blobs(TRAINING, 0), blobs(TEST, 1)], "sample").assign_attrs(
        levels=256, train=TRAINING
    )
    fields = fields.assign_coords(sample=np.arange(TRAINING + TEST))
    fields.to_zarr(tmp_path / "03_primary" / "fields.zarr")
    ranges = {name: list(ends) for name, ends in split(fields).items()}
    (tmp_path / "03_primary" / "splits.json").write_text(json.dumps(ranges, default=int))
    weights, header = stored_weights(SHIPPED / "mnist.safetensors")
    (tmp_path / "04_feature").mkdir()
    header |= {"kind": "images", "levels": 256, "accuracy": 0.9, "weights": "w"}
    (tmp_path / "04_feature" / "extractor.safetensors").write_bytes(pack_bytes(weights, header))
    for name, shift in (("like", 0.0), ("shifted", 4.0)):
        samples = blobs(SAMPLES, 2, shift).drop_vars("label").assign_attrs(treatment="grey", seed=0)
        samples.to_zarr(tmp_path / "07_model_output" / "sample" / name / "draws.zarr")
    return tmp_path


def test_pixels_are_the_principal_components_of_training_images(
    spaces: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spaces, "COMPONENTS", 5)
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((30, 30))
    training, samples, test = (rng.standard_normal((n, 30)) @ mixing + 3 for n in (400, 20, 30))
    part = SplitStates(
        xr.Dataset({"row": ("sample", np.arange(400))}), None, lambda part: training[part["row"]]
    )
    sets = spaces.pixel_components(Sets(samples, test, part), part, 50)
    reference = PCA(5).fit(training)
    for x, y in ((sets.samples, samples), (sets.test, test)):
        np.testing.assert_allclose(np.abs(x), np.abs(reference.transform(y)), atol=1e-8)
    assert sets.training.shape == (50, 5)


def test_shifted_samples_are_farther_in_every_space(
    spaces: ModuleType, data_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = {}
    for name in ("like", "shifted"):
        drawn = spaces.drawn_by(data_root, name)
        scores[name] = spaces.in_other_spaces(drawn, 0)
        assert set(scores[name]) == {
            f"{score}_{space}"
            for score in ("fid", "fid_floor", "kid", "kid_half", "kid_floor")
            for space in ("pixels", "fashion")
        }
    for space in ("pixels", "fashion"):
        near, far = (scores[name][f"kid_{space}"] for name in ("like", "shifted"))
        half = scores["like"][f"kid_half_{space}"]
        assert abs(near) < 2 * half and far > 4 * half
        assert scores["like"][f"kid_floor_{space}"] == pytest.approx(scores["shifted"][f"kid_floor_{space}"])
    assert spaces.drawn_by(data_root, "missing") is None
    monkeypatch.setattr("sys.argv", ["feature_spaces.py", str(data_root)])
    spaces.main()
    head, _, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("| experiment | fid classifier | kid classifier | kid_half classifier |")
    assert [line.split(" | ")[0] for line in lines] == ["| `like`", "| `shifted`"]
    assert f"{scores['shifted']['fid_pixels']:.4g}" in lines[1]
