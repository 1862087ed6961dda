"""Ingestion: fields from any source, and the statistics of their training split."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast import plugins
from fieldcast.fields import climatology as climatologies
from fieldcast.fields import images
from fieldcast.fields import normalisation as normalisations
from fieldcast.fields.contracts import fits_digest
from fieldcast.fields.ingest import ingest, ingest_source
from fieldcast.fields.options import Ingestion
from fieldcast.fields.planet import reference
from fieldcast.fields.planet.weather import simulate
from fieldcast.fields.quality import table
from fieldcast.fields.splits import SplitRanges, make, select
from fieldcast.kinds import are_images

LOG = logging.getLogger(__name__)


def make_fields(
    ingestion: Ingestion, earlier: Mapping[str, Any]
) -> tuple[xr.Dataset, pd.DataFrame, xr.Dataset]:
    """Fields, their quality, and the states of the simulated planet; the earlier ones if the options are unchanged.

    Stored fields that do not match their digest are recreated. For other sources the data set of states is empty, so
    that it replaces the states of an earlier planet.
    """
    mark = {"lineage": ingestion.lineage()}
    planet, states = ingestion.source == "planet", xr.Dataset(attrs=mark)
    stored, quality, stored_states = (earlier.get(name) for name in ("fields", "quality", "planet_states"))
    if stored_states is not None and mark.items() <= stored_states.attrs.items():
        states = stored_states
    whole = quality is not None and len(quality) > 0 and (not planet or len(states.data_vars) > 0)
    if whole and stored is not None and mark.items() <= stored.attrs.items():
        if fits_digest(stored):
            LOG.info("Using the existing fields: %s.", stored.attrs["source"])
            if planet:
                _warn_of_another_planet(ingestion, stored, states)
            return stored, quality, states
        LOG.warning("The stored fields are damaged (they do not fit their digest): they are recreated.")
    elif stored is not None and stored.attrs.get("lineage") != mark["lineage"]:
        LOG.warning(
            "The stored fields (%s) were made with other options or files, and will be replaced.",
            stored.attrs["source"],
        )
    if ingestion.source == "images":
        pictures = images.open_images(ingestion.images, ingestion.folder())
        return pictures.assign_attrs(mark), table(images.inspect(pictures)), states
    if ingestion.source == "file":
        fields, quality = ingest_source(ingestion.file())
        return fields.assign_attrs(mark), quality, states
    if not planet:  # a function of an installed package
        brought = plugins.load("fieldcast.sources", ingestion.source)(ingestion)
        fields, quality = ingest(brought, f"the source '{ingestion.source}'")
        return fields.assign_attrs(mark), quality, states
    simulated = simulate(ingestion.planet, ingestion.seed)
    simulated.attrs["source"] = f"simulated planet, {ingestion.planet.years:g} years, seed {ingestion.seed}"
    fields, quality = ingest(simulated, "the simulated planet")
    states = simulated[["q"]].assign_attrs(mark, digest=reference.state_digest(simulated["q"]))
    _warn_of_another_planet(ingestion, fields, states)
    return fields.assign_attrs(mark), quality, states


def _warn_of_another_planet(ingestion: Ingestion, fields: xr.Dataset, states: xr.Dataset) -> None:
    """Log a warning if scores of this planet cannot be compared with the documented ones."""
    digests = {"states": states.attrs.get("digest"), "fields": fields.attrs["digest"]}
    sentence = reference.difference(ingestion.planet, ingestion.seed, digests)
    if sentence:
        LOG.warning(sentence)


def split(fields: xr.Dataset, ingestion: Ingestion) -> Mapping[str, Any]:
    """First and last time of the training, validation and test splits; for images, first and last number."""
    if are_images(fields):
        return images.split(fields, ingestion.images.validation)
    return make(fields["time"], ingestion.splits)


def fit_statistics(fields: xr.Dataset, splits: SplitRanges) -> tuple[xr.Dataset, xr.Dataset]:
    """Climatology and normalisation of the training split; images, which have no year, have neither."""
    if are_images(fields):
        return xr.Dataset(), xr.Dataset()
    training = select(fields, splits, "train")
    climatology = climatologies.fit(training)
    return climatology, normalisations.fit(training, climatology)
