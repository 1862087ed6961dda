"""Models of other packages: named as `package:module.Class`, if the package depends on fieldcast."""

import sys
import textwrap
from pathlib import Path

import pytest

from fieldcast.errors import InputError
from fieldcast.models.configuration import resolve

MODEL = '''
    from fieldcast.models.core import Model

    class Scaled(Model):
        """x = scale * c."""
'''


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, requires: str) -> None:
    """A package with one model, beside the metadata that an installer would write."""
    files = {
        f"{name}/__init__.py": "",
        f"{name}/model.py": MODEL,
        f"{name}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}\n",
        f"{name}-1.0.dist-info/top_level.txt": f"{name}\n",
    }
    for file, text in files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(folder))


def test_a_class_of_a_package_that_depends_on_fieldcast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "toy_dependent", "Requires-Dist: fieldcast>=0.2")
    resolved = resolve("toy_dependent:model.Scaled", "model")
    assert (resolved.__module__, resolved.__name__) == ("toy_dependent.model", "Scaled")


@pytest.mark.parametrize("requires", ["", "Requires-Dist: fieldcaster"])
def test_nothing_of_another_package_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requires: str
) -> None:
    install(tmp_path, monkeypatch, "toy_stranger", requires)
    with pytest.raises(
        InputError, match=r"model.type: no installed package 'toy_stranger' depends on fieldcast"
    ):
        resolve("toy_stranger:model.Scaled", "model")
    assert "toy_stranger" not in sys.modules


def test_the_standard_library_is_out_of_reach() -> None:
    with pytest.raises(InputError, match="no installed package 'json' depends on fieldcast"):
        resolve("json:decoder.JSONDecoder", "model")
