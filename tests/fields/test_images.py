import gzip
import struct

import numpy as np
import pytest
import xarray as xr
from sklearn import datasets

from fieldcast.errors import InputError
from fieldcast.fields import images
from fieldcast.fields.images import inspect, open_images, read_idx
from fieldcast.fields.options import ImageSource
from fieldcast.kinds import class_names


def idx(array, kind=8):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path):
    """Twelve training and four test images of 3 x 2, some files gzipped."""
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 4)):
        x = rng.integers(0, 256, (count, 3, 2), dtype=np.uint8)
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(x)))
        (tmp_path / f"{prefix}-labels-idx1-ubyte").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    return tmp_path


def opened(folder, **keywords):
    return open_images(ImageSource("mnist", **keywords), str(folder))


def test_idx_files_become_one_data_set_in_their_order(folder):
    data = opened(folder)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        test = np.frombuffer(file.read()[16:], np.uint8).reshape(4, 3, 2)
    assert data["image"].dims == ("sample", "y", "x")
    assert data["image"].dtype == np.float32
    assert np.array_equal(data["image"][12:], test)
    assert data["label"].values.tolist() == [*range(10), 0, 1, 0, 1, 2, 3]
    assert images.split(data) == {"train": [0, 9], "validation": [10, 11], "test": [12, 15]}
    assert data.attrs["levels"] == 256


def test_labels_of_fashion_mnist_have_names(folder):
    label = open_images(ImageSource("fashion_mnist"), str(folder))["label"]
    assert class_names(label)[[0, 1, 9]].tolist() == ["T-shirt", "trouser", "ankle boot"]
    assert class_names(opened(folder)["label"])[[0, 1, 9]].tolist() == [0, 1, 9]
    others = label.copy(data=label.values + 1)  # 10 has no name
    assert class_names(others)[0] == 1


def test_the_digest_is_of_the_values(folder):
    first = opened(folder).attrs["digest"]
    assert opened(folder).attrs["digest"] == first
    assert opened(folder, test=3).attrs["digest"] != first


def test_only_the_first_of_each_set(folder):
    data = opened(folder, train=6, test=2)
    assert data.sizes["sample"] == 8
    assert images.split(data)["test"] == [6, 7]


def test_the_last_10000_of_60000_images_are_for_validation():
    whole = xr.Dataset({"image": ("sample", np.zeros(70_000))}, attrs={"train": 60_000})
    assert images.split(whole) == {
        "train": [0, 49_999],
        "validation": [50_000, 59_999],
        "test": [60_000, 69_999],
    }


def test_validation_takes_as_many_of_the_training_set_as_requested(folder):
    data = opened(folder)
    assert images.split(data, 3) == {"train": [0, 8], "validation": [9, 11], "test": [12, 15]}
    with pytest.raises(InputError, match=r"ingestion.images.validation = 12 leaves none of 12 images"):
        images.split(data, 12)


def test_labels_may_be_missing(folder):
    (folder / "t10k-labels-idx1-ubyte").unlink()
    assert "label" not in opened(folder).coords


def break_it(folder, how):
    images, labels = folder / "train-images-idx3-ubyte.gz", folder / "train-labels-idx1-ubyte"
    raw = folder / "train-images-idx3-ubyte"
    whole = gzip.decompress(images.read_bytes())
    if how == "gzip cut":
        images.write_bytes(images.read_bytes()[:40])
    elif how == "no gzip":
        images.write_bytes(whole)
    elif how == "truncated":
        raw.write_bytes(whole[:-1])
    elif how == "too long":
        raw.write_bytes(whole + b"\0")
    elif how == "head":
        raw.write_bytes(whole[:10])
    elif how == "empty":
        raw.write_bytes(b"")
    elif how == "magic":
        raw.write_bytes(b"\x89PNG" + whole[4:])
    elif how == "floats":
        raw.write_bytes(idx(np.zeros((12, 3, 2), np.uint8), kind=0x0D))
    elif how == "counts":
        labels.write_bytes(idx(np.zeros(11, np.uint8)))
    elif how == "no images":
        images.unlink()
    elif how == "sizes":
        raw.write_bytes(idx(np.zeros((12, 4, 4), np.uint8)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gzip cut", ("train-images-idx3-ubyte.gz", "gzip", "download")),
        ("no gzip", ("train-images-idx3-ubyte.gz", "gzip")),
        ("truncated", ("train-images-idx3-ubyte'", "12 x 3 x 2", "71, not 72")),
        ("too long", ("train-images-idx3-ubyte'", "73, not 72")),
        ("head", ("ends within its head", "10 bytes")),
        ("empty", ("ends within its head", "0 bytes")),
        ("magic", ("magic number 89504e47", "00000803")),
        ("floats", ("magic number 00000d03",)),
        ("counts", ("12 images", "11 labels")),
        ("no images", ("holds no train-images-idx3-ubyte",)),
        ("sizes", ("(4, 4)", "(3, 2)")),
    ],
)
def test_a_wrong_file_is_reported_in_one_sentence(folder, how, message):
    break_it(folder, how)
    with pytest.raises(InputError) as raised:
        opened(folder)
    assert all(word in str(raised.value) for word in message)
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        opened(tmp_path / "elsewhere")


def test_labels_are_no_images(folder):
    with pytest.raises(InputError, match="00000801, not 00000803"):
        read_idx(folder / "train-labels-idx1-ubyte", 3)


def test_the_embedded_digits():
    data = open_images(ImageSource("digits"))
    assert data.sizes == {"sample": 1797, "y": 8, "x": 8}
    assert np.array_equal(data["image"], datasets.load_digits().images)
    assert data["image"].max() == data.attrs["levels"] - 1
    assert images.split(data)["validation"] == [1250, 1499]


def test_test_images_that_stand_in_the_training_set_too_are_counted():
    data = open_images(ImageSource("digits"))
    assert [finding.count for finding in inspect(data)] == [0, 0, 0]
    values = data["image"].values.copy()
    values[1500], values[1501:1503], values[0] = values[7], values[8], 3.0
    spoilt = data.assign(image=(data["image"].dims, values)).drop_vars("label")
    assert [(finding.check, finding.count, finding.action) for finding in inspect(spoilt)] == [
        ("labels", 1, "allowed"), ("constant", 1, "allowed"), ("twins", 3, "allowed"),
    ]  # fmt: skip


def test_without_internet_a_folder_is_requested(monkeypatch):
    def unreachable(*args, **keywords):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(datasets, "fetch_openml", unreachable)
    with pytest.raises(InputError, match=r"fashion_mnist cannot be fetched .* ingestion\.path=FOLDER"):
        open_images(ImageSource("fashion_mnist"))


def test_openml_has_the_order_of_the_files(monkeypatch):
    bundle = datasets.load_digits()
    bundle.data = np.arange(70_000)[:, None] % 251 * np.ones(784, np.uint8)
    bundle.target = np.array(["7"]).repeat(70_000)
    monkeypatch.setattr(datasets, "fetch_openml", lambda name, **keywords: bundle)
    data = open_images(ImageSource("mnist", train=6, test=3))
    assert data["image"][6:, 0, 0].values.tolist() == [60_000 % 251, 60_001 % 251, 60_002 % 251]
    assert data["label"].dtype == np.int64
