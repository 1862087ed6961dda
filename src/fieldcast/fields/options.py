"""What a user can set of ingestion, checked before anything runs."""

import glob
import os
from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast import plugins
from fieldcast.errors import InputError
from fieldcast.fields.images import ImageSource
from fieldcast.fields.planet.dynamics import STATE_STEP
from fieldcast.fields.planet.weather import FIELD_STEP, PlanetOptions
from fieldcast.fields.sources import Source
from fieldcast.fields.splits import Splits
from fieldcast.lineage import digest

SOURCES = ("planet", "file", "images")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ingestion:
    """Where the fields come from: the simulated planet, or `path` as `fields.sources.Source` describes it.

    Or they are images, which only the task `sample` takes: `path` is then the folder of their IDX files.
    """

    source: str = "planet"  # or one of SOURCES, or a source of an installed package
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    planet: PlanetOptions = Field(default_factory=PlanetOptions)
    images: ImageSource = Field(default_factory=ImageSource)
    path: str | list[str] | None = None
    variables: list[str] | None = None
    period: tuple[str | int | date, str | int | date] | None = None
    levels: list[float] | None = None
    step_hours: float | None = None
    gaps: Literal["refuse", "segment"] = "refuse"
    splits: Splits | None = None

    def __post_init__(self) -> None:
        sources = [*SOURCES, *plugins.advertised("fieldcast.sources")]
        if self.source not in sources:
            raise InputError(f"ingestion.source = '{self.source}' is none of {', '.join(sources)}.")

    def file(self) -> Source:
        """The user's source.

        Raises
        ------
        InputError
            Without a path.
        """
        if self.path is None:
            raise InputError("ingestion.path is not set: say which file, with --params ingestion.path=FILE.")
        return Source(self.path, self.variables, self.period, self.levels, self.step_hours, self.gaps)

    def folder(self) -> str | None:
        """Of the images, where they are not fetched.

        Raises
        ------
        InputError
            For more than one.
        """
        if isinstance(self.path, list):
            raise InputError(
                "ingestion.path: images lie in one folder, not in a list of files: give that folder."
            )
        return self.path

    def lineage(self) -> str:
        """Digest of all that the fields depend on; of local files size and time of change, not the content."""
        known = asdict(self)
        known.pop("splits")
        if self.source == "planet":
            steps = [STATE_STEP, FIELD_STEP]  # planets of before were rounded otherwise
            known = {"planet": known["planet"], "seed": known["seed"], "steps": steps}
        else:
            unused = {"planet", "seed", "images"} - ({"images"} if self.source == "images" else set())
            for name in unused if self.source in SOURCES else ():
                known.pop(name)
        paths = [self.path] if isinstance(self.path, str) else self.path or []
        if self.source == "images":
            paths = [os.path.join(path, "*-ubyte*") for path in paths]
        files = sorted(name for path in paths for name in files_of(path)) if self.source != "planet" else []
        known["files"] = [(name, os.stat(name).st_size, os.stat(name).st_mtime_ns) for name in files]
        return digest(known)


def files_of(path: str) -> list[str]:
    """The local files that a path or a glob names, of a store all that lie in it; none of a remote one."""
    found = glob.glob(os.path.expanduser(path))
    inside = (
        name
        for one in found
        for name in glob.glob(os.path.join(one, "**"), recursive=True, include_hidden=True)
    )
    return [name for name in {*found, *inside} if os.path.isfile(name)]
