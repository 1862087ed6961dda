"""Grey images as one data set.

`image` (sample, y, x) holds grey values 0 .. levels - 1 as float32; the coordinate `label` (sample) exists if the
labels do, with `flag_meanings` where the classes have names. Samples are in the order of the source, training set
first. `models.image_transforms` prepares them for a model (binarised, dequantised ...).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from jaxtyping import Shaped

from fieldcast import lineage
from fieldcast.counted import counted
from fieldcast.errors import InputError
from fieldcast.fields.image_files import Pictures, digits, from_openml, read_folder, truncate
from fieldcast.fields.options import ImageSource
from fieldcast.fields.repair import Finding

CLASSES = {  # names of the labels 0, 1 ... (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747, table 2)
    "fashion_mnist": (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot",
    ),
}  # fmt: skip
VALIDATION = 1 / 6  # share of the training set, at its end: the last 10 000 of 60 000


def open_images(source: ImageSource, folder: str | None = None) -> xr.Dataset:
    """Images of both sets, the training set first; `folder` holds four IDX files, gzipped or not.

    Raises
    ------
    InputError
        For files that are missing, damaged or do not belong together, or if OpenML cannot be reached.
    """
    if folder is not None:
        sets, levels = read_folder(folder), 256
    elif source.name == "digits":
        sets, levels = digits(), 17
    else:
        sets, levels = from_openml(source.name), 256
    train, test = truncate(sets["train"], source.train), truncate(sets["test"], source.test)
    origin = source.name if folder is None else f"{source.name} of '{folder}'"
    return with_classes(combine(train, test, levels, origin), CLASSES.get(source.name, ()))


def with_classes(images: xr.Dataset, classes: Sequence[str]) -> xr.Dataset:
    """The images with the names of their labels in CF's attributes `flag_values` and `flag_meanings`."""
    if "label" in images.coords and classes:
        images["label"].attrs.update(flag_values=list(range(len(classes))), flag_meanings=" ".join(classes))
    return images


def split(images: xr.Dataset, validation: int | None = None) -> dict[str, list[int]]:
    """First and last sample of each split; the last `validation` of the training set, or a sixth, are for validation.

    Raises
    ------
    InputError
        If validation takes the whole training set.
    """
    train, test = images.attrs["train"], images.sizes["sample"] - images.attrs["train"]
    edge = train - (validation or max(1, round(train * VALIDATION)))
    if edge < 1:
        raise InputError(
            f"ingestion.images.validation = {validation} leaves none of {train} images to train on: choose fewer."
        )
    return {"train": [0, edge - 1], "validation": [edge, train - 1], "test": [train, train + test - 1]}


def inspect(images: xr.Dataset) -> list[Finding]:
    """Check the images for missing labels, constant images, and test images that are also in the training set."""
    grey, train = images["image"].values.reshape(images.sizes["sample"], -1), images.attrs["train"]
    blank = int((grey == grey[:, :1]).all(axis=1).sum())
    contents = [image.tobytes() for image in grey.astype(np.uint8)]
    training = set(contents[:train])
    twins = sum(image in training for image in contents[train:])
    labelled = "label" in images.coords
    checks = [
        ("labels", not labelled, "There are no labels: everything that needs classes is left out."),
        ("constant", blank, f"{counted(blank, 'image has', 'images have')} the same grey value everywhere."),
        ("twins", twins, f"{counted(twins, 'test image is', 'test images are')} also in the training set."),
    ]
    return [
        Finding(check, "image", "", int(count), "allowed" if count else "fine", sentence if count else "")
        for check, count, sentence in checks
    ]


def digest(grey: Shaped[np.ndarray, "sample y x"]) -> str:
    """Digest of all grey values, as bytes."""
    return lineage.digest(grey.astype(np.uint8).tobytes())


def combine(train: Pictures, test: Pictures, levels: int, source: str) -> xr.Dataset:
    """Join both sets in one data set.

    Raises
    ------
    InputError
        For sets of different image sizes.
    """
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"the images of {source} have {train[0].shape[1:]} cells in the training set and "
            f"{test[0].shape[1:]} in the test set: give files of one set."
        )
    grey = np.concatenate([train[0], test[0]])
    data = xr.Dataset(
        {"image": (("sample", "y", "x"), grey.astype(np.float32), {"units": "1", "long_name": "grey value"})},
        {"sample": np.arange(len(grey)), "y": np.arange(grey.shape[1]), "x": np.arange(grey.shape[2])},
        {
            "levels": levels,
            "train": len(train[0]),
            "source": source,
            "digest": digest(grey),
        },
    )
    if train[1] is None or test[1] is None:
        return data
    return data.assign_coords(label=("sample", np.concatenate([train[1], test[1]]).astype(np.int64)))
