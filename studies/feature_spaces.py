"""FID and KID of stored samples of images in other feature spaces: `python -m studies.feature_spaces DATA_ROOT ...`.

Prints a line for each experiment of `sample` whose samples, fields and features are stored in these data roots.
`pixels`: the leading principal components of the grey values of the training images, as fractions of white. `fashion`:
the last hidden layer of the shipped classifier of Fashion-MNIST. `classifier`: the features of the run itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from jaxtyping import Float

from fieldcast.encoding.tensor_file import pack_bytes
from fieldcast.inference.samples.features import SHIPPED, stored_weights
from fieldcast.inference.samples.sets import SampleSets, SplitStates, compare
from fieldcast.scores.distances import Sets, Store, set_scores

COMPONENTS = 64  # largest number of principal components of pixels
FITTED = 20_000  # number of training images that the components are fitted on
DISTANCES = ("fid", "kid", "fid_floor", "kid_floor")
SPACES, COLUMNS = ("classifier", "pixels", "fashion"), ("fid", "kid", "kid_half", "kid_floor")


class Drawn(NamedTuple):
    """Stored samples, and the images that they are compared with."""

    samples: xr.Dataset
    fields: xr.Dataset
    splits: dict[str, list[int]]
    extractor: bytes

    def sets(self, extractor: bytes, seed: int) -> SampleSets:
        """Samples, test and training images in the features of an extractor."""
        return compare(self.samples, self.fields, xr.Dataset(), self.splits, extractor, seed)


def drawn_by(data_root: Path, experiment: str) -> Drawn | None:
    """The samples of an experiment; None if they, or the images, are no longer stored."""
    samples = data_root / "07_model_output" / "sample" / experiment / "draws.zarr"
    primary = data_root / "03_primary"
    if not (samples.exists() and (primary / "fields.zarr").exists()):
        return None
    splits = json.loads((primary / "splits.json").read_text(encoding="utf-8"))
    extractor = (data_root / "04_feature" / "extractor.safetensors").read_bytes()
    return Drawn(
        xr.open_zarr(samples).load(), xr.open_zarr(primary / "fields.zarr").load(), splits, extractor
    )


def in_other_spaces(drawn: Drawn, seed: int) -> dict[str, float]:
    """Distances in pixels and in features of Fashion-MNIST, named by score and space."""
    weights, header = stored_weights(SHIPPED / "fashion_mnist.safetensors")
    header = {
        **header,
        "kind": "images",
        "levels": drawn.fields.attrs["levels"],
        "accuracy": np.nan,
        "weights": "",
    }
    fashion = drawn.sets(pack_bytes(weights, header), seed)
    pixels = pixel_components(fashion.states, fashion.training, len(fashion.features.training))
    return dict(distances(pixels, "pixels", seed)) | dict(distances(fashion.features, "fashion", seed))


def distances(features: Sets, space: str, seed: int) -> Iterator[tuple[str, float]]:
    """Yield fid, kid, their floors and kid_half, half of the 95 % interval of KID, in one space."""
    for name, score in set_scores(features, None, None, seed):
        if name in DISTANCES:
            yield f"{name}_{space}", score.value
        if name == "kid":
            yield f"kid_half_{space}", (score.high - score.low) / 2


def pixel_components(states: Sets, training: SplitStates, references: int) -> Sets:
    """Coordinates of images on the leading principal components of evenly spaced training images."""
    fitted = training[spaced(len(training), FITTED)].astype(float)
    mean = fitted.mean(0)
    _, vectors = np.linalg.eigh(np.cov(fitted, rowvar=False))
    leading = vectors[:, : -COMPONENTS - 1 : -1]

    def project(x: Float[np.ndarray, "image cell"]) -> Float[np.ndarray, "image component"]:
        return (x - mean) @ leading

    reference: Store = project(training[spaced(len(training), references)])
    return Sets(project(states.samples), project(states.test), reference)


def spaced(size: int, count: int) -> np.ndarray:
    """Positions of `count` evenly spaced items, at most all."""
    return np.unique(np.linspace(0, size - 1, min(size, count)).round().astype(int))


def main() -> None:
    """Print the distances of all stored samples."""
    names = [f"{name} {space}" for space in SPACES for name in COLUMNS]
    sys.stdout.write(f"| experiment | {' | '.join(names)} |\n{'|---' * (1 + len(names))}|\n")
    for root in map(Path, sys.argv[1:]):
        for folder in sorted((root / "07_model_output" / "sample").iterdir()):
            drawn = drawn_by(root, folder.name)
            if drawn is None:
                continue
            seed = int(drawn.samples.attrs["seed"])
            scores = dict(distances(drawn.sets(drawn.extractor, seed).features, "classifier", seed))
            scores |= in_other_spaces(drawn, seed)
            cells = (f"{scores[f'{name}_{space}']:.4g}" for space in SPACES for name in COLUMNS)
            sys.stdout.write(f"| `{folder.name}` | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
