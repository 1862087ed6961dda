"""Options of the commands on a user's own files, checked before anything runs."""

import os
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT
from fieldcast.errors import InputError

ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Fill:
    """Options of `fill`: the file, or the stations, the experiment that fills it, and how; also of `gaps`."""

    observations: str | None = None
    stations: str | None = None  # CSV or Parquet, see `fields.stations`
    experiment: str
    members: Annotated[int, Field(ge=0)] = 19  # at least one, unless a record is filled from its own values
    noise: ZeroOrMore = 0.0  # error of an observation, in anomaly standard deviations
    # error of representativeness of stations, in addition to that of their instruments, in the units of the variable,
    # or of each by name
    representativeness: ZeroOrMore | dict[str, ZeroOrMore] | None = None  # estimated by default
    max_gap: Annotated[int, Field(ge=1)] | None = None  # steps; of the pipeline `gaps`, as the next one
    max_spread: AboveZero | dict[str, AboveZero] | None = None  # in units of the variable, or by name
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("fill", observations=self.observations, stations=self.stations)

    def file(self) -> str | None:
        """The user's file of fields; None for stations alone.

        Raises
        ------
        InputError
            Without either, without members, or where the result would take its place.
        """
        if self.members < 1:
            raise InputError(
                f"fill.members = {self.members} should be greater than or equal to 1: give a number of members."
            )
        if self.stations is not None and self.observations is None:
            return None
        return file_of(self.observations, self.output, "fill.observations", "fill.output")

    def table(self) -> str:
        """The user's table of stations.

        Raises
        ------
        InputError
            Without one.
        """
        return file_of(self.stations, None, "fill.stations", "")


@dataclass(frozen=True, config=STRICT)
class Gaps:
    """Whether a network is among the methods that `gaps` compares.

    Parameters
    ----------
    learned
        Whether it is, however long its training takes.
    minutes
        Time into which its estimate must fit otherwise; 0 leaves it out.
    """

    learned: bool = False
    minutes: ZeroOrMore = 0.0


@dataclass(frozen=True, config=STRICT)
class Gridding:
    """Options of `gridding`: the stations, and the grid on which fields are made from them alone."""

    stations: str | None = None  # CSV or Parquet, see `fields.stations`
    resolution: float | None = None  # degrees; or
    like: str | None = None  # NetCDF file or Zarr store whose grid is used
    step: float | None = None  # hours; by default those that are most frequent at the stations
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("gridding", stations=self.stations, like=self.like)

    def table(self) -> str:
        """The user's table of stations.

        Raises
        ------
        InputError
            Without one, or where the result would take its place or that of the grid.
        """
        if self.like is not None:
            file_of(self.like, self.output, "gridding.like", "gridding.output")
        return file_of(self.stations, self.output, "gridding.stations", "gridding.output")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Predict:
    """Options of `predict`: the file to forecast from, the experiment that forecasts, and how far."""

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
        """The user's file.

        Raises
        ------
        InputError
            Without one, or where the result would take its place.
        """
        return file_of(self.states, self.output, "predict.states", "predict.output")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Cycle:
    """Options of `cycle`: the record, the experiments that forecast and update, and how."""

    observations: str | None = None
    forecaster: str
    updater: str
    members: Annotated[int, Field(ge=2)] = 20
    noise: ZeroOrMore = 0.1  # error of an observation, in anomaly standard deviations
    withheld: Annotated[float, Field(ge=0, lt=1)] = 0.1  # share of the observations that is never assimilated
    output: str | None = None  # read by the catalog, from the command line

    @property
    def files(self) -> list[tuple[str, str]]:
        """Option and path of every file that a run reads."""
        return named_files("cycle", observations=self.observations)

    def file(self) -> str:
        """The user's record.

        Raises
        ------
        InputError
            Without one, or where the result would take its place.
        """
        return file_of(self.observations, self.output, "cycle.observations", "cycle.output")


def named_files(section: str, **paths: str | None) -> list[tuple[str, str]]:
    """The options of a section that are set, each with its path."""
    return [(f"{section}.{option}", path) for option, path in paths.items() if path is not None]


def file_of(path: str | None, output: str | None, key: str, output_key: str) -> str:
    """The path, which must be set and must not be that of the result.

    Raises
    ------
    InputError
        Without a path, or for that of the result.
    """
    if path is None:
        command = f"fieldcast {key.partition('.')[0]} FILE"
        raise InputError(f"{key} is not set: say which file, with --params {key}=FILE, or as in `{command}`.")
    if output and os.path.realpath(output) == os.path.realpath(path):
        raise InputError(f"{output_key} is {key} itself, '{output}': choose another file.")
    return path
