"""Train the classifiers of the package: `python -m studies.make_classifiers [--mnist FOLDER] [--fashion-mnist FOLDER]`.

Writes src/fieldcast/inference/samples/classifiers/<name>.safetensors, with weights in half precision. Every FID and KID
in
docs/results/sample.md is in their features: after new ones run `make tables` again.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any, cast

from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.fields.images import open_images, split
from fieldcast.fields.options import ImageSource
from fieldcast.inference.samples.features import SHIPPED, Architecture, first_images_digest, train_classifier

SMALL = Architecture((28, 28), 10, channels=(16, 32), features=32)
EPOCHS = 5


def main() -> None:
    """Train and store both classifiers."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("mnist", "fashion-mnist"):
        parser.add_argument(f"--{name}", help="folder of the IDX files; by default they are downloaded")
    for name, folder in vars(parser.parse_args()).items():
        images = open_images(ImageSource(cast(Any, name)), folder)
        state, built = train_classifier(images, split(images), SMALL, epochs=EPOCHS)
        half = {key: tensor.half() for key, tensor in state.items()}
        header = {"architecture": asdict(built), "beginning": first_images_digest(images)}
        (SHIPPED / f"{name}.safetensors").write_bytes(pack_bytes(half, header))


if __name__ == "__main__":
    main()
