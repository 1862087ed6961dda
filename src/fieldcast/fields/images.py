"""Images: sets of grey pictures as one data set, from IDX files, scikit-learn's OpenML, or its bundled digits.

`image` (sample, y, x) holds grey values 0 .. levels - 1, as float32; the coordinate `label` (sample) is there if the
labels are. Samples are in the order of the source, training set first. What a model sees of them (binarised,
dequantised ...) is chosen later, in `models.pixels`.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import xarray as xr
from jaxtyping import Shaped, UInt8
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast import lineage
from fieldcast.errors import InputError
from fieldcast.fields.repair import Finding

FILES = {"train": "train", "test": "t10k"}
OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
UNSIGNED_BYTES = 0x08
VALIDATION = 1 / 6  # of the training set, its end: the last 10 000 of 60 000

Pictures = tuple[UInt8[np.ndarray, "_ _ _"], Shaped[np.ndarray, " _"] | None]  # images and their labels


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ImageSource:
    """Which images.

    name: "mnist" or "fashion_mnist", from OpenML where no folder is given; "digits", 1797 of 8 x 8 that come with
    scikit-learn. train, test: only the first so many of each.
    """

    name: Literal["mnist", "fashion_mnist", "digits"] = "digits"
    train: Annotated[int, Field(ge=6)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None


def open_images(source: ImageSource, folder: str | None = None) -> xr.Dataset:
    """The images of both sets, the training set first; `folder` holds four IDX files, gzipped or not.

    Raises
    ------
    InputError
        For files that are missing, damaged or do not belong together, and without a network where one is needed.
    """
    if folder is not None:
        sets, levels = read_folder(folder), 256
    elif source.name == "digits":
        sets, levels = digits(), 17
    else:
        sets, levels = from_openml(source.name), 256
    train, test = first(sets["train"], source.train), first(sets["test"], source.test)
    told = source.name if folder is None else f"{source.name} of '{folder}'"
    return together(train, test, levels, told)


def split(images: xr.Dataset) -> dict[str, list[int]]:
    """First and last sample of each split: the last sixth of the training set is for validation."""
    train, test = images.attrs["train"], images.sizes["sample"] - images.attrs["train"]
    edge = train - max(1, round(train * VALIDATION))
    return {"train": [0, edge - 1], "validation": [edge, train - 1], "test": [train, train + test - 1]}


def inspect(images: xr.Dataset) -> list[Finding]:
    """What there is to know of the images: labels, blank ones, and test images that stand in the training set too."""
    grey, train = images["image"].values.reshape(images.sizes["sample"], -1), images.attrs["train"]
    blank = int((grey == grey[:, :1]).all(axis=1).sum())
    rows = [row.tobytes() for row in grey.astype(np.uint8)]
    seen = set(rows[:train])
    twins = sum(row in seen for row in rows[train:])
    labelled = "label" in images.coords
    told = [
        ("labels", not labelled, "There are no labels: what needs classes is left out."),
        ("constant", blank, f"{blank} images have one grey value everywhere."),
        ("twins", twins, f"{twins} test images stand in the training set too."),
    ]
    return [
        Finding(check, "image", "", int(count), "allowed" if count else "fine", sentence if count else "")
        for check, count, sentence in told
    ]


def digest(grey: Shaped[np.ndarray, "sample y x"]) -> str:
    """12 hex digits of the SHA-256 over the grey values of all images, as bytes."""
    return lineage.digest(grey.astype(np.uint8).tobytes())


def first(pictures: Pictures, count: int | None) -> Pictures:
    x, labels = pictures
    return x[:count], None if labels is None else labels[:count]


def together(train: Pictures, test: Pictures, levels: int, source: str) -> xr.Dataset:
    """Both sets as one data set."""
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"the images of {source} are of {train[0].shape[1:]} cells in the training set and of "
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


def read_folder(folder: str) -> dict[str, Pictures]:
    """The four files of MNIST and its likes; label files may be missing."""
    place = Path(os.path.expanduser(folder))
    if not place.is_dir():
        raise InputError(f"ingestion.path: there is no folder '{folder}': give that of the four IDX files.")
    sets: dict[str, Pictures] = {}
    for name, prefix in FILES.items():
        images = found(place, f"{prefix}-images-idx3-ubyte")
        if images is None:
            raise InputError(
                f"'{folder}' holds no {prefix}-images-idx3-ubyte or .gz: give the folder that does."
            )
        x, labels, path = read_idx(images, 3), None, found(place, f"{prefix}-labels-idx1-ubyte")
        if path is not None:
            labels = read_idx(path, 1)
            if len(labels) != len(x):
                raise InputError(
                    f"'{images}' holds {len(x)} images and '{path}' {len(labels)} labels: give files of one set."
                )
        sets[name] = (x, labels)
    return sets


def found(place: Path, name: str) -> Path | None:
    """A file, or it gzipped."""
    return next((path for path in (place / name, place / f"{name}.gz") if path.is_file()), None)


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """The array of an IDX file: magic number (0, 0, type, dimensions), sizes (big-endian), values.

    Raises
    ------
    InputError
        For a file that is truncated, too long, or of another kind.
    """
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
            "bytes: give another file."
        )
    if len(data) < head:
        raise InputError(f"'{path}' ends within its head ({len(data)} bytes): copy or download it again.")
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    due, there = int(np.prod(shape, dtype=np.int64)), len(data) - head
    if due != there:
        raise InputError(
            f"'{path}' says that it holds {' x '.join(map(str, shape))} bytes and holds {there}, not {due}: "
            "copy or download it again."
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


def digits() -> dict[str, Pictures]:
    """Scikit-learn's digits, 8 x 8 of 17 levels; the last 297 are for testing."""
    from sklearn.datasets import load_digits  # slow to import, and needed here alone

    bundle = load_digits()
    x, labels = bundle.images.astype(np.uint8), bundle.target.astype(np.int64)
    return {"train": (x[:1500], labels[:1500]), "test": (x[1500:], labels[1500:])}


def from_openml(name: str) -> dict[str, Pictures]:
    """MNIST or Fashion-MNIST by scikit-learn, which keeps a copy in its own folder."""
    from sklearn.datasets import fetch_openml

    try:
        bundle = fetch_openml(OPENML[name], version=1, as_frame=False)
    except (OSError, ValueError) as error:  # no network, or no such data there any more
        raise InputError(
            f"{name} cannot be fetched from OpenML ({type(error).__name__}): check the network, or give the folder "
            "of its IDX files by --params ingestion.path=FOLDER."
        ) from error
    x = bundle.data.astype(np.uint8).reshape(-1, 28, 28)
    labels = bundle.target.astype(np.int64)
    return {"train": (x[:60_000], labels[:60_000]), "test": (x[60_000:], labels[60_000:])}
