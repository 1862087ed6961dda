"""Pictures of the documents, from the numbers that are stored beside them: `make figures`.

`make figures` draws every picture from the stored numbers alone: those of reports 001 to 004 here, from
docs/reports/data/images, those of report 000 by studies/figures_000.py and studies/mse_of_000.py, those of docs/images
by studies/make_images.py and studies/dineof_example.py. `make figures RUNS="FOLDER ..."` first stores the numbers of
finished runs of the task `sample`, which the data roots FOLDER hold, in place of those of the same experiments.
`PICTURES` lists the images, the experiments and the treatments of each picture; docs/reports/data/images/trained.csv
says how long each was trained.

Each PNG carries the digest of its numbers (`studies.stored_pictures`), so that none is older than they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from fieldcast.encoding.checkpoint import read_header
from fieldcast.experiments import experiments
from fieldcast.figures.embedding import embeddings, in_a_plane, priors
from fieldcast.figures.samples import decoded_pictures, denoising, latent_grid, sample_sheet
from studies import dineof_example, figures_000, make_images, mse_of_000
from studies.stored_pictures import write_picture

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs" / "reports" / "data" / "images"
IMAGES = ROOT / "docs" / "reports" / "images"
CODES = 1500  # test codes beside a prior, and draws of the prior
VARIABLE = "image"
ABOUT = "about"  # name of the array that holds dimensions and attributes of an experiment
FAMILIES = ("autodecoder", "variational_autodecoder", "variational_autodecoder_uniform")
Stored = Mapping[str, xr.Dataset]  # by experiment
Draw = Callable[[Stored], Figure]


class Shown(NamedTuple):
    """A picture: its data, experiments with their treatment of images, the numbers it needs, and its function."""

    images: str  # option `ingestion.images.name`
    experiments: Mapping[str, str]
    numbers: Callable[[Path, str], xr.Dataset]
    draw: Draw


def main() -> int:
    """Store numbers if asked to, and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, nargs="*", default=[], metavar="FOLDER", help="data roots")
    for folder in parser.parse_args().store:
        for name in store(folder):
            sys.stdout.write(f"{folder}: {name}\n")
    for file in (*figures_000.draw(), *draw(), *draw_others()):
        sys.stdout.write(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1000:.0f} kB\n")
    return 0


def store(data_root: Path, data: Path = DATA) -> Iterator[str]:
    """Store the numbers of the pictures to which a data root contributes; yield the names of these pictures."""
    data.mkdir(parents=True, exist_ok=True)
    source = str(xr.open_zarr(data_root / "03_primary" / "fields.zarr").attrs["source"])
    for name, picture in PICTURES.items():
        if source.split(maxsplit=1)[0] != picture.images:
            continue
        stored = load(data / f"{name}.npz")
        finished = [
            experiment
            for experiment, treatment in picture.experiments.items()
            if treatment_of(data_root, experiment) == treatment
        ]
        for experiment in finished:
            stored[experiment] = picture.numbers(data_root, experiment)
            note_training(data_root, data / "trained.csv", name, experiment)
        if finished:
            ordered = {each: stored[each] for each in picture.experiments if each in stored}
            save(data / f"{name}.npz", ordered)
            yield name


def treatment_of(data_root: Path, experiment: str) -> str:
    """The treatment of the images of an experiment whose evaluation is finished; empty if it is not."""
    examples = data_root / "08_reporting" / "sample" / experiment / "examples.zarr"
    return str(xr.open_zarr(examples).attrs["treatment"]) if examples.exists() else ""


def note_training(data_root: Path, file: Path, picture: str, experiment: str) -> None:
    """Write steps, epochs and minutes of a training, and its number of images, into a table."""
    checkpoint = data_root / "06_models" / "sample" / experiment / "checkpoint.safetensors"
    header = read_header(checkpoint.read_bytes(), experiment)
    last, (begin, end) = header["history"][-1], header["splits"]["train"]
    images, steps = end - begin + 1, int(last["step"])
    epochs, minutes = round(steps * header["fit"]["batch"] / images, 1), round(last["seconds"] / 60, 1)
    columns = ["picture", "experiment"]
    new = pd.DataFrame(
        [[picture, experiment, steps, images, epochs, minutes]],
        columns=[*columns, "steps", "images", "epochs", "minutes"],
    )
    both = pd.concat([pd.read_csv(file), new]) if file.exists() else new
    both = both.drop_duplicates(columns, keep="last").sort_values(columns)
    file.write_text(both.to_csv(index=False), encoding="utf-8")


