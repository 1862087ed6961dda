"""Pictures of a folder, by name; kedro-viz shows all of them on one sheet."""

import base64
import io
from itertools import accumulate
from typing import Any

from kedro_datasets._typing import ImagePreview
from kedro_datasets.partitions import PartitionedDataset
from PIL import Image

from fieldcast.datasets.files import BytesDataset

COLUMNS, WIDTH, MARGIN = 2, 900, 20  # columns of a sheet; width of one and margin, in pixels


class PicturesDataset(PartitionedDataset):
    """PNG files of one folder by name: saves {name: content} in place of all there was, loads {name: function}."""

    def __init__(self, *, path: str, **settings: Any) -> None:
        """path: of the folder; the rest as kedro-datasets' PartitionedDataset has it."""
        super().__init__(path=path, dataset=BytesDataset, filename_suffix=".png", overwrite=True, **settings)

    def preview(self) -> ImagePreview:
        """All pictures on one sheet, by name, for kedro-viz: base64 of a PNG file."""
        loaded = sorted(self.load().items())
        pictures = [Image.open(io.BytesIO(load())).convert("RGB") for _, load in loaded]
        content = io.BytesIO()
        sheet([narrowed(picture) for picture in pictures]).save(content, "PNG")
        return ImagePreview(base64.b64encode(content.getvalue()).decode())


def narrowed(picture: Image.Image) -> Image.Image:
    """As wide as a column."""
    return picture.resize((WIDTH, max(1, round(picture.height * WIDTH / picture.width))))


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Row by row on white, each row as high as its highest picture."""
    rows = [pictures[start : start + COLUMNS] for start in range(0, len(pictures), COLUMNS)]
    heights = [max(picture.height for picture in row) + MARGIN for row in rows]
    whole = Image.new("RGB", (COLUMNS * (WIDTH + MARGIN), max(1, sum(heights))), "white")
    for row, top in zip(rows, accumulate(heights, initial=0), strict=False):
        for column, picture in enumerate(row):
            whole.paste(picture, (column * (WIDTH + MARGIN), top))
    return whole
