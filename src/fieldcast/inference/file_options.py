"""Commands on a user's own files: a record of each, and its options, which are checked before anything runs."""

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic.dataclasses import dataclass

from fieldcast.encoding.options import STRICT
from fieldcast.errors import InputError
from fieldcast.fields.options import Columns, Condition, Part

ZeroOrMore = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def as_number(given: Any) -> Any:
    """A number that is given as a text, as the command line does; other values as they are."""
    try:
        return float(given) if isinstance(given, str) else given
    except ValueError:
        return given


ObservationError = Annotated[str | ZeroOrMore, BeforeValidator(as_number)]  # see `fields.observation_error`
# options that several commands have
Output = Annotated[
    str | None,
    Field(
        description="Path of the result, a NetCDF file (`.nc`), by a command or `--params` alone; by default it lies "
        "in `07_model_output` of the data root."
    ),
]
Headings = Annotated[
    Columns | None,
    Field(
        description="Headings of the table by the name of their column, such as `{time: Datum, value: Niederschlag}`, "
        "in a command `time=Datum,value=Niederschlag`, where they are others than those of docs/data.md#stations."
    ),
]
ReferenceSystem = Annotated[
    str | None,
    Field(
        description="Coordinate reference system of x and y in place of latitudes and longitudes, such as `EPSG:25832`."
    ),
]


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Fill:
    """Options of the pipeline `fill` and its command.

    Parameters
    ----------
    observations
        NetCDF file or Zarr store with NaN for unobserved values.
    stations
        Table of stations, CSV or Parquet: time, lat, lon, variable, value (docs/data.md#stations); in addition to the
        file, or in its place.
    experiment
        An experiment that has been trained under the same `data_root`, such as `reconstruct.linear`.
    members
        Size of the ensemble.
    noise
        Observation error, in anomaly standard deviations, `0.3 degC`, `35%` or the name of a variable, for all
        variables or for each by its name (docs/data.md#errors-of-observed-values); 0 keeps the file's values.
    representativeness
        Error of representativeness of stations, in addition to that of their instruments: a number in the units of the
        variable, or one for each variable by name. By default it is estimated, and logged.
    dem
        NetCDF file or Zarr store with the elevation of the cells [m], to which readings of stations are brought; by
        default `surface_altitude` of the file, if it has that.
    """

    observations: str | None = None
    stations: str | None = None
    experiment: str
    members: Annotated[int, Field(ge=1)] = 19
    noise: ObservationError | dict[str, ObservationError] = 0.0
    representativeness: ZeroOrMore | dict[str, ZeroOrMore] | None = None
    dem: str | None = None
    where: Condition = None
    region: Part = None
    output: Output = None

    def file(self) -> str | None:
        """The user's file of fields; None for stations alone."""
        if self.stations is not None and self.observations is None:
            return None
        return file_of(self.observations, "fill.observations")

    def table(self) -> str:
        """The user's table of stations."""
        return file_of(self.stations, "fill.stations")


Method = Literal[
    "dineof",
    "local_kriging",
    "modal_smoother",
    "low_rank",
    "red_noise",
    "sampled_modes",
    "corrected_interpolation",
]


@dataclass(frozen=True, config=STRICT)
class GapFilling:
    """Options of the pipeline `gap_filling` and its command, beside those of `ingestion`, which reads the record.

    Parameters
    ----------
    members
        Size of the ensemble in the result.
    max_gap
        Length of the longest gap of a cell that is filled [steps].
    max_spread
        Largest spread of a filled value: a number in the units of the variable, or one for each variable by name.
    method
        The one method that fills the record; by default methods race for it
        (docs/data.md#fill-a-record-from-its-own-values).
    learned
        Whether to try `corrected_interpolation` as well, a network trained on the record, however long it takes.
    max_minutes
        Without `learned`: try it only if its estimated training time, which is printed first, is at most this many
        minutes.
    noise
        Standard deviation of the error of observed values, which are then smoothed: `0.3 degC`, `35%`, the name of a
        variable, or a number of anomaly standard deviations; for all variables, or for each by its name
        (docs/data.md#errors-of-observed-values). By default observed values are kept.
    append
        A filled record, to which the pipeline `gap_appending` appends the times of `ingestion.path`, by its fit; the
        command replaces it by the longer record, unless an output is given (docs/data.md#a-record-that-grows).
    """

    members: Annotated[int, Field(ge=0)] = 0
    max_gap: Annotated[int, Field(ge=1)] | None = None
    max_spread: AboveZero | dict[str, AboveZero] | None = None
    noise: ObservationError | dict[str, ObservationError] | None = None
    method: Method | None = None
    learned: bool = False
    max_minutes: ZeroOrMore = 0.0
    append: str | None = None
    output: Output = None


