"""The documentation site: it builds without a warning, every link leads somewhere, and nothing is fetched."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import nbformat
import pandas as pd
import pytest
import xarray as xr

pytestmark = pytest.mark.proof

ROOT = Path(__file__).parents[1]
LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """Addresses that a browser loads for a page, and the targets of its links."""

    def __init__(self, file: Path):
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag in LOADED and given.get("rel") not in {"canonical", "next", "prev"}:
            self.loaded.append(given.get(LOADED[tag], ""))
        if tag == "a":
            self.links.append(given.get("href", ""))


def build(target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "mkdocs"), "build", "--strict", "--site-dir", str(target)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(
        [*command, *options], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(file.relative_to(site)): Page(file) for file in site.rglob("*.html")}


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    assert len(pages) > 15
    assert {
        name: page.loaded for name, page in pages.items() if any("//" in address for address in page.loaded)
    } == {}
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", sheet.read_text()), sheet


def test_files_that_pages_load_or_link_to_exist(site: Path, pages: dict[str, Page]) -> None:
    missing = [
        (name, address)
        for name, page in pages.items()
        if name != "404.html"  # its addresses begin at the root of the server
        for address in (*page.loaded, *page.links)
        if not re.match(r"[a-z]+:|#|$", address)
        and not (site / name).parent.joinpath(re.split("[#?]", address)[0]).exists()
    ]
    assert missing == []


def test_the_home_page_is_the_readme_and_the_api_names_what_the_readme_calls(site: Path) -> None:
    assert "Your own file" in (site / "index.html").read_text()
    reference = (site / "docs/api/fieldcast.html").read_text()
    called = set(re.findall(r"fieldcast\.(\w+)\(", (ROOT / "README.md").read_text()))
    assert {"fit", "load", "score"} <= called
    assert [name for name in called if f"fieldcast.{name}" not in reference] == []
    assert [name for name in ("fill", "forecast", "sample") if f"TrainedModel.{name}" not in reference] == []


def test_formulas_of_notebooks_are_mathml(site: Path) -> None:
    page = (site / "notebooks/generative_models.html").read_text()
    assert page.count("<math") > 50
    assert "arithmatex" not in page


def test_docstrings_in_columns_stay_in_columns(site: Path) -> None:
    page = re.sub("<[^>]*>", "", (site / "docs/api/inference.html").read_text())
    assert re.search(r"^reconstruct {3,}draws of fields from observations", page, re.M)


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/site_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_formulas_are_unescaped_and_displayed_unchanged(hooks: ModuleType) -> None:
    inline = hooks.on_page_content(r'<p><span class="arithmatex">\(a &lt; b\)</span></p>')
    assert 'display="inline"' in inline and "<mi>a</mi><mo>&#x0003C;</mo><mi>b</mi>" in inline
    assert 'display="block"' in hooks.on_page_content(r'<div class="arithmatex">\[x\]</div>')


def test_data_sets_are_text_and_tables_stay_tables(hooks: ModuleType) -> None:
    table, data_set = pd.DataFrame({"a": [1]})._repr_html_(), xr.Dataset({"a": 1})._repr_html_()
    outputs = [
        nbformat.v4.new_output("display_data", {"text/plain": "text", "text/html": html})
        for html in (table, data_set)
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("a", outputs=outputs)])
    hooks.show_data_sets_as_text(notebook)
    assert [sorted(output["data"]) for output in outputs] == [["text/html", "text/plain"], ["text/plain"]]
