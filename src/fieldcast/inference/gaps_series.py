"""A stretch of each variable in which values are hidden, as the methods fill it: the table of a figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from fieldcast import calendars
from fieldcast.encoding.gappy_record import GappyRecord
from fieldcast.models.gaps.error_variance import ErrorVariances
from fieldcast.models.gaps.hidden import Hidden
from fieldcast.models.gaps.reach import present_variables
from fieldcast.models.gaps.trial import Trial

LENGTH = 60  # number of times in a stretch


@dataclass(frozen=True, eq=False)
class Stretches:
    """Series of one column of each variable, which has hidden and other observed values close together.

    Parameters
    ----------
    columns
        Numbers of the columns in the record.
    begins
        First time of each stretch.
    locations
        Variable, latitude and longitude of each column.
    times
        Dates of the record.
    truth, linear
        Anomalies of the values, and those of linear interpolation in time.
    climatology, scale
        Climatology and standard deviation of the anomalies, in units of the variable.
    observed, hidden
        Masks of the values that the methods see, and of those hidden from them.
    empty
        Times at which the methods see no value of a variable.
    """

    columns: Int[Tensor, " variable"]
    begins: Int[Tensor, " variable"]
    locations: list[dict[str, str | float]]
    times: Shaped[np.ndarray, " time"]
    truth: Float[Tensor, "time variable"]
    linear: Float[Tensor, "time variable"]
    climatology: Float[Tensor, "time variable"]
    scale: Float[Tensor, " variable"]
    observed: Bool[Tensor, "time variable"]
    hidden: Bool[Tensor, "time variable"]
    empty: Bool[Tensor, "time variable"]

    @classmethod
    def of(cls, visible: GappyRecord, hidden: Hidden) -> Stretches:
        """The stretches with most hidden and most visible values; `visible` is the record without the hidden ones."""
        observed, mask, codec = visible.record.observed, hidden.mask, visible.codec
        series, begins = [], []
        for v in range(len(codec.variables)):
            columns_of_variable = (visible.variable == v).nonzero()[:, 0]
            length = min(LENGTH, len(visible.times))
            first, column = most_hidden_stretch(
                mask[:, columns_of_variable], observed[:, columns_of_variable], length
            )
            series.append(columns_of_variable[column])
            begins.append(first)
        columns = torch.stack(series)
        locations: list[dict[str, str | float]] = [
            {
                "variable": codec.variables[v],
                "latitude": codec.latitude[y],
                "longitude": codec.longitude[x],
            }
            for v, y, x in visible.has_column.nonzero()[columns.cpu()].tolist()
        ]
        return cls(
            columns, torch.tensor(begins), locations, calendars.iso(visible.times), visible.record.x[:, columns],
            visible.linear_in_time(columns), visible.climatology(columns), visible.scale[columns], observed[:, columns],
            mask[:, columns], ~present_variables(observed, visible.variable),
        )  # fmt: skip

    def table(self, best: Trial, dineof: Trial, variances: ErrorVariances) -> pd.DataFrame:
        """The series in units of their variables.

        Columns: `variable, latitude, longitude, time`; `observed` and `hidden`, the values that the methods
        see and those hidden from them, NaN elsewhere; `filled` and `spread` of the best method, `dineof` and
        `linear_in_time`. The spread is the root of `variances`.
        """
        anomalies = {
            "filled": best.mean_of_series,
            "dineof": dineof.mean_of_series,
            "linear_in_time": self.linear,
            "observed": torch.where(self.observed, self.truth, torch.nan),
            "hidden": torch.where(self.hidden, self.truth, torch.nan),
        }
        columns = {name: x * self.scale + self.climatology for name, x in anomalies.items()}
        spread = variances(best.predictors_of_series, self.empty).sqrt()
        columns["spread"] = spread.masked_fill(self.observed, 0.0) * self.scale
        tables = []
        for number, location in enumerate(self.locations):
            first = int(self.begins[number])
            stretch = slice(first, first + LENGTH)
            values = {name: np.asarray(values[stretch, number].cpu()) for name, values in columns.items()}
            tables.append(pd.DataFrame(location | {"time": self.times[stretch]} | values))
        return pd.concat(tables, ignore_index=True)


def most_hidden_stretch(
    hidden: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], length: int
) -> tuple[int, int]:
    """First time and cell of the stretch of `length` times with most hidden and most visible values.

    The product of the two numbers decides; the first of several equal ones is taken.
    """
    totals = []
    for present in (hidden, observed):
        total = torch.cat(
            [torch.zeros_like(present[:1], dtype=torch.int32), present.cumsum(0, dtype=torch.int32)]
        )
        totals.append(total[length:] - total[:-length])
    best = int((totals[0] * totals[1]).argmax())
    return divmod(best, hidden.shape[1])
