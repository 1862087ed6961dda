"""Images with their labels from IDX files, from OpenML through scikit-learn, or from its bundled digits."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from fieldcast.errors import InputError

FILES = {"train": "train", "test": "t10k"}
OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
UNSIGNED_BYTES = 0x08
Pictures = tuple[UInt8[np.ndarray, "_ _ _"], Shaped[np.ndarray, " _"] | None]  # images and their labels


def truncate(pictures: Pictures, count: int | None) -> Pictures:
    """First `count` images and their labels, or all of them."""
    x, labels = pictures
    return x[:count], None if labels is None else labels[:count]


def read_folder(folder: str) -> dict[str, Pictures]:
    """Read the four IDX files of MNIST or a similar set; label files may be missing.

    Raises
    ------
    InputError
        For a missing folder or image file, or labels that do not match the images.
    """
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
    """Array of an IDX file: magic number (0, 0, type, dimensions), sizes (big-endian), values.

    Raises
    ------
    InputError
        For a file that is truncated, too long, or of another format.
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
    """MNIST or Fashion-MNIST through scikit-learn, which caches a copy in its own folder.

    Raises
    ------
    InputError
        If OpenML cannot be reached or no longer has the data.
    """
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
