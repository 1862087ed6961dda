"""Jinja templates: everything that they print is escaped, so no name in the data can become an element."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from fieldcast.experiments import Description
from fieldcast.figures.forecast_maps import frame_png
from fieldcast.figures.style import percent
from fieldcast.scores import numbers
from fieldcast.scores.event_metrics import EVENT_METRICS
from fieldcast.scores.metrics import METRICS
from fieldcast.scores.sample_metrics import SAMPLE_METRICS


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in the side bar; a body that is not Markup is escaped."""

    anchor: str
    title: str
    body: str


def anchor(*names: str) -> str:
    """An identifier inside the page."""
    return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") for name in names)


def data_url(png: bytes) -> str:
    """A picture as the text that an `img` can hold."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def capitalised(text: str) -> str:
    """A text that begins with a capital letter; other capitals stay."""
    return text[:1].upper() + text[1:]


def environment() -> Environment:
    """Templates of this package with the filters that they use."""
    templates = Environment(
        loader=PackageLoader("fieldcast.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters |= {
        "data_url": data_url,
        "frame": lambda image: data_url(frame_png(image)),
        "percent": percent,
        "capitalised": capitalised,
        "with_code": lambda text: Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text)))),
        "significant": numbers.significant,
        "amount": numbers.amount,
        "labelled": lambda name, results: results.label(name),
    }
    return templates


TEMPLATES = environment()


def render(template: str, about: Mapping[str, Description], **context: Any) -> list[Section]:
    """The sections of `<template>.html.j2`, in order; those whose body is empty are left out.

    A template wraps each section in `{% call section(title) %}`. `name` writes an experiment's label, `explain` a
    score's explanation at its first use.
    """
    sections: list[Section] = []

    def section(title: str, caller: Callable[[], str]) -> str:
        body = Markup(str(caller()).strip())
        if body:
            sections.append(Section(anchor(template, title), title, body))
        return ""

    TEMPLATES.get_template(f"{template}.html.j2").render(section=section, **context, **writers(about))
    return sections


def writers(about: Mapping[str, Description]) -> dict[str, Callable[..., str]]:
    """The functions with which templates write names and explanations."""
    explained: set[str] = set()

    def name(experiment: str) -> Markup:
        text = about.get(experiment, Description(label=experiment or "the reference"))
        return Markup('<span class="experiment" title="{}">{}</span>').format(
            text.description.replace("`", ""), text.label
        )

    def names(experiments: Iterable[str]) -> Markup:
        return Markup(", ").join(map(name, experiments))

    def explain(*scores: str) -> str:
        legends: Mapping[str, Any] = {**METRICS, **EVENT_METRICS, **SAMPLE_METRICS}
        new = [score for score in scores if score not in explained]
        explained.update(new)
        return " ".join(
            f"{capitalised(legends[score].title)}: {legends[score].explanation}"
            for score in new
            if score in legends
        )

    return {"name": name, "names": names, "explain": explain}
