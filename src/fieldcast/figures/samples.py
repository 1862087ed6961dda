"""Samples beside real data and the nearest training states, reconstructions, decoded grids, diffusion; their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, SymmetricalLogLocator

from fieldcast.figures.maps import SPREAD_COLOURMAP
from fieldcast.figures.pictures import (
    NAME_LETTERS,
    NAME_WIDTH,
    Gallery,
    Stack,
    kinds_of,
    pictures_of_kind,
    pictures_per_row,
    reference,
)
from fieldcast.figures.sheet import GAP, Outline, Sheet, shades
from fieldcast.figures.style import (
    INK,
    LOGARITHMIC_RATIO,
    NORMAL_FONT,
    SMALL_FONT,
    WIDTH,
    LineStyle,
    draw_legend,
    escape,
    looks_of,
    new_figure,
    panel_title,
    style_axes,
    wrap_name,
)
from fieldcast.geometry import area_mean, cell_areas
from fieldcast.scores.sample_metrics import SAMPLE_METRICS

GROUP_GAP = 0.35  # between groups [rows]
EXPERIMENT_GAP = 0.3  # between experiments [rows]
# between pictures of a latent grid, which are compared with each other [widths of a picture]
PICTURE_GAP = 0.02
BINS = 24  # bins of a histogram of distances
MIN_DISTANCE = 1e-6  # least distance on a logarithmic axis; that of a copy is 0
DISTANCES = "fid", "kid", "c2st"  # scores of sets of samples that are drawn as dots
CHANCE_ACCURACY = 0.5  # accuracy of a classifier that guesses
MAX_TICKS = 5  # ticks of a logarithmic axis, at most
ARROW_RATIO = 10.0  # distance from which a dot is an arrow, relative to that of noise
REAL_COLOUR, NOISE_COLOUR, CHANCE_COLOUR = (
    "#4f7f63",
    "#a35c4f",
    "#777777",
)  # colours of real data, noise and chance

Ceilings = Mapping[str, Mapping[str, float]]  # by experiment and score


def sample_sheet(examples: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> Figure:
    """Draw a row of samples per experiment, below real data as the experiment sees them; none is selected.

    Experiments with different preprocessing (binarised, grey) form separate groups.
    """
    groups = groups_by_truth(examples, variable, "real")
    first = examples[groups[0][0]]
    columns = pictures_per_row(first)
    rows = sum(1 + len(group) + GROUP_GAP for group in groups) - GROUP_GAP
    heading = "real data, and samples as drawn, none selected"
    gallery = Gallery(
        first, variable, reference(first, variable), columns, rows, heading=heading, outline=outline
    )
    row = 0.0
    for group in groups:
        stored = [examples[name] for name in group]
        treatment = stored[0].attrs.get("treatment", "")
        name = f"real, {treatment}" if len(groups) > 1 and treatment else "real"
        gallery.line(row, name, pictures_of_kind(stored[0], variable, "real")[:columns])
        for number, (experiment, pictures) in enumerate(zip(group, stored, strict=True), start=1):
            gallery.line(row + number, experiment, pictures_of_kind(pictures, variable, "sample")[:columns])
        row += 1 + len(group) + GROUP_GAP
    return gallery.finish()


def groups_by_truth(examples: Mapping[str, xr.Dataset], variable: str, kind: str) -> list[list[str]]:
    """Group experiments that have the same pictures of this kind."""
    groups: list[tuple[Stack, list[str]]] = []
    for name, stored in examples.items():
        real = pictures_of_kind(stored, variable, kind)
        group_names = next(
            (names for truth, names in groups if np.array_equal(truth, real, equal_nan=True)), None
        )
        if group_names is None:
            groups.append((real, [name]))
        else:
            group_names.append(name)
    return [names for _, names in groups]


def decoded_pictures(examples: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> Figure:
    """Draw test data, and each experiment's reconstructions of them and equally many decoded random codes.

    Experiments with different preprocessing form separate groups.
    """
    groups = groups_by_truth(examples, variable, "truth")
    first = examples[groups[0][0]]
    columns = len(pictures_of_kind(first, variable, "truth"))
    rows = sum(1 + len(group) * (2 + EXPERIMENT_GAP) + EXPERIMENT_GAP for group in groups) - EXPERIMENT_GAP
    heading = "test data, reconstructions, decoded random codes"
    gallery = Gallery(
        first, variable, reference(first, variable), columns, rows, heading=heading, outline=outline
    )
    row = 0.0
    for group in groups:
        gallery.line(row, "test data", pictures_of_kind(examples[group[0]], variable, "truth"))
        row += 1 + EXPERIMENT_GAP
        for experiment in group:
            stored = examples[experiment]
            gallery.line(
                row, experiment, pictures_of_kind(stored, variable, "reconstruction"), "reconstruction"
            )
            gallery.line(
                row + 1, "decoded random codes", pictures_of_kind(stored, variable, "sample")[:columns]
            )
            row += 2 + EXPERIMENT_GAP
    return gallery.finish()


def latent_grid(pictures: xr.Dataset, variable: str, experiment: str = "") -> Figure:
    """Draw the decoder's means on a square grid of latents: one component rises from column to column, another falls
    from row to row."""
    decoded = pictures_of_kind(pictures, variable, "grid")
    side = math.isqrt(len(decoded))
    directions = (
        f"z_{component} {direction}"
        for component, direction in zip(
            pictures.attrs["grid_components"], ("to the right", "upwards"), strict=False
        )
    )
    heading = ", ".join([experiment, *directions])
    truth = reference(pictures, variable)
    gallery = Gallery(
        pictures, variable, truth, side, side, heading=heading, name_width=0.1, row_gap=PICTURE_GAP
    )
    for number, values in enumerate(decoded[: side**2]):
        row, column = divmod(number, side)
        gallery.draw((column, row), values)
    return gallery.finish()


def interpolations(examples: Mapping[str, xr.Dataset], variable: str) -> Figure:
    """Draw decoded codes on the straight line from the code of one test datum to that of another, a row per pair."""
    first = next(iter(examples.values()))
    length = first.attrs["way"]
    stored = {
        name: pictures_of_kind(pictures, variable, "interpolation") for name, pictures in examples.items()
    }
    rows = sum(len(decoded) // length + EXPERIMENT_GAP for decoded in stored.values()) - EXPERIMENT_GAP
    heading = "decoded codes, interpolated between the codes of two test data"
    gallery = Gallery(first, variable, reference(first, variable), length, rows, heading=heading)
    row = 0.0
    for name, decoded in stored.items():
        for pair in range(len(decoded) // length):
            gallery.line(row, name if pair == 0 else "", decoded[pair * length : (pair + 1) * length])
            row += 1
        row += EXPERIMENT_GAP
    return gallery.finish()


def denoising(examples: xr.Dataset, variable: str, experiment: str = "") -> Figure:
    """Draw one row per sample, with t falling to 0 from left to right, in the colours of real states."""
    chains = examples.isel(picture=np.flatnonzero(kinds_of(examples) == "snapshot"))
    times = sorted(set(chains["chain_time"].to_numpy().tolist()), reverse=True)
    draws = sorted(set(chains["number"].to_numpy().tolist()))
    gallery = Gallery(
        chains,
        variable,
        reference(examples, variable),
        len(times),
        len(draws),
        heading=experiment,
        name_width=0.7,
        has_titles=True,
    )
    for column, t in enumerate(times):
        gallery.sheet.title((column, 0), f"t = {t:g}")
    for row, number in enumerate(draws):
        gallery.sheet.row(row, f"draw {row + 1}")
        for column, t in enumerate(times):
            matches = (chains["number"].to_numpy() == number) & (chains["chain_time"].to_numpy() == t)
            if matches.any():
                gallery.draw((column, row), chains[variable].to_numpy()[matches][0].astype(float))
    return gallery.finish()


def nearest_pictures(examples: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> Figure:
    """Draw a few samples of each experiment above their nearest training states over all variables."""
    first = next(iter(examples.values()))
    nearest = {name: pictures_of_kind(pictures, variable, "nearest") for name, pictures in examples.items()}
    columns = max(len(pictures) for pictures in nearest.values())
    rows = len(nearest) * 2.3 - 0.3
    heading = "samples, and the training state nearest to each"
    gallery = Gallery(
        first, variable, reference(first, variable), columns, rows, heading=heading, outline=outline
    )
    for row, (name, pictures) in enumerate(nearest.items()):
        drawn = pictures_of_kind(examples[name], variable, "sample")[: len(pictures)]
        gallery.line(2.3 * row, name, drawn)
        gallery.line(2.3 * row + 1, "nearest in training", pictures)
    return gallery.finish()


def nearest_distances(
    diagnostics: Mapping[str, xr.Dataset], looks: Mapping[str, LineStyle] | None = None
) -> Figure:
    """Draw one panel per experiment: distances of samples (filled) and test data (line) to the nearest training state.

    Root-mean-square over cells, of fields standardised; bars are shares. Samples that lie left of all test data
    are copies. The axis is logarithmic where distances differ much.
    """
    appearance = looks_of(diagnostics, looks)
    columns = min(4, max(1, len(diagnostics)))
    lines = -(-max(1, len(diagnostics)) // columns)
    figure = new_figure(0.6 + 1.6 * lines, min(WIDTH, 1.6 + 3.0 * columns))
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True)
    distances_of = {name: distances(stored) for name, stored in diagnostics.items()}
    values = np.concatenate([values for both in distances_of.values() for values in both])
    wide = bool(values.size and values.max() > LOGARITHMIC_RATIO * np.quantile(values, 0.01))
    for axes in panels.ravel()[len(diagnostics) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.ravel(), distances_of, strict=False):
        draw_distances(axes, distances_of[name], wide, appearance[name].colour)
        style_axes(axes, panel_title(name, columns))
        axes.set_yticks([])
        axes.tick_params(labelbottom=True)
    below = "distance to the nearest training state, root-mean-square over cells"
    figure.supxlabel(below, x=0.01, ha="left", fontsize=SMALL_FONT, color=INK)
    draw_legend(figure, panels[0, 0])
    return figure


def distances(diagnostics: xr.Dataset) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " datum"]]:
    """Finite distances of samples and of test data; that of an exact copy is made positive for the logarithm."""
    both = (diagnostics[f"nearest_of_{part}"].to_numpy().astype(float) for part in ("samples", "test"))
    drawn, test = (np.maximum(values[np.isfinite(values)], MIN_DISTANCE) for values in both)
    return drawn, test


def draw_distances(axes: Axes, both: tuple[np.ndarray, np.ndarray], wide: bool, colour: str) -> None:
    """Draw the shares of samples and of test data in common bins."""
    drawn, test = both
    values = np.concatenate(both)
    if not len(values):
        return
    borders = (
        np.exp(np.histogram_bin_edges(np.log(values), BINS)) if wide else np.histogram_bin_edges(values, BINS)
    )
    if wide:  # rounding must not leave the ends outside
        borders[[0, -1]] = values.min(), values.max()
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_locator(NullLocator())
    if len(drawn):  # none where a model blew up
        axes.hist(
            drawn,
            borders,
            weights=np.full(len(drawn), 1 / len(drawn)),
            color=colour,
            alpha=0.55,
            label="samples",
        )
    if len(test):
        shares = np.full(len(test), 1 / len(test))
        axes.hist(test, borders, weights=shares, histtype="step", color=INK, linewidth=1.2, label="test data")


# Maps of the distance between the distributions of samples and real states in each cell.


MAX_MAP_WIDTH = 1.8  # largest width of a map [inches]
MAX_DISTANCE = 1.0  # distance with the darkest colour, at most [standard deviations]
TOP_HEIGHT = 0.5  # height above the maps [inches]
LABEL_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}


def wasserstein_maps(diagnostics: Mapping[str, xr.Dataset], outline: Outline = ()) -> Figure:
    """Draw the Wasserstein-1 distance in each cell: experiments (rows), variables (columns), one scale from 0.

    The unit is the cell's standard deviation over real states; the area mean stands in the corner.
    """
    first = next(iter(diagnostics.values()))
    variables = [str(name) for name in first["variable"].to_numpy()]
    distances = {
        name: cells["wasserstein"].transpose("variable", "latitude", "longitude").to_numpy().astype(float)
        for name, cells in diagnostics.items()
    }
    every = np.concatenate([values[np.isfinite(values)] for values in distances.values()])
    colours = shades(
        SPREAD_COLOURMAP, 0.0, min(MAX_DISTANCE, np.quantile(every, 0.99)) if len(every) else MAX_DISTANCE
    )
    columns = max(2, len(variables))
    size = min(MAX_MAP_WIDTH, (WIDTH - NAME_WIDTH) / (columns + (columns - 1) * GAP))
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    areas = cell_areas(*grid)
    beside, above = NAME_WIDTH / size, TOP_HEIGHT / size
    sheet = Sheet(*grid, columns, len(distances), left=beside, top=above, max_map_width=size, outline=outline)
    for column, variable in enumerate(variables):
        sheet.title((column, 0), escape(variable))
    for row, (name, values) in enumerate(distances.items()):
        sheet.row(row, wrap_name(name, NAME_LETTERS))
        for column, cells in enumerate(values):
            sheet.draw((column, row), cells, colours)
            exists = np.isfinite(cells)
            mean = float(area_mean(np.where(exists, cells, 0.0), np.where(exists, areas, 0.0)))
            left, bottom = sheet.corner(column, row)
            sheet.axes.text(
                left + 0.02,
                bottom + 0.02,
                f"{mean:.2f}",
                fontsize=SMALL_FONT,
                color=INK,
                bbox=LABEL_BOX,
                zorder=5,
            )
    start = (-beside - sheet.beside, above)
    heading = "Wasserstein-1 distance,\nstandard deviations of the cell"
    sheet.axes.text(*start, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    wide = 1.6 / size
    sheet.bar(columns * (1 + GAP) - GAP - wide - 0.25 / size, (TOP_HEIGHT - 0.12) / size, colours, "", wide)
    return sheet.figure


def distance_dots(
    leaderboard: pd.DataFrame,
    ceilings: Ceilings | None = None,
    looks: Mapping[str, LineStyle] | None = None,
) -> Figure:
    """Draw scores (panels) of experiments (rows) as dots with 95 % intervals; lower is better.

    Vertical lines are the scores of real data in place of samples (`<score>_floor` of the leaderboard, shaded from
    low to high) and of noise; dotted, the accuracy of a classifier that guesses. Horizontal axes are logarithmic except
    the classifier's.
    """
    table = leaderboard.groupby(["experiment", "score"], sort=False)[["value", "low", "high"]].mean()
    finite = table[np.isfinite(table["value"])].index  # a model that blew up has no dot
    drawn = [score for score in DISTANCES if score in finite.unique("score")] or [DISTANCES[0]]
    appearance = looks_of(finite[finite.isin(drawn, level="score")].unique("experiment"), looks)
    figure = new_figure(0.8 + 0.27 * max(1, len(appearance)))
    panels = figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0]
    for axes, score in zip(panels, drawn, strict=True):
        values_on_axis = []
        for row, (name, look) in enumerate(appearance.items()):
            limits = real_and_noise(table, ceilings or {}, name, score)
            draw_real_and_noise(axes, row, limits)
            values_on_axis += draw_range(axes, row, table, (name, f"{score}_floor"))
            values_on_axis += list(limits)
            if (name, score) in finite:
                numbers = table.loc[(name, score)].to_numpy(dtype=float)
                draw_dot(axes, row, numbers, look, arrow_limit(ceilings or {}, score))
                values_on_axis += np.minimum(numbers, arrow_limit(ceilings or {}, score)).tolist()
        style_axes(axes, SAMPLE_METRICS[score].title).grid(False, axis="y")
        distance_axis(axes, score, np.array(values_on_axis))
    panels[0].set_yticks(range(len(appearance)), [escape(name) for name in appearance])
    panels[0].set_ylim(max(1, len(appearance)) - 0.4, -0.6)
    draw_legend(figure, *panels)
    return figure


def real_and_noise(table: pd.DataFrame, ceilings: Ceilings, name: str, score: str) -> tuple[float, float]:
    """Scores of real data and of noise; NaN if not available."""
    floor = (name, f"{score}_floor")
    real = float(table.loc[floor, "value"]) if floor in table.index else float("nan")
    return real, float(ceilings.get(name, {}).get(score, np.nan))


def draw_real_and_noise(axes: Axes, row: int, limits: tuple[float, float]) -> None:
    """Draw vertical lines across the row of an experiment; equal limits in all rows make one line."""
    for value, colour, label in zip(limits, (REAL_COLOUR, NOISE_COLOUR), ("real data", "noise"), strict=True):
        if np.isfinite(value):
            dash = "-" if label == "real data" else "--"
            axes.plot([value] * 2, [row - 0.5, row + 0.5], dash, color=colour, linewidth=1.4, label=label)


def draw_range(axes: Axes, row: int, table: pd.DataFrame, floor: tuple[str, str]) -> list[float]:
    """Shade the 95 % range of sets of real data, and return its ends."""
    ends = table.loc[floor, ["low", "high"]].tolist() if floor in table.index else []
    if ends and np.isfinite(ends).all():
        axes.fill_betweenx([row - 0.5, row + 0.5], *ends, color=REAL_COLOUR, alpha=0.2, linewidth=0)
    return ends


def arrow_limit(ceilings: Ceilings, score: str) -> float:
    """Distance beyond which a dot becomes an arrow: `ARROW_RATIO` times that of noise."""
    values = [scores[score] for scores in ceilings.values() if np.isfinite(scores.get(score, np.nan))]
    return ARROW_RATIO * max(values) if values else float("inf")


def draw_dot(
    axes: Axes, row: int, numbers: Float[np.ndarray, " three"], look: LineStyle, limit: float
) -> None:
    """Draw a value with its interval (value, low, high), or an arrow if it is beyond the limit."""
    value, low, high = np.minimum(numbers, limit)
    if np.isfinite([low, high]).all():
        axes.hlines(row, low, high, color=look.colour, linewidth=2.2, alpha=0.6)
    marker = ">" if value == limit else look.marker or "o"
    axes.plot([value], [row], marker, color=look.colour, markersize=6)


def distance_axis(axes: Axes, score: str, values: np.ndarray) -> None:
    """Set a logarithmic axis, linear near 0 if a value is not positive, as an unbiased KID may be."""
    values = values[np.isfinite(values)]
    axes.tick_params(labelsize=SMALL_FONT, axis="y", length=0)
    if score == "c2st":
        axes.axvline(CHANCE_ACCURACY, color=CHANCE_COLOUR, linestyle=":", linewidth=1.4, label="chance")
        axes.set_xlim(min(0.44, values.min() - 0.02), 1.02)
    elif (values > 0).all():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(numticks=MAX_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        positive = values[values > 0]
        small = max(-values.min(), positive.min() if len(positive) else 0.0)
        threshold = 10.0 ** np.ceil(np.log10(small)) if small else 1.0
        axes.set_xscale("symlog", linthresh=threshold)
        locator = SymmetricalLogLocator(base=10, linthresh=threshold)
        locator.set_params(numticks=MAX_TICKS)
        axes.xaxis.set_major_locator(locator)
