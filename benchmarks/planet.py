"""Speed of the simulated planet, its climate beside the one that it was tuned to, and the growth of its errors.

python -m benchmarks.planet [--years 12] [--seed 0]
"""

import argparse
import os
import time
from typing import Any

import numpy as np
import xarray as xr

from fieldcast.calendars import iso
from fieldcast.fields.planet.options import PlanetOptions
from fieldcast.fields.planet.perfect import perfect_model
from fieldcast.fields.planet.weather import VARIABLES, simulate

SOURCE = """\
Standard deviation and autocorrelation of anomalies (from three annual harmonics), 30 to 65 degrees.
In brackets: the prototype of this planet (another program: FFTs of complex numbers, float32), 40 years
daily as 8 realisations x 5 years, seed 1, after 365 days of spin-up. Measured on the 2 cores of the stored
results, it took 22 s of CPU per simulated decade with eight realisations together, 51 s with one alone."""
GROWTH_DAYS = 1, 3, 5, 10, 15, 20  # leads at which the growth of errors is printed
INITIAL_ERROR = 0.05  # error at the start of the perfect model [standard deviations of the weather]
LAGS = 1, 2, 3, 5, 10  # lags of autocorrelations [days]
REFERENCE = {
    "std all year, NH": (104, 4.2, 12.3, 4.9),
    "std all year, SH": (91, 3.9, 10.2, 4.5),
    "std DJF, NH": (132, 4.9, 15.1, 6.1),
    "std DJF, SH": (78, 3.3, 8.7, 3.6),
    "std JJA, NH": (73, 3.4, 9.0, 3.7),
    "std JJA, SH": (105, 4.4, 11.7, 5.3),
    "autocorrelation, 1 d": (0.72, 0.66, 0.70, 0.48),
    "autocorrelation, 2 d": (0.45, 0.37, 0.43, 0.21),
    "autocorrelation, 3 d": (0.28, 0.22, 0.28, 0.11),
    "autocorrelation, 5 d": (0.15, 0.10, 0.16, 0.04),
    "autocorrelation, 10 d": (0.03, 0.02, 0.05, 0.01),
}
# maximum of the zonal mean u200 [m/s], and its latitude
JETS = {"DJF, NH": (35, 48), "DJF, SH": (33, -53), "JJA, NH": (29, 53), "JJA, SH": (39, -48)}


def anomalies(x: np.ndarray) -> np.ndarray:
    """Daily values (time, ...) without their mean and three annual harmonics."""
    angle = 2 * np.pi * np.arange(len(x))[:, None] * np.arange(1, 4) / 365
    basis = np.concatenate([np.ones((len(x), 1)), np.cos(angle), np.sin(angle)], axis=1).astype(x.dtype)
    flat = x.reshape(len(x), -1) - x.mean(axis=0).reshape(1, -1)
    return (flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]).reshape(x.shape)


def seasons(days: int) -> dict[str, np.ndarray]:
    """Masks of the days of the whole year, of December to February and of June to August."""
    day = np.arange(days) % 365
    return {
        "all year": np.ones(days, bool),
        "DJF": (day < 59) | (day >= 334),
        "JJA": (day >= 151) & (day < 243),
    }


def statistics(field: xr.DataArray) -> dict[str, float]:
    """Rows of `REFERENCE`: statistics of each cell's anomalies, area-weighted means over 30 to 65 degrees."""
    latitude, anomaly = field.latitude.values, anomalies(field.values)
    weight = np.cos(np.radians(latitude)) * ((abs(latitude) > 30) & (abs(latitude) < 65))
    hemispheres = {"NH": weight * (latitude > 0), "SH": weight * (latitude < 0)}
    values: dict[str, float] = {}
    for season, days_of_season in seasons(len(anomaly)).items():
        std = anomaly[days_of_season].std(axis=0).mean(axis=1)
        values |= {f"std {season}, {name}": np.average(std, weights=w) for name, w in hemispheres.items()}
    variance = (anomaly**2).mean(axis=0)
    for lag in LAGS:
        correlation = ((anomaly[lag:] * anomaly[:-lag]).mean(axis=0) / variance).mean(axis=1)
        values[f"autocorrelation, {lag} d"] = np.average(correlation, weights=weight)
    return values


