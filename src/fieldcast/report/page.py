"""The page: what ran, the sections of each task, how to read them, the data, the configuration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol, runtime_checkable

from matplotlib.figure import Figure

from fieldcast.figures.png import Picture
from fieldcast.report.data import DataSummary, quality_table
from fieldcast.report.guide import guide
from fieldcast.report.html import Cell, Markup, Section, anchor, folded, join, missing, paragraph, table, tag
from fieldcast.report.template import PAGE


@runtime_checkable
class Task(Protocol):
    """What a task shows on the page."""

    @property
    def title(self) -> str:
        """Heading of the task."""
        ...

    def figures(self) -> dict[str, Figure]:
        """Figures of record, by name."""
        ...

    def sections(self, figures: Mapping[str, Picture]) -> list[Section]:
        """Parts of the page, in order."""
        ...


def report(
    tasks: Mapping[str, Task],
    data: DataSummary | None = None,
    provenance: Mapping[str, object] | None = None,
    parameters: Mapping[str, object] | None = None,
    figures: Mapping[str, Mapping[str, Picture]] | None = None,
) -> str:
    """The page as HTML. `figures` of a task are drawn unless given. The same arguments give the same page.

    `provenance` is shown as it is, in its order; a mapping in it (versions) becomes a list of name and value.
    """
    drawn = figures or {}
    groups: list[tuple[str, list[Section]]] = []
    for name, task in tasks.items():
        groups.append((task.title, task.sections(drawn[name] if name in drawn else pictures(task))))
    groups.append(
        ("Background", [how_to_read(tasks.keys()), what_ran(data, provenance, parameters), about_data(data)])
    )
    body = [tag("h1", "Fieldcast report"), paragraph(subtitle(tasks, data), kind="lead")]
    for title, sections in groups:
        alone = len(sections) == 1
        body.append(tag("h2", sections[0].title if alone else title))
        for one in sections:
            body.append(tag("section", "" if alone else tag("h3", one.title), one.body, id=one.anchor))
    contents = join(
        join([tag("b", title), *(tag("a", one.title, href=f"#{one.anchor}") for one in sections)])
        for title, sections in groups
    )
    return PAGE.substitute(title="Fieldcast report", contents=contents, body=join(body))


def pictures(task: Task) -> dict[str, Picture]:
    """The figures of a task, drawn; each is let go before the next is made into a picture."""
    return {name: Picture.of(figure) for name, figure in task.figures().items()}


def subtitle(tasks: Mapping[str, Task], data: DataSummary | None) -> str:
    """The tasks, and the first facts of the data."""
    *others, last = [task.title.lower() for task in tasks.values()] or ["no task"]
    titles = f"{', '.join(others)} and {last}" if others else last
    known = dict(data.facts) if data else {}
    facts = (known[name] for name in ("Source", "Period", "Images") if name in known)
    return "; ".join([titles.capitalize(), *facts])


def what_ran(
    data: DataSummary | None, provenance: Mapping[str, object] | None, parameters: Mapping[str, object] | None
) -> Section:
    """Data, commit, versions, seed; the configuration folded."""
    rows = list(data.facts) if data else []
    if data:
        rows.append(("Variables", ", ".join(f"{name} ({units})" for name, units, *_ in data.variables)))
    rows += [(name, in_words(value)) for name, value in (provenance or {}).items()]
    parts: list[Markup] = [listed(rows, "facts")]
    if not data:
        parts.append(missing("No description of the data was given."))
    if parameters:
        parts.append(folded("Configuration", tag("pre", tag("code", "\n".join(lines(parameters))))))
    return Section("what-ran", "What ran", join(parts))


def listed(rows: Iterable[tuple[str, str]], kind: str | None = None) -> Markup:
    """Names and what they are."""
    return tag("dl", *(tag("div", tag("dt", name), tag("dd", text)) for name, text in rows), class_=kind)


def in_words(value: object) -> str:
    """A value; of a mapping its names and values, of a list its items."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {in_words(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def lines(parameters: Mapping[str, object], indent: int = 0) -> list[str]:
    """Nested names and values, a line each, indented: reads like YAML."""
    found = []
    for name, value in parameters.items():
        start = f"{'  ' * indent}{name}:"
        if isinstance(value, Mapping) and value:
            found += [start, *lines(value, indent + 1)]
        else:
            found.append(f"{start} {value}")
    return found


def how_to_read(tasks: Collection[str]) -> Section:
    """Every score of the tasks in plain words."""
    return Section("how-to-read", "How to read this", listed(guide(tasks)))


def about_data(data: DataSummary | None) -> Section:
    """Variables and what the checks of quality found."""
    if data is None:
        return Section(
            anchor("data"), "Data and their quality", missing("No description of the data was given.")
        )
    rows = [[Cell(tag("code", one[0])), *map(Cell, one[1:])] for one in data.variables]
    variables = table(["variable", "units", "name", "kind"], rows, kind="texts")
    return Section(anchor("data"), "Data and their quality", join([variables, quality_table(data.quality)]))
