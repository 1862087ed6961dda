"""Options of ingestion, validated before anything runs; a refusal must not wait for xarray."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.errors import InputError
from fieldcast.fields.conditions import conditions
from fieldcast.fields.paths import files_of, names_files
from fieldcast.fields.planet.options import FIELD_STEP, STATE_STEP, PlanetOptions
from fieldcast.lineage import digest

SOURCES = ("planet", "file", "images")
PROVIDED = {"images": ("images", "labels")}  # data by source; every other source provides fields
Gaps = Literal["refuse", "segment", "insert", "keep"]  # treatment of missing dates
Missing = Literal["refuse", "train"]  # values missing at some times of a cell


def fills_gaps(gaps: str, missing: str) -> bool:
    """Whether these options are those of a record whose gaps are filled: few times and any grid will do."""
    return missing == "train" and gaps in ("insert", "keep")


def provided(source: str) -> tuple[str, ...]:
    """Data that a source provides: "fields", or "images" and their "labels"."""
    return PROVIDED.get(source, ("fields",))


def refuse_other_data(name: str, needs: str | None, source: str) -> None:
    """Raise InputError for an experiment or a pipeline, by its name, that needs data which `source` does not provide.

    `needs` is one of the values of `provided`, or None; `source` is the option `ingestion.source`.
    """
    if needs is not None and needs not in provided(source):
        environment = "demo" if needs == "fields" else "digits"
        raise InputError(
            f"{name} needs {needs}, but ingestion.source = '{source}' provides {' and '.join(provided(source))}: "
            f"choose an environment with {needs}, such as --env {environment}."
        )


def check_pair(value: Any) -> Any:
    """Reject anything but two dates, before pydantic calls the second one a "required field"."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or len(value) != 2:
        raise InputError(
            f"{value!r} is not a period: give its first and its last date, such as [1990, 1999-06]."
        )
    return value


Period = Annotated[tuple[str | int | date, str | int | date], BeforeValidator(check_pair)]
StepHours = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def check_region(value: Any) -> Any:
    """South, north, west and east as numbers, from a list or from a text that separates them by commas."""
    limits = re.split(r"[,;\s]+", value.strip(" []")) if isinstance(value, str) else value
    try:
        south, north, west, east = (float(limit) for limit in limits)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{value!r} is not a region: give south, north, west and east in degrees, such as 30,46,-6,36."
        ) from error
    if (
        not -90 <= south < north <= 90
        or not all(-360 <= limit <= 360 for limit in (west, east))
        or west == east
    ):
        raise InputError(
            f"the region {south:g}, {north:g}, {west:g}, {east:g} is empty or beyond the globe: give south, north, "
            "west and east in degrees, such as 30,46,-6,36."
        )
    return south, north, west, east


def check_where(value: Any) -> Any:
    """Reject what is no list of comparisons before any file is opened."""
    if isinstance(value, str):
        conditions(value, "where")
    return value


def columns_of(given: object) -> dict[str, str]:
    """The option `columns`, a mapping or a text such as "time=Datum,value=Niederschlag", as a mapping."""
    remedy = "give names and headings, such as time=Datum,value=Niederschlag."
    if given is None:
        return {}
    if isinstance(given, Mapping):
        pairs = [(name, heading) for name, heading in given.items()]
    elif isinstance(given, str):
        pairs = [tuple(part.split("=", 1)) for part in given.split(",")]  # type: ignore[misc]
    else:
        raise InputError(f"columns are {given!r}: {remedy}")
    if wrong := [pair for pair in pairs if len(pair) != 2 or not all(str(each).strip() for each in pair)]:
        raise InputError(
            f"columns: '{'='.join(map(str, wrong[0]))}' is no pair of name and heading: {remedy}"
        )
    names = [str(name).strip() for name, _ in pairs]
    if len(set(names)) < len(names):
        raise InputError(f"columns name {', '.join(names)}, one of them twice: {remedy}")
    return {name: str(heading).strip() for name, (_, heading) in zip(names, pairs, strict=True)}


