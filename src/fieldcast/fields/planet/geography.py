"""Geography of the simulated planet: mountains, and the sources that heat its winter air."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Bump(NamedTuple):
    """Gaussian bump: centre and half-widths [degrees], and height of the top."""

    latitude: float
    longitude: float
    width_latitude: float
    width_longitude: float
    top: float


# tops in metres; tuned to the climate of the model, not taken from an atlas
MOUNTAINS = {
    "Rockies": Bump(46, 250, 16, 16, 2500),
    "Tibet": Bump(38, 95, 13, 26, 4000),
    "Greenland": Bump(73, 320, 9, 20, 2200),
    "Andes": Bump(-30, 290, 22, 8, 3000),
    "Antarctica": Bump(-85, 80, 14, 180, 2800),
}
# tops in units of the parameter `heating`
HEAT_SOURCES = {
    "Kuroshio": Bump(40, 155, 13, 28, 1.0),
    "Gulf Stream": Bump(43, 308, 13, 24, 1.0),
    "Siberia": Bump(55, 95, 14, 35, -0.7),
    "Canada": Bump(55, 255, 14, 22, -0.7),
    "Indian Ocean": Bump(-45, 50, 10, 35, 0.6),
}


def relief(
    bumps: dict[str, Bump],
    longitude: Float[np.ndarray, " longitude"],
    latitude: Float[np.ndarray, " latitude"],
) -> Float[np.ndarray, "longitude latitude"]:
    """Sum of bumps on a grid [degrees]."""
    total = np.zeros((longitude.size, latitude.size))
    for bump in bumps.values():
        east = (longitude[:, None] - bump.longitude + 180) % 360 - 180
        north = latitude - bump.latitude
        total += bump.top * np.exp(-((north / bump.width_latitude) ** 2) - (east / bump.width_longitude) ** 2)
    return total
