"""The commands of `fieldcast`, with errors as sentences; Kedro finds this module by its name, for `kedro run`."""

import atexit
import copy
import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any

import click
import yaml
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.session import KedroSession

import fieldcast.settings  # noqa: F401  (first: it switches telemetry off)
from fieldcast.errors import InputError
from fieldcast.frame.conf_source import named_folder
from fieldcast.frame.error_messages import sentence

RUNNERS = {
    "CheapFirst": "fieldcast.frame.cheap_first.CheapFirst",
    "DaskRunner": "fieldcast.frame.runners.DaskRunner",
    "SideBySide": "fieldcast.frame.side_by_side.SideBySide",
}
KEDROS = ("SequentialRunner", "ThreadRunner", "ParallelRunner")
OPTIONS = {  # Kedro's options, with shorter help
    "env": "Environment, a folder of the configuration such as demo.",
    "conf_source": "Folder or archive of the configuration.",
    "params": "Parameters to change: seed=1,sparsification.times=64",
}


def show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print an error that a user can fix as one sentence, any other with its traceback."""
    text = None if os.environ.get("FIELDCAST_TRACEBACK") else sentence(error)
    if text is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        click.secho(f"fieldcast: {text}", err=True, fg="red")


def interruptible(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have a command end on Ctrl-C and SIGTERM with a sentence and the exit code that shells expect, 130 or 143."""

    @functools.wraps(command)
    def run_or_stop(*args: Any, **kwargs: Any) -> Any:
        _exit_on_sigterm()
        try:
            return command(*args, **kwargs)
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except SystemExit as end:
            if end.code != 128 + signal.SIGTERM:
                raise
            code = 128 + signal.SIGTERM
        stopped = "fieldcast: stopped; run the same command again to resume from what has been saved, if anything has."
        click.secho(stopped, err=True, fg="yellow")
        raise click.exceptions.Exit(code)

    return run_or_stop


def _exit_on_sigterm() -> None:
    """Have SIGTERM end the process as an exception does, as batch systems send it before they kill."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, end)


def explained(parse: Callable[..., Any]) -> Callable[..., Any]:
    """Have the parser of `--params` say what to do about a comma in a value."""

    @functools.wraps(parse)
    def parse_or_explain(*args: Any) -> Any:
        try:
            return parse(*args)
        except click.UsageError as error:
            raise InputError(
                f"--params: {error.message.rstrip('.')} (commas separate parameters: a value with a comma belongs "
                "in a file: conf/local/parameters.yml, or with --env NAME conf/NAME/parameters.yml)."
            ) from None

    return parse_or_explain


class Commands(click.Group):
    """Commands of which `run` may be left out before its options, as Kedro starts packaged projects."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before options other than `--help`."""
        bare = bool(args) and args[0].startswith("-") and args[0] not in self.get_help_option_names(ctx)
        return super().parse_args(ctx, ["run", *args] if bare else args)


class SectionCommand(click.Command):
    """A command whose options are parameters of a section (`fill`, `predict` or `cycle`); its help shows their
    defaults."""

    def __init__(
        self, *, section: str, env: str = "", params: Sequence[click.Parameter] = (), **named: Any
    ) -> None:
        super().__init__(params=[*params, *kedro_options(env)], **named)
        self.section, self.env = section, env

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, with the defaults of the configuration here."""
        defaults = parameters_of(self.section, self.env)
        for option in self.params:
            if isinstance(option, click.Option) and defaults.get(str(option.name)) is not None:
                option.show_default = str(defaults[str(option.name)])
        super().format_options(ctx, formatter)


def kedro_options(env: str = "") -> list[click.Parameter]:
    """The options of `kedro run` for environment, configuration and parameters; `env` is the default of the first."""
    options = [copy.copy(option) for option in kedro_run.params if option.name in OPTIONS]
    for option in options:
        if isinstance(option, click.Option):
            option.help = OPTIONS[str(option.name)]
            option.show_default = env if option.name == "env" and env else False
    return options


def parameters_of(section: str, env: str) -> dict[str, Any]:
    """Parameters of a section as the configuration here sets them, in an environment if one is named."""
    conf = named_folder()
    files = [conf / "base/parameters" / f"{section}.yml", *([conf / env / "parameters.yml"] if env else [])]
    parsed = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    return {name: value for parameters in parsed for name, value in (parameters.get(section) or {}).items()}


@click.group(name="fieldcast", cls=Commands)
def cli() -> None:
    """Fill, forecast and sample gridded weather."""


def refuse_async(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` refuse `--async` before its first node."""

    @functools.wraps(command)
    def run_in_order(*args: Any, **options: Any) -> Any:
        if options.get("is_async") or (options.get("runner_params") or {}).get("is_async"):
            raise InputError(
                "--async is not supported, since training and rollouts save their steps one after another: leave it "
                "out, or run independent nodes at the same time with --runner SideBySide."
            )
        return command(*args, **options)

    return run_in_order