def pictured(*kinds: str, first: int = 12) -> Callable[[Path, str], xr.Dataset]:
    """A function that reads the first examples of these kinds as grey values 0 to 255; all of a grid and a chain."""

    def numbers(data_root: Path, experiment: str) -> xr.Dataset:
        stored = xr.open_zarr(data_root / "08_reporting" / "sample" / experiment / "examples.zarr").load()
        kind = np.array([str(each) for each in stored["kind"].to_numpy()])
        t = stored["chain_time"].to_numpy()
        limit = np.where(np.isin(kind, ("grid", "snapshot")), len(kind), first)
        selected = np.isin(kind, kinds) & (stored["number"].to_numpy() < limit) & (t < 999)
        examples = stored[[VARIABLE]].isel(picture=np.flatnonzero(selected))
        grey = examples[VARIABLE].round().clip(0, 255).astype("uint8")
        coords = {
            "kind": ("picture", kind[selected].astype(str)),
            "number": examples["number"].astype("int16"),
        }
        coords["chain_time"] = examples["chain_time"].astype("int16")
        names = ("treatment", "grid_components")
        attrs = {"levels": 256} | {name: stored.attrs[name] for name in names if name in stored.attrs}
        return xr.Dataset({VARIABLE: (("picture", "y", "x"), grey.to_numpy())}, coords, attrs)

    return numbers


def codes_and_prior(data_root: Path, experiment: str) -> xr.Dataset:
    """Posterior draws of test images, draws of the prior, and its density on a grid."""
    latents = latents_of(data_root, experiment)
    kept = latents[["drawn", "prior", "log_density"]].isel(datum=slice(CODES), draw=slice(CODES))
    kept = kept.assign_coords(label=("datum", kept["label"].to_numpy().astype(str)))
    return (
        kept.assign(log_density=kept["log_density"].clip(min=-50))
        .astype("float16")
        .assign_attrs(latents.attrs)
    )


def plane(data_root: Path, experiment: str) -> xr.Dataset:
    """Codes of training and of test images, in a plane by t-SNE."""
    return in_a_plane(latents_of(data_root, experiment)).astype("float16")


def latents_of(data_root: Path, experiment: str) -> xr.Dataset:
    """The latents that a run stored, without its numbers of draws."""
    latents = xr.open_zarr(data_root / "07_model_output" / "sample" / experiment / "latents.zarr").load()
    return latents.assign_attrs(dict.fromkeys(latents.attrs)).drop_attrs()


def save(file: Path, stored: Stored) -> None:
    """Write the numbers of a picture as a compressed NumPy archive, without pickles."""
    arrays: dict[str, np.ndarray] = {}
    for experiment, numbers in stored.items():
        variables = {str(name): numbers[name] for name in (*numbers.data_vars, *numbers.coords)}
        arrays |= {f"{experiment}/{name}": plain(values.to_numpy()) for name, values in variables.items()}
        about = {
            "dims": {name: values.dims for name, values in variables.items()},
            "coords": list(numbers.coords),
            "attrs": numbers.attrs,
        }
        arrays[f"{experiment}/{ABOUT}"] = np.array(json.dumps(about))
    part = file.with_suffix(".part.npz")
    np.savez_compressed(part, allow_pickle=False, **arrays)
    part.replace(file)


def plain(array: np.ndarray) -> np.ndarray:
    """An array as it is, or texts of any kind as texts of one width, which need no pickle."""
    return np.array(array.tolist(), str) if array.dtype.kind in "OT" else array


