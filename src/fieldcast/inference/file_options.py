"""Options of the commands on a user's own files, checked before anything runs."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT
from fieldcast.errors import InputError

ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]
# commands that set an option of a file by another name than its section's
COMMANDS = {
    "fill.stations": "fieldcast fill --stations FILE.csv",
    "gridding.stations": "fieldcast grid-stations FILE.csv",
}
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Fill:
    """Options of `fill` and `gaps`: a file or a table of stations, the experiment, and how the result is made."""

    observations: str | None = None
    stations: str | None = None  # CSV or Parquet, see `fields.stations`
    experiment: str
    members: Annotated[int, Field(ge=0)] = 19  # 0 is allowed in `gaps` only
    noise: ZeroOrMore = 0.0  # observation error, in anomaly standard deviations
    # representativeness error of stations, added to their instrument error: one number in the units of the variable, or
    # one for each variable by name; estimated by default
    representativeness: ZeroOrMore | dict[str, ZeroOrMore] | None = None
    max_gap: Annotated[int, Field(ge=1)] | None = None  # steps; for `gaps` only
    max_spread: AboveZero | dict[str, AboveZero] | None = None  # units of the variable; for `gaps` only
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("fill", observations=self.observations, stations=self.stations)

    def file(self) -> str | None:
        """The user's file of fields; None for stations alone."""
        if self.members < 1:
            raise InputError(f"fill.members = {self.members}: give at least 1.")
        if self.stations is not None and self.observations is None:
            return None
        return file_of(self.observations, "fill.observations")

    def table(self) -> str:
        """The user's table of stations."""
        return file_of(self.stations, "fill.stations")


@dataclass(frozen=True, config=STRICT)
class Gaps:
    """Options of `gaps` that add a neural network to the methods that are compared.

    Parameters
    ----------
    learned
        Add the network, however long its training will take.
    max_minutes
        Without `learned`: add the network if its training should take at most this long [minutes]. 0 leaves it out.
    """

    learned: bool = False
    max_minutes: ZeroOrMore = 0.0


@dataclass(frozen=True, config=STRICT)
class Gridding:
    """Options of `gridding`: the stations, and the grid on which fields are made from them alone."""

    stations: str | None = None  # CSV or Parquet, see `fields.stations`
    resolution: float | None = None  # degrees between the cells of a regular grid
    like: str | None = None  # NetCDF file or Zarr store whose grid is used in place of `resolution`
    step: float | None = None  # hours between fields; by default the most frequent interval between readings
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("gridding", stations=self.stations, like=self.like)

    def table(self) -> str:
        """The user's table of stations."""
        return file_of(self.stations, "gridding.stations")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Predict:
    """Options of `predict`: the file to forecast from, the experiment, and the number of steps and members."""

    states: str | None = None
    experiment: str
    steps: Annotated[int, Field(ge=1)] = 10
    members: Annotated[int, Field(ge=1)] = 10
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("predict", states=self.states)

    def file(self) -> str:
        """The user's file."""
        return file_of(self.states, "predict.states")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RecordCycleOptions:
    """Options of `cycle`: the record, the experiments that forecast and update, and the options of the filter."""

    observations: str | None = None
    forecaster: str
    updater: str
    members: Annotated[int, Field(ge=2)] = 20
    noise: ZeroOrMore = 0.1  # observation error, in anomaly standard deviations
    # share of observations that are never assimilated
    withheld: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("cycle", observations=self.observations)

    def file(self) -> str:
        """The user's record."""
        return file_of(self.observations, "cycle.observations")


def named_files(section: str, **paths: str | None) -> list[tuple[str, str]]:
    """Name and path of each file option of a section that is set."""
    return [(f"{section}.{option}", path) for option, path in paths.items() if path is not None]


def file_of(path: str | None, key: str) -> str:
    """Return the path, which must be set."""
    if path is None:
        command = COMMANDS.get(key, f"fieldcast {key.partition('.')[0]} FILE")
        raise InputError(f"{key} is not set: say which file, with --params {key}=FILE, or as in `{command}`.")
    return path
