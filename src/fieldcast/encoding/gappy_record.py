"""Fields with gaps as a record: one column for each cell of a variable that has a value at some time.

Other variables may predict those of the record (`fields.domain.predictors`). The part b z(t) of an anomaly that depends
linearly on their anomalies z of the same time, in the cell and its four neighbours, belongs to the climatology then:
b is estimated from the observed values of the cell, by ridge regression towards the coefficients of all cells together.
Anomalies of predictors that are missing themselves are interpolated in time as red noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fieldcast import calendars, geometry
from fieldcast.encoding.anomalies import FieldCodec, climatology_array
from fieldcast.encoding.field_layout import layout_of
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import domain
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.conventions import time_varying
from fieldcast.fields.observation_error import NO_ERRORS, Errors, error_variance
from fieldcast.fields.quantities import Quantities, Quantity, mapped, part_names
from fieldcast.models.gaps.censored import with_latent_values
from fieldcast.models.gaps.held_out import HeldOut, hold_out_values
from fieldcast.models.gaps.in_time import linear_in_time, pieces, red_noise
from fieldcast.models.gaps.observation_error import with_smoothed_values
from fieldcast.models.gaps.reach import Columns
from fieldcast.models.gaps.record import Bounds, Parameters, Record
from fieldcast.models.random_streams import generator_for

# the coefficients of all cells weigh as much as so many values of a cell
RIDGES = 10.0, 100.0, 1000.0, 1e6
SHARE_RIDGE = 1e-3  # penalty of the coefficients of all cells, as a share of the values
BLOCKS = 5  # of times, each predicted by the others, which choose the ridge
SAMPLED_CELLS = 200  # number of cells of a variable, at random, by which it is chosen
SHIFT = "climatology shift"  # parameter: mean change of each column by its latent values


class OwnVariable(NamedTuple):
    """A variable of the fields, and its parts among the variables of the record, which are those of mapped fields."""

    name: str
    quantity: Quantity | None
    parts: range


class Continued(NamedTuple):
    """The parts of a `GappyRecord` that another one takes over which continues it."""

    climatology: Float[np.ndarray, "365 variable y x"]
    deviation: Float[np.ndarray, " variable"]
    has_column: Bool[Tensor, "variable y x"]
    seasons: str
    is_censored: bool


@dataclass(frozen=True, eq=False)
class GappyRecord:
    """A record of fields with gaps, with the grid cell of each column.

    Parameters
    ----------
    record
        Standardised anomalies from the climatology of all times.
    codec
        Codec with this climatology and the standard deviations of anomalies.
    has_column
        Mask of the cells (variable, latitude, longitude) that are columns of the record.
    times
        Time axis of the fields.
    seasons
        Kind of the climatology (`fields.climatology`).
    own
        The variables of the fields, which a mapping may have divided into parts (`fields.quantities`).
    is_censored
        Whether some value is at a bound.
    drift
        The part of the climatology that other variables predict, in standard deviations of the anomalies; None without
        predictors.
    determined
        Mask of the values of which all predictors are known; None without predictors.
    """

    record: Record
    codec: FieldCodec
    has_column: Bool[Tensor, "variable y x"]
    times: xr.DataArray
    seasons: str
    own: Sequence[OwnVariable]
    is_censored: bool
    drift: Float[Tensor, "time column"] | None = None
    determined: Bool[Tensor, "time column"] | None = None

    @classmethod
    def of(
        cls, fields: xr.Dataset, device: torch.device, chosen: Quantities = MappingProxyType({}),
        errors: Errors = NO_ERRORS, continued: Continued | None = None,
    ) -> GappyRecord:  # fmt: skip
        """The record of some fields, of which `chosen` says which are mapped; their observed values may have errors.

        Anomalies of a record that continues another one are from the climatology of that.
        """
        own, first = [], 0
        for name in time_varying(fields):
            parts = range(first, first + len(part_names(name, chosen.get(name))))
            own.append(OwnVariable(name, chosen.get(name), parts))
            first = parts.stop
        in_own_units, fields = fields, mapped(fields, chosen)
        if continued is None:
            climatology = climatologies.fit(fields, shrink=True)
            codec = FieldCodec.of(fields, climatology, normalisations.fit(fields, climatology))
            seasons = str(climatology.attrs["kind"])
            x = codec.encode(fields)
            has_column = torch.isfinite(x).any(0)
            if domain.sea(fields) is not None:
                has_column = torch.from_numpy(domain.with_columns(fields))
            is_censored = has_value_at_bound(codec, fields, own)
        else:
            values, deviation, has_column, seasons, is_censored = continued
            codec = FieldCodec(**vars(layout_of(fields)), climatology=values, deviation=deviation)
            x = codec.encode(fields)
        x = x[:, has_column].to(device)
        observed = torch.isfinite(x)
        noise = None
        if errors.deviation:
            variance = error_variance(in_own_units, errors, own, codec.deviation)
            noise = torch.from_numpy(variance)[:, has_column].to(device)
        segment = torch.from_numpy(fields["segment"].values.astype(np.int64)).to(device)
        masked = domain.masked(fields)
        if masked is not None:  # each variable has the columns of its cells
            y, x_index = has_column.nonzero()[:, 1:].T
            masked = torch.from_numpy(masked.values)[:, y, x_index].to(device)
        record = Record(
            x.masked_fill_(~observed, 0.0), observed, segment, column_locations(fields, has_column, device),
            bounds=bounds(codec, fields, own, has_column, device) if is_censored else None,
            noise=noise, masked=masked,
        )  # fmt: skip
        gappy = cls(record, codec, has_column, fields["time"], seasons, own, is_censored)
        return gappy if continued is not None else gappy.with_predictors(fields)

    def with_predictors(
        self, fields: xr.Dataset, held_out: Bool[Tensor, "time column"] | None = None
    ) -> GappyRecord:
        """The record with the part of the climatology that predictors of the fields add, fitted to observed values."""
        names = set(domain.predicted_variables(fields))
        if not names:
            return self
        parts = [part for variable in self.own if variable.name in names for part in variable.parts]
        groups = [self.columns_of(v) for v in parts]
        drift, determined = predicted_part(self.record, self.has_column, fields, groups, held_out)
        x, bounds = self.record.x - drift, self.record.bounds and self.record.bounds.minus(drift)
        if held_out is None:
            x.masked_fill_(~self.record.observed, 0.0)
        return replace(
            self, record=replace(self.record, x=x, bounds=bounds), drift=drift, determined=determined
        )

    def hold_out(self, seed: int) -> HeldOut:
        """Held-out values of the record; the parts of a variable are held out together."""
        if len(self.own) == len(self.codec.variables):
            return hold_out_values(self.record, seed)
        together = torch.arange(len(self.variable), device=self.variable.device)
        for variable in self.own:
            first = self.columns_of(variable.parts[0])
            for part in variable.parts:
                together[self.columns_of(part)] = together[first]
        return hold_out_values(self.record, seed, together)

    def columns_of(self, v: int) -> slice:
        """The columns of a variable of the record."""
        first = int(self.has_column[:v].sum())
        return slice(first, first + int(self.has_column[v].sum()))

    def without(self, held_out: Bool[Tensor, "time column"], fields: xr.Dataset) -> GappyRecord:
        """The record without held-out values, as anomalies from the climatology of the visible ones.

        `fields` are the fields of the record, in their own units. The standard deviations remain those of all values,
        and the anomalies of held-out values remain in x, where they do not count as observed.
        """
        names, fields = self.codec.variables, mapped(fields, self.mappings)
        visible = fields.assign(
            {
                name: fields[name].transpose("time", *geometry.GRID).where(~self.on_grid(held_out, v, False))
                for v, name in enumerate(names)
            }
        )
        climatology = climatology_array(climatologies.fit(visible, shrink=True), names)
        del visible
        codec = replace(self.codec, climatology=climatology)
        changed = replace(self, codec=codec, drift=None, determined=None)
        x, observed = torch.empty_like(self.record.x), self.record.observed & ~held_out
        limits = self.record.bounds and self.record.bounds.minus(torch.zeros_like(self.scale))
        for cells in pieces(x.shape[1], len(x)):
            shift = self.climatology(cells) - changed.climatology(cells)
            x[:, cells] = self.record.x[:, cells] + shift / self.scale[cells]
            for bound in limits or ():
                bound[:, cells] += shift / self.scale[cells]
        record = replace(self.record, x=x, observed=observed, bounds=limits)
        return replace(changed, record=record).with_predictors(fields, held_out)

    def with_latent_values(self, fitted: Parameters | None = None) -> GappyRecord:
        """The record with Gaussian values in place of censored ones, and smoothed ones in place of those with errors.

        Its values are anomalies from their climatology. Parameters in `fitted` are those of a record that this one
        continues, whose climatology is that of such values already; new ones are added.
        """
        fitted = {} if fitted is None else fitted
        if SHIFT in fitted:
            record = shifted(with_latent_values(shifted(self.record, fitted[SHIFT]), fitted), -fitted[SHIFT])
            return replace(self, record=with_smoothed_values(record, fitted))
        record = with_latent_values(self.record, fitted)
        if record is self.record:
            return replace(self, record=with_smoothed_values(record, fitted))
        change = (record.x - self.record.x).masked_fill_(~record.observed, 0.0)
        shift = fitted[SHIFT] = change.sum(0) / record.observed.sum(0).clamp(min=1)
        climatology = self.codec.climatology.copy()
        climatology[:, self.has_column.cpu().numpy()] += (shift * self.scale).cpu().numpy()
        record = with_smoothed_values(shifted(record, -shift), fitted)
        return replace(self, record=record, codec=replace(self.codec, climatology=climatology))

    def continued(self) -> Continued:
        """The parts that a record takes over which continues this one."""
        codec = self.codec
        return Continued(codec.climatology, codec.deviation, self.has_column, self.seasons, self.is_censored)

    @property
    def mappings(self) -> Quantities:
        """Quantities of the variables that are mapped."""
        return {name: quantity for name, quantity, _ in self.own if quantity is not None}

    @property
    def variable(self) -> Int[Tensor, " column"]:
        """Index of the variable of each column."""
        return self.record.columns.variable

    @property
    def scale(self) -> Float[Tensor, " column"]:
        """Standard deviation of the anomalies of each column, in the units of its variable."""
        return torch.from_numpy(self.codec.deviation)[self.variable.cpu()].to(self.record.x.device)

    def climatology(self, columns: slice | Int[Tensor, " some"]) -> Float[Tensor, "time some"]:
        """Climatology of some columns at all times, in the units of their variables."""
        cell = self.has_column.nonzero()[columns if isinstance(columns, slice) else columns.cpu()]
        days, index = np.unique(calendars.day_of_year(self.times) - 1, return_inverse=True)
        by_day = torch.from_numpy(self.codec.climatology[days[:, None], *cell.T.numpy()])
        normal = by_day[torch.from_numpy(index)].to(self.record.x.device)
        return normal if self.drift is None else normal + self.drift[:, columns] * self.scale[columns]

    def linear_in_time(self, columns: slice | Int[Tensor, " some"]) -> Float[Tensor, "time some"]:
        """Anomalies of linearly interpolated values of some columns, which are not interpolated anomalies.

        Values without an observation on either side, or only across masked ones, have the climatology.
        """
        record, climatology = self.record, self.climatology(columns) / self.scale[columns]
        hours = torch.from_numpy(calendars.hours(self.times)).to(climatology.device)
        values = record.x[:, columns] + climatology
        observed = record.observed[:, columns]
        filled = linear_in_time(values, observed, hours, record.masked_in(columns))
        return filled.sub_(climatology).nan_to_num_(nan=0.0)

    def on_grid(
        self, values: Shaped[Tensor, "time *member column"], v: int, outside: float | int = np.nan
    ) -> Shaped[np.ndarray, "time *member y x"]:
        """Values of a variable on the grid, with `outside` in cells without a column.

        If every cell has a column, the result shares the memory of the values.
        """
        return self.to_grid(values[..., self.columns_of(v)], v, outside)

    def to_grid(
        self, values: Shaped[Tensor, "time *member some"], v: int, outside: float | int = np.nan
    ) -> Shaped[np.ndarray, "time *member y x"]:
        """Values of the columns of a variable on the grid, as in `on_grid`."""
        has_column, values = self.has_column[v], values.cpu()
        if has_column.all():
            return values.unflatten(-1, has_column.shape).numpy()
        grid = torch.full((*values.shape[:-1], *has_column.shape), outside, dtype=values.dtype)
        grid[..., has_column] = values
        return grid.numpy()


def shifted(record: Record, shift: Float[Tensor, " column"]) -> Record:
    """A record with a shift of its values and of their bounds."""
    return replace(record, x=record.x + shift, bounds=record.bounds and record.bounds.minus(-shift))


# Regression on predictors. With the sums G = Z'Z and g = Z'x of the observed values of a cell (Z: predictors, and 1),
# the coefficients are b = c + (G + r D)^-1 (g - G c): ridge regression (Hoerl and Kennard 1970) towards those of all
# cells of the variable, c = (sum G + s n D)^-1 sum g, where D is the unit matrix. The ridge r is the one with the
# smallest error at blocks of times, each predicted by the other times.


def predicted_part(
    record: Record, has_column: Bool[Tensor, "variable y x"], fields: xr.Dataset, groups: Sequence[slice],
    held_out: Bool[Tensor, "time column"] | None = None,
) -> tuple[Float[Tensor, "time column"], Bool[Tensor, "time column"]]:  # fmt: skip
    """The part of the values that the predictors of the fields predict, and a mask of where all of them are known.

    Each group, the columns of a variable, has a ridge of its own; other columns have 0, and are not known. Held-out
    values count as not observed; each predictor is hidden there as often as it is missing at missing values.
    """
    drift, determined = torch.zeros_like(record.x), torch.zeros_like(record.observed)
    cells = has_column.nonzero()[:, 1:].cpu()
    arrays = [array.transpose("time", *geometry.GRID).values for array in domain.predictors(fields).values()]
    is_finite = np.all([np.isfinite(array) for array in arrays], axis=0)
    circles = geometry.wraps(fields["longitude"].values)
    width = 5 * len(arrays) + 1
    for group in groups:
        columns = torch.arange(group.start, group.stop)
        y, x = cells[group].numpy().T
        determined[:, group] = torch.from_numpy(is_finite[:, y, x])
        complete = []
        for array in arrays:
            visible = array
            if held_out is not None and not np.isfinite(array[:, y, x]).all():
                available = torch.from_numpy(np.isfinite(array[:, y, x])).to(held_out.device)
                hidden = hidden_predictor(record, available, held_out[:, group], group).cpu().numpy()
                visible = array.copy()
                visible[:, y, x] = np.where(hidden, np.nan, array[:, y, x])
            complete.append(without_gaps(visible, record.segment.cpu()))
        used = record.observed[:, group] & determined[:, group]
        tables: list[tuple[Tensor, ...]] = []  # sums of some cells in blocks of times
        sample = torch.randperm(len(columns), generator=generator_for("cells that choose the ridge"))
        sample = sample[:SAMPLED_CELLS].sort().values
        for part in pieces(len(sample), len(record.x) * width):
            selected = columns[sample[part]]
            z = neighbour_values(complete, cells[selected], circles).to(record.x.device)
            tables.append(block_sums(z, record.x[:, selected], used[:, sample[part]]))
        ridge, common = ridge_of(*(torch.cat(each, dim=1) for each in zip(*tables, strict=True)))
        for part in pieces(len(columns), len(record.x) * width):
            selected = columns[part]
            z = neighbour_values(complete, cells[selected], circles).to(record.x.device)
            coefficients = regression(*sums(z, record.x[:, selected], used[:, part]), ridge, common)
            drift[:, selected] = torch.einsum("tck,ck->tc", z, coefficients.to(z))
    return drift, determined


def hidden_predictor(
    record: Record, available: Bool[Tensor, "time some"], held_out: Bool[Tensor, "time some"], columns: slice
) -> Bool[Tensor, "time some"]:
    """Mask of the held-out values of which a predictor is hidden, all of a time or none.

    At whole times and at others, as large a share of them lacks it as of the missing values there.
    """
    observed = record.observed[:, columns] & ~held_out
    missing = ~(observed | held_out)
    masked = record.masked_in(columns)
    if masked is not None:
        missing &= ~masked
    draw = torch.rand(len(available), generator=generator_for("hidden predictors")).to(available.device)
    is_empty = ~(observed | held_out).any(1), ~observed.any(1)  # the times, before and after holding out
    hidden = torch.zeros_like(available)
    for whole in (True, False):
        at_missing = available[missing & (is_empty[0] == whole)[:, None]].double()
        at_held_out = held_out & (is_empty[1] == whole)[:, None]
        if len(at_missing) and at_held_out.any():
            keep = float(at_missing.mean()) / max(float(available[at_held_out].double().mean()), 1e-9)
            hidden |= at_held_out & (draw >= keep)[:, None]
    return hidden


def without_gaps(array: Float[np.ndarray, "time y x"], segment: Int[Tensor, " time"]) -> np.ndarray:
    """A predictor, with its mean as red noise where it is missing."""
    values = torch.from_numpy(array).flatten(1)
    present = values.isfinite()
    if present.all():
        return array
    mean = red_noise(values.nan_to_num(nan=0.0), present, segment)[0]
    return torch.where(present, values, mean).unflatten(1, array.shape[1:]).numpy()


def neighbour_values(
    arrays: Sequence[Float[np.ndarray, "time y x"]], cells: Int[Tensor, "column 2"], circles: bool
) -> Float[Tensor, "time column predictor"]:
    """Predictors of some cells: each of the arrays in the cell, south, north, west and east of it, and 1.

    Beyond an edge of the grid, the cell itself stands for its neighbour.
    """
    (y, x), (rows, width) = cells.cpu().numpy().T, arrays[0].shape[1:]
    if circles:
        west, east = (x - 1) % width, (x + 1) % width
    else:
        west, east = np.maximum(x - 1, 0), np.minimum(x + 1, width - 1)
    places = (y, x), (np.maximum(y - 1, 0), x), (np.minimum(y + 1, rows - 1), x), (y, west), (y, east)
    values = [array[:, i, j] for array in arrays for i, j in places]
    return torch.from_numpy(np.stack([*values, np.ones_like(values[0])], axis=-1).astype(np.float32))


def sums(
    z: Float[Tensor, "time column predictor"], x: Float[Tensor, "time column"],
    observed: Bool[Tensor, "time column"],
) -> tuple[Float[Tensor, "column predictor predictor"], Float[Tensor, "column predictor"]]:  # fmt: skip
    """The sums Z'Z and Z'x of the observed values of each column."""
    seen = z.double() * observed[..., None]
    return torch.einsum("tck,tcl->ckl", seen, seen), torch.einsum("tck,tc->ck", seen, x.double())


def regression(
    squares: Float[Tensor, "column predictor predictor"], products: Float[Tensor, "column predictor"],
    ridge: float, common: Float[Tensor, " predictor"],
) -> Float[Tensor, "column predictor"]:  # fmt: skip
    """Coefficients of each column, shrunk to the common ones."""
    penalty = ridge * torch.eye(len(common), dtype=squares.dtype, device=squares.device)
    penalty[-1, -1] = 1.0  # the mean
    return common + torch.linalg.solve(squares + penalty, products - squares @ common)


def common_coefficients(
    squares: Float[Tensor, "column predictor predictor"], products: Float[Tensor, "column predictor"]
) -> Float[Tensor, " predictor"]:
    """Coefficients of all columns together, whose mean is left to each."""
    total = squares.sum(0)
    penalty = (1.0 + SHARE_RIDGE * total[-1, -1]) * torch.eye(
        len(total), dtype=total.dtype, device=total.device
    )
    common: Float[Tensor, " predictor"] = torch.linalg.solve(total + penalty, products.sum(0))
    common[-1] = 0.0
    return common


def block_sums(
    z: Float[Tensor, "time column predictor"], x: Float[Tensor, "time column"],
    observed: Bool[Tensor, "time column"],
) -> tuple[Tensor, ...]:  # fmt: skip
    """The `sums` of each block of times."""
    blocks = [slice(*ends) for ends in pairwise(np.linspace(0, len(x), BLOCKS + 1).astype(int).tolist())]
    return tuple(map(torch.stack, zip(*(sums(z[b], x[b], observed[b]) for b in blocks), strict=True)))


def ridge_of(
    squares: Float[Tensor, "block column predictor predictor"], products: Float[Tensor, "block column predictor"]
) -> tuple[float, Float[Tensor, " predictor"]]:  # fmt: skip
    """The best of `RIDGES` at blocks of times that others predict, and the common coefficients, of some columns.

    Up to a constant, the sum of the squared errors of a block is b'Gb - 2 b'g.
    """
    whole = squares.sum(0), products.sum(0)
    errors = dict.fromkeys(RIDGES, 0.0)
    for square, product in zip(squares, products, strict=True):
        rest = whole[0] - square, whole[1] - product
        common = common_coefficients(*rest)
        for ridge in RIDGES:
            b = regression(*rest, ridge, common)
            errors[ridge] += float(torch.einsum("ck,ckl,cl->", b, square, b) - 2 * (b * product).sum())
    return min(RIDGES, key=errors.__getitem__), common_coefficients(*whole)


def has_value_at_bound(codec: FieldCodec, fields: xr.Dataset, own: Sequence[OwnVariable]) -> bool:
    """Whether some value of the mapped fields is at a bound."""
    ends = {codec.variables[v]: q.ends for _, q, parts in own if q is not None for v in parts}
    return any(
        bool((fields[name] <= np.float32(low)).any() or (fields[name] >= np.float32(high)).any())
        for name, (low, high) in ends.items()
    )


def bounds(
    codec: FieldCodec, fields: xr.Dataset, own: Sequence[OwnVariable], has_column: Bool[Tensor, "variable y x"],
    device: torch.device,
) -> Bounds:  # fmt: skip
    """Bounds of the columns as anomalies."""
    ends = {codec.variables[v]: q.ends for _, q, parts in own if q is not None for v in parts}
    anomalies = []
    for side in (0, 1):
        ends_of_side = {name: ends.get(name, (-np.inf, np.inf))[side] for name in codec.variables}
        encoded = codec.encode(
            fields.assign({v: xr.full_like(fields[v], end) for v, end in ends_of_side.items()})
        )
        anomalies.append(encoded[:, has_column].to(device))
    return Bounds(*anomalies)


def column_locations(
    fields: xr.Dataset, has_column: Bool[Tensor, "variable y x"], device: torch.device
) -> Columns:
    """Points, variables and areas of the columns."""
    variable, y, x = has_column.nonzero().T
    points = geometry.points_of(fields)[y.numpy(), x.numpy()]
    exists = np.ones(has_column.shape[1:], dtype=bool)
    area = torch.from_numpy(geometry.areas_of(fields, exists)).expand(has_column.shape)
    return Columns(np.asarray(points), variable.to(device), area[has_column].to(device))
