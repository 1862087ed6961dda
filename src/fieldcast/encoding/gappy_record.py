"""Fields with gaps as a record: one column for each cell of a variable that has a value at some time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fieldcast import calendars, geometry
from fieldcast.encoding.anomalies import FieldCodec, on_days
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.models.gaps.in_time import linear_in_time
from fieldcast.models.gaps.record import Record


@dataclass(frozen=True, eq=False)
class GappyRecord:
    """A record and the places of its columns.

    Parameters
    ----------
    record
        Standardised anomalies from the climatology of all times.
    codec
        That climatology, and the standard deviations of anomalies.
    there
        Which cells of (variable, latitude, longitude) are columns.
    times
        Time axis of the fields.
    """

    record: Record
    codec: FieldCodec
    there: Bool[Tensor, "variable y x"]
    times: xr.DataArray

    @classmethod
    def of(cls, fields: xr.Dataset, device: torch.device) -> GappyRecord:
        """The record of some fields.

        Raises
        ------
        InputError
            If values are observed at fewer than two times.
        """
        climatology = climatologies.fit(fields, shrink=True)
        codec = FieldCodec.of(fields, climatology, normalisations.fit(fields, climatology))
        x = codec.encode(fields)
        there = torch.isfinite(x).any(0)
        columns = x[:, there].to(device)
        observed = torch.isfinite(columns)
        segment = torch.from_numpy(fields["segment"].values.astype(np.int64)).to(device)
        record = Record(torch.where(observed, columns, 0.0), observed, segment)
        return cls(record, codec, there, fields["time"])

    def without(self, hidden: Bool[Tensor, "time column"], fields: xr.Dataset) -> GappyRecord:
        """The record without some values, as anomalies from the climatology of the values left.

        `fields` are those that the record was made of; the standard deviations stay those of all values.
        """
        grid, names = self.on_grid(hidden, False), self.codec.variables
        left = fields.assign(
            {
                name: fields[name].transpose("time", *geometry.GRID).where(~grid[:, v])
                for v, name in enumerate(names)
            }
        )
        climatology = on_days(climatologies.fit(left, shrink=True), names)
        changed = replace(self, codec=replace(self.codec, climatology=climatology))
        observed = self.record.observed & ~hidden
        x = self.record.x + (self.climatology - changed.climatology) / self.scale
        return replace(
            changed, record=replace(self.record, x=torch.where(observed, x, 0.0), observed=observed)
        )

    @property
    def variable(self) -> Int[Tensor, " column"]:
        """Index of the variable of each column."""
        return self.there.nonzero()[:, 0].to(self.record.x.device)

    @property
    def points(self) -> Float[np.ndarray, "column 3"]:
        """Columns on the unit sphere."""
        unit = geometry.unit_points(self.codec.latitude, self.codec.longitude)
        _, y, x = self.there.nonzero().numpy().T
        return np.asarray(unit[y, x])

    @property
    def area(self) -> Float[Tensor, " column"]:
        """Area of the cell of each column."""
        exists = np.ones(self.there.shape[1:], dtype=bool)
        areas = torch.from_numpy(geometry.cell_areas(self.codec.latitude, self.codec.longitude, exists))
        return areas.expand(self.there.shape)[self.there].to(self.record.x.device)

    @property
    def scale(self) -> Float[Tensor, " column"]:
        """Standard deviation by which the anomalies of each column were divided, in the units of its variable."""
        return torch.from_numpy(self.codec.deviation)[self.variable.cpu()].to(self.record.x.device)

    @property
    def climatology(self) -> Float[Tensor, "time column"]:
        """Climatology of each value, in the units of its variable."""
        values = torch.from_numpy(self.codec.climatology_at(self.times))
        return values[:, self.there].to(self.record.x.device)

    @property
    def values(self) -> Float[Tensor, "time column"]:
        """The observed values, in the units of their variables."""
        return self.record.x * self.scale + self.climatology

    def linear_in_time(self, record: Record) -> Float[Tensor, "time column"]:
        """Anomalies of the values, not the anomalies, of a record on these columns, interpolated linearly in time."""
        climatology = self.climatology / self.scale
        hours = torch.from_numpy(calendars.hours(self.times)).to(climatology.device)
        return linear_in_time(record.x + climatology, record.observed, hours) - climatology

    def on_grid(
        self, values: Shaped[Tensor, "time *member column"], outside: float | int = np.nan
    ) -> Shaped[np.ndarray, "time *member variable y x"]:
        """Values on the grid, with `outside` where there is no column."""
        grid = torch.full((*values.shape[:-1], *self.there.shape), outside, dtype=values.dtype)
        grid[..., self.there] = values.cpu()
        return grid.numpy()
