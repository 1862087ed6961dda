"""The codecs of the task `sample`, whose states have no date, between data sets and tensors.

    fields   x = (field - mean) / standard deviation, with statistics of each variable over the training split
    images   x = grey values after a treatment of `models.image_transforms`

Tensors are (N, V, Y, X); data sets have the dimension `sample` in place of `time`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from fieldcast.encoding.field_layout import FieldLayout, layout_of
from fieldcast.fields.prepared import of_mapped_values
from fieldcast.geometry import GRID
from fieldcast.kinds import SAMPLE, as_draws
from fieldcast.models import image_transforms
from fieldcast.models.options import Treatment
from fieldcast.models.random_streams import RandomStreams
from fieldcast.models.space import Space

States = Float[Tensor, "batch variable y x"]


@runtime_checkable
class StateCodec(Protocol):
    """The interface of both codecs."""

    @property
    def treatment(self) -> str:
        """Preprocessing of the data; scores of different treatments are not comparable."""
        ...

    def encode(self, data: xr.Dataset, out: States | None = None) -> States:
        """Standardised fields, or grey values, before the treatment; in `out` if it is given."""
        ...

    def apply_treatment(self, values: States, streams: RandomStreams) -> States:
        """x for encoded values; the treatment of images may be random."""
        ...

    def decode(self, x: States) -> xr.Dataset:
        """States in physical units, or grey values."""
        ...

    def bits_per_dim(self, log_prob: Tensor, cells: int) -> Tensor:
        """Bits per dimension for log p(x) in nats: per standardised cell of fields, per grey value of images."""
        ...


def standardise(
    values: Float[np.ndarray, "*states variable y x"],
    mean: Float[np.ndarray, " variable"],
    deviation: Float[np.ndarray, " variable"],
) -> Float[np.ndarray, "*states variable y x"]:
    """(values - mean) / deviation, with the statistics of each variable."""
    return (values - mean[:, None, None]) / deviation[:, None, None]


@dataclass(frozen=True, eq=False)
class AnyDayCodec(FieldLayout):
    """Standardise fields in the same way on all days.

    The first parameters are inherited from `FieldLayout`.

    Parameters
    ----------
    mean, deviation
        Mean and standard deviation of each variable over the training split, in physical units, or of mapped values.
    """

    mean: Float[np.ndarray, " variable"]
    deviation: Float[np.ndarray, " variable"]

    kind = "any_day"
    statistics = ("mean", "deviation")
    treatment = "standardised"

    @classmethod
    def of(cls, fields: xr.Dataset, normalisation: xr.Dataset) -> AnyDayCodec:
        """The codec of fields in their layout, with mean and standard deviation of each variable in `normalisation`."""
        _, normalisation, quantities = of_mapped_values(xr.Dataset(), normalisation)
        layout = layout_of(fields, quantities)
        mean, deviation = (
            normalisation[name].sel(variable=list(layout.variables)).values.astype(np.float32)
            for name in ("mean", "std")
        )
        return cls(**vars(layout), mean=mean, deviation=deviation)

    def encode(self, data: xr.Dataset, out: States | None = None) -> States:
        """Standardised states, in `out` if it is given; cells that do not exist have the mean."""
        return torch.nan_to_num(torch.from_numpy(self.standardise(data)), out=out)

    def standardise(self, data: xr.Dataset) -> Float[np.ndarray, "state variable y x"]:
        """Standardised states with all their missing or non-finite values."""
        arrays = [part for v in self.names for part in self.mapped(v, data[v].transpose(..., *GRID).values)]
        return standardise(np.stack(arrays, axis=-3), self.mean, self.deviation).astype(np.float32)

    def apply_treatment(self, values: States, streams: RandomStreams) -> States:
        return values

    def decode(self, x: States) -> xr.Dataset:
        values = x.cpu().numpy() * self.deviation[:, None, None] + self.mean[:, None, None]
        return self.dataset("samples", values, (SAMPLE,), {SAMPLE: np.arange(len(x))})

    def bits_per_dim(self, log_prob: Tensor, cells: int) -> Tensor:
        return -log_prob / cells / math.log(2)


@dataclass(frozen=True)
class ImageCodec:
    """Grey values 0 .. levels - 1, and their treatment for a model."""

    treatment: Treatment
    levels: int

    names = ("image",)

    def encode(self, data: xr.Dataset, out: States | None = None) -> States:
        grey = torch.from_numpy(data["image"].values.astype(np.float32, copy=out is None))[:, None]
        return grey if out is None else out.copy_(grey)

    def apply_treatment(self, values: States, streams: RandomStreams) -> States:
        return image_transforms.treat(values, self.treatment, self.levels, streams)

    def decode(self, x: States) -> xr.Dataset:
        grey = image_transforms.grey_values(x.cpu(), self.treatment, self.levels)[:, 0].numpy()
        image = (SAMPLE, "y", "x"), grey, {"units": "1", "long_name": "grey value"}
        return as_draws("images", xr.Dataset({"image": image}, {SAMPLE: np.arange(len(x))}))

    def bits_per_dim(self, log_prob: Tensor, cells: int) -> Tensor:
        return image_transforms.bits_per_dim(log_prob, cells, self.treatment, self.levels)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that a checkpoint stores."""
        return {}

    def header(self) -> dict[str, Any]:
        """The entries of a checkpoint's header."""
        return {"codec": "image", "treatment": self.treatment, "levels": self.levels}


def space_of_images(images: xr.Dataset) -> Space:
    """The Space of images: flat, with equal cells and no static fields."""
    shape = images.sizes["y"], images.sizes["x"]
    return Space(
        variables=("image",),
        wraps=False,
        area=torch.ones(shape),
        exists=torch.ones(shape, dtype=torch.bool),
        points=torch.zeros(*shape, 3),
        static=torch.zeros(0, *shape),
        tendency=torch.ones(1),
    )
