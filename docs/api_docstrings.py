"""Extension of griffe for the API pages: docstrings whose lines are set in columns stay in columns."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

COLUMNS = re.compile(r"^\S.*?\S {2,}\S", re.M)


class Columns(Extension):
    """Indent each paragraph in columns, so that Markdown shows it as it stands."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of a module or class."""
        if obj.docstring is not None and (obj.is_module or obj.is_class):
            obj.docstring.value = in_columns(obj.docstring.value)


def in_columns(text: str) -> str:
    """The text, its paragraphs in columns indented by four spaces and without the rules of a table."""
    paragraphs = re.split(r"\n{2,}", text)
    return "\n\n".join(indent_paragraph(part) if COLUMNS.search(part) else part for part in paragraphs)


def indent_paragraph(paragraph: str) -> str:
    """The lines of a paragraph, indented by four spaces; its rules of equals signs and its backticks are left out."""
    lines = [line.replace("`", "") for line in paragraph.splitlines() if not re.fullmatch(r"[= ]+", line)]
    return "\n".join(f"    {line}" for line in lines)