def with_runners(command: Callable[..., Any]) -> Callable[..., Any]:
    """Have `run` accept the runners of this package by name, and score cheap experiments first without `--runner`."""

    @functools.wraps(command)
    def run_with(*args: Any, **options: Any) -> Any:
        runner = options.get("runner") or "CheapFirst"
        if "." not in runner and runner not in (*RUNNERS, *KEDROS):
            raise InputError(f"there is no runner '{runner}'; there are {', '.join((*RUNNERS, *KEDROS))}.")
        return command(*args, **{**options, "runner": RUNNERS.get(runner, runner)})

    return run_with


run: click.Command = copy.copy(kedro_run)
run.callback = interruptible(refuse_async(with_runners(kedro_run.callback or kedro_run)))
for option in run.params:
    if option.name == "params" and option.callback:
        option.callback = explained(option.callback)
    elif option.name == "runner" and isinstance(option, click.Option):
        option.help = (
            "CheapFirst, the default; SideBySide, one node for each core; DaskRunner; or one of Kedro's."
        )
cli.add_command(run)


@cli.command(cls=SectionCommand, section="fill")
@click.argument("file", required=False)
@click.option(
    "--stations",
    help="CSV or Parquet: time, lat, lon, variable, value; in addition to FILE, or in its place.",
)
@click.option("--experiment", help="Address of a trained experiment, such as reconstruct.linear.")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/fill.nc in the data root.")
@click.option("--members", type=int, help="Number of ensemble members.")
@click.option("--noise", type=float, help="Error of an observation, in anomaly standard deviations.")
@click.option(
    "--representativeness",
    type=float,
    help="Error of representativeness of stations, in addition to that of their instruments, in the variable's units; "
    "estimated by default.",
)
def fill(file: str | None, **options: Any) -> None:
    """Fill the gaps in FILE, NetCDF or Zarr: `kedro run --pipelines fill`."""
    on_file("fill", {"observations": file} if file else {}, **options)


@cli.command(cls=SectionCommand, section="fill", env="gaps")
@click.argument("file")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/gaps.nc in the data root.")
@click.option("--members", type=click.IntRange(0), help="Number of ensemble members to write.")
@click.option(
    "--max-gap", type=click.IntRange(1), help="Longest gap of a cell that is filled, in time steps."
)
@click.option("--max-spread", type=float, help="Largest spread of a filled value, in the variable's units.")
def fill_gaps(file: str, env: str | None, params: Mapping[str, Any], **options: Any) -> None:
    """Fill the gaps of FILE from its own values: `kedro run --env gaps --pipelines gaps`."""
    ingestion = {**params.get("ingestion", {}), "path": local(file)}
    on_file("gaps", {}, env=env or "gaps", params={**params, "ingestion": ingestion}, key="fill", **options)


@cli.command(cls=SectionCommand, section="gridding")
@click.argument("stations")
@click.option(
    "--resolution", type=float, help="Degrees between the cells of a grid that covers the stations."
)
@click.option(
    "--like", help="NetCDF or Zarr, whose latitudes and longitudes are used in place of a resolution."
)
@click.option("--step", type=float, help="Hours between fields; by default the most frequent ones.")
@click.option(
    "--output", help="NetCDF file to write; by default 07_model_output/gridding.nc in the data root."
)
def grid_stations(stations: str, like: str | None, **options: Any) -> None:
    """Make fields from STATIONS alone, CSV or Parquet: `kedro run --pipelines gridding`."""
    files = {"stations": local(stations), **({"like": local(like)} if like else {})}
    on_file("gridding", files, **options)


