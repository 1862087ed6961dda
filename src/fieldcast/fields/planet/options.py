"""Options of the simulated planet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from fieldcast.fields.planet.parameters import YEAR, Parameters

if TYPE_CHECKING:
    from fieldcast.fields.planet.sphere import Sphere

Count = Annotated[int, Field(ge=2)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PlanetOptions(Parameters):
    """Options of a simulation: the planet's parameters, the length, and the output grid.

    The default grid is WeatherBench's 5.625 degree grid.
    """

    years: Annotated[float, Field(gt=0)] = 12.0  # years of 365 days, daily from 1 January
    # days run before the output and discarded; u200 still drifts after 180
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
