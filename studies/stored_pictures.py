"""Pictures of the documents that carry the digest of the numbers from which they were drawn.

A PNG holds two texts: `numbers`, the digest of a file and its path from the picture, and `command`, which draws the
picture anew. tests/test_docs.py refuses a picture whose numbers have another digest, and one that carries none.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import os
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fieldcast.atomic import write_atomically
from fieldcast.figures.style import Picture, png

MAX_BYTES = 150_000  # size of a picture, at most [bytes]
# pixels and colours of a picture, the best first
WIDTHS, COLOURS = (1300, 1200, 1100, 1000, 900), (256, 96, 48)
COMMAND = "make figures"


def write_picture(file: Path, figure: Figure, numbers: Path) -> Path:
    """Write a figure, drawn from the file `numbers`, as a small PNG with the digest of that file; return its path."""
    texts = PngInfo()
    texts.add_text("numbers", f"{digest(numbers)} {os.path.relpath(numbers, file.parent)}")
    texts.add_text("command", COMMAND)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(small_picture(figure))) as drawn:
        drawn.save(buffer, format="PNG", optimize=True, pnginfo=texts)
    write_atomically(file, buffer.getvalue())
    return file


def stale(file: Path) -> str:
    """Say what is wrong with a stored picture, and the command that mends it; empty if it is of its numbers."""
    with Image.open(file) as opened:
        texts = dict(getattr(opened, "text", {}))
    if "numbers" not in texts:
        return f"{file.name} does not say of which numbers it is: draw it by `studies.stored_pictures.write_picture`."
    written, path = texts["numbers"].split(" ", 1)
    numbers = file.parent / path
    if not numbers.exists() or digest(numbers) != written:
        return f"{file.name} is older than its numbers, {path}: `{texts['command']}` draws it anew."
    return ""


def digest(numbers: Path) -> str:
    """The first twelve digits of the SHA-256 of a file."""
    return hashlib.sha256(numbers.read_bytes()).hexdigest()[:12]


def small_picture(figure: Figure) -> bytes:
    """A figure as PNG of at most `MAX_BYTES`, as wide and with as many colours as this allows.

    It is drawn anew for each width: cells of one colour take little room, cells with blurred edges much.
    """
    inches = Picture(png(figure)).inches
    for dots, colours in itertools.product(WIDTHS, COLOURS):
        with Image.open(io.BytesIO(png(figure, dpi=int(dots / inches)))) as opened:
            picture = opened.convert("RGB").quantize(colours, dither=Image.Dither.NONE)
        buffer = io.BytesIO()
        picture.save(buffer, format="PNG", optimize=True)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue()
