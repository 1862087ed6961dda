"""Data and statistics that ingestion prepares for all experiments.

The statistics of a variable that is mapped (`fields.quantities`) are stored twice: those of its own values, with which
scores are computed, and those of its mapped values, which models are given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr

from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.quantities import Circle, Clip, Quantities, mapped, part_names, quantity_of
from fieldcast.fields.splits import SplitRanges

# of mapped values: ending of names in the climatology, and of statistics in the normalisation
MAPPED = "_mapped"
QUANTITIES = "quantities"  # attribute of the normalisation: the mapping of each variable that is mapped


@dataclass(frozen=True, eq=False)
class PreparedData:
    """Fields with their splits, and the statistics of the training split.

    Parameters
    ----------
    fields
        All variables at all times, in physical units; or images.
    climatology, normalisation
        Statistics of the training split, as `fit_statistics` makes them; empty for images.
    splits
        First and last time of each split.
    """

    fields: xr.Dataset
    climatology: xr.Dataset
    normalisation: xr.Dataset
    splits: SplitRanges

    @property
    def statistics(self) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
        """Fields, climatology and normalisation, from which a codec is made."""
        return self.fields, self.climatology, self.normalisation


def fit_statistics(training: xr.Dataset, chosen: Quantities) -> tuple[xr.Dataset, xr.Dataset]:
    """Climatology and normalisation of a training split, of own and of mapped values.

    Those of an angle are its mean direction on each day, and of the signed difference from it along the shorter arc.
    """
    if not chosen:
        climatology = climatologies.fit(training)
        return climatology, normalisations.fit(training, climatology)
    of_parts = mapped(training, chosen)
    climatology_of_parts = climatologies.fit(of_parts)
    statistics_of_parts = normalisations.fit(of_parts, climatology_of_parts)
    climatology = climatologies.fit(training)
    for name, quantity in chosen.items():
        if isinstance(quantity, Circle):
            components = np.stack([climatology_of_parts[part].values for part in part_names(name, quantity)])
            climatology[name] = climatology[name].copy(data=quantity.inverse(components))
            normal = climatologies.at(climatology[[name]], training["time"])[name]
            arc = quantity.difference(training[name].values, normal.transpose(*training[name].dims).values)
            turned = normal + training[name].copy(data=arc)
            training = training.assign({name: turned.assign_attrs(training[name].attrs)})
    normalisation = normalisations.fit(training, climatology)
    names = [part for name, quantity in chosen.items() for part in part_names(name, quantity)]
    parts = statistics_of_parts["variable"].values
    return (
        climatology.assign({part + MAPPED: climatology_of_parts[part] for part in names}),
        normalisation.assign(
            {
                name + MAPPED: ("part", statistics_of_parts[name].values)
                for name in normalisations.STATISTICS
            }
        ).assign_coords(part=parts).assign_attrs(
            {QUANTITIES: json.dumps({name: quantity.state() for name, quantity in chosen.items()})}
        ),
    )  # fmt: skip


def quantities_in(normalisation: xr.Dataset) -> Quantities:
    """The quantities of the variables that are mapped."""
    stored = json.loads(normalisation.attrs.get(QUANTITIES, "{}"))
    return {name: quantity_of(state) for name, state in stored.items()}


def mapped_by(quantities: Quantities) -> dict[str, str]:
    """Names of the parts of mapped variables, as scores of mapped values call them; clipped values are not mapped."""
    return {
        part: f"{part}, mapped by {quantity.kind}"
        for name, quantity in quantities.items()
        if not isinstance(quantity, Clip)
        for part in part_names(name, quantity)
    }


def of_own_values(normalisation: xr.Dataset) -> xr.Dataset:
    """The statistics of own values alone."""
    of_mapped = [name for name in normalisation.data_vars if str(name).endswith(MAPPED)]
    return normalisation.drop_vars(of_mapped).assign_attrs({QUANTITIES: "{}"})


class MappedStatistics(NamedTuple):
    """Climatology and normalisation of the values that models are given, and the quantities."""

    climatology: xr.Dataset
    normalisation: xr.Dataset
    quantities: Quantities


def of_mapped_values(climatology: xr.Dataset, normalisation: xr.Dataset) -> MappedStatistics:
    """The statistics of mapped values, from those that `fit_statistics` made."""
    chosen = quantities_in(normalisation)
    if not chosen:
        return MappedStatistics(climatology, normalisation, chosen)
    parts = [str(part) for part in normalisation["part"].values]
    return MappedStatistics(
        xr.Dataset(
            {part: climatology.get(part + MAPPED, climatology.get(part)) for part in parts if climatology},
            attrs=climatology.attrs,
        ),
        xr.Dataset(
            {name: ("variable", normalisation[name + MAPPED].values) for name in normalisations.STATISTICS},
            {"variable": parts},
        ),
        chosen,
    )
