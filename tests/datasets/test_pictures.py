"""A folder of pictures: written even without any, and each with its preview."""

import base64
import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fieldcast.datasets import PictureDataset, PicturesDataset


def test_a_folder_without_pictures_has_been_written(tmp_path: Path) -> None:
    """`--only-missing-outputs` would otherwise draw the figures each time."""
    stored = PicturesDataset(filepath=str(tmp_path / "figures"))
    assert not stored.exists() and stored.load() == {}
    stored.save({})
    assert stored.exists() and stored.load() == {}


def test_each_picture_of_a_folder_has_its_preview(tmp_path: Path) -> None:
    """All pictures once stood on one contact sheet, too small to read."""
    stored = PicturesDataset(filepath=str(tmp_path / "figures"))
    colours = {"c": (0, 0, 255), "a": (255, 0, 0), "b": (0, 255, 0)}
    stored.save({"of a run before": b"PNG"})
    contents = {name: io.BytesIO() for name in colours}
    for name, colour in colours.items():
        Image.new("RGB", (90, 30 if name == "b" else 60), colour).save(contents[name], "PNG")
    stored.save({name: content.getvalue() for name, content in contents.items()})
    assert {name: load()[:4] for name, load in stored.load().items()} == dict.fromkeys("abc", b"\x89PNG")
    displayed = re.findall(
        r"<figcaption>(.)</figcaption><img [^>]*src=\"data:image/png;base64,([^\"]*)\">", stored.preview()
    )
    assert [name for name, _ in displayed] == ["a", "b", "c"]
    assert {name: base64.b64decode(content) for name, content in displayed} == {
        name: content.getvalue() for name, content in contents.items()
    }
    assert PicturesDataset.preview.__annotations__["return"].__name__ == "HTMLPreview"
    stored.save({"maps_random_10": contents["a"].getvalue()})
    assert "_" not in stored.preview()  # Markdown to kedro-viz, which would tear the element apart


def test_an_interrupted_folder_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--only-missing-outputs` draws it again, and nobody takes half of the figures for all."""
    stored = PicturesDataset(filepath=f"atomic://{tmp_path}/figures")

    class Interrupted(dict[str, bytes]):
        def items(self) -> Any:
            yield "a", b"new"
            raise KeyboardInterrupt

    for exists in (False, True):
        with pytest.raises(KeyboardInterrupt):
            stored.save(Interrupted())
        assert stored.exists() is exists and {name: load() for name, load in stored.load().items()} == (
            {"a": b"old"} if exists else {}
        )
        stored.save({"a": b"old"})


def test_one_picture_has_its_preview(tmp_path: Path) -> None:
    stored = PictureDataset(filepath=f"atomic://{tmp_path}/a.gif")
    stored.save(b"GIF")
    assert stored.load() == b"GIF" and stored.preview() == base64.b64encode(b"GIF").decode()
    assert PictureDataset.preview.__annotations__["return"].__name__ == "ImagePreview"
