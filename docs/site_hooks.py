"""Hooks of the documentation site: documents of the repository, notebooks with their figures, MathML.

The site keeps the layout of the repository, so that a relative link leads to the same page in both.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[1]
PUBLISHED = (
    "*.md", "LICENSE", "CITATION.cff", "conf/local/README.md", "docs/**/*.md", "docs/images/*.png",
    "docs/reports/images/*", "docs/results/samples.csv", "docs/site.css", "notebooks/*.ipynb",
)  # fmt: skip
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.S)


class NotebookPage(File):
    """A notebook as Markdown, under the name that links give it."""

    def is_documentation_page(self) -> bool:
        return True


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Replace the files of docs/ by all published ones, at their places in the repository."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
    for path in sorted({path for pattern in PUBLISHED for path in ROOT.glob(pattern)}):
        name = path.relative_to(ROOT).as_posix()
        if path.suffix == ".ipynb":
            publish_notebook(files, path, name, config)
        else:
            files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def publish_notebook(files: Files, path: Path, name: str, config: MkDocsConfig) -> None:
    """Add a notebook as a page of Markdown, and its figures beside it, as it is stored."""
    notebook = nbformat.read(path, as_version=4)
    show_data_sets_as_text(notebook)
    body, resources = MarkdownExporter().from_notebook_node(notebook)
    for figure, content in resources["outputs"].items():
        target = f"{name.removesuffix('.ipynb')}_{figure}"
        body = body.replace(f"({figure})", f"({Path(target).name})")
        files.append(File.generated(config, target, content=content))
    files.append(NotebookPage.generated(config, name, content=body))


def show_data_sets_as_text(notebook: nbformat.NotebookNode) -> None:
    """Drop the HTML of xarray's data sets, whose check boxes and styles do not survive Markdown; their text stays."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        if "xr-wrap" in output.get("data", {}).get("text/html", ""):
            del output["data"]["text/html"]


def on_page_content(content: str, **_: object) -> str:
    """Write each formula as MathML, which browsers display without a script."""

    def mathml(formula: re.Match[str]) -> str:
        display = "block" if formula[1] == "div" else "inline"
        return convert(html.unescape(formula[2]), display=display)

    return FORMULA.sub(mathml, content)
