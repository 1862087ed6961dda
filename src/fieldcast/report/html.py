"""Elements of a page. A text is escaped unless it is Markup, so no name in the data can become an element."""

from __future__ import annotations

import base64
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fieldcast.figures.png import Picture

HUGE = 1e7  # a number that nobody reads digit by digit: a model that blew up
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in the table of contents."""

    anchor: str
    title: str
    body: Markup


class Cell(NamedTuple):
    """Of a table: what it shows, what it is sorted by (a number, else the text), and its CSS class."""

    text: str
    order: float | None = None
    kind: str = ""


def escaped(text: object) -> Markup:
    """Markup as it is; anything else with &, <, > and quotes made harmless."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text)))


def join(parts: Iterable[object], between: str = "") -> Markup:
    """Parts one after the other, each escaped."""
    return Markup(between.join(escaped(part) for part in parts))


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """`<name key="value">content</name>`; `class_` is class, an attribute of None is left out."""
    known = {
        key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None
    }
    written = "".join(f' {key}="{html.escape(str(value))}"' for key, value in known.items())
    return Markup(f"<{name}{written}>{join(content)}</{name}>")


def paragraph(*content: object, kind: str | None = None) -> Markup:
    """A paragraph."""
    return tag("p", *content, class_=kind)


def missing(sentence: str) -> Markup:
    """Where a part of the page would be that the run did not make."""
    return paragraph(sentence, kind="missing")


def folded(title: object, *content: object) -> Markup:
    """Content behind its title; opened by a click, and on paper."""
    return tag("details", tag("summary", title), tag("div", *content))


def picture(figure: Picture, title: str, caption: object = "") -> Markup:
    """A figure inside the page; `title` says in words what it shows to those who cannot see it."""
    width = round(figure.inches * 96)
    source = f"data:image/png;base64,{base64.b64encode(figure.png).decode()}"
    image = Markup(f'<img alt="{html.escape(title)}" style="width:{width}px" src="{source}">')
    return tag("figure", image, tag("figcaption", caption) if caption else "")


def shown(figures: Mapping[str, Picture], name: str, title: str, caption: str, otherwise: str) -> Markup:
    """A figure, or that there is none."""
    if name in figures:
        return picture(figures[name], title, caption)
    return missing(f"{otherwise}: no experiment left what they need.")


def table(
    head: Sequence[object], rows: Sequence[Sequence[Cell | str]], caption: object = "", kind: str = ""
) -> Markup:
    """A table that a click on a heading sorts; the first column is that of names."""
    title = tag("caption", caption) if caption else ""
    headings = join(tag("th", tag("button", name, type="button"), scope="col") for name in head)
    body = join(tag("tr", *[_cell(cell, place) for place, cell in enumerate(row)]) for row in rows)
    whole = tag(
        "table",
        title,
        tag("thead", tag("tr", headings)),
        tag("tbody", body),
        class_=f"sortable {kind}".strip(),
    )
    return tag("div", whole, class_="wide")


def _cell(cell: Cell | str, place: int) -> Markup:
    if not isinstance(cell, Cell):
        cell = Cell(cell)
    order = None if cell.order is None or math.isnan(cell.order) else repr(float(cell.order))
    attributes = {"data_order": order, "class_": cell.kind or None}
    return tag("td" if place else "th", cell.text, scope=None if place else "row", **attributes)


def significant(value: float, digits: int = 3) -> str:
    """A number with so many significant digits, huge ones with a power of ten; a dash for NaN."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= HUGE:
        return scientific(value, digits)
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 8)}f}".replace("-", "−")


def scientific(value: float, digits: int) -> str:
    """A number with a power of ten: 4.06 × 10²³."""
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa} × 10{str(int(power)).translate(RAISED)}".replace("-", "−")


def numbers(value: float, low: float, high: float, digits: int = 3) -> list[str]:
    """A value and its interval with equally many decimals.

    As many as give the larger of the value and half the interval so many significant digits: more than the
    interval leaves certain say nothing.
    """
    size = max((abs(one) for one in (value, (high - low) / 2) if math.isfinite(one)), default=0.0)
    if size >= HUGE:
        return [scientific(one, digits) if math.isfinite(one) else "–" for one in (value, low, high)]
    decimals = max(0, digits - 1 - math.floor(math.log10(size))) if size else 0
    return [
        f"{one:.{min(decimals, 8)}f}".replace("-", "−") if math.isfinite(one) else "–"
        for one in (value, low, high)
    ]


def anchor(*names: str) -> str:
    """An identifier inside the page."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)
