"""Grey images as one data set.

`image` (sample, y, x) holds grey values 0 .. levels - 1 as float32; the coordinate `label` (sample) exists if the
labels do, with `flag_meanings` where the classes have names. Samples are in the order of the source, training set
first. `models.image_transforms` prepares them for a model (binarised, dequantised ...).
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Shaped, UInt8

from fieldcast import lineage
from fieldcast.errors import InputError, counted
from fieldcast.fields.options import ImageSource
from fieldcast.fields.repair import Finding
from fieldcast.kinds import SAMPLE, as_draws

CLASSES = {  # names of the labels 0, 1 ... (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747, table 2)
    "fashion_mnist": (
        "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle_boot",
    ),
}  # fmt: skip
VALIDATION = 1 / 6  # share of the training set, at its end: the last 10 000 of 60 000


def open_images(source: ImageSource, folder: str | None = None) -> xr.Dataset:
    """Images of both sets, the training set first; `folder` holds four IDX files, gzipped or not."""
    if folder is not None:
        sets, levels = read_folder(folder), 256
    elif source.name == "digits":
        sets, levels = digits(), 17
    else:
        sets, levels = from_openml(source.name), 256
    train, test = truncate(sets["train"], source.train), truncate(sets["test"], source.test)
    origin = source.name if folder is None else f"{source.name} of '{folder}'"
    images, classes = combine(train, test, levels, origin), CLASSES.get(source.name, ())
    if "label" in images.coords and classes:
        images["label"].attrs.update(flag_values=list(range(len(classes))), flag_meanings=" ".join(classes))
    return images


def split(images: xr.Dataset, validation: int | None = None) -> dict[str, list[int]]:
    """First and last sample of each split; the last `validation` of the training set, or a sixth, validate."""
    train, test = images.attrs["train"], images.sizes[SAMPLE] - images.attrs["train"]
    edge = train - (validation or max(1, round(train * VALIDATION)))
    if edge < 1:
        raise InputError(
            f"ingestion.images.validation = {validation} leaves none of {train} images to train on: choose fewer."
        )
    return {"train": [0, edge - 1], "validation": [edge, train - 1], "test": [train, train + test - 1]}


def inspect(images: xr.Dataset) -> list[Finding]:
    """Check the images for missing labels, constant images, and test images that are also in the training set."""
    grey, train = images["image"].values.reshape(images.sizes[SAMPLE], -1), images.attrs["train"]
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
    """Join both sets in one data set."""
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"the images of {source} have {train[0].shape[1:]} cells in the training set and "
            f"{test[0].shape[1:]} in the test set: give files of one set."
        )
    grey = np.concatenate([train[0], test[0]])
    dims = SAMPLE, "y", "x"
    image = dims, grey.astype(np.float32), {"units": "1", "long_name": "grey value"}
    coordinates = {name: np.arange(size) for name, size in zip(dims, grey.shape, strict=True)}
    attrs = {"levels": levels, "train": len(train[0]), "source": source, "digest": digest(grey)}
    data = as_draws("images", xr.Dataset({"image": image}, coordinates, attrs))
    if train[1] is None or test[1] is None:
        return data
    return data.assign_coords(label=(SAMPLE, np.concatenate([train[1], test[1]]).astype(np.int64)))


# Images with their labels from IDX files, from OpenML through scikit-learn, or from its bundled digits.


FILES = {"train": "train", "test": "t10k"}
OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
UNSIGNED_BYTES = 0x08
Pictures = tuple[UInt8[np.ndarray, "_ _ _"], Shaped[np.ndarray, " _"] | None]  # images and their labels


def truncate(pictures: Pictures, count: int | None) -> Pictures:
    """First `count` images and their labels, or all of them."""
    x, labels = pictures
    return x[:count], None if labels is None else labels[:count]


def read_folder(folder: str) -> dict[str, Pictures]:
    """Read the four IDX files of MNIST or a similar set; label files may be missing."""
    directory = Path(os.path.expanduser(folder))
    if not directory.is_dir():
        raise InputError(
            f"ingestion.path: there is no folder '{folder}': give the one with the four IDX files."
        )
    sets: dict[str, Pictures] = {}
    for name, prefix in FILES.items():
        images = existing(directory, f"{prefix}-images-idx3-ubyte")
        if images is None:
            raise InputError(
                f"'{folder}' holds no {prefix}-images-idx3-ubyte or .gz: give the folder that does."
            )
        x, labels, path = read_idx(images, 3), None, existing(directory, f"{prefix}-labels-idx1-ubyte")
        if path is not None:
            labels = read_idx(path, 1)
            if len(labels) != len(x):
                raise InputError(
                    f"'{images}' holds {len(x)} images and '{path}' {len(labels)} labels: give files of one set."
                )
        sets[name] = (x, labels)
    return sets


def existing(directory: Path, name: str) -> Path | None:
    """Path of a file or of its gzipped version, whichever exists."""
    return next((path for path in (directory / name, directory / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Array of an IDX file: magic number (0, 0, type, dimensions), sizes (big-endian), values."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            data = file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"'{path}' is a damaged or truncated gzip file: copy or download it again."
        ) from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}): check its permissions.") from error
    head = 4 + 4 * dimensions
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if len(data) >= 4 and data[:4] != expected:
        raise InputError(
            f"'{path}' has the magic number {data[:4].hex()}, not {expected.hex()} of {dimensions}-dimensional IDX "
            "bytes: choose another file."
        )
    if len(data) < head:
        raise InputError(f"'{path}' ends within its header ({len(data)} bytes): copy or download it again.")
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    expected_bytes, actual_bytes = int(np.prod(shape, dtype=np.int64)), len(data) - head
    if expected_bytes != actual_bytes:
        raise InputError(
            f"'{path}' declares {' x '.join(map(str, shape))} bytes and holds {actual_bytes}, not {expected_bytes}: "
            "copy or download it again."
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def digits() -> dict[str, Pictures]:
    """Scikit-learn's digits, 8 x 8 cells with 17 levels; the last 297 are for testing."""
    from sklearn.datasets import load_digits  # slow to import, and needed only here

    bundle = load_digits()
    x, labels = bundle.images.astype(np.uint8), bundle.target.astype(np.int64)
    return {"train": (x[:1500], labels[:1500]), "test": (x[1500:], labels[1500:])}


def from_openml(name: str) -> dict[str, Pictures]:
    """MNIST or Fashion-MNIST through scikit-learn, which caches a copy in its own folder."""
    from sklearn.datasets import fetch_openml

    try:
        bundle = fetch_openml(OPENML[name], version=1, as_frame=False)
    except (OSError, ValueError) as error:  # offline, or the data have been removed
        raise InputError(
            f"{name} cannot be fetched from OpenML ({type(error).__name__}): check the network, or give the folder "
            "of its IDX files with --params ingestion.path=FOLDER."
        ) from error
    x = bundle.data.astype(np.uint8).reshape(-1, 28, 28)
    labels = bundle.target.astype(np.int64)
    return {"train": (x[:60_000], labels[:60_000]), "test": (x[60_000:], labels[60_000:])}
