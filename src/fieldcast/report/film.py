"""A film in the page: pictures that a button plays and a slider moves through; nothing from outside."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from PIL import Image

from fieldcast.figures.animation import MILLISECONDS, frame_png
from fieldcast.report.html import Markup, join, tag


def player(
    pictures: Sequence[Image.Image], labels: Sequence[str], title: str, caption: object = ""
) -> Markup:
    """The first picture, a button and a slider; without scripts, and on paper, the first picture alone."""
    images = []
    for place, picture in enumerate(pictures):
        source = f"data:image/png;base64,{base64.b64encode(frame_png(picture)).decode()}"
        hidden = " hidden" if place else ""
        alt = html.escape(f"{title}: {labels[place]}")
        images.append(Markup(f'<img alt="{alt}" src="{source}"{hidden}>'))
    slider = Markup(
        f'<input type="range" min="0" max="{len(pictures) - 1}" value="0" aria-label="{html.escape(title)}">'
    )
    controls = tag(
        "div", tag("button", "Play", type="button"), slider, tag("output", labels[0]), class_="controls"
    )
    attributes = {"class": "film", "data-pause": MILLISECONDS, "data-labels": "|".join(labels)}
    return tag("figure", join(images), controls, tag("figcaption", caption) if caption else "", **attributes)
