"""Commands that messages suggest, with the environment and the parameters of the session in force."""

import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldcast.app.conf_source import CONTEXT
from fieldcast.lineage import leaves
from fieldcast.pipelines.names import STANDALONE

# a command that has options of its own is left alone
COMMAND = re.compile(r"kedro run( --pipelines [\w.,]*\w(?: --namespaces [\w.,]*\w)?)(?!\w|[.,]\w| --)")
YAML_WORDS = {True: "true", False: "false", None: "null"}


def with_options(text: str) -> str:
    """Add `--env` and `--params` of the session in force to each `kedro run` of a message.

    Without them, the command would train or draw in another folder, or from other data. It is `fieldcast run` where
    the session was started by `fieldcast`, which needs no project folder.
    """
    context = CONTEXT.get()
    if context is None:
        return text
    env = ["--env", context.env] if context.env else []
    params = assignments(context.config_loader.runtime_params or {})
    options = shlex.join([*env, *(["--params", params] if params else [])])
    program = "kedro" if Path(sys.argv[0]).stem == "kedro" else "fieldcast"
    return COMMAND.sub(lambda match: f"{program} run{match[1]}{' ' if options else ''}{options}", text)


def assignments(params: Mapping[str, Any]) -> str:
    """Parameters as `--params` takes them, without the sections of pipelines that work on a user's file."""
    shared = {key: value for key, value in params.items() if key not in STANDALONE}
    values = {
        key: YAML_WORDS.get(value, value) if isinstance(value, bool | None) else value
        for key, value in leaves(shared)
    }
    return ",".join(f"{key}={value}" for key, value in values.items())
