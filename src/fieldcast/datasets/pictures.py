"""PNG files, alone or in a folder, as kedro-viz shows them: those of a folder on one contact sheet."""

import base64
import io
from itertools import accumulate
from typing import Any

from kedro_datasets._typing import ImagePreview
from kedro_datasets.partitions import PartitionedDataset
from PIL import Image

from fieldcast.datasets.base import flattened
from fieldcast.datasets.files import BytesDataset

COLUMNS, WIDTH, MARGIN = 2, 900, 20  # columns of the sheet; width of a column and margin, in pixels


class PictureDataset(BytesDataset):
    """One PNG file, as bytes, which kedro-viz shows."""

    def preview(self) -> ImagePreview:
        """The picture (base64 of the file)."""
        return ImagePreview(base64.b64encode(self.load()).decode())


class PicturesDataset(PartitionedDataset):
    """PNG files in one folder: saves {name: content} in place of all earlier files, loads {name: function}."""

    def __init__(self, *, path: str, **settings: Any) -> None:
        """path: the folder; settings: those of PartitionedDataset in kedro-datasets."""
        super().__init__(path=path, dataset=BytesDataset, filename_suffix=".png", overwrite=True, **settings)

    @property
    def location(self) -> str:
        """The folder, with its protocol if it is remote."""
        return self._path

    def _init_config(self) -> dict[str, Any]:
        return flattened(super()._init_config())

    def load(self) -> dict[str, Any]:
        """List the files: functions that read them, by name; none if there is no file."""
        return super().load() if self._list_partitions() else {}

    def save(self, data: dict[str, bytes]) -> None:
        """Replace all files; the folder is there also if there are none."""
        super().save(data)
        self._filesystem.makedirs(self._normalized_path, exist_ok=True)

    def _exists(self) -> bool:
        return bool(self._filesystem.isdir(self._normalized_path))

    def preview(self) -> ImagePreview:
        """Show all pictures on one sheet in kedro-viz, in the order of their names (base64 of a PNG file)."""
        loaded = sorted(self.load().items())
        pictures = [Image.open(io.BytesIO(load())).convert("RGB") for _, load in loaded]
        content = io.BytesIO()
        sheet([narrowed(picture) for picture in pictures]).save(content, "PNG")
        return ImagePreview(base64.b64encode(content.getvalue()).decode())


def narrowed(picture: Image.Image) -> Image.Image:
    """Scale a picture to the width of a column."""
    return picture.resize((WIDTH, max(1, round(picture.height * WIDTH / picture.width))))


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Place pictures row by row on white; a row is as high as its highest picture."""
    rows = [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]
    heights = [max(picture.height for picture in row) + MARGIN for row in rows]
    whole = Image.new("RGB", (COLUMNS * (WIDTH + MARGIN), max(1, sum(heights))), "white")
    for row, top in zip(rows, accumulate(heights, initial=0), strict=False):
        for column, picture in enumerate(row):
            whole.paste(picture, (column * (WIDTH + MARGIN), top))
    return whole
