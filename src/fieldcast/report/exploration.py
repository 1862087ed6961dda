"""A first look at data: what was learned of them as tables, figures and data; as text, and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup

from fieldcast.atomic import atomic, write_atomically
from fieldcast.figures.style import Picture
from fieldcast.report.first_screen import most_serious, wrong_coverage, wrong_spread
from fieldcast.report.page import source
from fieldcast.report.rendering import TEMPLATES, render
from fieldcast.report.tables import Cell, Doubt, Table
from fieldcast.scores.held_out import TITLES
from fieldcast.scores.numbers import significant

EXPLANATIONS = {
    "crps": "CRPS is the error of the whole distribution, RMSE that of its mean; lower is better.",
    "ssr": "Spread-skill is the spread divided by the error, and 1 is right. A dash: the method has no spread.",
    "coverage90": "Coverage is the share of values in the interval of 90 %.",
    "coverage_error": "± is half the 95 % interval of the coverage.",
}  # by column
HEADS = {**TITLES, "coverage_error": "± (95 %)"}
PAGE = "page.html"
SHARES = ("missing", "share")  # columns that hold shares
FRAME = '<iframe srcdoc="{}" style="width:100%;height:900px;border:1px solid #dde2e6"></iframe>'


@dataclass(frozen=True, eq=False)
class Exploration:
    """A first look, as `fieldcast.explore` returns it; in a notebook it shows its page.

    Parameters
    ----------
    name
        Of the data.
    facts
        Names and texts: period, grid, the part that was read.
    answer
        What was done, and how good it is, in a sentence or two.
    tables
        `variables`, `checks` (what was repaired and allowed), `quality` (counts of flags), `scores`, and others.
    figures
        PNG by name; the first one is that of the first screen.
    result
        Name of the file that `data` becomes: filled.nc, forecast.nc or fields.nc.
    data
        The result, or None.
    notes
        Sentences: what was repaired or left out, and what to distrust.
    report
        The report of the method that made the result.
    method
        Name of this method, if it is not the first one of the scores.
    commands
        What to do next, and the command that does it.
    """

    name: str
    facts: Sequence[tuple[str, str]]
    answer: str
    tables: Mapping[str, pd.DataFrame]
    commands: Sequence[tuple[str, str]]
    figures: Mapping[str, bytes] = field(default_factory=dict)
    result: str = ""
    data: xr.Dataset | None = None
    notes: Sequence[str] = ()
    report: str = ""
    method: str = ""

    def text(self, paths: Sequence[Path] = ()) -> str:
        """The text that the command prints; `paths` are those of the page and of the result."""
        width = max(len(name) for name, _ in self.facts)
        printed = ("variables", "quality", "scores", "reconstructions")
        lines = {
            name: "\n".join(
                [*filter(None, [self.tables[name].attrs.get("heading")]), *as_text(self.tables[name])]
            )
            for name in printed
            if name in self.tables
        }
        contents = [lines.pop(name) for name in ("variables", "quality") if name in lines]
        commands = [f"  {command}\n      {about}" for about, command in self.commands]
        parts = [
            "\n".join([self.name, *(f"  {name:<{width}}  {text}" for name, text in self.facts)]),
            *contents,
            "\n".join(f"- {note}" for note in self.notes),
            self.answer,
            *lines.values(),
            *(f"{doubt.number} is the {doubt.meaning}" for doubt in self.doubts()),
            "\n".join(map(str, paths)),
            "\n".join(["Go on with", *commands]) if commands else "",
        ]
        return "\n\n".join(filter(None, parts))

    def doubts(self) -> list[Doubt]:
        """The worst spread and coverage of the method of the result, or else of the best, where they are far off."""
        doubts = []
        for name in ("scores", "reconstructions"):
            table = self.tables.get(name, pd.DataFrame())
            if "ssr" in table:
                best = self.method or table["method"].iloc[0]
                found: list[Doubt] = []
                for row in table[table["method"] == best].to_dict("records"):
                    of_what = [str(row[name]) for name in ("variable", "held_out") if name in row]
                    what = ", ".join(of_what) or name.rstrip("s")
                    found += wrong_spread(row["ssr"], best, what)
                    if "coverage90" in row:
                        found += wrong_coverage(row["coverage90"], row["coverage_error"], best, what)
                doubts += most_serious(found)
        return doubts

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        return FRAME.format(escape(self.page()))

    def page(self) -> str:
        """The page, one self-contained HTML file."""
        pictures = {name: Picture(png) for name, png in self.figures.items()}
        first = {"at_a_glance": pictures.pop(next(iter(pictures)))} if pictures else {}
        tables = {name: as_table(table) for name, table in self.tables.items()}
        sections = render("exploration", {}, look=self, tables=tables, figures=pictures)
        first_table = next((name for name in ("scores", "reconstructions") if name in tables), None)
        of_first = self.tables[first_table] if first_table else pd.DataFrame()
        page: str = TEMPLATES.get_template("page.html.j2").render(
            title=self.name, subtitle=f"{'; '.join(text for _, text in self.facts)}. {self.answer}",
            leaders=as_table(of_first), heading=of_first.attrs.get("heading", ""),
            explanations=[text for name, text in EXPLANATIONS.items() if name in of_first.dropna(axis=1, how="all")],
            doubts=self.doubts(), glance_figures=first, glance_text="What was given, and the result",
            groups=[("A first look", sections)],
            style=Markup(source("style.css")), script=Markup(source("script.js")),
        )  # fmt: skip
        return page

    def save(self, folder: str | Path) -> list[Path]:
        """Write the page and the result into a folder, each as a whole or not at all; the paths, the page first."""
        paths = [Path(folder) / PAGE]
        if self.data is not None:
            paths.append(Path(folder) / self.result)
            plain = {
                str(name): {"_FillValue": None} | ({"dtype": "S1"} if array.dtype.kind == "U" else {})
                for name, array in self.data.coords.items()
            }  # CF
            with atomic(paths[1]) as unfinished:
                self.data.to_netcdf(unfinished, engine="netcdf4", encoding=plain)
        write_atomically(paths[0], self.page())
        return paths


def as_table(table: pd.DataFrame) -> Table:
    """A table of the page."""
    table = table[[name for name in table if not table[name].isin(["", np.nan]).all()]]
    body = [[cell(value, name in SHARES) for name, value in row.items()] for row in table.to_dict("records")]
    return Table([HEADS.get(str(name), str(name).replace("_", " ")) for name in table], body, "texts")


def cell(value: object, share: bool = False) -> Cell:
    """A number with its order, or a text."""
    if isinstance(value, float | np.floating):
        if np.isnan(value):
            return Cell()
        return Cell(f"{significant(100 * value)} %" if share else significant(float(value)), float(value))
    return Cell(str(value), float(value) if isinstance(value, int | np.integer) else None)


def as_text(table: pd.DataFrame) -> list[str]:
    """A table as lines; the first column holds names, and columns as wide as their cells stand to the right.

    A table without rows has no lines.
    """
    if table.empty:
        return []
    lines = as_table(table)
    columns = [[name, *(row[i].text for row in lines.rows)] for i, name in enumerate(lines.head)]
    widths = [max(map(len, cells)) for cells in columns]
    first, *others = (
        [f"{text:<{width}}" if i == 0 else f"{text:>{width}}" for text in cells]
        for i, (cells, width) in enumerate(zip(columns, widths, strict=True))
    )
    aligned = ["  ".join(row) for row in zip(first, *others, strict=True)]
    return [line.rstrip() for line in aligned]
