"""Kedro's catalog, without the imports that each parameter costs there."""

from typing import Any

from kedro.framework.context import CatalogCommandsMixin
from kedro.io import DataCatalog, MemoryDataset


class Catalog(DataCatalog, CatalogCommandsMixin):
    """Keeps parameters as deep copies, which Kedro decides for each after it has imported pandas and looked for ibis.

    For two thousand parameters that takes half a second, in every refusal as well.
    """

    def __setitem__(self, key: str, value: Any) -> None:
        """Add a data set, or data; parameters are `parameters` and `params:...`."""
        if key == "parameters" or key.startswith("params:"):
            value = MemoryDataset(value, copy_mode="deepcopy")
        super().__setitem__(key, value)
