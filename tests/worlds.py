"""A small planet-like world: smooth random fields with a season, through the real statistics."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from fieldcast import calendars
from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.ingest import ingest
from fieldcast.fields.prepared import PreparedData
from fieldcast.fields.splits import make, select


def make_world(days: int = 1500, rows: int = 7, columns: int = 12, seed: int = 0) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    time = pd.date_range("2001-01-01", periods=days)
    latitude, longitude = np.linspace(-75, 75, rows), np.arange(columns) * 360 / columns
    season = (
        np.cos(2 * np.pi * time.dayofyear.values / 365)[:, None, None] * np.sin(np.radians(latitude))[:, None]
    )
    waves = np.stack([np.cos(np.radians(m * longitude)) for m in range(3)] + [np.sin(np.radians(longitude))])
    shape = np.cos(np.radians(latitude))[None, :, None] * waves[:, None, :]
    data = {}
    for name, units, scale in (("t", "K", 5.0), ("z", "m", 80.0)):
        amplitude = rng.normal(size=(days, 4))
        weather = np.einsum("tm,myx->tyx", amplitude, shape) + 0.1 * rng.normal(size=(days, rows, columns))
        values = 280 + scale * (2 * season + weather)
        data[name] = (
            ("time", "latitude", "longitude"),
            values.astype(np.float32),
            {"units": units, "long_name": name},
        )
    return xr.Dataset(
        data, {"time": time, "latitude": latitude, "longitude": longitude}, {"source": "a test"}
    )


class World:
    def __init__(self, dataset: xr.Dataset):
        self.fields, self.quality = ingest(dataset)
        self.splits = make(self.fields["time"])
        training = select(self.fields, self.splits, "train")
        self.climatology = climatologies.fit(training)
        self.normalisation = normalisations.fit(training, self.climatology)
        self.codec = FieldCodec.of(self.fields, self.climatology, self.normalisation)
        self.space = space_of(self.fields, self.climatology, self.normalisation)

    @property
    def data(self) -> PreparedData:
        return PreparedData(self.fields, self.climatology, self.normalisation, self.splits)

    def split(self, name: str) -> xr.Dataset:
        return select(self.fields, self.splits, name)


@pytest.fixture(scope="session")
def world() -> World:
    return World(make_world())


def red_noise(time) -> xr.Dataset:
    """Red noise of two patterns with an annual cycle, on 4 x 6 cells at any times; NetCDF's attributes."""
    time = np.asarray(time)
    rng = np.random.default_rng(0)
    patterns, amplitude = rng.normal(size=(2, 4, 6)), np.zeros((len(time), 2))
    for i in range(1, len(time)):
        amplitude[i] = 0.8 * amplitude[i - 1] + rng.normal(size=2)
    year = calendars.fraction_of_year(time)
    values = 280 + 5 * np.cos(2 * np.pi * year)[:, None, None] + np.einsum("tp,pyx->tyx", amplitude, patterns)
    values += 0.1 * rng.normal(size=values.shape)
    grid = {
        "lat": ("lat", [-30.0, -10.0, 10.0, 30.0], {"units": "degrees_north"}),
        "lon": ("lon", 10.0 * np.arange(6), {"units": "degrees_east"}),
    }
    variable = (("time", "lat", "lon"), values.astype(np.float32), {"units": "K"})
    return xr.Dataset({"sst": variable}, {"time": time, **grid}, {"title": "red noise"})
