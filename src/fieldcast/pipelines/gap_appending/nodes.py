"""Appending: later times of a filled record, from its stored fit."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from fieldcast.encoding.options import Limits
from fieldcast.errors import InputError
from fieldcast.fields.options import Ingestion
from fieldcast.inference.file_options import GapFilling


def append(
    ingestion: Ingestion, gap_filling: GapFilling, seed: int, limits: Limits, device: str
) -> tuple[bytes, xr.Dataset, str]:
    """The fit, the longer record and what was appended; without the stored fit, the whole record is fitted again."""
    from dataclasses import replace

    from fieldcast.fields.sources import open_layout, open_source
    from fieldcast.inference.gaps.appending import Granule, first_paragraph
    from fieldcast.inference.gaps.stored_fit import fit_name, named
    from fieldcast.pipelines.gap_filling.nodes import OF_SOURCE, fill_options_of
    from fieldcast.training.fill_gaps import append_to, opened

    if gap_filling.append is None:
        raise InputError("gap_filling.append is not set: name a filled record with --append FILE.")

    def new_times(options: Mapping[str, Any]) -> Granule:
        source = replace(ingestion, **{name: options[name] for name in OF_SOURCE})
        opened = open_source(source.file(), part=ingestion.mask is None)  # a mask that is named must be there
        return Granule(opened, open_layout(source), source.label)

    filled, where, stored = opened(gap_filling.append, None)
    given = fill_options_of(ingestion, gap_filling, seed, limits)
    result, fit = append_to(filled, where, stored, new_times, gap_filling, given, device)
    file = b"" if fit is None else fit.packed() if stored is None else stored.content
    return file, named(result, fit, fit_name(gap_filling.output)), first_paragraph(result)