@cli.command(cls=SectionCommand, section="predict")
@click.argument("file")
@click.option("--experiment", help="Address of a trained experiment, such as forecast.crps_ensemble.")
@click.option(
    "--output", help="NetCDF file to write; by default 07_model_output/predict.nc in the data root."
)
@click.option("--steps", type=int, help="Length of the forecast, in time steps of the data.")
@click.option("--members", type=int, help="Number of ensemble members.")
def predict(file: str, **options: Any) -> None:
    """Forecast from the last states of FILE, NetCDF or Zarr: `kedro run --pipelines predict`."""
    on_file("predict", {"states": file}, **options)


@cli.command(cls=SectionCommand, section="cycle")
@click.argument("file")
@click.option("--forecaster", help="Address of a trained experiment, such as forecast.crps_ensemble.")
@click.option("--updater", help="Address of a trained experiment, such as reconstruct.optimal_interpolation.")
@click.option("--output", help="NetCDF file to write; by default 07_model_output/cycle.nc in the data root.")
@click.option("--members", type=int, help="Size of the ensemble.")
@click.option("--noise", type=float, help="Error of an observation, in anomaly standard deviations.")
@click.option("--withheld", type=float, help="Share of the observations that is withheld for verification.")
def cycle(file: str, **options: Any) -> None:
    """Analyse FILE sequentially, alternating forecast and update: `kedro run --pipelines cycle`."""
    on_file("cycle", {"observations": file}, **options)


@cli.command(params=kedro_options())
@click.argument("data_root", required=False)
@interruptible
def doctor(
    data_root: str | None, env: str | None, conf_source: str | None, params: Mapping[str, Any]
) -> None:
    """Examine what is stored in DATA_ROOT, and list what to rerun; exit code 1 if anything is damaged or stale."""
    from fieldcast.frame.doctor import examine  # here: torch takes a second to import
    from fieldcast.frame.lock import data_root as configured_root

    given = {**params, **({"data_root": local(data_root)} if data_root else {})}
    session = KedroSession.create(env=env, conf_source=conf_source, runtime_params=given)
    with session:
        context = session.load_context()
        examination = examine(context.catalog, configured_root(context))
    click.echo(examination)
    if examination.faults:
        raise click.exceptions.Exit(1)


def local(path: str) -> str:
    """A path that Kedro takes from the working folder, and not from the project's."""
    return path if "://" in path else os.path.abspath(path)


@cli.command()
@click.argument("checkpoint")
@click.option("--output", required=True, help="ONNX file to write.")
@click.option(
    "--members", type=click.IntRange(1), default=1, help="Number of members, or of samples of a decoder."
)
@interruptible
def export(checkpoint: str, output: str, members: int) -> None:
    """Write the step of a forecast, or the decoder of a VAE of the task sample, as ONNX.

    CHECKPOINT is a checkpoint.safetensors of an experiment of forecast that reads past states, or of sample.vae*.
    """
    from fieldcast.inference.onnx_export import export as export_onnx  # here: torch takes a second to import

    click.echo(export_onnx(checkpoint, output, members))


@cli.command()
@click.option("--pipelines", required=True, help="Experiments, tasks or demo, separated by commas.")
@click.option("--env", help="Environment of each run.")
@click.option("--params", help="Parameters of each run, as of `run`.")
@click.option("--output", default="fieldcast.sh", show_default=True, help="Script to write.")
@interruptible
def slurm(pipelines: str, output: str, **options: str | None) -> None:
    """Write a script that submits a job array, one experiment per array task: `bash fieldcast.sh SBATCH_OPTIONS`."""
    from fieldcast.frame.slurm import job_script

    given = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    script = job_script(os.path.basename(output), pipelines.split(","), given)
    with open(output, "w", encoding="utf-8") as file:
        file.write(script)
    click.echo(f"submit the jobs with: bash {output}")


@interruptible
def on_file(
    pipeline: str,
    source: Mapping[str, str],
    env: str | None,
    conf_source: str | None,
    params: Mapping[str, Any],
    output: str | None,
    key: str | None = None,
    **options: Any,
) -> None:
    """Run a pipeline that reads a user's file; options are parameters of the section `key`, by default of its name."""
    options |= {"output": local(output)} if output else {}
    options = {key: value for key, value in options.items() if value is not None}
    key = key or pipeline
    given = {**params, key: {**params.get(key, {}), **source, **options}}
    session = KedroSession.create(env=env, conf_source=conf_source, runtime_params=given)
    with session:
        session.run(pipeline_names=[pipeline])


sys.excepthook = show
atexit.register(gc.freeze)  # else Python searches all objects for cycles before it ends: a third of a second
