"""Train the classifiers of the package: `python -m studies.make_classifiers [--mnist FOLDER] [--fashion-mnist FOLDER]`.

Writes src/fieldcast/inference/samples/classifiers/<name>.safetensors, with weights in half precision, and prints their
accuracy on the test images. Every FID and KID in docs/results/sample.md is in their features: after new ones run `make
tables` again.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, cast

from fieldcast.atomic import write_atomically
from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.fields.splits import select
from fieldcast.inference.samples.features import (
    SHIPPED,
    Architecture,
    accuracy_of,
    first_images_digest,
    train_classifier,
)
from fieldcast.kinds import SAMPLE

SMALL = Architecture((28, 28), 10, channels=(16, 32), features=32)
EPOCHS, LEAST = 5, 600  # epochs, and steps at least


def main() -> None:
    """Train and store both classifiers."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("mnist", "fashion-mnist"):
        parser.add_argument(f"--{name}", help="folder of the IDX files; by default they are downloaded")
    for name, folder in vars(parser.parse_args()).items():
        images = open_images(ImageSource(cast(Any, name)), folder)
        splits = split(images)
        state, built = train_classifier(images, splits, SMALL, EPOCHS, LEAST)
        half = {key: tensor.half() for key, tensor in state.items()}
        header = {"architecture": asdict(built), "beginning": first_images_digest(images)}
        write_atomically(file := SHIPPED / f"{name}.safetensors", pack_bytes(half, header))
        test, stored = select(images, splits, "test"), {key: tensor.float() for key, tensor in half.items()}
        accuracy = accuracy_of(stored, built, test, images.attrs["levels"])
        print(f"{name}: {accuracy:.4f} of {test.sizes[SAMPLE]} test images, {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
