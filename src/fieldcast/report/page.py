"""The page: sections of each task, explanations of the scores, provenance, data and configuration."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import yaml
from markupsafe import Markup

from fieldcast.figures.style import Picture
from fieldcast.report.data import DataSummary
from fieldcast.report.first_screen import EXPLANATIONS, leaders_table, most_serious
from fieldcast.report.glossary import explanations
from fieldcast.report.rendering import TEMPLATES, Section, render
from fieldcast.report.results import GLANCE, Results
from fieldcast.report.tables import Cell, Table, quality_rows


def report(
    tasks: Mapping[str, Results],
    data: DataSummary | None = None,
    provenance: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    figures: Mapping[str, Mapping[str, Picture]] | None = None,
) -> str:
    """The page as HTML. `figures` of a task are drawn unless given. The same arguments give the same page.

    `provenance` is shown as it is, in its order; a mapping in it (versions) becomes a list of names and values.
    """
    stored = figures or {}
    drawn = {name: stored[name] if name in stored else task.pictures() for name, task in tasks.items()}
    groups: list[tuple[str, list[Section]]] = [
        (task.title, task.sections(drawn[name])) for name, task in tasks.items()
    ]
    groups.append(("Background", background(tasks.values(), data, provenance or {}, parameters or {})))
    doubts = [doubt for task in tasks.values() for doubt in task.doubts]
    page: str = TEMPLATES.get_template("page.html.j2").render(
        title="Fieldcast report",
        subtitle=subtitle(tasks, data),
        leaders=leaders_table(tasks.values()),
        heading="",
        explanations=EXPLANATIONS,
        doubts=most_serious([*doubts, *(data.doubts if data else [])]),
        glance_text="The input, the result of the best method, and the truth",
        glance_figures=next((figures for figures in drawn.values() if GLANCE in figures), {}),
        groups=[(title, sections) for title, sections in groups if sections],
        style=Markup(source("style.css")),
        script=Markup(source("script.js")),
    )
    return page


def source(name: str) -> str:
    """A file beside the templates."""
    assert TEMPLATES.loader is not None
    return TEMPLATES.loader.get_source(TEMPLATES, name)[0]


def subtitle(tasks: Mapping[str, Results], data: DataSummary | None) -> str:
    """The tasks, and the first facts about the data."""
    *others, last = [task.title.lower() for task in tasks.values()] or ["no task"]
    titles = f"{', '.join(others)} and {last}" if others else last
    facts = dict(data.facts) if data else {}
    return "; ".join(
        [titles.capitalize(), *(facts[name] for name in ("Source", "Period", "Images") if name in facts)]
    )


def background(
    tasks: Collection[Results],
    data: DataSummary | None,
    provenance: Mapping[str, object],
    parameters: Mapping[str, object],
) -> list[Section]:
    """Sections on the scores, the run, and the data and their quality."""
    facts = list(data.facts) if data else []
    if data:
        facts.append(("Variables", ", ".join(f"{name} ({units})" for name, units, *_ in data.variables)))
    facts += [(name, value_text(value)) for name, value in provenance.items()]
    quality = None if data is None or data.quality.empty else data.quality
    noted = quality is not None and quality["action"] != "fine"
    variables = [[Cell(text) for text in row] for row in data.variables] if data else []
    return render(
        "background",
        {},
        guide=explanations(task.guide for task in tasks),
        facts=facts,
        configuration=as_yaml(parameters),
        data=data,
        variables=Table(["variable", "units", "name", "kind"], variables, "texts"),
        noted=None if quality is None else quality_rows(quality[noted]),
        fine=None if quality is None else quality_rows(quality[~noted]),
    )


def value_text(value: object) -> str:
    """A value as text: names and values of a mapping, items of a list."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {value_text(item)}" for name, item in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def plain_value(option: Any) -> object:
    """Options of a dataclass by name, anything else as text."""
    if is_dataclass(option) and not isinstance(option, type):
        return asdict(option)
    return str(option)


def as_yaml(parameters: Mapping[str, object]) -> str:
    """Parameters as the configuration writes them; empty if there are none."""
    plain = json.loads(json.dumps(parameters, default=plain_value))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100) if plain else ""