def jets(u200: xr.DataArray) -> dict[str, tuple[float, float]]:
    """Rows of `JETS`; the latitude is that of the parabola through the highest three."""
    values = {}
    for season, days_of_season in seasons(u200.sizes["time"]).items():
        for name, half in {"NH": slice(0, 90), "SH": slice(-90, 0)}.items():
            if season != "all year":
                zonal = u200[days_of_season].mean(["time", "longitude"]).sel(latitude=half)
                top = int(np.clip(zonal.values.argmax(), 1, zonal.size - 2))
                a, b, _ = np.polyfit([-1, 0, 1], zonal[top - 1 : top + 2], 2)
                spacing = float(zonal.latitude[1] - zonal.latitude[0])
                values[f"{season}, {name}"] = (
                    float(zonal.max()),
                    float(zonal.latitude[top]) - b / 2 / a * spacing,
                )
    return values


def report(data: xr.Dataset) -> None:
    """Print each statistic beside its reference."""
    units = {"z500": "m", "t650": "K", "u200": "m/s", "ws800": "m/s"}
    print("\n" + " " * 22 + "".join(f"{f'{name} [{units[name]}]':>20}" for name in VARIABLES))
    columns = {name: statistics(data[name]) for name in VARIABLES}
    for row, references in REFERENCE.items():
        digits = 2 if row.startswith("auto") else 1
        pairs = zip(columns.values(), references, strict=True)
        print(
            f"{row:22}"
            + "".join(f"{column[row]:11.{digits}f} ({there:6.{digits}f})" for column, there in pairs)
        )
    print("\nzonal mean u200: maximum [m/s] and where")
    for row, (speed, latitude) in jets(data.u200).items():
        there = JETS[row]
        print(f"{row:22}{speed:6.1f} ({there[0]}) at {latitude:6.1f} ({there[1]}) degrees north")


def growth(data: xr.Dataset) -> None:
    """Print the error of the perfect model's members (16 times, 2 members) in standard deviations of the weather."""
    times, day = iso(data["time"]), np.linspace(0, data.sizes["time"] - GROWTH_DAYS[-1] - 1, 16).astype(int)
    initial_times: Any = {"scored": times[day].tolist(), "leads": GROWTH_DAYS[-1], "members": 2, "digest": ""}
    states = data[["q"]].assign_attrs(lineage="")
    pieces = perfect_model(states, initial_times, times[[0, -1]].tolist(), INITIAL_ERROR, seed=0)
    weight = np.cos(np.radians(data.latitude.values))[:, None]
    print(
        f"\nRMSE of a member that starts with {INITIAL_ERROR} standard deviations of the weather's, in those of each "
        "variable"
    )
    print("days" + "".join(f"{name:>8}" for name in VARIABLES))
    scale = {
        name: (anomalies(data[name].values).var(axis=0) * weight).mean() / weight.mean() for name in VARIABLES
    }
    for lead, piece in enumerate(pieces, start=1):
        if lead in GROWTH_DAYS:
            error = {
                name: piece[name].values[0] - data[name].values[day + lead][:, None] for name in VARIABLES
            }
            square = {name: (e**2 * weight).mean() / weight.mean() for name, e in error.items()}
            print(f"{lead:4}" + "".join(f"{(square[name] / scale[name]) ** 0.5:8.3f}" for name in VARIABLES))


def main() -> None:
    """Simulate, time, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=float, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    options = PlanetOptions(years=arguments.years)
    wall, cpu = time.perf_counter(), time.process_time()
    data = simulate(options, arguments.seed)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    years = options.years + options.spin_up / 365
    load = os.getloadavg()[0]
    print(f"a machine of {os.cpu_count()} cores, load average {load:.1f} (1 of it is this run)")
    print(f"{cpu:.1f} s of CPU, {wall:.1f} s of wall time, for {years:g} simulated years of one realisation")
    print(f"{10 * cpu / years:.1f} s of CPU, {10 * wall / years:.1f} s of wall time, per simulated decade")
    print(f"\n{SOURCE}")
    report(data)
    growth(data)


if __name__ == "__main__":
    main()