@dataclass(frozen=True, config=STRICT)
class StationFields:
    """Options of fields from stations alone (docs/data.md#fields-from-stations-alone).

    Parameters
    ----------
    stations
        Table of stations (docs/data.md#stations), CSV or Parquet, or of readings along tracks, also NetCDF
        (docs/data.md#fields-from-tracks).
    resolution
        Degrees between the cells of a regular grid that covers the stations; give this or `like`.
    like
        NetCDF file or Zarr store whose latitudes and longitudes are used.
    step
        Hours between fields; by default the most frequent interval between readings of a station, or a day for tracks.
    accept
        Names of gauges, in a command separated by commas, that are used although they seem to be in another unit than
        their neighbours, or `all`.
    dem
        NetCDF file or Zarr store with the elevation of the cells [m], for variables that depend on it; by default
        `surface_altitude` of `like`, if it has that.
    covariance
        Parameters of the covariance of anomalies that are given and not fitted, some of `model=matern32 range=500
        time=3 sill=4 nugget=0.5` in km, steps and squared units, for all variables, or by the name of each
        (docs/data.md#the-covariance).
    mask
        NetCDF file or Zarr store with a land mask of 0 and 1: the result has values only in cells of the kind, land or
        sea, of most stations.
    """

    stations: str | None = None
    resolution: float | None = None
    like: str | None = None
    step: float | None = None
    accept: str | list[str] | None = None
    dem: str | None = None
    covariance: str | dict[str, Any] | None = None
    mask: str | None = None
    columns: Headings = None
    crs: ReferenceSystem = None
    output: Output = None

    def table(self) -> str:
        """The user's table of stations."""
        return file_of(self.stations, "station_fields.stations")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class Predict:
    """Options of the pipeline `predict`: forecasts from the latest states of a file.

    Parameters
    ----------
    states
        NetCDF file or Zarr store that ends with the latest states.
    experiment
        An experiment that has been trained under the same `data_root`, such as `forecast.crps_ensemble`.
    steps
        Number of steps, each of the data's time step.
    members
        Size of the ensemble.
    """

    states: str | None = None
    experiment: str
    steps: Annotated[int, Field(ge=1)] = 10
    members: Annotated[int, Field(ge=1)] = 10
    where: Condition = None
    region: Part = None
    output: Output = None

    def file(self) -> str:
        """The user's file."""
        return file_of(self.states, "predict.states")


@dataclass(frozen=True, config=STRICT, kw_only=True)
class RecordCycleOptions:
    """Options of the cycle over a record (docs/data.md#a-record-observed-day-by-day).

    Parameters
    ----------
    observations
        NetCDF file or Zarr store of successive times, with NaN for unobserved values.
    forecaster
        A trained experiment of `forecast` under the same `data_root`, such as `forecast.crps_ensemble`.
    updater
        `reconstruct.optimal_interpolation` or a filter of `assimilate`, trained under the same `data_root`.
    members
        Size of the ensemble, at least 2; the coverage of 90 % needs at least 13 members, and is exact with 19.
    noise
        Observation error, in anomaly standard deviations, `0.3 degC`, `35%` or the name of a variable, for all
        variables or for each by its name (docs/data.md#errors-of-observed-values).
    held_out
        Share of the observations that is held out, never assimilated: the result is scored there.
    """

    observations: str | None = None
    forecaster: str
    updater: str
    members: Annotated[int, Field(ge=2)] = 20
    noise: ObservationError | dict[str, ObservationError] = 0.1
    held_out: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.1
    where: Condition = None
    region: Part = None
    output: Output = None

    def file(self) -> str:
        """The user's record."""
        return file_of(self.observations, "record_cycle.observations")


@dataclass(frozen=True, config=STRICT)
class ForecastScores:
    """Options of scores of forecasts at stations (docs/data.md#scores-at-stations).

    Parameters
    ----------
    forecasts
        NetCDF file or Zarr store of gridded forecasts.
    stations
        Table of stations, CSV or Parquet: time, lat, lon, variable, value (docs/data.md#stations); its readings are
        the truth.
    representativeness
        Error of representativeness of stations, in addition to that of their instruments: a number in the units of the
        variable, or one for each variable by name. By default it is estimated.
    dem
        NetCDF file or Zarr store with the elevation of the cells [m], to which readings of stations are brought; by
        default `surface_altitude` of the forecasts, if they have that.
    nan_policy
        Treatment of a member that is NaN at a station: `raise` an error that names it, `omit` it at that start and
        lead, or `propagate`: the scores are infinite.
    """

    forecasts: str | None = None
    stations: str | None = None
    representativeness: ZeroOrMore | dict[str, ZeroOrMore] | None = None
    dem: str | None = None
    columns: Headings = None
    crs: ReferenceSystem = None
    nan_policy: Literal["raise", "omit", "propagate"] = "raise"

    def file(self) -> str:
        """The user's forecasts."""
        return file_of(self.forecasts, "forecast_scores.forecasts")

    def table(self) -> str:
        """The user's table of stations."""
        return file_of(self.stations, "forecast_scores.stations")


