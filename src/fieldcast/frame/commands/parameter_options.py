"""Options of commands that set parameters, and their defaults in the configuration here."""

import copy
from collections.abc import Sequence
from typing import Any

import click
import yaml

from fieldcast.frame.commands.run import run
from fieldcast.frame.conf_source import named_folder

OPTIONS = {  # Kedro's options, with shorter help
    "env": "Environment, a folder of the configuration such as demo.",
    "conf_source": "Folder or archive of the configuration.",
    "params": "Parameters to change: seed=1,sparsification.times=64",
}


class SectionCommand(click.Command):
    """A command whose options are parameters of a section of the configuration; its help shows their defaults."""

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
    options = [copy.copy(option) for option in run.params if option.name in OPTIONS]
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
