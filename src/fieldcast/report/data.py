"""Summary of the data and their quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from fieldcast import calendars
from fieldcast.calendars import TimeStep
from fieldcast.fields.climatology import CONSTANT
from fieldcast.fields.splits import SplitRanges
from fieldcast.kinds import SAMPLE, are_images
from fieldcast.report.first_screen import SHORT_RECORD
from fieldcast.report.tables import Doubt

TOO_SHORT = Doubt(
    SHORT_RECORD,
    "< 2",
    "training years: no annual cycle could be estimated, so every score looks better than it is",
)


@dataclass(frozen=True)
class DataSummary:
    """Summary of a data set: facts (name, text), variables (name, units, long name, kind) and quality checks."""

    facts: Sequence[tuple[str, str]] = ()
    variables: Sequence[tuple[str, str, str, str]] = ()
    quality: pd.DataFrame = field(default_factory=pd.DataFrame)
    doubts: Sequence[Doubt] = ()


def describe(
    fields: xr.Dataset,
    splits: SplitRanges,
    climatology: xr.Dataset | None = None,
    quality: pd.DataFrame | None = None,
) -> DataSummary:
    """Summarise `fields` from coordinates and attributes alone, so they may be lazy.

    For images, `splits` are first and last samples and the climatology is empty.
    """
    kind = "" if climatology is None else str(climatology.attrs.get("kind", ""))
    facts = [
        ("Source", str(fields.attrs.get("source", "not stated"))),
        ("Digest", str(fields.attrs.get("digest", "not stated"))),
        *(about_images(fields, splits) if are_images(fields) else about_fields(fields, splits)),
    ]
    if kind:
        facts.append(("Climatology", climatology_in_words(kind)))
    doubts = [TOO_SHORT] if kind == CONSTANT else []
    return DataSummary(
        facts, variables_in_words(fields), pd.DataFrame() if quality is None else quality, doubts
    )


def about_fields(fields: xr.Dataset, splits: SplitRanges) -> list[tuple[str, str]]:
    """Period, grid, splits and climatology of fields."""
    when = calendars.iso(fields["time"])
    segments = len(np.unique(fields["segment"].to_numpy())) if "segment" in fields.coords else 1
    every = f", every {TimeStep.stored_in(fields.attrs)}" if fields.attrs.get("step_hours") else ""
    pieces = f", in {segments} contiguous segments" if segments > 1 else ""
    return [
        ("Period", f"{short_time(when[0])} to {short_time(when[-1])}: {len(when)} times{every}{pieces}"),
        ("Grid", grid_in_words(fields)),
        *((f"Split: {name}", split_in_words(when, span)) for name, span in splits.items()),
    ]


def about_images(images: xr.Dataset, splits: SplitRanges) -> list[tuple[str, str]]:
    """Number, size and splits of images."""
    height, width = images.sizes["y"], images.sizes["x"]
    levels = f", {images.attrs['levels']:g} grey values" if "levels" in images.attrs else ""
    labels = np.unique(images["label"].to_numpy()) if "label" in images.coords else np.array([])
    labelled = f", {len(labels)} labels" if len(labels) else ", without labels"
    return [
        ("Images", f"{images.sizes[SAMPLE]} images of {height} × {width} cells{levels}{labelled}"),
        *(
            (f"Split: {name}", f"{int(last) - int(first) + 1} images, {first} to {last}")
            for name, (first, last) in splits.items()
        ),
    ]


def short_time(moment: str) -> str:
    """A time without its seconds, and without midnight."""
    return moment.removesuffix(":00").replace("T", " ").removesuffix(" 00:00")


def split_in_words(when: np.ndarray, span: Sequence[str | int]) -> str:
    """First and last time of a split, and their number."""
    inside = int(((when >= str(span[0])) & (when <= str(span[1]))).sum())
    return f"{short_time(str(span[0]))} to {short_time(str(span[1]))}: {inside} times"


def grid_in_words(fields: xr.Dataset) -> str:
    """Size and extent of a grid."""
    latitude, longitude = (fields[name].to_numpy() for name in ("latitude", "longitude"))
    around = "global" if fields.attrs.get("wraps") else f"{longitude[0]:g} to {longitude[-1]:g} °E"
    latitudes = f"{len(latitude)} latitudes ({latitude[0]:g} to {latitude[-1]:g} °N)"
    return f"{latitudes} × {len(longitude)} longitudes ({around})".replace("-", "−")


def climatology_in_words(kind: str) -> str:
    """Kind of climatology, with the reason if it is not the default."""
    if kind == CONSTANT:
        return (
            "training mean: the data hold less than two training years, so no annual cycle could be "
            "estimated and anomalies are departures from the mean of the training times"
        )
    return f"{kind}, from the training split only"


def variables_in_words(fields: xr.Dataset) -> list[tuple[str, str, str, str]]:
    """Name, units, long name and kind of each variable."""
    return [
        (
            str(name),
            str(values.attrs.get("units", "")),
            str(values.attrs.get("long_name", "")),
            kind_in_words(values),
        )
        for name, values in fields.data_vars.items()
    ]


def kind_in_words(values: xr.DataArray) -> str:
    """Kind of a variable: one value per time, one per image, or constant."""
    return "changes in time" if "time" in values.dims else "images" if SAMPLE in values.dims else "static"
