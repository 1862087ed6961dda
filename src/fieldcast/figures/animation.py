"""Animation of a forecast: one frame per step, for the page or as a GIF."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from PIL import Image

from fieldcast.figures.forecast_maps import ROWS, colours_and_levels, draw
from fieldcast.figures.outline import Outline
from fieldcast.figures.sheet import Sheet
from fieldcast.figures.style import INK, NORMAL_FONT, escape, wrap_name
from fieldcast.time_steps import lead_text

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
    colours, levels = colours_and_levels(truth, "anomaly" in first.attrs)
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    ends = finite_ends(examples, variable)
    pictures = []
    for index, lead in enumerate(first["lead"].to_numpy()):
        sheet = Sheet(*grid, len(examples) + 1, 2, left=0.1, top=0.3, first_gap=0.05, outline=outline)
        sheet.ranges[id(colours)] = list(ends)  # or arrows would come and go
        draw(sheet, (0, 0), truth[index], colours, levels)
        sheet.title((0, 0), "truth")
        for column, (name, forecasts) in enumerate(examples.items(), start=1):
            sheet.title((column, 0), wrap_name(name))
            for row, kind in enumerate(("mean", "member_0")):
                values = forecasts[variable].sel(kind=kind).isel(lead=index).to_numpy()
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
    """A figure in pixels."""
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
    """One frame as PNG."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
