"""Checks that source, scripts, templates, notebooks and documents follow the language rules of CONTRIBUTING."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/fieldcast"
SCRIPTS = [*sorted(ROOT.glob("docs/*.py")), *sorted(ROOT.glob("studies/*.py"))]
TESTS = [
    *sorted(ROOT.glob("tests/**/*.py")),
    *sorted(ROOT.glob("benchmarks/*.py")),
    *sorted(ROOT.glob("studies/**/*.py")),
]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
TEMPLATES = sorted((SOURCE / "report/templates").glob("*.j2"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
NO_NAMES = {
    *("found", "known", "one", "own", "told", "said", "made", "it", "rows"),
    *("seen", "shown", "chosen", "words", "asked", "wanted", "theirs", "mine"),
}
MOST = 0.01  # share of these words among all names
MOST_ARGUMENTS = 4  # arguments of a constructor without a section of parameters
# a docstring that begins so is a fragment: it needs its function's name to make sense
FRAGMENT = re.compile(
    r"(Of|Those|The same|All of|With|Without|On|In|At|By|From|For|To|As|And|Or|But|If|It|Its|They|This|That|These|"
    r"Which|What|Where|When|How|Never|Not|Nothing|None of|Also|Otherwise|Inside|Between|Over)\b"
)
FRONTED_GENITIVE = re.compile(r"(?:^|[.;:!?]\s+|\n\s*\n\s*|\n- )Of (?!course\b)\w+")


@cache
def parsed(source: str) -> ast.Module:
    """The tree of a source, which several rules read."""
    return ast.parse(source)


def python_files(package: str = "") -> list[Path]:
    """Source files of a package of `fieldcast`, or of all."""
    return sorted((SOURCE / package).rglob("*.py"))


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Docstrings of a module, its classes and its functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def definitions(tree: ast.AST) -> Iterator[str]:
    """Functions, classes, and attributes that are set; others that are read may be those of other libraries."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def names(tree: ast.AST) -> Iterator[str]:
    """Every definition, every use of a variable, and every argument."""
    yield from definitions(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def fragments(source: str) -> list[str]:
    return [text for text in docstrings(parsed(source)) if FRAGMENT.match(text)]


def share_of_no_names(sources: list[str]) -> float:
    everything = [name for source in sources for name in names(parsed(source))]
    return sum(name in NO_NAMES for name in everything) / max(1, len(everything))


def notebook_code(file: Path) -> str:
    """Source of all code cells of a notebook, without shell and magic commands."""
    cells = json.loads(file.read_text())["cells"]
    source = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    return re.sub(r"^[%!].*$", "", source, flags=re.M)


def template_names(template: str) -> set[str]:
    """Names that a template binds: loop variables, `set`, and the arguments of macros."""
    loops = re.findall(r"\{%-? *(?:for|set) +([\w, ]+?) *(?:in\b|=)", template)
    macros = re.findall(r"\{%-? *macro +\w+\(([^)]*)\)", template)
    return set(re.findall(r"[A-Za-z_]\w*", " ".join(loops + macros)))


def fronted(text: str) -> list[str]:
    return FRONTED_GENITIVE.findall(text)


def faults(files: Iterable[Path], examine: Callable[[Path], Any]) -> dict[str, Any]:
    """Faults that an examination finds in files, by their names."""
    return {str(file.relative_to(ROOT)): fault for file in files if (fault := examine(file))}


def test_docstrings_can_be_read_alone() -> None:
    assert faults([*python_files(), *SCRIPTS, *TESTS], lambda file: fragments(file.read_text())) == {}


@pytest.mark.parametrize("package", [*sorted(path.name for path in SOURCE.iterdir() if path.is_dir()), ""])
def test_names_are_descriptive(package: str) -> None:
    assert share_of_no_names([file.read_text() for file in python_files(package)]) < MOST


def test_functions_classes_and_attributes_have_descriptive_names() -> None:
    assert faults(python_files(), lambda file: NO_NAMES & set(definitions(parsed(file.read_text())))) == {}


def test_names_in_tests_and_scripts_are_standard_terms() -> None:
    assert share_of_no_names([file.read_text() for file in (*SCRIPTS, *TESTS)]) < MOST


def test_names_in_scripts_and_notebooks_are_descriptive() -> None:
    def words(file: Path) -> set[str]:
        source = notebook_code(file) if file.suffix == ".ipynb" else file.read_text()
        return (NO_NAMES - {"rows"}) & set(names(parsed(source)))  # rows of a table

    assert faults([*SCRIPTS, *NOTEBOOKS], words) == {}


def test_names_in_templates_are_descriptive() -> None:
    assert faults(TEMPLATES, lambda file: NO_NAMES & template_names(file.read_text())) == {}


def test_no_docstring_has_a_fronted_genitive() -> None:
    def genitives(file: Path) -> list[str]:
        return [text for text in docstrings(parsed(file.read_text())) if fronted(text)]

    assert faults([*python_files(), *SCRIPTS, *TESTS], genitives) == {}


def test_no_document_has_a_fronted_genitive() -> None:
    assert faults(DOCUMENTS, lambda file: fronted(file.read_text())) == {}


@pytest.mark.parametrize(
    "text", ["Of one experiment.", "Those of every task.", "The same of samples.", "All of it."]
)
def test_a_fragment_is_recognised(text: str) -> None:
    assert fragments(f'def f():\n    """{text}"""') == [text]
    assert fragments('def f():\n    """Scores of one experiment."""') == []


@pytest.mark.parametrize(
    "text", ["Of images it is said how they see them.", "Drawn again. Of samples there are none."]
)
def test_a_fronted_genitive_is_recognised(text: str) -> None:
    assert fronted(text)
    assert not fronted("A table of scores. Most of them are means; of course they have units.")


def test_a_word_that_is_no_name_is_recognised() -> None:
    assert share_of_no_names(["found = 1\nrow = found"]) == 2 / 3
    assert share_of_no_names(["def f(one, scores): ..."]) == 1 / 3
    assert share_of_no_names(["class Seen:\n    def shown(self): ..."]) == 1 / 3
    assert share_of_no_names(["model.seen = scores.rows"]) == 1 / 3  # `rows` may be that of another library


@pytest.mark.parametrize(
    "template", ["{% set found = 1 %}", "{%- for a, found in pairs %}", "{% macro listed(found, kind='') %}"]
)
def test_a_template_name_is_recognised(template: str) -> None:
    assert not NO_NAMES.isdisjoint(template_names(template))
    assert NO_NAMES.isdisjoint(template_names("{% for row in rows if row.found %}{{ found }}{% endfor %}"))


def unlisted(source: str) -> list[str]:
    """Classes whose constructor has many arguments, besides `self` and `space`, and no section 'Parameters'."""
    names = []
    for node in ast.walk(parsed(source)):
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                arguments = method.args.posonlyargs + method.args.args + method.args.kwonlyargs
                count = len({argument.arg for argument in arguments} - {"self", "space"})
                text = (ast.get_docstring(node) or "") + (ast.get_docstring(method) or "")
                if count > MOST_ARGUMENTS and "Parameters\n---" not in text:
                    names.append(node.name)
    return names


def test_long_constructors_list_their_parameters() -> None:
    assert faults(python_files(), lambda file: unlisted(file.read_text(encoding="utf-8"))) == {}


def test_a_constructor_without_its_parameters_is_recognised() -> None:
    constructor = "    def __init__(self, space, a, b, c, d, e): ..."
    assert unlisted(f"class Long:\n{constructor}") == ["Long"]
    assert not unlisted(
        f'class Long:\n    """Long.\n\n    Parameters\n    ----------\n    """\n{constructor}'
    )
    assert not unlisted(f"class Short:\n{constructor.replace(', e', '')}")
