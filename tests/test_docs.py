"""Checks of the documents against the code: every option, every command, every link."""

import ast
import contextvars
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from kedro.config import OmegaConfigLoader
from kedro.framework.startup import bootstrap_project
from kedro.runner import AbstractRunner
from kedro.utils import load_obj
from omegaconf import OmegaConf

from fieldcast import experiments, pipeline_registry, settings
from fieldcast.app import configuration_page
from fieldcast.app.parameters import check_parameters, declared_names
from fieldcast.app.tracking import metadata
from fieldcast.fields.options import SOURCES
from fieldcast.inference.options import File
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space
from fieldcast.tasks import TASKS
from studies.stored_pictures import stale

ROOT = Path(__file__).parents[1]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")), ROOT / "conf/local/README.md"]
CONFIGURATION = (ROOT / "docs/configuration.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
FENCED = re.compile(r"```[a-z]*\n(.*?)```", re.S)
TO_BE_ADDED = {
    "reconstruct.inverse_distance",
    "forecast.my_forecasts",
}  # the examples of CONTRIBUTING and docs/data.md


def code(text: str) -> str:
    """Text in backticks."""
    return "\n".join(re.findall(r"`([^`\n]+)`", FENCED.sub("", text)))


def test_the_page_on_options_is_that_of_their_classes() -> None:
    command = "`python -m fieldcast.app.configuration_page > docs/configuration.md` writes it"
    assert configuration_page.page(ROOT / "conf") == CONFIGURATION, command


def test_every_section_of_a_file_is_on_a_page() -> None:
    """The page has a row for each option of a class; a section without a class would have none."""
    options = CONFIGURATION.partition("## Data sets")[0]
    sections = {re.split(r"[.\[]", row)[0] for row in re.findall(r"^\| `(.+?)` \|", options, re.M)}
    for file in ROOT.glob("conf/base/parameters/*.yml"):
        assert set(yaml.safe_load(file.read_text())) <= sections, file.name
    assert {*experiments.KEYS} <= sections
    tracking = (ROOT / "docs/scale.md").read_text().partition("## A tracking server")[2]
    assert {*metadata.OPTIONS} <= set(re.findall(r"^\| `(\w+)` \|", tracking, re.M))


def test_every_environment_is_explained() -> None:
    folders = {folder.name for folder in (ROOT / "conf").iterdir() if folder.is_dir()}
    assert folders <= set(code(CONFIGURATION).split())


EXPERIMENTS = "conf/base/parameters/experiments/*/*.yml"


def test_a_page_lists_the_experiments_by_their_descriptions() -> None:
    written = re.findall(r"(?:^\|.*\n)+", (ROOT / "docs/experiments.md").read_text(), re.M)
    expected = [f"{table}\n" for table in experiments.tables(experiments.experiments(ROOT / "conf"))]
    described = [table for table in written if table.startswith("| `")]  # others are of options
    assert sorted(described) == sorted(expected), "`python -m fieldcast.experiments` prints the tables"


def test_a_run_writes_the_checkpoints_that_the_documents_load() -> None:
    """An experiment that borrows its weights has none of its own."""
    named = {
        pair
        for file in DOCUMENTS
        for pair in re.findall(r"06_models/(\w+)/(\w+)/checkpoint", file.read_text())
    }
    assert named
    for task, name in named:
        file = ROOT / f"conf/base/parameters/experiments/{task}/{name}.yml"
        assert "weights" not in yaml.safe_load(file.read_text())[task][name], name


def commands(program: str) -> list[str]:
    """The commands in the documents that begin with a word, in blocks or in the text."""
    result = set()
    for document in DOCUMENTS:
        text = document.read_text()
        lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
        lines += code(text).splitlines()
        result |= {line.strip() for line in lines if re.match(rf"{program}\b", line.strip())}
    return sorted(result)


@pytest.fixture(scope="module")
def project() -> Iterator[dict[str, Any]]:
    """Names of the pipelines, tags of their nodes, and the parameters."""
    before = Path.cwd()
    os.chdir(ROOT)
    try:
        bootstrap_project(ROOT)
        # in an empty context: no session of a test before is in force
        pipelines = contextvars.Context().run(pipeline_registry.register_pipelines)
        loaders = cache(lambda env: OmegaConfigLoader(str(ROOT / "conf"), env, **settings.CONFIG_LOADER_ARGS))
        yield {
            "pipelines": {*pipelines, *TO_BE_ADDED},
            "parameters": cache(lambda env: loaders(env)["parameters"]),
            "declared": cache(lambda env: declared_names(loaders(env))),
            "tags": {tag for node in pipelines["__default__"].nodes for tag in node.tags},
        }
    finally:
        os.chdir(before)


def runs_by_make() -> list[str]:
    """The commands that `make run` calls with the options of the documents."""
    arguments = [word for command in commands("make run") for word in shlex.split(command, comments=True)]
    options = [word.removeprefix("ARGS=") for word in arguments if word.startswith("ARGS=")]
    return [f"kedro run {option}" for option in sorted(set(options))]


@pytest.mark.parametrize("command", [*commands("kedro run"), *commands("fieldcast run"), *runs_by_make()])
def test_commands_of_runs_can_be_given(command: str, project: dict[str, Any]) -> None:
    phrases = shlex.split(command, comments=True)[2:]
    requested = dict(zip(phrases[::2], phrases[1::2], strict=True))
    selecting = {"--pipelines", "--env", "--params", "--namespaces", "--tags", "--nodes"}
    assert set(requested) <= {*selecting, "--runner", "--runner-params", "--config"}
    assert (ROOT / requested.get("--config", "README.md")).exists()
    assert issubclass(load_obj(requested.get("--runner", "SequentialRunner"), "kedro.runner"), AbstractRunner)
    assert set(requested.get("--tags", "classical").split(",")) <= project["tags"]
    assert set(requested.get("--pipelines", "__default__").split(",")) <= project["pipelines"]
    assert set(requested.get("--namespaces", "reconstruct.linear").split(",")) <= project["pipelines"]
    env = requested.get("--env", "base")
    assert env == "<name>" or (ROOT / "conf" / env).is_dir()
    given = OmegaConf.from_dotlist(requested.get("--params", "seed=0").split(","))
    env = "base" if env == "<name>" else env
    parameters = project["parameters"](env)
    changed = {name: parameters[name] for name in given if name in parameters}
    parameters = parameters | OmegaConf.to_container(OmegaConf.merge(changed, given))
    check_parameters(parameters, OmegaConf.to_container(given), lambda: project["declared"](env))


@pytest.mark.parametrize("command", commands("make"))
def test_make_commands_can_be_given(command: str) -> None:
    phrases = [word for word in shlex.split(command, comments=True)[1:] if "=" not in word]
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert set(phrases) <= set(targets)


def anchors(text: str) -> set[str]:
    """Names that headings get in a link."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (document.parent / path) if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_headings_and_marks_are_unique(document: Path) -> None:
    """A link leads to the first of two equal headings, and a table is written between the first of two equal marks."""
    lines = re.findall(r"^(?:#|<!--).*", FENCED.sub("", document.read_text()), re.M)
    assert len(lines) == len(set(lines))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_named_files_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:src|conf|docs|tests|benchmarks|studies)/[\w./-]+\.(?:py|yml|md|txt))`", document.read_text()
    )
    # to be written by the reader, or of another repository
    private = "inverse_distance", "noisy_network", "conf/local/", "kedro_datasets_experimental"
    assert [
        name for name in named if not any(item in name for item in private) and not (ROOT / name).exists()
    ] == []


@pytest.mark.parametrize(
    "file",
    [*DOCUMENTS, *ROOT.glob("docs/*.py"), *ROOT.glob("studies/*.py"), *ROOT.glob("conf/**/*.yml")],
    ids=str,
)
def test_no_machine_is_named(file: Path) -> None:
    paths = re.findall(r"(?<![\w.:/}>*)-])/[a-z]\w*/\w+", file.read_text())
    assert [path for path in paths if not path.startswith(("/path/to", "/proc/self"))] == []


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_example_of_a_file_is_an_experiment() -> None:
    section = (ROOT / "docs/data.md").read_text().partition("## Forecasts made elsewhere")[2]
    (example,) = re.findall(r"```yaml\n(.*?)```", section, re.S)
    assert File(**yaml.safe_load(example)["forecast"]["my_forecasts"]["model"]).path == "my_forecasts.nc"


def test_the_example_of_a_model_works() -> None:
    """A constant comes back constant, and an observed cell keeps its value."""
    source, _ = re.findall(r"```python\n(.*?)```", CONTRIBUTING, re.S)
    names: dict[str, Any] = {"__name__": "inverse_distance"}
    exec(compile(source, "inverse_distance.py", "exec"), names)
    latitude, longitude = torch.meshgrid(
        torch.linspace(-1.2, 1.2, 6), torch.arange(8) * torch.pi / 4, indexing="ij"
    )
    x, y = torch.cos(latitude) * torch.cos(longitude), torch.cos(latitude) * torch.sin(longitude)
    points, ones = torch.stack([x, y, torch.sin(latitude)], dim=-1), torch.ones(6, 8)
    space = Space(("t",), True, ones, ones.bool(), points, torch.zeros(0, 6, 8), torch.ones(1))
    model = names["InverseDistance"](space)
    mask = torch.zeros(2, 1, 6, 8, dtype=torch.bool)
    mask[..., 1::2, ::3] = True
    truth = torch.stack([torch.full((1, 6, 8), 3.0), latitude[None]])
    draw = model.sample(
        Context(2, observed=truth * mask, mask=mask), RandomStreams(0, torch.arange(2), 1, 0)
    )[:, 0]
    torch.testing.assert_close(draw[0], truth[0])
    torch.testing.assert_close(draw[1][mask[1]], truth[1][mask[1]])


SCREENSHOTS = {
    "report.png",
    "graph.png",
    "graph_experiment.png",
    "history.png",
}  # `python -m studies.make_images`
PICTURES = [file for file in sorted(ROOT.glob("docs/**/*.png")) if file.name not in SCREENSHOTS]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda file: file.name)
def test_a_picture_is_of_the_numbers_that_are_stored(picture: Path) -> None:
    assert stale(picture) == ""


def test_the_site_has_the_order_of_the_readme() -> None:
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    order = re.findall(r": ([\w./]+\.(?:md|ipynb))$", nav, re.M)
    readme = (ROOT / "README.md").read_text()
    parts = ("## Two commands", "## The five reports", "## Which model?", "## Where to read on", "## Limits")
    first, reports, which, further = (readme[readme.index(a) : readme.index(b)] for a, b in pairwise(parts))
    link = re.compile(r"\(([\w./]+\.(?:md|ipynb))(?:#[\w-]+)?\)")
    named = [
        [page for page in link.findall(reports) if "/reports/" in page],
        ["docs/which_model.md", *link.findall(further)],
        [page for page in link.findall(first) if "notebooks/" in page],
    ]
    assert [page in link.findall(which) for page in named[1][:1]] == [True] and len(named[1]) > 12
    for pages in named:
        assert pages == sorted(pages, key=order.index)


STAGE = ("__init__.py", "nodes.py", "pipeline.py")  # the modules of a stage, which every Kedro user knows


def test_packages_list_their_modules() -> None:
    source = ROOT / "src/fieldcast"
    experiment_files = [
        file.read_text() for file in (ROOT / "conf/base/parameters/experiments").rglob("*.yml")
    ]
    of_types = {kind for text in experiment_files for kind in re.findall(r"type: ([a-z_]+)\.", text)}
    for init in source.rglob("__init__.py"):
        package = init.parent
        if package == source or {*package.glob("*.py")} == {package / name for name in STAGE}:
            continue
        words = set(re.findall(r"\w+", ast.get_docstring(ast.parse(init.read_text())) or ""))
        modules = {file.stem for file in package.glob("*.py")} - {"__init__"}
        modules -= {*TASKS, *SOURCES, *of_types}  # named by `tasks/records.py`, an option and `type:`
        assert modules <= words, f"{package.name} does not list {', '.join(sorted(modules - words))}"
