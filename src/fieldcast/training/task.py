"""Training problems: the interface of a task for training, and a base class for tasks on fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
import xarray as xr

from fieldcast.encoding.anomalies import FieldCodec, space_of
from fieldcast.errors import InputError
from fieldcast.fields.domain import has_gaps, in_memory
from fieldcast.models.core import Model
from fieldcast.models.space import Space
from fieldcast.training.batches import Batches
from fieldcast.training.options import Fit
from fieldcast.training.state_source import InMemory, States, Streamed


@runtime_checkable
class TrainingTask(Protocol):
    """A task with the options that change what a model learns."""

    @property
    def task(self) -> str:
        """Name of the task, as checkpoints hold it."""
        ...

    @property
    def takes_gaps(self) -> bool:
        """Whether values of the data may be missing at some times."""
        ...

    def fit_options(self) -> Mapping[str, Any]:
        """The options that change the fitted model, by name."""
        ...

    def check(self, kind: str, model: Model, fit: Fit) -> None:
        """Raise an InputError if a model of the type `kind` cannot be trained on this problem as `fit` says."""
        ...

    def codec(
        self, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset
    ) -> tuple[Any, Space]:
        """The codec between data and model, and the Space of the states."""
        ...

    def batches(self, split: xr.Dataset, codec: Any, model: Model, fit: Fit, training: bool) -> Batches:
        """A split as batches for a model, on its device; `training` is False for data that are scored only."""
        ...


class OnFields:
    """Base of problems on fields at a day of the year."""

    takes_gaps: ClassVar[bool] = False

    def codec(
        self, fields: xr.Dataset, climatology: xr.Dataset, normalisation: xr.Dataset
    ) -> tuple[FieldCodec, Space]:
        """Standardised anomalies."""
        return FieldCodec.of(fields, climatology, normalisation), space_of(fields, climatology, normalisation)

    def states(
        self, split: xr.Dataset, codec: FieldCodec, space: Space, fit: Fit, reach: tuple[int, int] = (0, 0)
    ) -> States:
        """A split on the device, in memory or streamed; cells that do not exist have the climatology.

        `reach` is the number of states before and after a datum that its batch needs.
        """
        device = space.area.device
        days = codec.days(split["time"]).to(device)
        segment = torch.from_numpy(split["segment"].values).to(device)
        exists = space.exists if has_gaps(split) else None
        if is_streamed(split, fit):
            return Streamed(split, codec.encode, days, segment, exists, reach, bool(space.exists.all()))
        x = codec.encode(split).to(device)
        observed = None if exists is None else x.isfinite() & exists
        return InMemory(torch.nan_to_num(x), days, segment, observed)


def is_streamed(split: xr.Dataset, fit: Fit) -> bool:
    """Whether to read the states of a split on demand, according to `fit.data`."""
    return fit.data == "stream" or (fit.data == "auto" and not in_memory(split))


def refuse_rollouts(kind: str, fit: Fit) -> None:
    """Raise an InputError if `fit` asks for training over rollouts."""
    if fit.longest > 1:
        raise InputError(
            f"{kind}: fit.rollout and fit.pushforward_steps are for forecasts of stepped.Stepped around a model that "
            "is trained by its draws: leave them out."
        )
