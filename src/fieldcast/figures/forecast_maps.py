"""The first steps of a forecast, and snapshots of a long one, as maps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from fieldcast.figures.maps import CONTOUR_QUANTILES, field_colours
from fieldcast.figures.outline import Outline
from fieldcast.figures.sheet import Map, Sheet
from fieldcast.figures.style import INK, NORMAL_FONT, escape, wrap_name
from fieldcast.time_steps import lead_label

ROWS = {"truth": "truth", "mean": "mean", "member_0": "member 1", "member_1": "member 2"}
NAME_LETTERS = 18  # letters in a line of the name of a row
STEPS = 10  # steps that are drawn
STEPS_ACROSS = 5  # steps side by side
BLOCK_GAP = 0.4  # between blocks of steps [rows]


def step_maps(
    examples: xr.Dataset, variable: str, experiment: str, steps: int = STEPS, outline: Outline = ()
) -> Figure:
    """Draw the first steps of one experiment: truth, ensemble mean and two members, in the colours of the truth.

    Steps run across, five per block; contours of fields are the 30 % and 70 % quantiles of the truth.
    """
    maps = examples[variable].isel(lead=slice(1, steps + 1))
    kinds = [kind for kind in ROWS if np.isfinite(maps.sel(kind=kind)).any() or kind == "truth"]
    truth = maps.sel(kind="truth").to_numpy()
    colours, levels = colours_and_levels(truth, "anomaly" in examples.attrs)
    across = min(STEPS_ACROSS, maps.sizes["lead"])
    blocks = -(-maps.sizes["lead"] // across)
    block_height = len(kinds) + BLOCK_GAP
    grid = examples["latitude"].to_numpy(), examples["longitude"].to_numpy()
    sheet = Sheet(*grid, across, blocks * block_height - BLOCK_GAP, left=0.12, top=0.36, outline=outline)
    for index, lead in enumerate(maps["lead"].to_numpy()):
        block, column = divmod(index, across)
        top = block * block_height
        sheet.title((column, top), lead_label(lead))
        for row, kind in enumerate(kinds):
            values = maps.sel(kind=kind, lead=lead).to_numpy()
            draw(sheet, (column, top + row), values, colours, levels)
            if column == 0:
                sheet.side((0, top + row), ROWS[kind])
    unit = escape(examples[variable].attrs.get("units", ""))
    start = str(examples.attrs.get("start", ""))[:16].replace("T", " ")
    quantity = "anomaly, " if "anomaly" in examples.attrs else ""
    heading = f"{escape(experiment)}: {escape(variable)}, {quantity}{unit}, from {start}"
    sheet.axes.text(-0.1 - sheet.beside, 0.34, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    sheet.bar(across - 1 + 0.055 * (across - 1), 0.24, colours, "")
    return sheet.figure


def colours_and_levels(values: np.ndarray, anomaly: bool) -> tuple[ScalarMappable, np.ndarray]:
    """Colours and contour levels; anomalies have colours centred on 0 and no contours."""
    levels = np.array([]) if anomaly else np.nanquantile(values, CONTOUR_QUANTILES)
    return field_colours(values, anomaly), levels


def draw(
    sheet: Sheet, position: tuple[int, int | float], values: Map, colours: ScalarMappable, levels: np.ndarray
) -> None:
    """Draw a map with contours, or a note if the model has blown up."""
    if np.isfinite(values).any():
        sheet.draw(position, values, colours)
        if len(levels):
            sheet.contours(position, values, levels)
    else:
        sheet.note(position, "blew up")


def snapshot_maps(
    snapshots: Mapping[str, xr.Dataset], variable: str, unit: str = "", outline: Outline = ()
) -> Figure:
    """Draw one member of each experiment (rows) at the steps of its snapshots (columns).

    The first map sets the colours; snapshots with the attribute `anomaly` are anomalies."""
    with_variable = {name: fields for name, fields in snapshots.items() if variable in fields}
    first = next(iter(with_variable.values()))
    steps = first["step"].to_numpy()
    anomaly = "anomaly" in first.attrs
    colours, levels = colours_and_levels(first_member(first, variable).isel(step=0).to_numpy(), anomaly)
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    labels = {name: wrap_name(name, NAME_LETTERS) for name in with_variable}
    left = max(0.2, 0.05 + 0.07 * max(label.count("\n") + 1 for label in labels.values()))
    sheet = Sheet(*grid, len(steps), len(with_variable), left=left, top=0.3, outline=outline)
    for column, step in enumerate(steps):
        sheet.title((column, 0), f"step {step}")
        for row, (name, fields) in enumerate(with_variable.items()):
            values = first_member(fields, variable)
            matches = np.flatnonzero(values["step"].to_numpy() == step)
            if len(matches):
                draw(sheet, (column, row), values.isel(step=int(matches[0])).to_numpy(), colours, levels)
            if column == 0:
                sheet.side((0, row), labels[name])
    quantity = "anomaly" if anomaly else "one member"
    sheet.bar(-0.05, 0.2, colours, ", ".join(filter(None, (f"{variable}, {quantity}", unit))))
    return sheet.figure


def first_member(snapshots: xr.Dataset, variable: str) -> xr.DataArray:
    """First initial time and member, dims (step, latitude, longitude)."""
    values = snapshots[variable]
    first = {name: 0 for name in ("start", "member") if name in values.dims}
    return values.isel(first).transpose("step", "latitude", "longitude")
