"""Kedro's catalog, without the imports that each parameter costs there."""

from typing import Any

from kedro.framework.context import CatalogCommandsMixin
from kedro.io import DataCatalog, MemoryDataset


class Catalog(DataCatalog, CatalogCommandsMixin):
    """Catalog that stores parameters as deep copies.

    Kedro's own catalog imports pandas and looks for ibis to decide how to copy each parameter: half a second for two
    thousand parameters, even in a run that is refused.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        """Add a data set, or data; parameters are `parameters` and `params:...`."""
        if key == "parameters" or key.startswith("params:"):
            value = MemoryDataset(value, copy_mode="deepcopy")
        super().__setitem__(key, value)
