"""Short names of common weather variables, from the ECMWF parameter table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

SHORT = {
    "geopotential": "z",
    "geopotential_height": "zg",
    "temperature": "t",
    "u_component_of_wind": "u",
    "v_component_of_wind": "v",
    "vertical_velocity": "w",
    "specific_humidity": "q",
    "relative_humidity": "r",
    "vorticity": "vo",
    "divergence": "d",
    "wind_speed": "ws",
    "2m_temperature": "t2m",
    "2m_dewpoint_temperature": "d2m",
    "10m_u_component_of_wind": "u10",
    "10m_v_component_of_wind": "v10",
    "10m_wind_speed": "ws10",
    "mean_sea_level_pressure": "msl",
    "surface_pressure": "sp",
    "sea_surface_temperature": "sst",
    "total_column_water_vapour": "tcwv",
    "total_column_vapor": "tcwv",
    "total_precipitation": "tp",
    "total_precipitation_6hr": "tp6h",
    "total_precipitation_24hr": "tp24h",
    "geopotential_at_surface": "zs",
    "land_sea_mask": "lsm",
}


def short(name: str) -> str:
    """Short name, or the name itself if it is not in the table."""
    return SHORT.get(name, name)


def names_in_file(names: Collection[str]) -> dict[str, str]:
    """The short name of each variable of a file; its own name where several would have the same."""
    count = Counter(map(short, names))
    return {name: short(name) if count[short(name)] == 1 else name for name in names}
