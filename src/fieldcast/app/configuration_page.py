"""All options are in YAML files under `conf/`.

`--params` changes options for one run; an environment (`--env`) is a folder of differences from `conf/base`. A
misspelt key or a wrong type stops the run before it starts, with a message that names the closest valid key.

```
kedro run --config conf/full.yml --params seed=1,data_root=data_seed1
kedro run --env base --pipelines reconstruct.denoising_vae --params reconstruct.denoising_vae.fit.steps=8000
kedro run --env netcdf --pipelines all --params "ingestion.path=folder/*.nc,ingestion.gaps=segment,data_root=data_mine"
kedro run --env test --pipelines all --params limits.members=5
```

Commas separate parameters, and dots the levels of a key. Lists and mappings are easier in a file: create your own environment,
`conf/<name>/parameters.yml`, and run with `--env <name>`. Its output folder is set in `conf/<name>/globals.yml`
(`data_root: data_<name>`); without this file its outputs replace those in `data`.

## Precedence

Later values override earlier ones: the defaults in the code, `conf/base`, the environment (`demo` without
`--env`), `--params`. `local` is one of settings of your own (conf/local/README.md). An environment holds only differences: keys that it does not name keep the values of
`conf/base`; a list is replaced as a whole, and so is an entry of the catalog.

{environments}

## Where outputs go

`data_root` is the folder of all outputs except the history of runs (docs/scale.md#a-tracking-server);
`--params data_root=elsewhere` moves them all. Only one run at a time may use it, beside any number of `fill` and
`predict`. By default it is `data`, or what `conf/<env>/globals.yml` sets. Use a separate `data_root` for each data set:
stored results are reused only while data and options stay the same, and are replaced otherwise.
`conf/base/catalog.yml` names every file, in the order of the folders listed in
docs/architecture.md#where-things-are-stored.

## Environment variables

| variable | effect |
|---|---|
| `MLFLOW_TRACKING_URI` | address of the tracking server |
| `FIELDCAST_TRACEBACK=1` | shows errors with their tracebacks instead of one-sentence messages |
| `FIELDCAST_CONF=FOLDER` | folder (or archive) of the configuration; by default that of the project, and without a project that of the installed package |
| `FIELDCAST_DATA=FOLDER` | the `data_root` that the notebooks read |
| `OMP_NUM_THREADS=N` | number of threads of numpy and torch, for a shared machine |
| `PIP_EXTRA_INDEX_URL=INDEX` | for the installation: an additional package index, such as one with the smaller CPU build of torch |

## Commands

`fieldcast run` is the same as `kedro run`, and also works where the wheel is installed without the project: it then
uses the configuration in the wheel, and the working directory as the project. `fieldcast fill FILE`, `predict FILE`,
`record-cycle FILE`, `fill-gaps FILE`, `grid-stations FILE` and `score FILE` have the keys of their sections below as options (`--experiment`,
`--output`, `--members`, `--max-gap`, `--resolution`); `gap_filling.learned` and `gap_filling.max_minutes` are set with `--params`.
`fieldcast train FILE --experiment NAMES` runs the pipelines of these names in `netcdf`, with `ingestion.path=FILE`; `fieldcast explore
FILE` has the option `--where` alone, and reads no parameters but the list `explore`.
`--only-missing-outputs` checks only whether files exist: to rank new experiments, run `--pipelines reporting`
afterwards. `--async` is refused.

`--runner` selects how nodes run: Kedro's `SequentialRunner`, the default, one at a time with all cores;
`ParallelRunner`, which `make run` uses, as many at a time as there are cores, each in a process of its own;
`ThreadRunner` in threads; `fieldcast.app.dask.DaskRunner` on a Dask cluster. All leave the same results and the same
record in MLflow; docs/scale.md describes them.

## Extras

`make install` installs all of them (`s3fs` and `pyproj` as parts of `dev`), and `gpu` if there is an NVIDIA GPU. The wheel
(`pip wheel --no-deps -w dist .`) by itself installs only what the simulated planet and NetCDF or Zarr files need, 90
packages instead of 180; `pip install 'dist/fieldcast-0.2.0-py3-none-any.whl[mlflow,era5]'` adds extras:

| extra | adds |
|---|---|
| `era5` | ERA5 from the cloud, and other URLs `gs://...` |
| `s3` | URLs `s3://...` |
| `projections` | grids and tables with x and y and a projection, and no latitudes and longitudes |
| `dask` | `--runner fieldcast.app.dask.DaskRunner` |
| `mlflow` | the history of runs; without it runs are not recorded; a run says so only if the address of a server is set |
| `viz` | the graph, `kedro viz run` |
| `export` | `fieldcast export` |
| `gpu` | GPU utilisation in the history of runs |
| `dev`, `docs` | what `make test` and `make docs` need |
| `peers` | what benchmarks and studies compare with |
"""  # noqa: E501

