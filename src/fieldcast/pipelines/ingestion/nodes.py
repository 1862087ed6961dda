"""Ingestion: fields of any source, and what is fitted to their training split."""

import logging
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.fields import climatology as climatologies
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Ingestion
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.splits import make, select

LOG = logging.getLogger(__name__)


def make_fields(
    ingestion: Ingestion, earlier: xr.Dataset | None, earlier_quality: pd.DataFrame
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Fields and their quality; those on disk where they were made from the same source and options."""
    fingerprint = ingestion.fingerprint()
    if earlier is not None and earlier.attrs.get("fingerprint") == fingerprint and len(earlier_quality):
        LOG.info("The fields are there already: %s.", earlier.attrs["source"])
        return earlier, earlier_quality
    if ingestion.source == "planet":
        planet = simulate(ingestion.planet, ingestion.seed)
        planet.attrs["source"] = f"simulated planet, {ingestion.planet.years:g} years, seed {ingestion.seed}"
        fields, quality = ingest(planet, "the simulated planet")
    else:
        fields, quality = ingest_source(ingestion.file())
    return fields.assign_attrs(fingerprint=fingerprint), quality


def split(fields: xr.Dataset, ingestion: Ingestion) -> dict[str, Any]:
    """First and last time of the training, validation and test splits."""
    return make(fields["time"], ingestion.splits)


def fit_statistics(fields: xr.Dataset, splits: dict[str, Any]) -> tuple[xr.Dataset, xr.Dataset]:
    """Climatology and normalisation of the training split."""
    training = select(fields, splits, "train")
    climatology = climatologies.fit(training)
    return climatology, normalisations.fit(training, climatology)
