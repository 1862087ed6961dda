"""A pandas table in a CSV or Parquet file."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from kedro.io.core import DatasetError
from kedro_datasets._typing import TablePreview

from fieldcast.datasets.files import FileDataset

if TYPE_CHECKING:
    import pandas as pd

# columns of digests, read as text: pandas would take 48213e905716 for a number
DIGESTS = {"data": str, "model": str, "scored": str}


class TableDataset(FileDataset):
    """A pandas table without its index, as CSV or Parquet according to the suffix; numbers keep every digit.

    The pages of a Parquet file carry checksums, so that loading a damaged file raises DamagedError.
    `missing: empty` loads an empty table if there is no file.
    """

    def __init__(self, *, missing: Literal["error", "empty"] = "error", **settings: Any) -> None:
        """missing: "error", or "empty"."""
        super().__init__(missing=missing, **settings)
        if self._path.suffix not in (".csv", ".parquet"):
            raise DatasetError(f"'{self.location}' is neither .csv nor .parquet: choose one of the two")

    def _decode(self, content: bytes) -> "pd.DataFrame":
        import pandas as pd  # here and below: an existing file is noticed without the second that this import takes

        if self._path.suffix == ".parquet":
            return pd.read_parquet(
                io.BytesIO(content), **{"page_checksum_verification": True, **self._load_args}
            )
        if not content.strip():
            return pd.DataFrame()
        # an experiment may be called `nan`: only an empty field is missing
        text = {"keep_default_na": False, "na_values": [""]}
        options = {"dtype": DIGESTS, "float_precision": "round_trip", **text, **self._load_args}
        return pd.read_csv(io.BytesIO(content), **options)

    def _encode(self, data: "pd.DataFrame") -> bytes:
        if self._path.suffix == ".parquet":
            return data.to_parquet(None, **{"index": False, "write_page_checksum": True, **self._save_args})
        return data.to_csv(**{"index": False, "lineterminator": "\n", **self._save_args}).encode("utf-8")

    def _substitute(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame()

    def preview(
        self, nrows: int = 20, where: Mapping[str, Sequence[Any]] | None = None, sort: str | None = None
    ) -> TablePreview:
        """Show the first rows in kedro-viz.

        where: show only rows with one of these values in a column; sort: order rows by this column. Columns that the
        table lacks are ignored, so that one catalog pattern serves tables of several layouts.
        """
        table = self.load()
        for column, values in (where or {}).items():
            table = table[table[column].isin(values)] if column in table else table
        table = table.sort_values(sort) if sort in table else table
        return TablePreview(json.loads(table.head(nrows).to_json(orient="split", date_format="iso")))
