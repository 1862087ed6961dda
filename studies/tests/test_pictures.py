"""The pictures of the reports are drawn from the stored numbers, and none is older than its numbers."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from studies.stored_pictures import MAX_BYTES, digest, stale, write_picture

ROOT = Path(__file__).parents[2]
MAX_NUMBERS = 2_000_000  # size of all stored numbers, at most [bytes]


@pytest.fixture(scope="module")
def program() -> Iterator[ModuleType]:
    """studies/make_figures.py, which is no part of the package."""
    yield importlib.import_module("studies.make_figures")


def numbers_of(picture: Path) -> str:
    with Image.open(picture) as opened:
        return str(opened.text["numbers"]).split()[0]


def test_the_pictures_of_the_documents_are_those_that_are_drawn_today(
    program: ModuleType, tmp_path: Path
) -> None:
    """Drawn from the stored numbers alone; another version of matplotlib may smooth an edge in another way."""
    drawn = [*program.figures_000.draw(images=tmp_path), *program.draw(images=tmp_path)]
    drawn += program.draw_others(tmp_path)
    complete = {
        name
        for name, picture in program.PICTURES.items()
        if set(program.load(program.DATA / f"{name}.npz")) == set(picture.experiments)
    }
    assert complete < {file.stem for file in drawn} and "priors" in complete
    for file in drawn:
        (stored,) = (ROOT / "docs").rglob(file.name)
        assert max(file.stat().st_size, stored.stat().st_size) <= MAX_BYTES
        new, old = (np.asarray(Image.open(each).convert("RGB"), float) for each in (file, stored))
        assert new.shape == old.shape, f"{file.name} is of an earlier version: make figures"
        assert np.abs(new - old).mean() < 1, f"{file.name} is of an earlier version: make figures"  # of 255
    folders = (program.DATA, program.figures_000.DATA, program.make_images.FIELDS.parent)
    assert sum(file.stat().st_size for folder in folders for file in folder.iterdir()) <= MAX_NUMBERS


def test_a_picture_of_other_numbers_and_one_of_none_are_named(tmp_path: Path) -> None:
    numbers, picture = tmp_path / "data" / "numbers.csv", tmp_path / "images" / "picture.png"
    numbers.parent.mkdir()
    numbers.write_text("1\n")
    figure = Figure()
    figure.subplots().plot([0, 1])
    write_picture(picture, figure, numbers)
    assert stale(picture) == ""
    numbers.write_text("2\n")
    assert (
        stale(picture)
        == "picture.png is older than its numbers, ../data/numbers.csv: `make figures` draws it anew."
    )
    numbers.unlink()
    assert "is older than its numbers" in stale(picture)
    Image.new("RGB", (9, 9)).save(picture)
    assert "does not say of which numbers it is" in stale(picture)


@pytest.fixture
def run(tmp_path: Path, program: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run on Fashion-MNIST: a VAE of grey values with a decoded grid."""
    root = tmp_path / "run"
    fields = xr.Dataset({"image": (("sample", "y", "x"), np.zeros((5, 28, 28)))})
    fields.assign_attrs(source="fashion_mnist of 'a folder'").to_zarr(root / "03_primary/fields.zarr")
    rng = np.random.default_rng(0)
    kind = np.repeat(["grid", "real"], [100, 36])
    examples = xr.Dataset(
        {"image": (("picture", "y", "x"), rng.uniform(-0.4, 255.4, (136, 28, 28)))},
        {
            "kind": ("picture", kind),
            "number": ("picture", np.r_[:100, :36]),
            "chain_time": ("picture", -np.ones(136)),
        },
        {"treatment": "grey", "grid_components": [2, 5]},
    )
    examples.to_zarr(root / "08_reporting/sample/vae_grey/examples.zarr")
    (root / "06_models/sample/vae_grey").mkdir(parents=True)
    (root / "06_models/sample/vae_grey/checkpoint.safetensors").touch()
    header = {"history": [{"step": 20, "seconds": 90.0}], "splits": {"train": [0, 3]}, "fit": {"batch": 2}}
    monkeypatch.setattr(program, "read_header", lambda data, name: header)
    return root