def names_of(value: Any) -> Any:
    """Names that a text joins by a plus sign, since commas separate parameters on the command line; else unchanged."""
    return value.split("+") if isinstance(value, str) and "+" in value else value


def listed_names(value: Any) -> Any:
    """Names as a list, also of a single one."""
    return value.split("+") if isinstance(value, str) else value


Region = Annotated[tuple[float, float, float, float], BeforeValidator(check_region)]
Where = Annotated[str, BeforeValidator(check_where)]
Condition = Annotated[
    Where | None,
    Field(
        description="Condition by variables of the file, which values must satisfy to be used, such as "
        "`quality_level >= 4` or `l2_flags without CLDICE, LAND` (docs/data.md#flags-and-regions); by default all are "
        "used."
    ),
]
Mask = Annotated[
    str | None,
    Field(
        description="Variable of the file on (time, y, x), or without time, that is 1 where values are filled and 0 "
        "where not, such as the sea under ice (docs/data.md#a-mask-in-time); for records with gaps."
    ),
]
Predictors = Annotated[
    list[str] | None,
    BeforeValidator(listed_names),
    Field(
        description="Variables of the file, or other files on the same grid and times, that determine the variables to "
        "fill, and are not filled themselves (docs/gap_filling.md#predictors); several joined by `+`; for records with "
        "gaps."
    ),
]
Part = Annotated[
    Region | None,
    Field(
        description="Southern, northern, western and eastern limit of the part of the file that is read [degrees]; by "
        "default all."
    ),
]
Columns = Annotated[dict[str, str], BeforeValidator(columns_of)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Source:
    """Selection of data to read.

    Parameters
    ----------
    path
        NetCDF file (3, CDF-5 or 4), glob pattern, Zarr store, URL (`gs://...`, read anonymously; others:
        docs/scale.md#a-bucket), or a list of these. For images the folder of the four IDX files; without it they are
        fetched from OpenML.
    variables
        Names as in the file, or short names (`z500`, `t2m`), several in `--params` as `sst+wind_speed`; a name without
        its level selects all levels. By default all on (time, latitude, longitude).
    period
        Dates `[first, last]`, ISO, complete or partial (`2001`, `2001-05`), both inclusive; by default all.
    levels
        Levels of variables with a level dimension [hPa, or the level's own unit]; by default all.
    step_hours
        Interval in hours at which fields are taken (not averaged); by default all.
    gaps
        Treatment of missing dates: `refuse` the data; `segment` them: each regular stretch between gaps is one segment,
        and nothing is learned across its boundaries; `insert` them as times without values, the default of
        `--env gap_filling`, which fills them (needs `missing: train`); or `keep` the times as they are, as if they were
        one step apart, so that no date is added.
    missing
        Treatment of values missing at some times of a cell: `refuse` the data, or `train` on the others, while these
        stay missing (docs/data.md#records-with-gaps).
    """

    path: str | list[str] | None = None
    variables: Annotated[list[str], BeforeValidator(names_of), Field(min_length=1)] | None = None
    period: Period | None = None
    levels: list[float] | None = None
    where: Condition = None
    mask: Mask = None
    predictors: Predictors = None
    region: Part = None
    step_hours: StepHours | None = None
    gaps: Gaps = "refuse"
    missing: Missing = "refuse"

    @property
    def label(self) -> str:
        """Name of the source in messages."""
        return f"'{self.path}'" if isinstance(self.path, str) else f"'{self.paths[0]}' and others"

    @property
    def fills_gaps(self) -> bool:
        """Whether the options are those of a record whose gaps are filled."""
        return fills_gaps(self.gaps, self.missing)

    @property
    def paths(self) -> list[str]:
        """The paths as a list."""
        return [self.path] if isinstance(self.path, str) else self.path or []


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class ImageSource:
    """Selection of images.

    Parameters
    ----------
    name
        `digits`, the 1797 images of 8 x 8 cells of scikit-learn; `mnist` or `fashion_mnist`.
    train
        Number of images used from the training set, counted from its beginning; by default all.
    test
        Number of images used from the test set, counted from its beginning; by default all.
    validation
        Number of images at the end of the training set that are held out for validation; by default a sixth.
    """

    name: Literal["mnist", "fashion_mnist", "digits"] = "digits"
    train: Annotated[int, Field(ge=6)] | None = None
    test: Annotated[int, Field(ge=1)] | None = None
    validation: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Splits:
    """Dates [first, last] of each split: ISO, complete or partial (2001, 2001-05), both inclusive.

    Parameters
    ----------
    train
        Dates to which models are fitted.
    validation
        Dates on which they are tuned.
    test
        Dates on which they are scored.
    """

    train: Period
    validation: Period
    test: Period


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Ingestion(Source):
    """Source of the fields: the simulated planet, a user's file, or images (for the task `sample` only).

    docs/data.md describes what happens to the data. The environments `digits`, `mnist` and `fashion_mnist` set
    `images`, and configure every model of `sample` for images, with the options of `conf/mnist/parameters_sample.yml`
    in all three.

    Parameters
    ----------
    source
        `planet` (simulated), `file` or `images`.
    seed
        Seed of the planet's weather.
    planet
        Options of the simulation.
    images
        Selection of images.
    splits
        `{train: [first, last], validation: [...], test: [...]}`; by default the first 70, next 10 and last 20 % of the
        times.
    quantities
        Mappings of variables (docs/data.md#quantities): `auto`, the default for files and stations; `none`, the default
        for others; or `root`, `log`, `quantiles`, `circle`, `clip`; for all, or for each by name.
    """

    source: str = "planet"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    planet: PlanetOptions = Field(default_factory=PlanetOptions)
    images: ImageSource = Field(default_factory=ImageSource)
    splits: Splits | None = None
    quantities: str | dict[str, str] | None = None

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise InputError(
                f"ingestion.source = '{self.source}' is none of {', '.join(SOURCES)}: choose one."
            )
        if self.source == "planet" and self.path is not None:
            raise InputError(
                f"ingestion.path = {self.path!r}, but the source is the simulated planet: use --env netcdf, or set "
                "ingestion.source to file."
            )

    @property
    def mappings(self) -> str | dict[str, str]:
        """Mappings of variables, by default those of the source."""
        return self.quantities or ("auto" if self.source == "file" else "none")

    def file(self) -> Source:
        """The options of a file."""
        if self.path is None:
            raise InputError("ingestion.path is not set: name a file with --params ingestion.path=FILE.")
        return self

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        if self.source != "file":
            return []
        others = [("ingestion.predictors", path) for path in self.predictor_files]
        return [("ingestion.path", path) for path in self.paths] + others

    @property
    def predictor_files(self) -> list[str]:
        """The predictors that are files."""
        return [name for name in self.predictors or () if names_files(name)]

    def folder(self) -> str | None:
        """Folder of the images; None if they are fetched."""
        if isinstance(self.path, list):
            raise InputError(
                "ingestion.path: images are read from one folder, not from a list of files: give that folder."
            )
        return self.path

    @property
    def unused(self) -> set[str]:
        """Names of options that this source does not read."""
        if self.source == "planet":
            return {"images", *(option.name for option in fields(Source))}
        return {"planet", "seed", "images"} - {self.source}

    def lineage(self) -> str:
        """Digest of everything the fields depend on; for local files, size and modification time."""
        inputs = asdict(self)
        inputs.pop("splits")
        inputs.pop("quantities")
        # fields made before there were these options have none in their lineage
        for name in ("where", "region", "mask", "predictors"):
            if inputs[name] is None:
                inputs.pop(name)
        if self.source == "planet":
            steps = [STATE_STEP, FIELD_STEP]  # a planet that was rounded differently is another planet
            inputs = {"planet": inputs["planet"], "seed": inputs["seed"], "steps": steps}
        else:
            for name in self.unused:
                inputs.pop(name, None)
        paths = [*self.paths, *self.predictor_files]
        if self.source == "images":
            paths = [os.path.join(path, "*-ubyte*") for path in paths]
        files = sorted(name for path in paths for name in files_of(path)) if self.source != "planet" else []
        inputs["files"] = [(name, os.stat(name).st_size, os.stat(name).st_mtime_ns) for name in files]
        return digest(inputs)
