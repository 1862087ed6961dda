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

from fieldcast.figures.forecast_maps import ROWS, draw, scale
from fieldcast.figures.outline import Outline
from fieldcast.figures.sheet import Sheet
from fieldcast.figures.style import INK, NORMAL, plain, wrapped
from fieldcast.time_steps import lead_text

DPI = 80, 60, 45, 34, 25  # of a frame: the first that keeps the animation small enough
LARGEST = 2e6  # bytes of an animation
MILLISECONDS = 600  # a frame
SHADES = 200  # of the 256 colours of a frame, for maps


def frames(examples: Mapping[str, xr.Dataset], variable: str, outline: Outline = ()) -> list[Image.Image]:
    """Draw frames at the highest resolution that keeps both the GIF and the PNGs below LARGEST bytes."""
    for dpi in DPI:
        pictures = drawn(examples, variable, dpi, outline)
        if max(len(gif(pictures)), sum(len(frame_png(picture)) for picture in pictures)) < LARGEST:
            break
    return pictures


def drawn(
    examples: Mapping[str, xr.Dataset], variable: str, dpi: int, outline: Outline = ()
) -> list[Image.Image]:
    """Draw one frame per lead time from 0: the truth, then each experiment's ensemble mean above one member.

    At lead 0 there is the truth alone.

    All frames share one palette, so that nothing flickers."""
    first = next(iter(examples.values()))
    truth = first[variable].sel(kind="truth").to_numpy()
    colours, levels = scale(truth, "anomaly" in first.attrs)
    grid = first["latitude"].to_numpy(), first["longitude"].to_numpy()
    ends = finite_ends(examples, variable)
    pictures = []
    for place, lead in enumerate(first["lead"].to_numpy()):
        sheet = Sheet(*grid, len(examples) + 1, 2, left=0.1, top=0.3, aside=0.05, outline=outline)
        sheet.ranges[id(colours)] = list(ends)  # or arrows would come and go
        draw(sheet, (0, 0), truth[place], colours, levels)
        sheet.title((0, 0), "truth")
        for column, (name, forecasts) in enumerate(examples.items(), start=1):
            sheet.title((column, 0), wrapped(name))
            for row, kind in enumerate(("mean", "member_0")):
                values = forecasts[variable].sel(kind=kind).isel(lead=place).to_numpy()
                if lead == 0:  # what a climatological ensemble begins with is not the truth
                    sheet.note((column, row), "no forecast yet")
                elif kind == "mean" or forecasts.attrs.get("members", 1) > 1:
                    draw(sheet, (column, row), values, colours, levels)
                else:
                    sheet.note((column, row), "one forecast:\nno members")
                if column == 1:
                    sheet.side((column, row), ROWS[kind])
        left, bottom = sheet.corner(0, 1)
        sheet.bar(left, bottom + 0.12, colours, str(first[variable].attrs.get("units", "")))
        what = ", departure from the climatology" if "anomaly" in first.attrs else ""
        start = str(first.attrs.get("start", ""))[:16].replace("T", " ")
        heading = f"{plain(variable)}{what}; from {start}, lead {lead_text(lead)}"
        sheet.axes.text(-0.08 - sheet.beside, 0.29, heading, ha="left", va="top", fontsize=NORMAL, color=INK)
        pictures.append(rendered(sheet.figure, dpi))
    few = palette(colours)
    return [whitened(picture.quantize(palette=few, dither=Image.Dither.NONE)) for picture in pictures]


def finite_ends(examples: Mapping[str, xr.Dataset], variable: str) -> tuple[float, float]:
    """Lowest and highest finite value of all maps."""
    kinds = ["truth", "mean", "member_0"]
    values = np.concatenate([stored[variable].sel(kind=kinds).to_numpy() for stored in examples.values()])
    finite = values[np.isfinite(values)]
    return float(finite.min()), float(finite.max())


def rendered(figure: Figure, dpi: int) -> Image.Image:
    """A figure in pixels."""
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(dpi)
    canvas.draw()
    size = canvas.get_width_height()
    return Image.frombuffer("RGBA", size, canvas.buffer_rgba()).convert("RGB")


def palette(colours: ScalarMappable) -> Image.Image:
    """Few colours, for small files: those of the maps, and greys from ink to white for everything else."""
    of_maps = np.asarray(colours.get_cmap()(np.linspace(0, 1, SHADES)))[:, :3] * 255
    greys = np.linspace(40, 255, 256 - SHADES)[:, None] * np.ones(3)
    image = Image.new("P", (1, 1))
    image.putpalette(np.concatenate([of_maps, greys]).round().astype(int).ravel().tolist())
    return image


def whitened(picture: Image.Image) -> Image.Image:
    """Turn near-white colours white: quantisation matches the palette only roughly."""
    colours = np.array(picture.getpalette()).reshape(-1, 3)
    colours[(colours > 249).all(1)] = 255
    picture.putpalette(colours.ravel().tolist())
    return picture


def gif(pictures: Sequence[Image.Image]) -> bytes:
    """An endless GIF that pauses on its first and last frame."""
    buffer = io.BytesIO()
    spans = [MILLISECONDS] * len(pictures)
    spans[0] = spans[-1] = 2 * MILLISECONDS
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
