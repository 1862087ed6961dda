"""Ingestion: fields from any source, and the statistics of their training split."""

import logging
from typing import Any

import pandas as pd
import xarray as xr

from fieldcast.encoding.options import Sparsification
from fieldcast.errors import InputError
from fieldcast.fields.options import Ingestion
from fieldcast.fields.paths import require
from fieldcast.fields.quantities import quantity_of
from fieldcast.fields.splits import SplitRanges, make, select
from fieldcast.kinds import are_images
from fieldcast.lineage import made_from, matches

LOG = logging.getLogger(__name__)


@made_from(
    fields="fieldcast.pipelines.ingestion.nodes.fields_made_from",
    planet_states="fieldcast.pipelines.ingestion.nodes.fields_made_from",
)
def make_fields(
    ingestion: Ingestion, previous_fields: Any, previous_quality: Any, previous_planet_states: Any
) -> tuple[xr.Dataset, pd.DataFrame, xr.Dataset]:
    """Fields, their quality, and the states of the simulated planet; the earlier ones if the options are unchanged.

    Stored fields that do not match their digest are recreated. For other sources the data set of states is empty, so
    that it replaces the states of an earlier planet.
    """
    from fieldcast.fields import ingest
    from fieldcast.fields.contracts import fits_digest

    lineage = ingestion.lineage()
    stored, quality, states = previous_fields(), previous_quality(), previous_planet_states()
    planet, unchanged = ingestion.source == ingest.PLANET, has_lineage(stored, lineage)
    if planet and stored is not None and not unchanged:
        _refuse_replacement(stored)
    if states is None or not has_lineage(states, lineage):
        states = xr.Dataset(attrs={"lineage": lineage})
    complete = quality is not None and len(quality) > 0 and (not planet or len(states.data_vars) > 0)
    if stored is not None and unchanged and complete:
        if fits_digest(stored):
            files = "".join(f"'{path}', " for _, path in ingestion.files)
            LOG.info("Using the existing fields: %s%s.", files, stored.attrs["source"])
            if planet:
                _warn_of_another_planet(ingestion, stored, states)
            return stored, quality, states
        LOG.warning("The stored fields are damaged (they do not match their digest): they are recreated.")
    elif stored is not None and unchanged:
        others = "quality table or planet states are" if planet else "quality table is"
        LOG.warning("The stored fields' %s missing or damaged: the fields are recreated.", others)
    elif stored is not None:
        LOG.warning(
            "The stored fields (%s) were made with other options or files, and are replaced when new ones are ready.",
            stored.attrs["source"],
        )
    fields, quality, states = ingest.from_source(ingestion)
    if planet:
        _warn_of_another_planet(ingestion, fields, states)
    return fields.assign_attrs(lineage=lineage), quality, states.assign_attrs(lineage=lineage)


def has_lineage(stored: xr.Dataset | None, lineage: str) -> bool:
    """Whether a stored data set was made with the options and files of this lineage."""
    return stored is not None and matches(stored, {"lineage": lineage})


def _refuse_replacement(stored: xr.Dataset) -> None:
    """Raise InputError if the stored fields are not a simulated planet's."""
    from fieldcast.fields import ingest

    if not stored.attrs["source"].startswith(ingest.SIMULATED):
        raise InputError(
            f"ingestion: the data root holds fields of another source ({stored.attrs['source']}), and this run would "
            "replace them with the simulated planet: add the --env and the ingestion parameters that they were made "
            "with, or name another folder with --params data_root=FOLDER."
        )


def _warn_of_another_planet(ingestion: Ingestion, fields: xr.Dataset, states: xr.Dataset) -> None:
    """Log a warning if scores of this planet cannot be compared with the documented ones."""
    from fieldcast.fields.planet import weather

    digests = {"states": states.attrs.get("digest"), "fields": fields.attrs["digest"]}
    sentence = weather.difference(ingestion.planet, ingestion.seed, digests)
    if sentence:
        LOG.warning(sentence)


@made_from(splits="fieldcast.pipelines.ingestion.nodes.split")
def split(fields: xr.Dataset, ingestion: Ingestion) -> SplitRanges:
    """First and last time of the training, validation and test splits; for images, first and last number."""
    if are_images(fields):
        from fieldcast.fields import images

        return images.split(fields, ingestion.images.validation)
    return make(fields["time"], ingestion.splits)


def choose_quantities(
    fields: xr.Dataset, splits: SplitRanges, ingestion: Ingestion, sparsification: Sparsification, seed: int,
    device: str,
) -> tuple[dict[str, Any], pd.DataFrame]:  # fmt: skip
    """The mapping of each variable that is mapped, fitted to the training split, and the scores by which it was chosen.

    Images are never mapped.
    """
    from fieldcast.inference.quantities import COLUMNS, choose_quantities

    if are_images(fields):
        return {}, pd.DataFrame(columns=COLUMNS)
    given, training = ingestion.mappings, select(fields, splits, "train")
    chosen, scores = choose_quantities(training, given, seed, device, sparsification.training)
    return {name: quantity.state() for name, quantity in chosen.items()}, scores


def fit_statistics(
    fields: xr.Dataset, splits: SplitRanges, quantities: dict[str, Any]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Climatology and normalisation of the training split; images, which have no year, have neither."""
    from fieldcast.fields.prepared import fit_statistics

    if are_images(fields):
        return xr.Dataset(), xr.Dataset()
    chosen = {name: quantity_of(state) for name, state in quantities.items()}
    return fit_statistics(select(fields, splits, "train"), chosen)


def fields_made_from(ingestion: Ingestion) -> dict[str, Any]:
    """Lineage of the fields; empty where the files that they were read from are no longer there."""
    try:
        for option, path in ingestion.files:
            require(path, option)
        return {"lineage": ingestion.lineage()}
    except (OSError, ValueError):  # an InputError is a ValueError
        return {}
