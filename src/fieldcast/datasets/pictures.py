"""PNG files, alone or in a folder, as kedro-viz shows them: those of a folder one below another."""

import base64
from html import escape
from typing import Any

from kedro_datasets._typing import HTMLPreview, ImagePreview
from kedro_datasets.partitions import PartitionedDataset

from fieldcast.datasets.base import flattened
from fieldcast.datasets.files import BytesDataset

FIGURE = (
    '<figure style="margin: 0 0 16px"><figcaption>{title}</figcaption>'
    '<img alt="{title}" style="width: 100%" src="data:image/png;base64,{content}"></figure>'
)


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

    def preview(self) -> HTMLPreview:
        """Show each picture below its name in kedro-viz, in the order of the names."""
        figures = []
        for name, load in sorted(self.load().items()):
            title = escape(
                name.replace("_", " ")
            )  # kedro-viz reads underscores as Markdown, in attributes too
            figures.append(FIGURE.format(title=title, content=base64.b64encode(load()).decode()))
        return HTMLPreview("".join(figures))
