"""Periods of a split over which a filter cycles during its calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.anomalies import FieldCodec
from fieldcast.encoding.options import Calibration
from fieldcast.errors import InputError
from fieldcast.models import masks
from fieldcast.models.assimilation.filter import Filter
from fieldcast.models.core import Context
from fieldcast.models.random_streams import RandomStreams, seed_for
from fieldcast.models.selection import evenly


@dataclass(frozen=True, eq=False)
class CyclePeriods:
    """Successive true states for cycles, with their days of the year and their first times."""

    x: Float[Tensor, "time cycle variable y x"]
    days: Float[Tensor, "time cycle"]
    first: xr.DataArray  # the first time of each cycle
    per_variable: bool = False  # whether variables have separate masks

    @classmethod
    def of(
        cls, split: xr.Dataset, codec: FieldCodec, cycles: int, length: int, device: torch.device,
        per_variable: bool = False,
    ) -> CyclePeriods:  # fmt: skip
        """Evenly spaced stretches of a split.

        Raises
        ------
        InputError
            If the split has no stretch of that length without a gap.
        """
        length = min(length, split.sizes["time"])
        segment = split["segment"].values
        unbroken = torch.from_numpy(segment[: len(segment) - length + 1] == segment[length - 1 :]).nonzero()[
            :, 0
        ]
        if not len(unbroken):
            raise InputError(
                f"a filter is calibrated by cycles over {length} successive states, and a split has no stretch of "
                "that length without a gap: lower assimilation.calibration.steps or tuning."
            )
        starts = unbroken[evenly(len(unbroken), cycles)]
        positions = starts + torch.arange(length)[:, None]  # (time, cycle)
        states = split.isel(time=positions.flatten().numpy())
        x = torch.nan_to_num(codec.encode(states)).unflatten(0, positions.shape).to(device)
        return cls(
            x,
            codec.days(states["time"]).view(positions.shape).to(device),
            split["time"][starts.numpy()],
            per_variable,
        )

    def contexts(self, options: Calibration, noise: float, filter: Filter, seed: int) -> Iterator[Context]:
        """Yield the observations of each time; all cycles share the mask of a step."""
        space, device = filter.space, self.x.device
        for number, (x, day) in enumerate(zip(self.x, self.days, strict=True)):
            of_step = RandomStreams(seed_for("network", seed), torch.tensor([number], device=device))
            mask = masks.draw(
                (options.pattern,), (options.k, options.k), of_step, space, self.per_variable
            ).expand_as(x)
            cycles = torch.arange(len(x), device=device)
            errors = RandomStreams(seed_for("errors of the network", seed), cycles, step=number)
            yield Context(
                len(x), observed=masks.observe(x, mask, noise, errors), mask=mask, day=day, noise=noise
            )