def file_of(path: str | None, key: str) -> str:
    """Return the path, which must be set."""
    if path is None:
        usage = next(each.usage(key) for each in FILE_COMMANDS if key in each.files)
        raise InputError(f"{key} is not set: say which file, with --params {key}=FILE, or as in `{usage}`.")
    return path


@dataclasses.dataclass(frozen=True)
class FileCommand:
    """A command on a user's file: it sets parameters, and runs the pipeline with the name of their section.

    Parameters
    ----------
    name
        What a user types.
    section
        Section of the parameters, and pipeline.
    options
        Type of the section.
    files
        Parameters that name files which the user has; the argument of the command sets the first.
    about
        What the command does.
    env
        Environment in which the command runs unless another is named.
    pipelines
        Other pipelines that read the section.
    params_only
        Options that are no options of the command.
    """

    name: str
    section: str
    options: type
    files: tuple[str, ...]
    about: str
    env: str | None = None
    pipelines: tuple[str, ...] = ()
    params_only: tuple[str, ...] = ()

    @property
    def ingests(self) -> bool:
        """Whether the file becomes the data of a data root; a pipeline that does not only reads what is there."""
        return not self.files[0].startswith(f"{self.section}.")

    @property
    def maps(self) -> bool:
        """Whether variables are mapped as `ingestion.quantities` says."""
        return self.ingests or self.options is StationFields

    @property
    def selects(self) -> bool:
        """Whether the options `where` and `region` select a part of the file."""
        return self.ingests or "where" in {field.name for field in dataclasses.fields(self.options)}

    def usage(self, key: str) -> str:
        """The command that sets the parameter with the name of a file."""
        option = "" if key == self.files[0] else f" --{key.rpartition('.')[2]}"
        return f"fieldcast {self.name}{option} FILE"

    def files_in(self, options: Any) -> Iterator[tuple[str, str]]:
        """Yield parameter and path of each file that the options of the section name."""
        for key in self.files:
            section, _, name = key.rpartition(".")
            if section == self.section and (path := getattr(options, name)) is not None:
                yield key, path


OWN_FIELDS = "netcdf"  # environment in which models are trained on a user's file, and used
TRAINED = (
    "Experiments or tasks, such as forecast.vae or forecast, separated by commas; `explore`, the quick ones of "
    "`fieldcast explore`; or `reporting`, the page of all that were trained."
)
FILE_COMMANDS = (
    FileCommand(
        name="fill",
        section="fill",
        options=Fill,
        files=("fill.observations", "fill.stations", "fill.dem"),
        about="Fill the gaps in FILE, NetCDF or Zarr, with a trained model.",
        pipelines=("station_scores",),
        env=OWN_FIELDS,
    ),
    FileCommand(
        name="fill-gaps",
        section="gap_filling",
        options=GapFilling,
        files=("ingestion.path", "gap_filling.append"),
        about="Fill the gaps of FILE, NetCDF or Zarr, from its own values.",
        env="gap_filling",
        pipelines=("gap_appending",),
        params_only=("learned", "max_minutes"),
    ),
    FileCommand(
        name="grid-stations",
        section="station_fields",
        options=StationFields,
        files=("station_fields.stations", "station_fields.like", "station_fields.dem", "station_fields.mask"),
        about="Make fields from FILE alone, a table of stations, CSV or Parquet, or NetCDF of readings along tracks.",
    ),
    FileCommand(
        name="score",
        section="forecast_scores",
        options=ForecastScores,
        files=("forecast_scores.forecasts", "forecast_scores.stations", "forecast_scores.dem"),
        about="Score FILE, gridded forecasts as NetCDF or Zarr, at stations.",
    ),
    FileCommand(
        name="predict",
        section="predict",
        options=Predict,
        files=("predict.states",),
        about="Forecast from the last states of FILE, NetCDF or Zarr.",
        env=OWN_FIELDS,
    ),
    FileCommand(
        name="record-cycle",
        section="record_cycle",
        options=RecordCycleOptions,
        files=("record_cycle.observations",),
        about="Analyse FILE, NetCDF or Zarr, step by step: forecast, then update.",
        env=OWN_FIELDS,
    ),
)
