"""Options of the simulated planet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field, field_validator
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from fieldcast.fields.planet.sphere import Sphere

# Physical parameters of the simulated planet; a refusal of one must not wait for numpy.


YEAR = 365  # [days]
STATE_STEP = 2.0**-33  # rounding step of q [s-1]; |q| < 2^-9, so rounded values fit single precision
FIELD_STEP = 2.0**-7  # rounding step of the observable fields, in their units

Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Parameters:
    """Physical parameters: times in days, lengths in metres, latitudes in degrees.

    Parameters
    ----------
    truncation
        Triangular truncation T of the spectral model.
    step
        Time step dt, which must divide a day.
    radius_upper
        Deformation radius R1 between 200 and 500 hPa.
    radius_lower
        Deformation radius R2 between 500 and 800 hPa.
    relaxation
        Time scale tau_R of thermal relaxation.
    drag
        Time scale tau_E of surface drag.
    diffusion
        Time scale tau_H of diffusion at the smallest scale.
    scale_height
        Scale height H0 of the orographic term.
    jet_winter
        Equilibrium jet u1* at the core of the winter jet, where u3* = 0 [m s-1].
    jet_summer
        Equilibrium jet u1* at the core of the summer jet [m s-1].
    latitude_winter
        Latitude of the core of the winter jet.
    latitude_summer
        Latitude of the core of the summer jet.
    jet_width
        Half-width of the Gaussian jets.
    midwinter
        Day of the year of midwinter in the northern hemisphere.
    heating
        Heating Q of the air by a warm ocean current in winter [K day-1].
    """

    truncation: Annotated[int, Field(ge=4)] = 21
    step: Positive = 1.5 / 24
    radius_upper: Positive = 700e3
    radius_lower: Positive = 450e3
    relaxation: Positive = 30.0
    drag: Positive = 2.5
    diffusion: Positive = 3.0
    scale_height: Positive = 3.5e3
    jet_winter: float = 60.0
    jet_summer: float = 42.0
    latitude_winter: float = 37.0
    latitude_summer: float = 45.0
    jet_width: Positive = 14.0
    midwinter: float = 15.0
    heating: float = 3.0

    @field_validator("step")
    @classmethod
    def _divides_a_day(cls, step: float) -> float:
        if abs(round(1 / step) * step - 1) > 1e-9:
            raise ValueError(f"the step must divide a day, as 0.0625 does: {step} does not")
        return step


Count = Annotated[int, Field(ge=2)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PlanetOptions(Parameters):
    """Options of a simulation: the planet's parameters, the length, and the output grid.

    The default grid is WeatherBench's 5.625 degree grid.

    Parameters
    ----------
    years
        Length in years of 365 days, from 1 January; output is daily.
    spin_up
        Days simulated before the output and discarded; u200 still drifts after 180.
    n_longitude
        Number of longitudes of the output grid.
    n_latitude
        Number of latitudes of the output grid.
    """

    years: Annotated[float, Field(gt=0)] = 12.0
    spin_up: Annotated[int, Field(ge=0)] = YEAR
    n_longitude: Count = 64
    n_latitude: Count = 32

    def grid(self) -> Sphere:
        """Output grid: longitudes from 0, latitudes at the centres of cells of equal height."""
        from fieldcast.fields.planet.sphere import (  # here: options need no numpy
            Sphere,
            equiangular_latitudes,
        )

        return Sphere(self.truncation, self.n_longitude, equiangular_latitudes(self.n_latitude))

    @property
    def days(self) -> int:
        """Number of days of output."""
        return max(1, round(YEAR * self.years))
