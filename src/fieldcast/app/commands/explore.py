"""`explore`: a first look at a file."""

from pathlib import Path

import click


@click.command()
@click.argument("file")
def explore(file: str) -> None:
    """Look at FILE: what is in it, and a quick result.

    FILE is NetCDF, Zarr, a table of stations or along tracks (CSV, Parquet), or a folder of files. The page and the
    result are written into a folder of their own, where you are.
    """
    from fieldcast.standalone.exploring import explore as look_at  # here: torch takes a second to import

    exploration = look_at(file)
    path = Path(file.rstrip("/"))
    name = path.stem.strip("*?[] ") or path.parent.name or "files"
    paths = exploration.save(f"explored_{name}")
    click.echo(exploration.text(paths))
