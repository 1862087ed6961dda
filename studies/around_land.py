"""Kriging with distances around land instead of chords: `python -m studies.around_land SOURCE`.

SOURCE is `basins`, records of moving features that are independent in each of two or five basins, which land two cells
wide divides, with 60 % missing in discs or under clouds; or a NetCDF file with gaps and land, whose gaps are kept.
Kriging is fitted without the held-out values of `fill_gaps`, with its points on the unit sphere; with these, but seas
without a connection out of reach of each other; with points whose Euclidean distances approximate the lengths of paths
over the sea; and with such points as if there were no land. Prints a row for each: the share of near pairs of cells
between which land lengthens the path by half or more; the median relative error of the distances; the CRPS at held-out
values, its difference from that on the sphere, with the paired error; and the RMSE over that on the sphere, at all
removed values and at those within four cells of land. `--seed` is that of the held-out values, and of the basins.

Lengths of paths are those of a graph in which each cell is linked to its eight neighbours by great circles (Dijkstra,
from at most 300 landmarks). Points are those of landmark multidimensional scaling (de Silva and Tenenbaum 2004, Sparse
multidimensional scaling using landmark points, Stanford): with the squared lengths D of the n landmarks among each
other, the leading eigenvalues l and eigenvectors v of -(1 - 1/n) D (1 - 1/n) / 2, and the squared lengths d of a cell
from the landmarks, its coordinates are -v^T (d - mean of the columns of D) / (2 sqrt l). Three of them take the place
of the point on the sphere.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor

from fieldcast.fields.ingest import ingest
from fieldcast.geometry import unit_points
from fieldcast.inference.gaps.race import scored_trial
from fieldcast.inference.gaps.trials import Comparison
from fieldcast.inference.quantities import Scored, difference
from fieldcast.models.gaps.fillers import local_kriging
from fieldcast.models.gaps.held_out import HeldOut
from fieldcast.models.gaps.record import Filling, Record
from fieldcast.models.gaps.trial import Trial, run_trial
from fieldcast.models.random_streams import RandomStreams
from studies.gap_records import SEED, blobs, clouds, moving, variable

LANDMARKS, SEPARATION = 300, 100.0
LENGTHENED, NEAR = (
    1.5,
    10,
)  # ratio of path and great circle; number of steps between rows up to which a pair is near
TIMES, ROWS, COLUMNS, ISTHMUS, STEP = 120, 24, 40, 2, 0.5  # of a record of basins; degrees
BESIDE = 4  # cells
HEADINGS = (
    "record", "times x cells", "pairs lengthened", "points", "error of distances", "CRPS", "minus that on the sphere",
    "RMSE / that on the sphere", "beside land",
)  # fmt: skip


class Paths(NamedTuple):
    """Points whose distances approximate lengths of paths, and how well they do."""

    points: Float[np.ndarray, "cell 3"]
    parts: Float[np.ndarray, "cell 3"]  # those on the sphere, but seas that are not connected out of reach
    error: float  # median relative error of distances from landmarks
    lengthened: float  # share of near pairs between which land lengthens the path


def links(exists: Bool[np.ndarray, "y x"], points: Float[np.ndarray, "y x 3"]) -> csr_array:
    """Great circles between the neighbouring cells that exist."""
    number = np.full(exists.shape, -1)
    number[exists] = np.arange(exists.sum())
    rows, columns = exists.shape
    starts, stops = [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = number[: rows - down, max(0, -right) : columns - max(0, right)]
        b = number[down:, max(0, right) : columns - max(0, -right)]
        both = (a >= 0) & (b >= 0)
        starts.append(a[both])
        stops.append(b[both])
    ends = np.concatenate(starts), np.concatenate(stops)
    p = points[exists]
    return coo_array((great_circles(p[ends[0]], p[ends[1]]), ends), shape=(len(p), len(p))).tocsr()


def great_circles(a: Float[np.ndarray, "*#n 3"], b: Float[np.ndarray, "*#n 3"]) -> Float[np.ndarray, "*n"]:
    """Great-circle distances between points of the unit sphere."""
    return 2 * np.arcsin(np.clip(np.linalg.norm(a - b, axis=-1) / 2, 0, 1))


def embed(exists: Bool[np.ndarray, "y x"], points: Float[np.ndarray, "y x 3"]) -> Paths:
    """Points of the cells that exist, whose distances approximate the lengths of paths over them."""
    graph, on_sphere = links(exists, points), points[exists]
    near = NEAR * float(great_circles(points[0, 0], points[1, 0]))
    placed, parts, errors, ratios = np.zeros((len(on_sphere), 3)), on_sphere.copy(), [], []
    number, part = connected_components(graph, directed=False)
    for c in range(number):
        here = np.flatnonzero(part == c)
        length = from_landmarks(graph[here][:, here])
        placed[here] = scaled_points(*length)
        landmarks = here[length[1]]
        circle = great_circles(on_sphere[landmarks][:, None], on_sphere)
        path = np.full(circle.shape, np.inf)
        path[:, here] = length[0]
        away = np.linalg.norm(placed[landmarks][:, None] - placed[here], axis=-1)
        some = length[0] > 0
        errors.append(abs(away - length[0])[some] / length[0][some])
        some = (circle > 0) & (circle < near)
        ratios.append(path[some] / circle[some])
        placed[here, 0] += SEPARATION * c
        parts[here, 0] += SEPARATION * c
    lengthened = float(np.mean(np.concatenate(ratios) >= LENGTHENED))
    return Paths(placed, parts, float(np.median(np.concatenate(errors))), lengthened)


def from_landmarks(graph: csr_array) -> tuple[Float[np.ndarray, "landmark cell"], list[int]]:
    """Lengths of paths from landmarks, each the cell that is farthest from those before; and their numbers."""
    numbers, lengths = [0], [dijkstra(graph, directed=False, indices=0)]
    nearest = lengths[0]
    while len(numbers) < LANDMARKS and nearest.max() > 0:
        numbers.append(int(nearest.argmax()))
        lengths.append(dijkstra(graph, directed=False, indices=numbers[-1]))
        nearest = np.minimum(nearest, lengths[-1])
    return np.stack(lengths), numbers


def scaled_points(
    lengths: Float[np.ndarray, "landmark cell"], landmarks: list[int]
) -> Float[np.ndarray, "cell 3"]:
    """Three coordinates of each cell by landmark multidimensional scaling."""
    square = lengths[:, landmarks] ** 2
    centring = np.eye(len(square)) - 1 / len(square)
    values, vectors = np.linalg.eigh(-centring @ square @ centring / 2)
    points = np.zeros((lengths.shape[1], 3))
    for axis, k in enumerate(range(len(values) - 1, max(len(values) - 4, -1), -1)):
        if values[k] > 1e-9 * values[-1]:
            points[:, axis] = -(lengths.T**2 - square.mean(0)) @ vectors[:, k] / (2 * np.sqrt(values[k]))
    return points


def basins(number: int, rng: np.random.Generator) -> xr.Dataset:
    """A record of moving features that are independent in each of some basins, with land between them."""
    axes = moving(rng, (TIMES, ROWS, COLUMNS)).coords
    values, ends = (
        np.empty((TIMES, ROWS, COLUMNS), dtype=np.float32),
        np.linspace(0, COLUMNS, number + 1).astype(int),
    )
    for first, last in pairwise(ends):
        values[..., first:last] = moving(rng, (TIMES, ROWS, COLUMNS))["sst"].values[..., first:last]
    for end in ends[1:-1]:
        values[..., end - ISTHMUS // 2 : end + ISTHMUS - ISTHMUS // 2] = np.nan
    data = xr.Dataset({"sst": (("time", "latitude", "longitude"), values, {"units": "K"})}, axes)
    return data.assign_coords(latitude=30 + STEP * np.arange(ROWS), longitude=STEP * np.arange(COLUMNS))


def records(source: str, seed: int) -> Iterator[tuple[str, xr.Dataset, xr.Dataset]]:
    """Names of records, their truth, and what is observed of them."""
    if source != "basins":
        data = variable(source, None)
        yield Path(source).stem, data, data
        return
    for number in (2, 5):
        truth = basins(number, np.random.default_rng(seed))
        shape, rng = (TIMES, ROWS, COLUMNS), np.random.default_rng(seed)
        points = unit_points(truth["latitude"].values, truth["longitude"].values).reshape(-1, 3)
        for kind, removed in (
            ("discs", blobs(*shape, rng)), ("clouds", clouds(points, TIMES, rng, 60).reshape(shape)),
        ):  # fmt: skip
            yield f"{number} basins, {kind}", truth, truth.assign(sst=truth["sst"].where(~removed))


def compare(name: str, truth: xr.Dataset, gappy: xr.Dataset, seed: int) -> None:
    """Print the row of a record."""
    fields, complete = (ingest(data, gaps="keep", missing="train")[0] for data in (gappy, truth))
    comparison = Comparison.of(fields, seed, "cpu")
    visible = comparison.visible()
    record, held_out = visible.record, comparison.held_out.of_record(visible.record)
    x = visible.codec.encode(complete)[:, visible.has_column]
    removed = torch.isfinite(x) & ~comparison.record().record.observed
    exists = visible.has_column[0].numpy()
    points = unit_points(visible.codec.latitude, visible.codec.longitude).reshape(*exists.shape, 3)
    paths, free = embed(exists, points), embed(np.ones_like(exists), points)
    beside_land = removed & torch.from_numpy(distance_transform_edt(exists)[exists] <= BESIDE)
    places = {
        "sphere": record.columns.points, "seas apart": paths.parts, "paths": paths.points,
        "paths, as if without land": free.points[exists.ravel()],
    }  # fmt: skip
    chords, rmse = list[Scored](), list[float]()
    if np.array_equal(paths.parts, record.columns.points):
        del places["seas apart"]
    for of, placed in places.items():
        trial, mean = fit(record, placed, held_out)
        scored, error = [scored_trial(trial, held_out)], mean - x
        chords, size = (
            chords or scored,
            [float(error[some].square().mean().sqrt()) for some in (removed, beside_land)],
        )
        rmse = rmse or size
        row = (
            name, f"{len(x)} x {x.shape[1]}", f"{paths.lengthened:.1%}", of,
            f"{paths.error:.1%}" if of == "paths" else "", f"{trial.crps:.4f}",
            "" if scored is chords else "{:+.4f} ± {:.4f}".format(*difference(scored, chords)),
            *(f"{now / before:.3f}" if removed.any() else "" for now, before in zip(size, rmse, strict=True)),
        )  # fmt: skip
        print(f"| {' | '.join(row)} |", flush=True)


def fit(
    record: Record, points: Float[np.ndarray, "cell 3"], held_out: HeldOut
) -> tuple[Trial, Float[Tensor, "time cell"]]:
    """Kriging between cells at some points, and its mean of all missing values."""
    means = []

    def kriging(given: Record, streams: RandomStreams | None) -> Filling:
        filling = local_kriging(replace(given, columns=given.columns._replace(points=points)), streams)
        means.append(filling.mean)
        return filling

    return run_trial("kriging", kriging, record, held_out), means[0]


def main() -> None:
    """Read the arguments, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--seed", type=int, default=SEED)
    given = parser.parse_args()
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|")
    for record in records(given.source, given.seed):
        compare(*record, given.seed)


if __name__ == "__main__":
    main()
