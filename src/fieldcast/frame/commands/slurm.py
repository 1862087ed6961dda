"""`slurm`: a script of jobs, one for each experiment."""

import os

import click

from fieldcast.frame.commands.interruption import interruptible
from fieldcast.frame.commands.run import Repeatable


@click.command()
@click.option(
    "--pipelines", cls=Repeatable, required=True, help="Experiments, tasks or demo, separated by commas."
)
@click.option("--env", help="Environment of each run.")
@click.option("--params", cls=Repeatable, help="Parameters of each run, as in `fieldcast run`.")
@click.option("--output", default="fieldcast.sh", show_default=True, help="Script to write.")
@interruptible
def slurm(pipelines: str, output: str, **options: str | None) -> None:
    """Write a script that submits a job array.

    Each experiment is a task of the array. Submit it with `bash fieldcast.sh SBATCH_OPTIONS`.
    """
    from fieldcast.arguments import write_named
    from fieldcast.frame.slurm import job_script

    arguments = [argument for name, value in options.items() if value for argument in (f"--{name}", value)]
    script = job_script(os.path.basename(output), pipelines.split(","), arguments)
    write_named(output, script.encode())
    click.echo(f"submit the jobs with: bash {output}")
