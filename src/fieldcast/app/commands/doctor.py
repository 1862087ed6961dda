"""`doctor`: faults of the data in a data root, and commands to rerun."""

from collections.abc import Mapping
from typing import Any

import click
from kedro.framework.session import KedroSession

from fieldcast.app.commands.on_files import KEDRO_OPTIONS, local
from fieldcast.app.suggested_commands import with_options


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
