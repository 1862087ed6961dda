"""Features of weather fields, for distances between sets of them: where the weather is, and how rough it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Shaped

from fieldcast.scores.numbers import MAX_SCORED
from fieldcast.scores.regions import cell_weights

COMPONENTS = 64  # principal components, at most
STATES_PER_COMPONENT = 25  # with fewer, a component fits the noise of its states
PIECE = 256  # states in memory at a time


@dataclass(frozen=True)
class FieldFeatures:
    """Principal components of a whole state, and local statistics of each of its variables.

    With x' = x - mean, mean that of training states cell by cell: the coordinates of √area x' on `components`;
    then, for each variable, the root-mean-square differences of x' along rows, and along columns, in each of three
    bands of rows of equal area (on the globe the tropics, to 19.5 degrees, and either side of them), the skewness of
    x' over cells, its smallest and its largest value. Each less its mean over training states, divided by its
    standard deviation there, so that no feature counts more for its unit. Roughness hardly shows in the leading
    components; the differences are there to expose a model that blurs.

    Cells that do not exist are left out, and so are differences across them.

    Parameters
    ----------
    mean
        Mean of training states.
    exists, area
        Mask of existing cells, and cell areas.
    components
        Orthonormal principal components over the existing cells.
    centre, scale
        Mean and standard deviation of the features over training states.
    wraps
        Whether the last cell of a row is a neighbour of its first.
    """

    mean: Float[np.ndarray, "variable y x"]
    exists: Bool[np.ndarray, "variable y x"]
    area: Float[np.ndarray, "y x"]
    components: Float[np.ndarray, "component cell"]
    centre: Float[np.ndarray, "*feature"]
    scale: Float[np.ndarray, "*feature"]
    wraps: bool

    @classmethod
    def fit(
        cls,
        training: Float[np.ndarray, "n variable y x"],
        area: Float[np.ndarray, "y x"],
        wraps: bool,
        components: int = COMPONENTS,
    ) -> FieldFeatures:
        """Fit to standardised training states, all in memory: a few thousand, spread over the split, are enough.

        Cells of area 0 do not exist, nor do those that lack a value in any training state; their contents are
        ignored. There are at most `components` principal components, one for every 25 states. A statistic that does
        not vary in training is not scaled.
        """
        exists = np.isfinite(training).all(0) & (area > 0)
        mean = np.where(exists, training, 0.0).mean(0, dtype=float)
        no_components = np.zeros((0, int(exists.sum())))
        without_components = cls(
            mean, exists, area.astype(float), no_components, np.zeros(()), np.ones(()), wraps
        )
        cells = np.concatenate(
            [without_components._cells(part).astype(np.float32) for part in pieces(training)]
        )
        count = max(1, min(components, len(training) // STATES_PER_COMPONENT))
        # a fixed seed, so that every experiment has the same features
        from sklearn.decomposition import PCA  # slow to import

        pca = PCA(count, svd_solver="randomized", random_state=0).fit(cells)
        unscaled = replace(without_components, components=pca.components_.astype(float))
        raw = unscaled(training)
        spread = raw.std(0)
        return replace(unscaled, centre=raw.mean(0), scale=np.where(spread > 0, spread, 1.0))

    def arrays(self) -> dict[str, Shaped[np.ndarray, "..."]]:
        """All but `wraps`, by name: `FieldFeatures(**arrays, wraps=wraps)` has the same features."""
        return {name: value for name, value in vars(self).items() if name != "wraps"}

    @property
    def count(self) -> int:
        """Number of features."""
        return self.centre.size

    def __call__(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n feature"]:
        """Features of states that are standardised like the training states; all NaN for a state that is not finite."""
        features = np.concatenate([self._raw(part) for part in pieces(states)])
        return (features - self.centre) / self.scale

    def _raw(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n feature"]:
        """Features before they are standardised."""
        finite = (np.abs(np.where(self.exists, states, 0.0)) < MAX_SCORED).all((1, 2, 3))
        states = np.where(finite[:, None, None, None], states, 0.0)
        x = self._anomalies(states)
        features_of_kinds = [
            self._cells(states) @ self.components.T,
            self._roughness(x, axis=-1, closed=self.wraps),
            self._roughness(x, axis=-2, closed=False),
            self._shape(x),
        ]
        features = np.concatenate(features_of_kinds, axis=1)
        features[~finite] = np.nan
        return features

    def _anomalies(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n variable y x"]:
        """x' in float64, 0 where no cell exists."""
        return np.where(self.exists, states - self.mean, 0.0)

    def _cells(self, states: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n cell"]:
        """√area x' of existing cells."""
        return (self._anomalies(states) * np.sqrt(self.area))[:, self.exists]

    def _roughness(
        self, x: Float[np.ndarray, "n variable y x"], axis: int, closed: bool
    ) -> Float[np.ndarray, "n variable_and_band"]:
        """Root-mean-square difference of x' between each cell and the next along an axis, if both exist; where
        the axis is closed the last cell's next is the first. 0 where there are no such pairs."""
        pairs = self.exists & np.roll(self.exists, -1, axis)
        if not closed:
            np.moveaxis(pairs, axis, 0)[-1] = False
        weights = np.nan_to_num(
            cell_weights(self.area, pairs[:, None] & bands_of_rows(self.area)[:, :, None])
        )
        square = (np.roll(x, -1, axis) - x) ** 2
        return flatten(np.sqrt(np.einsum("nvyx,vbyx->nvb", square, weights, optimize=True)))

    def _shape(self, x: Float[np.ndarray, "n variable y x"]) -> Float[np.ndarray, "n variable_and_statistic"]:
        """Skewness over cells (0 of a constant), smallest and largest value of each variable."""
        weights = cell_weights(self.area, self.exists)
        centred = x - np.einsum("nvyx,vyx->nv", x, weights)[:, :, None, None]
        second, third = (np.einsum("nvyx,vyx->nv", centred**power, weights) for power in (2, 3))
        skewness = third / np.where(second > 0, second, 1.0) ** 1.5
        lowest = x.min((2, 3), where=self.exists, initial=np.inf)
        highest = x.max((2, 3), where=self.exists, initial=-np.inf)
        return flatten(np.stack([skewness, lowest, highest], axis=-1))


def flatten(x: Float[np.ndarray, "n variable statistic"]) -> Float[np.ndarray, "n variable_and_statistic"]:
    """Flatten so that all statistics of one variable precede those of the next."""
    return x.reshape(len(x), x.shape[1] * x.shape[2])


def pieces(states: Float[np.ndarray, "n variable y x"]) -> Iterator[Float[np.ndarray, "_ variable y x"]]:
    """Yield the states in pieces of at most PIECE; a single empty piece if there are none."""
    for first in range(0, max(1, len(states)), PIECE):
        yield states[first : first + PIECE]


def bands_of_rows(area: Float[np.ndarray, "y x"]) -> Bool[np.ndarray, "band y"]:
    """Rows that belong to each of three bands of equal area, in order; a band without rows is dropped."""
    row_area = area.sum(1)
    middle = (np.cumsum(row_area) - row_area / 2) / row_area.sum()
    band = np.minimum((3 * middle).astype(int), 2)
    return np.stack([band == number for number in np.unique(band)])