# `python -m fieldcast.app.configuration_page > docs/configuration.md` writes the page: the text above, and what the
# docstrings of the options' classes say.

import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic.fields import FieldInfo

from fieldcast.app.parameters import experiment_model, parameters_model
from fieldcast.arguments import option_texts
from fieldcast.inference.options import File
from fieldcast.pipeline_registry import STAGES, register_pipelines
from fieldcast.pipelines.names import INGESTING, STANDALONE
from fieldcast.tasks import TASKS

COMMAND = re.compile(r"kedro run(?: --[\w-]+ [\w.=,]+)+")
DOCUMENT = re.compile(r"\b(docs/)?((?:[\w-]+/)*[\w-]+\.md)(#[\w-]+)?(?=[\s,.;:)|])")
# of an experiment, at the beginning of the name of a data set
ADDRESS = re.compile(rf"^({'|'.join(TASKS)})\.\w+\.")
LONGEST_DEFAULT = 60  # characters; a longer default is left to its file


def page(conf: Path) -> str:
    """The page on all options, as Markdown; defaults are those of `conf/base`."""
    files = {file: read(file) for file in sorted(conf.glob("base/parameters/*.yml"))}
    base = {name: (file, value) for file, content in files.items() for name, value in content.items()}
    sections = {name: field for name, field in parameters_model().model_fields.items() if name not in TASKS}
    single = {name: field for name, field in sections.items() if options_in(field.annotation) is None}
    parts = [
        f"# Configuration\n\n{cleandoc(__doc__).replace('{environments}', environments(conf))}",
        "## General",
        table(
            [
                f"| `{name}` | {default(base[name][1])} | {field.description} |"
                for name, field in single.items()
            ]
        ),
    ]
    for name in sorted(sections.keys() - single.keys()):
        file, values = base.get(name, (None, None))
        heading = f"## {name.replace('_', ' ').capitalize()}"
        where = f"`{file.relative_to(conf.parent)}`. " if file else ""
        kinds = options_in(sections[name].annotation), path_of(sections[name].annotation, name)
        parts += section(heading, *kinds, values, where)
    parts += list(experiments())
    parts += data_sets()
    return "\n\n".join(linked(part) for part in parts) + "\n"


