"""Options of ingestion, validated before anything runs."""

import os
from dataclasses import asdict
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast import plugins
from fieldcast.errors import InputError
from fieldcast.fields.images import ImageSource
from fieldcast.fields.paths import files_of
from fieldcast.fields.planet.dynamics import STATE_STEP
from fieldcast.fields.planet.weather import FIELD_STEP, PlanetOptions
from fieldcast.fields.sources import Source
from fieldcast.fields.splits import Splits
from fieldcast.lineage import digest

SOURCES = ("planet", "file", "images")


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ingestion(Source):
    """Source of the fields: the simulated planet, a user's file, or images (for the task `sample` only).

    Parameters
    ----------
    source
        Kind of source: one of `SOURCES`, or a source of an installed package.
    seed
        Seed of the planet's weather.
    planet
        Options of the simulation.
    images
        Selection of images.
    path, variables, period, levels, step_hours, gaps, missing
        Options of a file, see `Source`; for images `path` is the folder of the IDX files.
    splits
        Periods of training, validation and test; the first 70, next 10 and last 20 % of the times by default.
    """

    source: str = "planet"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    planet: PlanetOptions = Field(default_factory=PlanetOptions)
    images: ImageSource = Field(default_factory=ImageSource)
    splits: Splits | None = None

    def __post_init__(self) -> None:
        sources = [*SOURCES, *plugins.advertised("fieldcast.sources")]
        if self.source not in sources:
            raise InputError(
                f"ingestion.source = '{self.source}' is none of {', '.join(sources)}: choose one."
            )

    def file(self) -> Source:
        """The options of a file.

        Raises
        ------
        InputError
            If no path is set.
        """
        if self.path is None:
            raise InputError("ingestion.path is not set: name a file with --params ingestion.path=FILE.")
        return self

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return [("ingestion.path", path) for path in self.paths] if self.source == "file" else []

    def folder(self) -> str | None:
        """Folder of the images; None if they are fetched.

        Raises
        ------
        InputError
            For a list of paths.
        """
        if isinstance(self.path, list):
            raise InputError(
                "ingestion.path: images are read from one folder, not from a list of files: give that folder."
            )
        return self.path

    def lineage(self) -> str:
        """Digest of everything the fields depend on; for local files, size and modification time."""
        inputs = asdict(self)
        inputs.pop("splits")
        if self.source == "planet":
            steps = [STATE_STEP, FIELD_STEP]  # a planet that was rounded differently is another planet
            inputs = {"planet": inputs["planet"], "seed": inputs["seed"], "steps": steps}
        else:
            unused = {"planet", "seed", "images"} - ({"images"} if self.source == "images" else set())
            for name in unused if self.source in SOURCES else ():
                inputs.pop(name)
        paths = self.paths
        if self.source == "images":
            paths = [os.path.join(path, "*-ubyte*") for path in paths]
        files = sorted(name for path in paths for name in files_of(path)) if self.source != "planet" else []
        inputs["files"] = [(name, os.stat(name).st_size, os.stat(name).st_mtime_ns) for name in files]
        return digest(inputs)
