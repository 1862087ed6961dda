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

LENGTH = 60  # times of a stretch


@dataclass(frozen=True, eq=False)
class Stretches:
    """Series of one column of each variable, which has hidden and other observed values close together.

    Parameters
    ----------
    columns
        Numbers of the columns in the record.
    begins
        First time of each stretch.
    places
        Variable, latitude and longitude of each column.
    times
        Dates of the record.
    truth, linear
        Anomalies of the values, and those of linear interpolation in time.
    climatology, scale
        What the anomalies depart from, and the standard deviation that they were divided by, in units of the variable.
    observed, hidden
        Values left to the methods, and those hidden from them.
    empty
        Times at which each variable has no value that is left.
    """

    columns: Int[Tensor, " variable"]
    begins: Int[Tensor, " variable"]
    places: list[dict[str, str | float]]
    times: Shaped[np.ndarray, " time"]
    truth: Float[Tensor, "time variable"]
    linear: Float[Tensor, "time variable"]
    climatology: Float[Tensor, "time variable"]
    scale: Float[Tensor, " variable"]
    observed: Bool[Tensor, "time variable"]
    hidden: Bool[Tensor, "time variable"]
    empty: Bool[Tensor, "time variable"]

    @classmethod
    def of(cls, left: GappyRecord, hidden: Hidden) -> Stretches:
        """The stretches with most hidden and most other observed values.

        `left` is the record without the hidden ones.
        """
        observed, mask, codec = left.record.observed, hidden.mask, left.codec
        series, begins = [], []
        for v in range(len(codec.variables)):
            of_variable = (left.variable == v).nonzero()[:, 0]
            length = min(LENGTH, len(left.times))
            first, column = most_hidden(mask[:, of_variable], observed[:, of_variable], length)
            series.append(of_variable[column])
            begins.append(first)
        columns = torch.stack(series)
        places: list[dict[str, str | float]] = [
            {
                "variable": codec.variables[v],
                "latitude": codec.latitude[y],
                "longitude": codec.longitude[x],
            }
            for v, y, x in left.there.nonzero()[columns.cpu()].tolist()
        ]
        return cls(
            columns, torch.tensor(begins), places, calendars.iso(left.times), left.record.x[:, columns],
            left.linear_in_time(columns), left.climatology(columns), left.scale[columns], observed[:, columns],
            mask[:, columns], ~present_variables(observed, left.variable),
        )  # fmt: skip

    def table(self, best: Trial, dineof: Trial, variances: ErrorVariances) -> pd.DataFrame:
        """The series in units of their variables.

        Columns: `variable, latitude, longitude, time`; `observed` and `hidden`, the values left to the methods and
        those hidden from them, NaN elsewhere; `filled` and `spread` of the best method, `dineof` and `linear_in_time`.
        The spread is the root of `variances`.
        """
        anomalies = {
            "filled": best.mean_of_series,
            "dineof": dineof.mean_of_series,
            "linear_in_time": self.linear,
            "observed": torch.where(self.observed, self.truth, torch.nan),
            "hidden": torch.where(self.hidden, self.truth, torch.nan),
        }
        columns = {name: x * self.scale + self.climatology for name, x in anomalies.items()}
        spread = variances(best.claims_of_series, self.empty).sqrt()
        columns["spread"] = spread.masked_fill(self.observed, 0.0) * self.scale
        tables = []
        for number, place in enumerate(self.places):
            first = int(self.begins[number])
            part = slice(first, first + LENGTH)
            values = {name: np.asarray(values[part, number].cpu()) for name, values in columns.items()}
            tables.append(pd.DataFrame(place | {"time": self.times[part]} | values))
        return pd.concat(tables, ignore_index=True)


def most_hidden(
    hidden: Bool[Tensor, "time cell"], observed: Bool[Tensor, "time cell"], length: int
) -> tuple[int, int]:
    """First time and cell of the stretch of `length` times with most hidden and most other observed values.

    The product of the two numbers decides; of several the first.
    """
    totals = []
    for present in (hidden, observed):
        total = torch.cat(
            [torch.zeros_like(present[:1], dtype=torch.int32), present.cumsum(0, dtype=torch.int32)]
        )
        totals.append(total[length:] - total[:-length])
    best = int((totals[0] * totals[1]).argmax())
    return divmod(best, hidden.shape[1])
