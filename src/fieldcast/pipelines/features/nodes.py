"""Features, fitted once for each data set."""

from typing import Any

import xarray as xr

from fieldcast.fields.splits import SplitRanges
from fieldcast.lineage import made_from


@made_from(extractor="fieldcast.inference.samples.features.made_from")
def fit_features(
    fields: xr.Dataset, normalisation: xr.Dataset, splits: SplitRanges, previous_extractor: Any
) -> bytes:
    """Features of a classifier for labelled images; otherwise principal components and local statistics."""
    from fieldcast.inference.samples import features

    return features.fit_features(fields, normalisation, splits, previous_extractor())
