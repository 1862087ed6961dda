"""The first steps of a forecast, and snapshots of a long one, as maps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.calendars import lead_label, lead_text
from fieldcast.fields.meaning import circle_of
from fieldcast.fields.quantities import Circle
from fieldcast.figures.maps import CONTOUR_QUANTILES, field_colours
from fieldcast.figures.sheet import UNOBSERVED_COLOUR, Map, Outline, Sheet
from fieldcast.figures.style import INK, NORMAL_FONT, escape, percent, wrap_name
from fieldcast.kinds import CASE, LEAD, MEMBER, START, STEP

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
    maps = examples[variable].isel({LEAD: slice(1, steps + 1)})
    kinds = [kind for kind in ROWS if np.isfinite(maps.sel(kind=kind)).any() or kind == "truth"]
    truth = maps.sel(kind="truth").to_numpy()
    colours, levels = colours_and_levels(truth, "anomaly" in examples.attrs, circle_of(examples[variable]))
    across = min(STEPS_ACROSS, maps.sizes[LEAD])
    blocks = -(-maps.sizes[LEAD] // across)
    block_height = len(kinds) + BLOCK_GAP
    grid = examples["latitude"].to_numpy(), examples["longitude"].to_numpy()
    sheet = Sheet(*grid, across, blocks * block_height - BLOCK_GAP, left=0.12, top=0.36, outline=outline)
    for index, lead in enumerate(maps[LEAD].to_numpy()):
        block, column = divmod(index, across)
        top = block * block_height
        sheet.title((column, top), lead_label(lead))
        for row, kind in enumerate(kinds):
            values = maps.sel({"kind": kind, LEAD: lead}).to_numpy()
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


def colours_and_levels(
    values: np.ndarray, anomaly: bool, circle: Circle | None
) -> tuple[ScalarMappable, np.ndarray]:
    """Colours and contour levels; anomalies have colours centred on 0 and no contours, nor have angles."""
    levels = np.array([]) if anomaly or circle else np.nanquantile(values, CONTOUR_QUANTILES)
    return field_colours(values, anomaly, circle), levels


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
    steps = first[STEP].to_numpy()
    anomaly = "anomaly" in first.attrs
    of_first = first_member(first, variable)
    colours, levels = colours_and_levels(of_first.isel({STEP: 0}).to_numpy(), anomaly, circle_of(of_first))
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    labels = {name: wrap_name(name, NAME_LETTERS) for name in with_variable}
    left = max(0.2, 0.05 + 0.07 * max(label.count("\n") + 1 for label in labels.values()))
    sheet = Sheet(*grid, len(steps), len(with_variable), left=left, top=0.3, outline=outline)
    for column, step in enumerate(steps):
        sheet.title((column, 0), f"step {step}")
        for row, (name, fields) in enumerate(with_variable.items()):
            values = first_member(fields, variable)
            matches = np.flatnonzero(values[STEP].to_numpy() == step)
            if len(matches):
                draw(sheet, (column, row), values.isel({STEP: int(matches[0])}).to_numpy(), colours, levels)
            if column == 0:
                sheet.side((0, row), labels[name])
    quantity = "anomaly" if anomaly else "one member"
    sheet.bar(-0.05, 0.2, colours, ", ".join(filter(None, (f"{variable}, {quantity}", unit))))
    return sheet.figure


def first_member(snapshots: xr.Dataset, variable: str) -> xr.DataArray:
    """First initial time and member, dims (step, latitude, longitude)."""
    values = snapshots[variable]
    first = {name: 0 for name in (START, MEMBER) if name in values.dims}
    return values.isel(first).transpose(STEP, "latitude", "longitude")


# Animation of a forecast: one frame per step, for the page or as a GIF.


# dots per inch of a frame; the first that keeps the animation small enough is used
RESOLUTIONS = 80, 60, 45, 34, 25
MAX_BYTES = 2e6  # size of an animation [bytes]
FRAME_MILLISECONDS = 600  # duration of a frame
MAP_COLOURS = 200  # colours of the maps, out of the 256 of a frame


def frames(examples: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> list[Image.Image]:
    """Draw frames at the highest resolution that keeps both the GIF and the PNGs below MAX_BYTES."""
    for dpi in RESOLUTIONS:
        pictures = draw_frames(examples, variable, dpi, outline)
        if max(len(gif(pictures)), sum(len(frame_png(picture)) for picture in pictures)) < MAX_BYTES:
            break
    return pictures


def draw_frames(
    examples: Mapping[str, xr.Dataset], variable: str, dpi: int, outline: Outline = ()
) -> list[Image.Image]:
    """Draw one frame per lead time from 0: the truth, then each experiment's ensemble mean above one member.

    At lead 0 there is the truth alone.

    All frames share one palette, so that nothing flickers."""
    first = next(iter(examples.values()))
    truth = first[variable].sel(kind="truth").to_numpy()
    colours, levels = colours_and_levels(truth, "anomaly" in first.attrs, circle_of(first[variable]))
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    ends = finite_ends(examples, variable)
    pictures = []
    for index, lead in enumerate(first[LEAD].to_numpy()):
        sheet = Sheet(*grid, len(examples) + 1, 2, left=0.1, top=0.3, first_gap=0.05, outline=outline)
        sheet.ranges[id(colours)] = list(ends)  # or arrows would come and go
        draw(sheet, (0, 0), truth[index], colours, levels)
        sheet.title((0, 0), "truth")
        for column, (name, forecasts) in enumerate(examples.items(), start=1):
            sheet.title((column, 0), wrap_name(name))
            for row, kind in enumerate(("mean", "member_0")):
                values = forecasts[variable].sel(kind=kind).isel({LEAD: index}).to_numpy()
                if lead == 0:  # a climatological ensemble does not begin with the truth
                    sheet.note((column, row), "no forecast yet")
                elif kind == "mean" or forecasts.attrs.get("members", 1) > 1:
                    draw(sheet, (column, row), values, colours, levels)
                else:
                    sheet.note((column, row), "one forecast:\nno members")
                if column == 1:
                    sheet.side((column, row), ROWS[kind])
        left, bottom = sheet.corner(0, 1)
        sheet.bar(left, bottom + 0.12, colours, str(first[variable].attrs.get("units", "")))
        quantity = ", anomaly" if "anomaly" in first.attrs else ""
        start = str(first.attrs.get("start", ""))[:16].replace("T", " ")
        heading = f"{escape(variable)}{quantity}; from {start}, lead {lead_text(lead)}"
        sheet.axes.text(
            -0.08 - sheet.beside, 0.29, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK
        )
        pictures.append(rasterise(sheet.figure, dpi))
    colours_of_frames = palette(colours)
    return [
        whiten(picture.quantize(palette=colours_of_frames, dither=Image.Dither.NONE)) for picture in pictures
    ]


def finite_ends(examples: Mapping[str, xr.Dataset], variable: str) -> tuple[float, float]:
    """Lowest and highest finite value of all maps."""
    kinds = ["truth", "mean", "member_0"]
    values = np.concatenate([stored[variable].sel(kind=kinds).to_numpy() for stored in examples.values()])
    finite = values[np.isfinite(values)]
    return float(finite.min()), float(finite.max())


def rasterise(figure: Figure, dpi: int) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    size = canvas.get_width_height()
    return Image.frombuffer("RGBA", size, canvas.buffer_rgba()).convert("RGB")


def palette(colours: ScalarMappable) -> Image.Image:
    """Few colours, for small files: those of the maps, and greys from ink to white for everything else."""
    map_colours = np.asarray(colours.get_cmap()(np.linspace(0, 1, MAP_COLOURS)))[:, :3] * 255
    greys = np.linspace(40, 255, 256 - MAP_COLOURS)[:, None] * np.ones(3)
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate([map_colours, greys]).round().astype(int).ravel().tolist())
    return image


def whiten(picture: Image.Image) -> Image.Image:
    """Turn near-white colours white: quantisation matches the palette only roughly."""
    colours = np.array(picture.getpalette()).reshape(-1, 3)
    colours[(colours > 249).all(1)] = 255
    picture.putpalette(colours.ravel().tolist())
    return picture


def gif(pictures: Sequence[Image.Image]) -> bytes:
    """An endless GIF that pauses on its first and last frame."""
    buffer = io.BytesIO()
    spans = [FRAME_MILLISECONDS] * len(pictures)
    spans[0] = spans[-1] = 2 * FRAME_MILLISECONDS
    first, *others = pictures
    first.save(
        buffer, format="GIF", save_all=True, append_images=others, duration=spans, loop=0, optimize=False
    )
    return buffer.getvalue()


def frame_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


# The first steps of a cycle, from its climatological start: how the analyses approach the truth.


def cycle_film(films: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> Figure:
    """Draw a column for each step: truth, observations, and the mean analysis of each experiment.

    Each film is (case, time, kind, latitude, longitude), with the coordinate `step`, its number from 1; its
    first case is drawn. All maps share one colour scale, which the truth sets.
    """
    cases = {name: film[variable].isel({CASE: 0}) for name, film in films.items()}
    first, stored = next(iter(cases.values())), next(iter(films.values()))
    truth, observed = (first.sel(kind=kind).to_numpy() for kind in ("truth", "observed"))
    colours = field_colours(truth, "anomaly" in stored.attrs, circle_of(first))
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    sheet = Sheet(*grid, len(truth), 2 + len(cases), left=0.2, top=0.32, outline=outline)
    for column, step in enumerate(first[STEP].to_numpy()):
        sheet.title((column, 0), f"step {step}")
        sheet.draw((column, 0), truth[column], colours)
        sheet.draw((column, 1), observed[column], colours, missing=UNOBSERVED_COLOUR)
        sheet.blank((column, 1), np.isfinite(truth[column]))
        for row, case in enumerate(cases.values(), start=2):
            sheet.draw((column, row), case.sel(kind="mean").isel(time=column).to_numpy(), colours)
    for row, name in enumerate(("truth", "observed", *cases)):
        sheet.side((0, row), wrap_name(name))
    quantity = ", anomaly" if "anomaly" in stored.attrs else ""
    unit = first.attrs.get("units", "")
    k = percent(float(stored["k"].to_numpy()[0]))
    heading = escape(f"{variable}{quantity}{f', {unit}' if unit else ''}; {k} observed at each step")
    sheet.axes.text(-0.18 - sheet.beside, 0.31, heading, ha="left", va="top", fontsize=NORMAL_FONT, color=INK)
    return sheet.figure