def load(file: Path) -> dict[str, xr.Dataset]:
    """Read the numbers of a picture by experiment; empty without a file."""
    if not file.exists():
        return {}
    stored = {}
    with np.load(file) as arrays:
        for key in (key for key in arrays.files if key.endswith(f"/{ABOUT}")):
            experiment, about = key.removesuffix(f"/{ABOUT}"), json.loads(str(arrays[key]))
            variables = {name: (dims, arrays[f"{experiment}/{name}"]) for name, dims in about["dims"].items()}
            numbers = xr.Dataset(variables, attrs=about["attrs"]).set_coords(about["coords"])
            halves = {
                name: v.astype("float32") for name, v in numbers.variables.items() if v.dtype == "float16"
            }
            stored[experiment] = numbers.assign({n: v for n, v in halves.items() if n in numbers.data_vars})
    return stored


def draw(data: Path = DATA, images: Path = IMAGES) -> list[Path]:
    """Draw the pictures of which the numbers of all experiments are stored; return their files."""
    images.mkdir(parents=True, exist_ok=True)
    files = []
    for name, picture in PICTURES.items():
        numbers = data / f"{name}.npz"
        stored = load(numbers)
        if set(stored) != set(picture.experiments):
            continue
        figure = picture.draw({experiment: stored[experiment] for experiment in picture.experiments})
        files.append(write_picture(images / f"{name}.png", figure, numbers))
    return files


def draw_others(folder: Path | None = None) -> Iterator[Path]:
    """Draw the pictures of single studies from their stored numbers, in their places or in a folder."""
    for module, numbers, figure in (
        (mse_of_000, mse_of_000.RECORD, lambda file: mse_of_000.draw(pd.read_csv(file))),
        (make_images, make_images.FIELDS, lambda file: make_images.draw_fields(xr.load_dataset(file))),
        (dineof_example, dineof_example.NUMBERS, lambda file: dineof_example.draw(xr.load_dataset(file))),
    ):
        picture = module.PICTURE if folder is None else folder / module.PICTURE.name
        yield write_picture(picture, figure(numbers), numbers)


def labelled(stored: Stored) -> dict[str, xr.Dataset]:
    """Numbers by the label of their experiment."""
    return {LABELS[experiment]: numbers for experiment, numbers in stored.items()}


def of_first(function: Callable[[xr.Dataset, str, str], Figure]) -> Draw:
    """Draw the only experiment of a picture."""
    return lambda stored: next(
        function(numbers, VARIABLE, LABELS[experiment]) for experiment, numbers in stored.items()
    )


LABELS = {
    each.name: each.about.label for each in experiments(ROOT / "conf").values() if each.task == "sample"
}
VAES = dict.fromkeys(("vae", "vae_mixture", "vae_vamp", "vae_flow"), "threshold")
PICTURES = {
    "embeddings": Shown(
        "fashion_mnist",
        dict.fromkeys(
            (*FAMILIES, "variational_autodecoder_laplace", "variational_autodecoder_by_class"), "grey"
        ),
        plane, lambda s: embeddings(labelled(s)),
    ),
    "decoded_codes": Shown(
        "fashion_mnist", dict.fromkeys(FAMILIES, "grey"), pictured("truth", "reconstruction", "sample", first=10),
        lambda s: decoded_pictures(labelled(s), VARIABLE),
    ),
    "priors": Shown("mnist", VAES, codes_and_prior, lambda s: priors(labelled(s))),
    "samples": Shown(
        "mnist", {"vae_flow": "dequantised", "flow_two_networks": "dequantised", "ddpm": "symmetric"},
        pictured("real", "sample"), lambda s: sample_sheet(labelled(s), VARIABLE),
    ),
    "kl_weight": Shown(
        "mnist", dict.fromkeys(("vae_kl0", "vae", "vae_kl30"), "threshold"),
        pictured("truth", "reconstruction", "sample", first=10), lambda s: decoded_pictures(labelled(s), VARIABLE),
    ),
    "latent_grid": Shown("fashion_mnist", {"vae_grey": "grey"}, pictured("grid"), of_first(latent_grid)),
    "denoising": Shown("mnist", {"ddpm": "symmetric"}, pictured("snapshot"), of_first(denoising)),
    "denoising_fashion_mnist": Shown(
        "fashion_mnist", {"ddpm": "symmetric"}, pictured("snapshot"), of_first(denoising)
    ),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
