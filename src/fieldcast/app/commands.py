"""The commands beside Kedro's: those on a file set parameters and run the pipeline of their record."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
import yaml
from kedro.framework.cli.project import run
from kedro.framework.cli.utils import split_string
from kedro.framework.session import KedroSession

from fieldcast import runtime
from fieldcast.app.conf_source import named_folder, with_options
from fieldcast.arguments import option_texts
from fieldcast.atomic import write_atomically
from fieldcast.errors import InputError
from fieldcast.fields.options import Gaps, Source, columns_of
from fieldcast.inference.file_options import FILE_COMMANDS, OWN_FIELDS, TRAINED, FileCommand
from fieldcast.pipelines.names import RENAMED_COMMANDS

# options of `kedro run`; the default of the first depends on the command
KEDRO_OPTIONS = (
    click.Option(
        ["-e", "--env"], help="Environment, a folder of conf/; by default that of the equivalent `kedro run`."
    ),
    *(option for option in run.params if option.name in ("conf_source", "params")),
)
TYPES = (bool, int, float, str)
EXPLORED = "source.txt"  # names the file of a folder of `fieldcast explore`


class OnFile(click.Command):
    """The command of a record; its help shows the values that the configuration here sets."""

    def __init__(self, record: FileCommand) -> None:
        env = f"--env {record.env} " if record.env else ""
        super().__init__(
            record.name,
            callback=self.start,
            params=[
                click.Argument(["file"], required=False),
                *options(record),
                *(PART if record.selects else ()),
                *([GAPS, MASK, PREDICTORS] if record.ingests else ()),
                *([QUANTITY] if record.maps else ()),
                *KEDRO_OPTIONS,
            ],
            help=f"{record.about}\n\nThis command is equivalent to `kedro run {env}--pipelines {record.section}`.",
        )
        self.record = record

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, with the values of the configuration here."""
        values = configured(self.record)
        for option in self.params:
            if isinstance(option, click.Option) and values.get(str(option.name)) is not None:
                option.show_default = str(values[str(option.name)])
        super().format_options(ctx, formatter)

    def start(
        self,
        file: str | None,
        env: str | None,
        conf_source: str | None,
        params: Mapping[str, Any],
        quantity: Sequence[str] = (),
        where: str | None = None,
        region: str | None = None,
        gaps: str | None = None,
        **given: Any,
    ) -> None:
        """Run the pipeline."""
        section, paths = (
            self.record.section,
            {"output", *(key.rpartition(".")[2] for key in self.record.files)},
        )
        values = {name: value for name, value in given.items() if value is not None}
        values = {name: local(value) if name in paths else value for name, value in values.items()}
        if "columns" in values:
            values["columns"] = columns_of(values["columns"])
        of_source = {}
        if self.record.ingests:
            predictors = [
                name
                for text in values.pop("predictors", ())
                for name in ([text] if os.path.exists(local(text)) else text.split("+"))
            ]
            values_of_source = {
                "mask": values.pop("mask", None),
                "predictors": [local(name) if os.path.exists(local(name)) else name for name in predictors],
            }
            of_source = {name: value for name, value in values_of_source.items() if value}
        runtime_params = {**params, section: {**params.get(section, {}), **values}}
        runtime_params = with_file(runtime_params, self.record.files[0], file, where, region, gaps, quantity)
        if of_source:
            runtime_params["ingestion"] = {**runtime_params.get("ingestion", {}), **of_source}
        pipeline, output = section, values.get("output")
        if output is not None and os.path.exists(output):
            click.echo(
                f"'{given['output']}' exists, and is replaced once the new result is complete.", err=True
            )
        if (earlier := values.get("append")) is not None:
            pipeline = "gap_appending"
            runtime_params[section].setdefault("output", earlier)
        run_pipelines([pipeline], env or self.record.env, conf_source, runtime_params)