def read(file: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    content: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content


def environments(conf: Path) -> str:
    """The environments with the comments at the heads of their files, as a table."""
    lines = ["| environment | what it changes |", "|---|---|", "| `base` | nothing |"]
    for file in sorted(conf.glob("*/parameters.yml")):
        head = re.match(r"(?:#.*\n)*", file.read_text(encoding="utf-8"))
        text = " ".join(line.strip("# ") for line in head[0].splitlines()) if head else ""
        described = COMMAND.sub(r"`\g<0>`", text)
        lines.append(f"| `{file.parent.name}` | {in_cell(described)} |")
    return "\n".join(lines)


def section(heading: str, kind: Any, prefix: str = "", values: Any = None, where: str = "") -> Iterator[str]:
    """Heading, text and table of the options of a class, with their values in `conf/base`."""
    yield heading
    yield where + option_texts(kind)[0]
    yield table(list(option_lines(kind, values, prefix)))


def option_lines(kind: Any, values: Any, prefix: str) -> Iterator[str]:
    """A row for each option of a class, and for those of the options within it."""
    _, texts = option_texts(kind)
    given = values if isinstance(values, Mapping) else {}
    for name, (annotation, fallback) in fields_of(kind).items():
        inner, value = options_in(annotation), given.get(name, fallback)
        yield f"| `{prefix}{name}` | {'' if inner else default(value)} | {in_cell(texts[name])} |"
        if inner:
            yield from option_lines(inner, value, f"{prefix}{path_of(annotation, name)}")


def path_of(annotation: Any, name: str) -> str:
    """Beginning of the names of a section's options: `rollout.`, `reports.<name>.`, or `comparisons[].` of a list."""
    kinds = {get_origin(each) for each in (annotation, *get_args(annotation))}
    return f"{name}[]." if kinds & {list, tuple} else f"{name}.<name>." if dict in kinds else f"{name}."


def experiments() -> Iterator[str]:
    """Sections on the files of experiments: their keys, and the options within these."""
    models = {task: experiment_model(task).model_fields for task in TASKS}
    keys: dict[str, FieldInfo] = {name: field for fields in models.values() for name, field in fields.items()}
    yield "## Experiments"
    yield (
        "`conf/base/parameters/experiments/<task>/<name>.yml` defines the experiment `<task>.<name>`; no list of "
        "experiments needs to be edited. The file holds `{task: {name: {...}}}` with these keys:"
    )
    yield table(
        [f"| `{name}` | {in_cell(str(field.description))} |" for name, field in keys.items()], "key | meaning"
    )
    for name in keys:
        kinds = {
            task: options_in(fields[name].annotation) for task, fields in models.items() if name in fields
        }
        for kind in dict.fromkeys(each for each in kinds.values() if each):
            tasks = [task for task, each in kinds.items() if each is kind]
            where = "" if len(tasks) == len(TASKS) else f" of {' and '.join(tasks)}"
            yield from section(f"### {name.capitalize()}{where}", kind)
    yield from section("### Models of type File", File)


def data_sets() -> Iterator[str]:
    """A section on the pipeline and the node that make each data set."""
    registered = register_pipelines()
    alone = [*STANDALONE, *INGESTING]
    order = [*STAGES, "reporting", *alone, *(name for name in registered if ADDRESS.match(f"{name}."))]
    made: dict[str, tuple[str, set[str]]] = {}
    for pipeline in order:
        for node in registered[pipeline].nodes:
            name = ADDRESS.sub("*.", node.name)
            # a stage or an experiment is part of most names
            key = name if "." in name else f"{pipeline} {name}"
            _, outputs = made.setdefault(key, (ADDRESS.sub("*.", f"{pipeline}.").rstrip("."), set()))
            outputs |= {ADDRESS.sub("*.", each).partition("@")[0] for each in node.outputs}
    yield "## Data sets"
    yield (
        "The pipeline and the node that make each of them; `*` is the address of an experiment, "
        "`<task>.<name>`. `conf/base/catalog.yml` has the file of each; what it does not name is kept in memory. "
        "An experiment, a task and `all` run the stages that they need."
    )
    rows = [
        f"| `{pipeline}` | `{key.rpartition(' ')[2]}` | {', '.join(f'`{name}`' for name in sorted(outputs))} |"
        for key, (pipeline, outputs) in made.items()
    ]
    yield table(rows, "pipeline | node | makes")


def options_in(annotation: Any) -> Any:
    """The class of options in an annotation, such as `Fit | None` or `list[Comparison]`; None without one."""
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return annotation
    return next((kind for each in get_args(annotation) if (kind := options_in(each))), None)


def fields_of(kind: Any) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of each option of a class."""
    fields: Mapping[str, FieldInfo] = kind.__pydantic_fields__
    return {
        name: (field.annotation, field.get_default(call_default_factory=True))
        for name, field in fields.items()
    }


def default(value: Any) -> str:
    """A default as YAML; empty for none, and for one that has to be set."""
    if value in (None, "") or type(value).__name__ == "PydanticUndefinedType":
        return ""
    plain = list(value) if isinstance(value, tuple) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "see the file"


def table(lines: list[str], heading: str = "option | default | meaning") -> str:
    return "\n".join([f"| {heading} |", f"|{'---|' * len(heading.split(' | '))}", *lines])


def in_cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("|", "\\|")


def linked(text: str) -> str:
    """Text whose names of documents, such as docs/data.md#stations, are links from the folder of documents."""

    def link(match: re.Match[str]) -> str:
        folder, name, anchor = match[1], match[2], match[3] or ""
        return f"[{name}]({'' if folder else '../'}{name}{anchor})"

    return DOCUMENT.sub(link, text)


if __name__ == "__main__":
    sys.stdout.write(page(Path("conf")))