def test_a_finished_run_is_stored_and_drawn_until_another_replaces_it(
    program: ModuleType, run: Path, tmp_path: Path
) -> None:
    data, images = tmp_path / "data", tmp_path / "images"
    assert list(program.store(run, data)) == ["latent_grid"]
    (stored,) = program.load(data / "latent_grid.npz").values()
    examples = xr.open_zarr(run / "08_reporting/sample/vae_grey/examples.zarr")
    grid = examples["image"].isel(picture=slice(0, 100)).to_numpy()
    assert stored["image"].dtype == "uint8" and stored.attrs["grid_components"] == [2, 5]
    np.testing.assert_allclose(stored["image"], grid, atol=0.5)
    trained = pd.read_csv(data / "trained.csv")
    assert trained.iloc[0].tolist() == ["latent_grid", "vae_grey", 20, 4, 10.0, 1.5]
    (picture,) = program.draw(data, images)
    first = numbers_of(picture)
    examples.assign(image=255 - examples["image"]).drop_encoding().to_zarr(
        run / "08_reporting/sample/vae_grey/examples.zarr", mode="w"
    )
    list(program.store(run, data))
    assert len(pd.read_csv(data / "trained.csv")) == 1
    assert first != digest(data / "latent_grid.npz") == numbers_of(*program.draw(data, images))


def test_texts_of_any_width_are_stored_without_pickles(program: ModuleType, tmp_path: Path) -> None:
    names = np.array(["shirt", "ankle boot"], dtype=np.dtypes.StringDType())
    program.save(tmp_path / "codes.npz", {"vae": xr.Dataset(coords={"label": ("datum", names)})})
    assert program.load(tmp_path / "codes.npz")["vae"]["label"].values.tolist() == ["shirt", "ankle boot"]


def test_numbers_of_another_treatment_are_not_taken(program: ModuleType, run: Path, tmp_path: Path) -> None:
    examples = xr.open_zarr(run / "08_reporting/sample/vae_grey/examples.zarr").load().drop_encoding()
    examples.attrs["treatment"] = "threshold"
    examples.to_zarr(run / "08_reporting/sample/vae_grey/examples.zarr", mode="w")
    assert list(program.store(run, tmp_path / "data")) == []


def made_up(program: ModuleType, picture: str, place: int) -> xr.Dataset:
    """Numbers of one experiment of a picture, in the form in which they are stored."""
    rng = np.random.default_rng(place)
    label = np.array(["Ankle boot", "T-shirt/top", "Pullover"])[np.arange(120) % 3]
    if picture == "embeddings":
        codes = {"mean": (("datum", "latent"), rng.normal(size=(120, 2)))}
        codes["training_mean"] = (("training", "latent"), rng.normal(size=(120, 2)))
        coords = {"label": ("datum", label), "training_label": ("training", label)}
        return xr.Dataset(codes, coords, {"components": 100}).astype("float16")
    if picture == "priors":
        u = np.linspace(-4, 4, 21)
        drawn, prior = rng.normal(size=(2, 120, 2))
        return xr.Dataset(
            {"drawn": (("datum", "latent"), drawn), "prior": (("draw", "latent"), prior),
             "log_density": (("v", "u"), -(u[:, None] ** 2 + u**2) / 2 - np.log(2 * np.pi))},
            {"label": ("datum", label), "u": u, "v": u},
        ).astype("float16")  # fmt: skip
    kinds = {"truth": 10, "reconstruction": 10, "sample": 12, "real": 12, "grid": 100, "snapshot": 24}
    kind = np.concatenate([np.full(count, name) for name, count in kinds.items()])
    number = np.concatenate([np.arange(count) for count in kinds.values()])
    t = np.full(len(kind), -1)
    number[-24:], t[-24:] = np.arange(24) % 4, np.repeat([200, 100, 50, 20, 10, 0], 4)
    grey = np.broadcast_to(rng.integers(0, 256, (len(kind), 1, 1), "uint8"), (len(kind), 28, 28))
    treatment = list(program.PICTURES[picture].experiments.values())[place]
    return xr.Dataset(
        {"image": (("picture", "y", "x"), grey)},
        {"kind": ("picture", kind), "number": ("picture", number), "chain_time": ("picture", t)},
        {"levels": 256, "treatment": treatment, "grid_components": [0, 1]},
    )


def test_every_picture_is_drawn_once_all_its_experiments_are_stored(
    program: ModuleType, tmp_path: Path
) -> None:
    for name, picture in program.PICTURES.items():
        numbers = {each: made_up(program, name, place) for place, each in enumerate(picture.experiments)}
        for size in sorted({1, len(numbers)}):
            program.save(tmp_path / f"{name}.npz", dict(list(numbers.items())[:size]))
            assert (program.draw(tmp_path, tmp_path) != []) == (size == len(numbers))
        for experiment, stored in program.load(tmp_path / f"{name}.npz").items():
            assert stored.attrs == numbers[experiment].attrs
            for variable in stored.variables:
                np.testing.assert_array_equal(stored[variable], numbers[experiment][variable])
        with Image.open(tmp_path / f"{name}.png") as picture_file:
            assert picture_file.width >= 600
        (tmp_path / f"{name}.npz").unlink()