def with_file(
    params: Mapping[str, Any], key: str, file: str | None, where: str | None, region: str | None, gaps: str | None,
    quantity: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Parameters with a file under its key, the part of it that is read, and the mappings of its variables."""
    runtime_params = dict(params)
    holder, _, name = key.rpartition(".")
    # without commas, which separate parameters in the commands that messages suggest
    part = {"where": where, "region": region, "gaps": gaps}
    read = {option: text.replace(",", " ") for option, text in part.items() if text is not None}
    read |= {name: local(file)} if file else {}
    if read:
        runtime_params[holder] = {**runtime_params.get(holder, {}), **read}
    if quantity:
        chosen = {"quantities": quantities(quantity)}
        runtime_params["ingestion"] = {**runtime_params.get("ingestion", {}), **chosen}
    return runtime_params


def run_pipelines(
    names: Sequence[str], env: str | None, conf_source: str | None, runtime_params: dict[str, Any]
) -> None:
    """Run pipelines in a session of their own."""
    session = KedroSession.create(env=env, conf_source=conf_source, runtime_params=runtime_params)
    runtime.hurries = sys.stderr.isatty()  # a first Ctrl-C ends a race of methods
    with session:
        session.run(pipeline_names=list(names))


OF_SOURCE = option_texts(Source)[1]
PART = (
    click.Option(["--where"], metavar="CONDITION", help=OF_SOURCE["where"]),
    click.Option(["--region"], metavar="S,N,W,E", help=OF_SOURCE["region"]),
)
GAPS = click.Option(["--gaps"], type=click.Choice(get_args(Gaps)), help=OF_SOURCE["gaps"])
PREDICTORS = click.Option(
    ["--predictors"], multiple=True, metavar="VARIABLE|FILE", help=OF_SOURCE["predictors"]
)
MASK = click.Option(["--mask"], metavar="VARIABLE", help=OF_SOURCE["mask"])
QUANTITY = click.Option(
    ["--quantity"],
    multiple=True,
    metavar="NAME=MAPPING",
    help="Mapping of a variable, such as chlor_a=log, in place of the one that held-out values choose: none, root, "
    "log, quantiles, circle, clip; may be given several times.",
)


@click.command(params=[*PART, GAPS, QUANTITY, *KEDRO_OPTIONS])
@click.argument("file")
@click.option(
    "--experiment",
    required=True,
    callback=split_string,
    help=TRAINED,
)
def train(
    file: str, experiment: list[str], env: str | None, conf_source: str | None, params: Mapping[str, Any],
    where: str | None, region: str | None, gaps: str | None, quantity: Sequence[str],
) -> None:  # fmt: skip
    """Train experiments on FILE, NetCDF, Zarr or a folder, and score them.

    This command is equivalent to `kedro run --env netcdf --pipelines EXPERIMENT --params ingestion.path=FILE`.
    """
    runtime_params = with_file(params, "ingestion.path", file, where, region, gaps, quantity)
    run_pipelines(experiment, env or OWN_FIELDS, conf_source, runtime_params)


def quantities(given: Sequence[str]) -> dict[str, str]:
    """Mappings by the name of the variable."""
    chosen: dict[str, str] = {}
    for each in given:
        name, equals, kind = each.partition("=")
        if not equals or not name or not kind or name in chosen:
            reason = "is given twice" if name in chosen else "is no NAME=MAPPING"
            raise InputError(
                f"--quantity {each} {reason}: give each variable one mapping, such as chlor_a=log."
            )
        chosen[name] = kind
    return chosen


def options(record: FileCommand) -> Iterator[click.Option]:
    """The options of a command, each of which sets the parameter of its name; its docstring is their help."""
    elsewhere = {record.files[0].rpartition(".")[2], "where", "region", *record.params_only}
    texts = option_texts(record.options)[1]
    for field in fields(record.options):
        if field.name in elsewhere:
            continue
        kind = next(
            click.Choice(get_args(each)) if get_origin(each) is Literal else each
            for each in alternatives(field.type)
            if each in TYPES or get_origin(each) is Literal
        )
        yield click.Option([f"--{field.name.replace('_', '-')}"], type=kind, help=texts[field.name])


def alternatives(kind: Any) -> Iterator[Any]:
    """The types that an annotation allows, such as `int` of `Annotated[int, Field(ge=1)] | None`."""
    yield kind
    for each in get_args(kind):
        yield from alternatives(each)


def configured(record: FileCommand) -> dict[str, Any]:
    """The section of a command as the configuration here sets it, in the environment of the command."""
    conf = named_folder()
    files = [conf / "base/parameters" / f"{record.section}.yml"]
    files += [conf / record.env / "parameters.yml"] if record.env else []
    parsed = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    return {name: value for each in parsed for name, value in (each.get(record.section) or {}).items()}


def local(path: str) -> str:
    """A path from the working folder, which Kedro would take from the project's."""
    return path if "://" in path else os.path.abspath(path)


class Renamed(click.Command):
    """A command under its old name, or one that is gone, with what to use instead."""

    def __init__(self, name: str, instead: str) -> None:
        self.message = f"there is no command '{name}': {instead}."
        super().__init__(name, hidden=True, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuse the command, whatever its arguments are."""
        raise InputError(self.message)


def file_commands() -> list[click.Command]:
    """All commands on files, and the names that they had."""
    return [*map(OnFile, FILE_COMMANDS), *(Renamed(*each) for each in RENAMED_COMMANDS.items())]


@click.command(params=list(KEDRO_OPTIONS))
@click.argument("data_root", required=False)
def doctor(
    data_root: str | None, env: str | None, conf_source: str | None, params: Mapping[str, Any]
) -> None:
    """Examine DATA_ROOT, and list what to run again.

    Exit code 1 if anything is damaged or stale.
    """
    from fieldcast.app.doctor import examine  # here: torch takes a second to import
    from fieldcast.app.lock import data_root as configured_root

    runtime_params = {**params, **({"data_root": local(data_root)} if data_root else {})}
    session = KedroSession.create(env=env, conf_source=conf_source, runtime_params=runtime_params)
    with session:
        context = session.load_context()
        examination = examine(context.catalog, configured_root(context))
    click.echo(with_options(str(examination)))
    if examination.faults:
        raise click.exceptions.Exit(1)


WHERE = click.Option(
    ["--where"],
    metavar="CONDITION",
    help='Values to use, such as "quality_level >= 4"; by default those that the flags of the file call good, and "" '
    "takes all.",
)


@click.command(params=[WHERE])
@click.argument("file")
def explore(file: str, where: str | None) -> None:
    """Look at FILE: what is in it, and a quick result.

    FILE is NetCDF, Zarr, a table of stations or along tracks (CSV, Parquet), or a folder of files. The page and the
    result are written into a folder of their own, where you are, within about two minutes; lines say how far it is. It
    ends with the commands to go on with, and what each adds.
    """
    from fieldcast.standalone.exploring import explore as look_at  # here: torch takes a second to import

    exploration = look_at(file, where=where)
    folder = folder_of(file)
    if folder.exists():
        click.echo(f"'{folder}' has an earlier look at this file, which is replaced.", err=True)
    write_atomically(folder / EXPLORED, os.path.abspath(file))
    click.echo(exploration.text(exploration.save(folder)))


def folder_of(file: str) -> Path:
    """`explored_NAME` where you are; with a number, if the folder of that name is of another file."""
    path = Path(file.rstrip("/"))
    name = path.stem.strip("*?[] ") or path.parent.name or "files"
    for number in count(1):
        folder = Path(f"explored_{name}_{number}" if number > 1 else f"explored_{name}")
        with suppress(FileNotFoundError):
            if (folder / EXPLORED).read_text(encoding="utf-8") != os.path.abspath(file):
                continue
        break
    return folder


@click.command()
@click.argument("checkpoint")
@click.option("--output", required=True, help="ONNX file to write.")
@click.option(
    "--members", type=click.IntRange(1), default=1, help="Number of members, or of samples of a decoder."
)
def export(checkpoint: str, output: str, members: int) -> None:
    """Write a forecast step, or the decoder of a VAE, as ONNX.

    CHECKPOINT is a checkpoint.safetensors of an experiment of forecast that reads past states, or of sample.vae*.
    """
    from fieldcast.inference.onnx_export import export as export_onnx  # here: torch takes a second to import

    click.echo(export_onnx(checkpoint, output, members))
